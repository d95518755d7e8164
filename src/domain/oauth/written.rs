//! OAuth settings as somebody would have written them: the way back from [`Oauth`] to a draft.

use super::{ClientAuthentication, ClientProof, Grant, Oauth, OauthDraft, OauthSecret, Provider};

impl From<&Oauth> for OauthDraft {
    /// As somebody would have written it.
    fn from(oauth: &Oauth) -> Self {
        let secret = |which| oauth.secret(which).cloned();
        let (proof, key) = match &oauth.grant {
            Grant::ClientCredentials(proof) | Grant::RefreshToken(_, proof) => (Some(proof), None),
            Grant::ServiceAccount(key) => (None, Some(key)),
        };
        let authentication = proof.map(|proof| match proof {
            ClientProof::None => ClientAuthentication::None,
            ClientProof::Post(_) => ClientAuthentication::SecretPost,
            ClientProof::Basic(_) => ClientAuthentication::SecretBasic,
            ClientProof::Key(_) => ClientAuthentication::PrivateKeyJwt,
        });
        let key = key.or(match proof {
            Some(ClientProof::Key(key)) => Some(key),
            _ => None,
        });
        let token_endpoint = match oauth.provider {
            Provider::Other => oauth.endpoint.as_str().to_owned(),
            Provider::Microsoft365 | Provider::Google => String::new(),
        };
        Self {
            provider: oauth.provider,
            tenant: oauth.tenant.clone(),
            token_endpoint,
            scopes: oauth.scopes.clone(),
            grant: oauth.grant.kind(),
            client_id: oauth.client_id.clone(),
            client_authentication: authentication,
            client_secret: secret(OauthSecret::Client),
            private_key: secret(OauthSecret::Key),
            refresh_token: secret(OauthSecret::Refresh),
            algorithm: key.and_then(|key| key.algorithm),
            key_id: key.map(|key| key.key_id.clone()).unwrap_or_default(),
            audience: key.map(|key| key.audience.clone()).unwrap_or_default(),
            subject: oauth.subject.clone(),
            mechanism: oauth.mechanism,
        }
    }
}

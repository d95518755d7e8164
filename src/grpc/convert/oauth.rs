//! OAuth settings of accounts. Secrets are wrapped as soon as they are seen, and go in only.

use zeroize::Zeroizing;

use crate::{
    domain::{
        account::{ENVIRONMENT_PREFIX, Secret},
        oauth::{
            Algorithm, ClientAuthentication, GrantKind, MOST_SECRET, Mechanism, Oauth, OauthDraft,
            OauthSecret, Provider,
        },
        text::require_line,
        violation::Violations,
    },
    pb::v1 as pb,
};

/// The secrets themselves, still to be sealed.
type Values = Vec<(OauthSecret, Zeroizing<String>)>;

/// A draft, and the secrets that came with it. Faults are noted under `prefix`, such as `account.oauth.`.
pub(super) fn draft(oauth: pb::Oauth, prefix: &str, faults: &mut Violations) -> (OauthDraft, Values) {
    let mut known = |name: &str, found: bool| {
        if !found {
            faults.add(
                format!("{prefix}{name}"),
                "is not a value that this version knows",
            );
        }
    };
    let provider = match oauth.provider() {
        pb::OauthProvider::Unspecified => Provider::Other,
        pb::OauthProvider::Microsoft365 => Provider::Microsoft365,
        pb::OauthProvider::Google => Provider::Google,
    };
    let grant = match oauth.grant() {
        pb::OauthGrant::Unspecified | pb::OauthGrant::ClientCredentials => GrantKind::ClientCredentials,
        pb::OauthGrant::RefreshToken => GrantKind::RefreshToken,
        pb::OauthGrant::ServiceAccount => GrantKind::ServiceAccount,
    };
    let client_authentication = match oauth.client_authentication() {
        pb::OauthClientAuthentication::Unspecified => None,
        pb::OauthClientAuthentication::SecretPost => Some(ClientAuthentication::SecretPost),
        pb::OauthClientAuthentication::SecretBasic => Some(ClientAuthentication::SecretBasic),
        pb::OauthClientAuthentication::PrivateKeyJwt => Some(ClientAuthentication::PrivateKeyJwt),
        pb::OauthClientAuthentication::None => Some(ClientAuthentication::None),
    };
    let algorithm = match oauth.signing_algorithm() {
        pb::OauthSigningAlgorithm::Unspecified => None,
        pb::OauthSigningAlgorithm::Rs256 => Some(Algorithm::Rs256),
        pb::OauthSigningAlgorithm::Ps256 => Some(Algorithm::Ps256),
        pb::OauthSigningAlgorithm::Es256 => Some(Algorithm::Es256),
    };
    let mechanism = match oauth.mechanism() {
        pb::OauthMechanism::Unspecified | pb::OauthMechanism::Xoauth2 => Mechanism::Xoauth2,
        pb::OauthMechanism::Oauthbearer => Mechanism::OauthBearer,
    };
    known("provider", pb::OauthProvider::try_from(oauth.provider).is_ok());
    known("grant", pb::OauthGrant::try_from(oauth.grant).is_ok());
    let by = pb::OauthClientAuthentication::try_from(oauth.client_authentication);
    known("client_authentication", by.is_ok());
    let signing = pb::OauthSigningAlgorithm::try_from(oauth.signing_algorithm);
    known("signing_algorithm", signing.is_ok());
    known("mechanism", pb::OauthMechanism::try_from(oauth.mechanism).is_ok());
    let mut draft = OauthDraft {
        provider,
        tenant: oauth.tenant,
        token_endpoint: oauth.token_endpoint,
        scopes: oauth.scopes,
        grant,
        client_id: oauth.client_id,
        client_authentication,
        algorithm,
        key_id: oauth.key_id,
        audience: oauth.audience,
        subject: oauth.subject,
        mechanism,
        ..OauthDraft::default()
    };
    let mut values = Values::new();
    for (which, given) in [
        (OauthSecret::Client, oauth.client_secret),
        (OauthSecret::Key, oauth.private_key),
        (OauthSecret::Refresh, oauth.refresh_token),
    ] {
        let field = format!("{prefix}{}", which.field());
        let source = given.and_then(|secret| secret.source);
        match faults.check(&field, read(source)) {
            Some(Given::Elsewhere(secret)) => *draft.secret(which) = Some(secret),
            Some(Given::Value(value)) => values.push((which, value)),
            Some(Given::Nothing) | None => {}
        }
    }
    (draft, values)
}

/// The draft with something in the place of each secret that is sealed, or looked up, only later.
pub(super) fn stand_in(draft: &mut OauthDraft, values: &[(OauthSecret, Zeroizing<String>)], saved: bool) {
    let stand_in = || Some(Secret::File(String::new()));
    for (which, _) in values {
        *draft.secret(*which) = stand_in();
    }
    if saved {
        for which in draft.missing() {
            // Which of the two it is shows when the saved account is looked at.
            if which != OauthSecret::Key || draft.client_secret.is_none() {
                *draft.secret(which) = stand_in();
            }
        }
    }
}

/// OAuth settings as administrators see them: all but the secrets.
pub(super) fn oauth(oauth: &Oauth) -> pb::Oauth {
    let shown = |which| oauth.secret(which).map(secret_of);
    let draft = OauthDraft::from(oauth);
    let provider = provider(draft.provider);
    let grant = match draft.grant {
        GrantKind::ClientCredentials => pb::OauthGrant::ClientCredentials,
        GrantKind::RefreshToken => pb::OauthGrant::RefreshToken,
        GrantKind::ServiceAccount => pb::OauthGrant::ServiceAccount,
    };
    let client_authentication = match draft.client_authentication {
        None => pb::OauthClientAuthentication::Unspecified,
        Some(ClientAuthentication::SecretPost) => pb::OauthClientAuthentication::SecretPost,
        Some(ClientAuthentication::SecretBasic) => pb::OauthClientAuthentication::SecretBasic,
        Some(ClientAuthentication::PrivateKeyJwt) => pb::OauthClientAuthentication::PrivateKeyJwt,
        Some(ClientAuthentication::None) => pb::OauthClientAuthentication::None,
    };
    let signing_algorithm = match draft.algorithm {
        None => pb::OauthSigningAlgorithm::Unspecified,
        Some(Algorithm::Rs256) => pb::OauthSigningAlgorithm::Rs256,
        Some(Algorithm::Ps256) => pb::OauthSigningAlgorithm::Ps256,
        Some(Algorithm::Es256) => pb::OauthSigningAlgorithm::Es256,
    };
    let mechanism = match draft.mechanism {
        Mechanism::Xoauth2 => pb::OauthMechanism::Xoauth2,
        Mechanism::OauthBearer => pb::OauthMechanism::Oauthbearer,
    };
    pb::Oauth {
        provider: provider.into(),
        tenant: draft.tenant,
        token_endpoint: oauth.endpoint.as_str().to_owned(),
        scopes: draft.scopes,
        grant: grant.into(),
        client_id: draft.client_id,
        client_authentication: client_authentication.into(),
        client_secret: shown(OauthSecret::Client),
        private_key: shown(OauthSecret::Key),
        refresh_token: shown(OauthSecret::Refresh),
        signing_algorithm: signing_algorithm.into(),
        key_id: draft.key_id,
        audience: draft.audience,
        subject: draft.subject,
        mechanism: mechanism.into(),
    }
}

/// Who grants tokens, in the protocol's words.
pub(super) fn provider(provider: Provider) -> pb::OauthProvider {
    match provider {
        Provider::Other => pb::OauthProvider::Unspecified,
        Provider::Microsoft365 => pb::OauthProvider::Microsoft365,
        Provider::Google => pb::OauthProvider::Google,
    }
}

/// What a request gives for a secret.
enum Given {
    Nothing,
    Value(Zeroizing<String>),
    Elsewhere(Secret),
}

/// `sealed`, as an account is read, means none given.
fn read(source: Option<pb::oauth_secret::Source>) -> Result<Given, String> {
    use pb::oauth_secret::Source;
    match source {
        None | Some(Source::Sealed(_)) => Ok(Given::Nothing),
        Some(Source::Value(value)) => {
            let value = Zeroizing::new(value);
            if (1..=MOST_SECRET).contains(&value.len()) {
                Ok(Given::Value(value))
            } else {
                Err("must have 1 to 16,384 bytes".to_owned())
            }
        }
        Some(Source::File(path)) => match require_line(&path, 1024) {
            Ok(()) if path.starts_with('/') => Ok(Given::Elsewhere(Secret::File(path))),
            Ok(()) => Err("must be an absolute path".to_owned()),
            Err(error) => Err(error.to_string()),
        },
        Some(Source::Environment(name)) if name.starts_with(ENVIRONMENT_PREFIX) && name.len() <= 128 => {
            Ok(Given::Elsewhere(Secret::Environment(name)))
        }
        Some(Source::Environment(_)) => Err(format!(
            "must name a variable that begins with {ENVIRONMENT_PREFIX}"
        )),
    }
}

fn secret_of(secret: &Secret) -> pb::OauthSecret {
    use pb::oauth_secret::Source;
    let source = match secret {
        Secret::Sealed(_) | Secret::Oauth(_) | Secret::Default => Source::Sealed(true),
        Secret::File(path) => Source::File(path.clone()),
        Secret::Environment(name) => Source::Environment(name.clone()),
    };
    pb::OauthSecret { source: Some(source) }
}

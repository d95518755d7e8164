//! OAuth settings as they were written, and the check that makes [`Oauth`] of them.

use super::{
    Algorithm, ClientAuthentication, ClientProof, Grant, GrantKind, Mechanism, Oauth, OauthSecret, Provider,
    SigningKey, TokenEndpoint,
};
use crate::domain::{account::Secret, preset::Preset, text::check_line, violation::Violations};

/// The most bytes of a client secret, a private key with its certificate, or a refresh token.
pub const MOST_SECRET: usize = 16 * 1024;

/// The most scopes.
const MOST_SCOPES: usize = 20;

/// OAuth settings before they are checked.
#[derive(Clone, Debug, Default)]
pub struct OauthDraft {
    /// See [`Oauth::provider`].
    pub provider: Provider,
    /// See [`Oauth::tenant`].
    pub tenant: String,
    /// See [`Oauth::endpoint`]; empty: the provider's.
    pub token_endpoint: String,
    /// See [`Oauth::scopes`].
    pub scopes: Vec<String>,
    /// See [`Oauth::grant`].
    pub grant: GrantKind,
    /// See [`Oauth::client_id`].
    pub client_id: String,
    /// How the client shows who it is; `None`: by what was given.
    pub client_authentication: Option<ClientAuthentication>,
    /// The client secret.
    pub client_secret: Option<Secret>,
    /// See [`SigningKey::key`].
    pub private_key: Option<Secret>,
    /// The refresh token.
    pub refresh_token: Option<Secret>,
    /// See [`SigningKey::algorithm`].
    pub algorithm: Option<Algorithm>,
    /// See [`SigningKey::key_id`].
    pub key_id: String,
    /// See [`SigningKey::audience`].
    pub audience: String,
    /// See [`Oauth::subject`].
    pub subject: String,
    /// See [`Oauth::mechanism`].
    pub mechanism: Mechanism,
}

impl OauthDraft {
    /// One of its secrets.
    pub fn secret(&mut self, which: OauthSecret) -> &mut Option<Secret> {
        match which {
            OauthSecret::Client => &mut self.client_secret,
            OauthSecret::Key => &mut self.private_key,
            OauthSecret::Refresh => &mut self.refresh_token,
        }
    }

    /// Names the preset's provider, where nobody is named.
    pub fn settle(&mut self, preset: &Preset) {
        if self.provider == Provider::Other && self.token_endpoint.is_empty() {
            self.provider = preset.oauth;
        }
    }

    /// The secrets that these settings take and that were not given: what is kept of earlier settings goes there. Of a
    /// client secret and a private key one is meant; where nothing says which, both are named.
    #[must_use]
    pub fn missing(&self) -> Vec<OauthSecret> {
        let (secret, key) = (self.client_secret.is_some(), self.private_key.is_some());
        let by = self.client_authentication;
        let service = self.grant == GrantKind::ServiceAccount;
        let takes_secret = !service
            && match by {
                Some(by) => matches!(
                    by,
                    ClientAuthentication::SecretPost | ClientAuthentication::SecretBasic
                ),
                None => !key,
            };
        let takes_key = service || by.map_or(!secret, |by| by == ClientAuthentication::PrivateKeyJwt);
        let refresh = self.grant == GrantKind::RefreshToken && self.refresh_token.is_none();
        [
            (OauthSecret::Client, takes_secret && !secret),
            (OauthSecret::Key, takes_key && !key),
            (OauthSecret::Refresh, refresh),
        ]
        .into_iter()
        .filter_map(|(which, missing)| missing.then_some(which))
        .collect()
    }

    /// The provider's token endpoint; `None`: it is set. `Err`: what is wrong with the tenant.
    pub fn known_endpoint(&self) -> Result<Option<TokenEndpoint>, &'static str> {
        let url = match self.provider {
            Provider::Other => return Ok(None),
            Provider::Google => "https://oauth2.googleapis.com/token".to_owned(),
            Provider::Microsoft365 if is_tenant(&self.tenant) => {
                let tenant = &self.tenant;
                format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token")
            }
            Provider::Microsoft365 => {
                return Err("is required at Microsoft 365: the directory (tenant) id or one of its domains");
            }
        };
        Ok(TokenEndpoint::parse(&url).ok())
    }

    /// The settings, or everything that is wrong with them, each field under `prefix`, such as `account.oauth.`.
    pub fn check(self, prefix: &str) -> Result<Oauth, Violations> {
        let mut check = Check {
            prefix,
            faults: Violations::new(),
        };
        let endpoint = check.endpoint(&self);
        check.scopes(&self.scopes);
        let from_file = self.grant == GrantKind::ServiceAccount;
        if !(is_token(&self.client_id, 256) || from_file && self.client_id.is_empty()) {
            check.fault("client_id", "must be 1 to 256 visible characters");
        }
        for (name, value) in [("key_id", &self.key_id), ("audience", &self.audience)] {
            if !(value.is_empty() || is_token(value, 1024)) {
                check.fault(name, "must be visible characters");
            }
        }
        check
            .faults
            .check(&format!("{prefix}subject"), check_line(&self.subject, 256));
        if !self.subject.is_empty() && self.grant != GrantKind::ServiceAccount {
            check.fault("subject", "is for service accounts");
        }
        let provider = self.provider;
        let (tenant, scopes, mechanism) = (self.tenant.clone(), self.scopes.clone(), self.mechanism);
        let (client_id, subject) = (self.client_id.clone(), self.subject.clone());
        let grant = check.grant(self);
        check.faults.into_result()?;
        let (Some(endpoint), Some(grant)) = (endpoint, grant) else {
            unreachable!("what is missing was noted as a fault");
        };
        Ok(Oauth {
            provider,
            tenant,
            endpoint,
            scopes,
            client_id,
            grant,
            subject,
            mechanism,
        })
    }
}

/// Notes what is wrong, each field under a prefix.
struct Check<'a> {
    prefix: &'a str,
    faults: Violations,
}

impl Check<'_> {
    fn fault(&mut self, name: &str, description: &str) {
        self.faults.add(format!("{}{name}", self.prefix), description);
    }

    fn endpoint(&mut self, draft: &OauthDraft) -> Option<TokenEndpoint> {
        let field = format!("{}token_endpoint", self.prefix);
        if draft.provider != Provider::Microsoft365 && !draft.tenant.is_empty() {
            self.fault("tenant", "is for Microsoft 365");
        }
        let known = match draft.known_endpoint() {
            Ok(known) => known,
            Err(text) => {
                self.fault("tenant", text);
                return None;
            }
        };
        let Some(known) = known else {
            if draft.token_endpoint.is_empty() {
                self.fault("token_endpoint", "is required where `provider` names nobody");
                return None;
            }
            return self
                .faults
                .check(&field, TokenEndpoint::parse(&draft.token_endpoint));
        };
        if !draft.token_endpoint.is_empty() && draft.token_endpoint != known.as_str() {
            self.fault(
                "token_endpoint",
                "is the provider's: set another only without a provider",
            );
        }
        Some(known)
    }

    /// RFC 6749, 3.3.
    fn scopes(&mut self, scopes: &[String]) {
        if scopes.len() > MOST_SCOPES {
            self.fault("scopes", "must be 20 at the most");
        }
        let bad = |scope: &String| !is_token(scope, 256) || scope.contains(['"', '\\']);
        if let Some(index) = scopes.iter().position(bad) {
            let text = "must be visible characters without quotes, one scope each";
            self.fault(&format!("scopes[{index}]"), text);
        }
    }

    fn grant(&mut self, draft: OauthDraft) -> Option<Grant> {
        match (draft.provider, draft.grant) {
            (Provider::Google, GrantKind::ClientCredentials) => {
                let text =
                    "Google has no client credentials for mail: use a service account or a refresh token";
                self.fault("grant", text);
            }
            (Provider::Microsoft365, GrantKind::ServiceAccount) => {
                let text = "Microsoft 365 has no service accounts: use client credentials or a refresh token";
                self.fault("grant", text);
            }
            _ => {}
        }
        if draft.grant != GrantKind::RefreshToken && draft.refresh_token.is_some() {
            self.fault("refresh_token", "is for the refresh token grant");
        }
        match draft.grant {
            GrantKind::ClientCredentials => {
                let proof = self.proof(draft)?;
                if proof == ClientProof::None {
                    let text = "is required: client credentials show who asks";
                    self.fault("client_authentication", text);
                }
                Some(Grant::ClientCredentials(proof))
            }
            GrantKind::RefreshToken => {
                let token = draft.refresh_token.clone();
                if token.is_none() {
                    self.fault("refresh_token", "is required with this grant");
                }
                let proof = self.proof(draft);
                token
                    .zip(proof)
                    .map(|(token, proof)| Grant::RefreshToken(token, proof))
            }
            GrantKind::ServiceAccount => {
                if draft.client_secret.is_some() {
                    self.fault(
                        "client_secret",
                        "is not for service accounts: they have a private key",
                    );
                }
                self.key(draft).map(Grant::ServiceAccount)
            }
        }
    }

    fn proof(&mut self, draft: OauthDraft) -> Option<ClientProof> {
        let given = (draft.client_secret.is_some(), draft.private_key.is_some());
        let by = draft.client_authentication.unwrap_or(match given {
            (_, true) => ClientAuthentication::PrivateKeyJwt,
            (true, false) => ClientAuthentication::SecretPost,
            (false, false) => ClientAuthentication::None,
        });
        let takes_secret = matches!(
            by,
            ClientAuthentication::SecretPost | ClientAuthentication::SecretBasic
        );
        if draft.client_secret.is_some() && !takes_secret {
            self.fault("client_secret", "is not used with this client authentication");
        }
        if draft.private_key.is_some() && by != ClientAuthentication::PrivateKeyJwt {
            self.fault("private_key", "is not used with this client authentication");
        }
        if by == ClientAuthentication::PrivateKeyJwt {
            return self.key(draft).map(ClientProof::Key);
        }
        if draft.algorithm.is_some() {
            self.fault("signing_algorithm", "is for private keys");
        }
        for (name, value) in [("key_id", &draft.key_id), ("audience", &draft.audience)] {
            if !value.is_empty() {
                self.fault(name, "is for private keys");
            }
        }
        if takes_secret && draft.client_secret.is_none() {
            self.fault("client_secret", "is required with this client authentication");
        }
        match by {
            ClientAuthentication::SecretPost => draft.client_secret.map(ClientProof::Post),
            ClientAuthentication::SecretBasic => draft.client_secret.map(ClientProof::Basic),
            ClientAuthentication::PrivateKeyJwt | ClientAuthentication::None => Some(ClientProof::None),
        }
    }

    fn key(&mut self, draft: OauthDraft) -> Option<SigningKey> {
        if draft.private_key.is_none() {
            self.fault("private_key", "is required: assertions are signed with it");
        }
        Some(SigningKey {
            key: draft.private_key?,
            algorithm: draft.algorithm,
            key_id: draft.key_id,
            audience: draft.audience,
        })
    }
}

/// Visible ASCII without spaces.
fn is_token(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A GUID, a domain, or one of Microsoft's own names such as `organizations`.
fn is_tenant(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
        && !text.starts_with('.')
}

#[cfg(test)]
#[path = "draft_tests.rs"]
mod tests;

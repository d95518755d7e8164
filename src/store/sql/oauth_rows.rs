//! OAuth settings as an account's row keeps them: JSON in the place of the secret, the secrets in it sealed.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use crate::domain::{
    account::Secret,
    keyring::Sealed,
    oauth::{
        Algorithm, ClientAuthentication, GrantKind, Mechanism, Oauth, OauthDraft, OauthSecret, Provider,
    },
};

/// As somebody would have written them. What is at its default is left out.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct OauthRow {
    provider: String,
    tenant: String,
    token_endpoint: String,
    scopes: Vec<String>,
    grant: String,
    client_id: String,
    client_authentication: Option<String>,
    client_secret: Option<SecretRow>,
    private_key: Option<SecretRow>,
    refresh_token: Option<SecretRow>,
    algorithm: Option<String>,
    key_id: String,
    audience: String,
    subject: String,
    mechanism: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SecretRow {
    /// In base64.
    Sealed(String),
    File(String),
    Environment(String),
}

/// What the row keeps.
pub(super) fn to_bytes(oauth: &Oauth) -> Vec<u8> {
    let draft = OauthDraft::from(oauth);
    let secret = |which| oauth.secret(which).and_then(row);
    let row = OauthRow {
        provider: draft.provider.name().to_owned(),
        tenant: draft.tenant,
        token_endpoint: draft.token_endpoint,
        scopes: draft.scopes,
        grant: draft.grant.name().to_owned(),
        client_id: draft.client_id,
        client_authentication: draft.client_authentication.map(|by| by.name().to_owned()),
        client_secret: secret(OauthSecret::Client),
        private_key: secret(OauthSecret::Key),
        refresh_token: secret(OauthSecret::Refresh),
        algorithm: draft.algorithm.map(|algorithm| algorithm.name().to_owned()),
        key_id: draft.key_id,
        audience: draft.audience,
        subject: draft.subject,
        mechanism: draft.mechanism.name().to_owned(),
    };
    serde_json::to_vec(&row).unwrap_or_default()
}

/// What a row kept; `None`: nothing that this version can read.
pub(super) fn from_bytes(bytes: &[u8]) -> Option<Oauth> {
    let row: OauthRow = serde_json::from_slice(bytes).ok()?;
    let secret = |row: Option<SecretRow>| row.map_or(Some(None), |row| secret(row).map(Some));
    let authentication = row.client_authentication.as_deref();
    let algorithm = row.algorithm.as_deref();
    let draft = OauthDraft {
        provider: Provider::from_name(&row.provider)?,
        tenant: row.tenant,
        token_endpoint: row.token_endpoint,
        scopes: row.scopes,
        grant: GrantKind::from_name(&row.grant)?,
        client_id: row.client_id,
        client_authentication: match authentication {
            None => None,
            Some(name) => Some(ClientAuthentication::from_name(name)?),
        },
        client_secret: secret(row.client_secret)?,
        private_key: secret(row.private_key)?,
        refresh_token: secret(row.refresh_token)?,
        algorithm: match algorithm {
            None => None,
            Some(name) => Some(Algorithm::from_name(name)?),
        },
        key_id: row.key_id,
        audience: row.audience,
        subject: row.subject,
        mechanism: Mechanism::from_name(&row.mechanism)?,
    };
    draft.check("").ok()
}

fn row(secret: &Secret) -> Option<SecretRow> {
    match secret {
        Secret::Sealed(sealed) => Some(SecretRow::Sealed(STANDARD.encode(sealed.as_bytes()))),
        Secret::File(path) => Some(SecretRow::File(path.clone())),
        Secret::Environment(name) => Some(SecretRow::Environment(name.clone())),
        // No secret for a token endpoint is got from another one.
        Secret::Oauth(_) | Secret::Default => None,
    }
}

fn secret(row: SecretRow) -> Option<Secret> {
    Some(match row {
        SecretRow::Sealed(text) => Secret::Sealed(Sealed::from_bytes(STANDARD.decode(text).ok()?)),
        SecretRow::File(path) => Secret::File(path),
        SecretRow::Environment(name) => Secret::Environment(name),
    })
}

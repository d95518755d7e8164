//! What the audit shows of how an account gets its access tokens.

use super::Fields;
use crate::domain::{
    account::Secret,
    oauth::{Oauth, OauthSecret},
};

/// With everything but the secrets; of those only whether they are there and changed.
pub(super) fn with_oauth(fields: Fields, oauth: &Oauth) -> Fields {
    let Oauth {
        provider,
        tenant,
        endpoint,
        scopes,
        client_id,
        // Its secrets are below, each by the name of its field.
        grant,
        subject,
        mechanism,
    } = oauth;
    let fields = fields
        .with("oauth.provider", provider.name())
        .with("oauth.tenant", tenant.as_str())
        .with("oauth.token_endpoint", endpoint.as_str())
        .with("oauth.scopes", scopes.clone())
        .with("oauth.client_id", client_id.as_str())
        .with("oauth.grant", grant.kind().name())
        .with("oauth.subject", subject.as_str())
        .with("oauth.mechanism", mechanism.name());
    OauthSecret::ALL.into_iter().fold(fields, |fields, which| {
        let name = match which {
            OauthSecret::Client => "oauth.client_secret",
            OauthSecret::Key => "oauth.private_key",
            OauthSecret::Refresh => "oauth.refresh_token",
        };
        match oauth.secret(which) {
            Some(secret) => with_secret(fields, name, secret),
            None => fields,
        }
    })
}

/// Where a secret is; a sealed one is not shown.
pub(super) fn with_secret(fields: Fields, name: &'static str, secret: &Secret) -> Fields {
    match secret {
        Secret::Sealed(sealed) => fields.hiding(name, sealed.as_bytes()),
        Secret::File(path) => fields.with(name, format!("file {path}")),
        Secret::Environment(variable) => fields.with(name, format!("environment {variable}")),
        Secret::Oauth(oauth) => with_oauth(fields, oauth),
    }
}

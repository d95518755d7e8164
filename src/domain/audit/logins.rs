//! What the audit shows of how an account logs in: where secrets are, never what they are.

use super::Fields;
use crate::domain::{
    account::{Login, Secret},
    oauth::{Algorithm, ClientAuthentication, Oauth, OauthDraft},
};

pub(super) fn with_login(fields: Fields, login: &Login) -> Fields {
    let Login { username, secret } = login;
    let fields = fields.with("username", username.as_str());
    with_secret(fields, "secret", secret)
}

pub(super) fn with_secret(fields: Fields, field: &'static str, secret: &Secret) -> Fields {
    match secret {
        Secret::Sealed(sealed) => fields.hiding(field, sealed.as_bytes()),
        Secret::File(path) => fields.with(field, format!("file {path}")),
        Secret::Environment(name) => fields.with(field, format!("environment {name}")),
        Secret::Oauth(oauth) => with_oauth(fields, oauth),
    }
}

fn with_oauth(fields: Fields, oauth: &Oauth) -> Fields {
    let OauthDraft {
        provider,
        tenant,
        token_endpoint,
        scopes,
        grant,
        client_id,
        client_authentication,
        client_secret,
        private_key,
        refresh_token,
        algorithm,
        key_id,
        audience,
        subject,
        mechanism,
    } = OauthDraft::from(oauth);
    let fields = fields
        .with("oauth.provider", provider.name())
        .with("oauth.tenant", tenant)
        .with("oauth.token_endpoint", token_endpoint)
        .with("oauth.scopes", scopes.join(" "))
        .with("oauth.grant", grant.name())
        .with("oauth.client_id", client_id)
        .with(
            "oauth.client_authentication",
            client_authentication.map(ClientAuthentication::name),
        )
        .with("oauth.signing_algorithm", algorithm.map(Algorithm::name))
        .with("oauth.key_id", key_id)
        .with("oauth.audience", audience)
        .with("oauth.subject", subject)
        .with("oauth.mechanism", mechanism.name());
    let secrets = [
        ("oauth.client_secret", client_secret),
        ("oauth.private_key", private_key),
        ("oauth.refresh_token", refresh_token),
    ];
    secrets
        .into_iter()
        .fold(fields, |fields, (field, secret)| match secret {
            Some(secret) => with_secret(fields, field, &secret),
            None => fields,
        })
}

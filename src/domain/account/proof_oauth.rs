//! What of an account's OAuth settings a connection test proves: everything.

use zeroize::Zeroizing;

use super::Secret;
use crate::domain::{
    id::AccountId,
    keyring::{Keyring, KeyringError},
    oauth::{Algorithm, ClientAuthentication, Oauth, OauthDraft, OauthSecret},
};

/// All of them as one text, the secrets opened. A refresh token is the one that an administrator gave, not the one that
/// stands in for it by now.
pub(super) fn whole(
    oauth: &Oauth,
    account: &AccountId,
    keyring: &Keyring,
) -> Result<Zeroizing<String>, KeyringError> {
    // Taken apart whole: whoever adds a setting decides here whether a test proves it.
    let OauthDraft {
        provider,
        tenant,
        token_endpoint,
        scopes,
        grant,
        client_id,
        client_authentication,
        client_secret: _,
        private_key: _,
        refresh_token: _,
        algorithm,
        key_id,
        audience,
        subject,
        mechanism,
    } = OauthDraft::from(oauth);
    let scopes = scopes.join(" ");
    let lines = [
        provider.name(),
        &tenant,
        &token_endpoint,
        &scopes,
        grant.name(),
        &client_id,
        client_authentication.map_or("", ClientAuthentication::name),
        algorithm.map_or("", Algorithm::name),
        &key_id,
        &audience,
        &subject,
        mechanism.name(),
    ];
    let mut text = Zeroizing::new(lines.join("\n"));
    for which in OauthSecret::ALL {
        let (kind, value) = match oauth.secret(which) {
            Some(Secret::Sealed(sealed)) => {
                let opened = Zeroizing::new(keyring.open(&which.place(account), sealed)?);
                (
                    "value",
                    Zeroizing::new(String::from_utf8_lossy(&opened).into_owned()),
                )
            }
            Some(Secret::File(path)) => ("file", Zeroizing::new(path.clone())),
            Some(Secret::Environment(name)) => ("environment", Zeroizing::new(name.clone())),
            Some(Secret::Oauth(_) | Secret::Default) | None => ("none", Zeroizing::default()),
        };
        for part in ["\n", which.field(), " ", kind, " ", &value] {
            text.push_str(part);
        }
    }
    Ok(text)
}

//! Whether an account's settings are proven: a connection test passed, and nothing that it tried was changed since.

use zeroize::Zeroizing;

use super::{Account, AccountSettings, Identity, Link, Login, Secret, Sender, Server, proof_oauth};
use crate::domain::{
    address::EmailAddress,
    clock::Timestamp,
    keyring::{Keyring, KeyringError, Subject, SubjectKind},
};

/// A passed connection test, as the store keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The keyed hash of the settings that passed: it tells nothing of them, the password included.
    pub settings: Subject,
    /// When.
    pub at: Timestamp,
}

impl Account {
    /// The keyed hash of everything that a connection test tries: where to, how, as whom, from whom. The password itself
    /// counts, not how it is sealed; of a file or variable, its name; of default credentials, that they are used.
    pub fn fingerprint(&self, keyring: &Keyring) -> Result<Subject, KeyringError> {
        // Taken apart whole: whoever adds a setting decides here whether a test proves it.
        let AccountSettings {
            name: _,
            enabled: _,
            order: _,
            volume: _,
            preset: _,
            server: Server { host, port, security },
            link,
            login,
            sender,
        } = &self.settings;
        let Link {
            hello_name,
            server_name,
            authorities,
            any_certificate,
            identity,
            timeout,
        } = link;
        let Sender {
            address,
            return_path,
            display_name: _,
            reply_to: _,
            read_receipt: _,
            confirmation: _,
            force: _,
            footnote_enabled: _,
            footnote: _,
        } = sender;
        let (port, any) = (port.to_string(), any_certificate.to_string());
        let timeout = timeout.map_or_else(String::new, |span| span.as_micros().to_string());
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let (hello, server, roots) = (text(hello_name), text(server_name), text(authorities));
        let (username, kind, secret) = self.login_parts(login.as_ref(), keyring)?;
        let (certificate, key_kind, key) = self.identity_parts(identity.as_deref(), keyring)?;
        let mut parts = vec![
            host.as_str(),
            &port,
            security.name(),
            &hello,
            &server,
            &roots,
            &any,
            &timeout,
            address.as_str(),
            return_path.as_ref().map_or("", EmailAddress::as_str),
            username,
            kind,
            &secret,
        ];
        // Without one, as before there were any: what was proven then stays so.
        if identity.is_some() {
            parts.extend([certificate, key_kind, key.as_str()]);
        }
        Ok(keyring.subject(SubjectKind::Settings, &parts))
    }

    /// Whether the present settings passed the test that is noted.
    #[must_use]
    pub fn is_proven(&self, keyring: &Keyring) -> bool {
        let Some(proof) = &self.proof else {
            return false;
        };
        self.fingerprint(keyring)
            .is_ok_and(|present| present == proof.settings)
    }

    fn login_parts<'a>(
        &self,
        login: Option<&'a Login>,
        keyring: &Keyring,
    ) -> Result<(&'a str, &'static str, Zeroizing<String>), KeyringError> {
        let Some(Login { username, secret }) = login else {
            return Ok(("", "", Zeroizing::default()));
        };
        let (kind, text) = self.secret_parts(secret, &Self::secret_place(&self.id), keyring)?;
        Ok((username, kind, text))
    }

    fn identity_parts<'a>(
        &self,
        identity: Option<&'a Identity>,
        keyring: &Keyring,
    ) -> Result<(&'a str, &'static str, Zeroizing<String>), KeyringError> {
        let Some(Identity { certificate, key }) = identity else {
            return Ok(("", "", Zeroizing::default()));
        };
        let (kind, text) = self.secret_parts(key, &Self::client_key_place(&self.id), keyring)?;
        Ok((certificate, kind, text))
    }

    fn secret_parts(
        &self,
        secret: &Secret,
        place: &str,
        keyring: &Keyring,
    ) -> Result<(&'static str, Zeroizing<String>), KeyringError> {
        Ok(match secret {
            Secret::Sealed(sealed) => {
                let opened = Zeroizing::new(keyring.open(place, sealed)?);
                let password = String::from_utf8_lossy(&opened).into_owned();
                ("password", Zeroizing::new(password))
            }
            Secret::File(path) => ("file", Zeroizing::new(path.clone())),
            Secret::Environment(name) => ("environment", Zeroizing::new(name.clone())),
            Secret::Default => ("default", Zeroizing::default()),
            Secret::Oauth(oauth) => ("oauth", proof_oauth::whole(oauth, &self.id, keyring)?),
        })
    }
}

#[cfg(test)]
#[path = "proof_tests.rs"]
mod tests;

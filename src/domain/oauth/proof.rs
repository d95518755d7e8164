//! What of OAuth settings a connection test proves: all of it.

use zeroize::Zeroizing;

use super::{Oauth, OauthDraft, OauthSecret};
use crate::domain::{
    account::Secret,
    id::AccountId,
    keyring::{Keyring, KeyringError},
};

impl Oauth {
    /// Everything that a connection test tries, in one text that differs where anything of it does: only to be hashed. A
    /// secret itself counts, not how it is sealed; of a file or variable, its name.
    pub fn proven_text(
        &self,
        account: &AccountId,
        keyring: &Keyring,
    ) -> Result<Zeroizing<String>, KeyringError> {
        let draft = OauthDraft::from(self);
        let mut text = Zeroizing::new(String::new());
        let mut add = |part: &str| {
            // Lengths first, so that no two lists of parts make one text.
            text.push_str(&part.len().to_string());
            text.push(':');
            text.push_str(part);
        };
        let name = |name: Option<&'static str>| name.unwrap_or_default();
        for part in [
            draft.provider.name(),
            self.endpoint.as_str(),
            &self.scope(),
            draft.grant.name(),
            &draft.client_id,
            name(draft.client_authentication.map(super::ClientAuthentication::name)),
            name(draft.algorithm.map(super::Algorithm::name)),
            &draft.key_id,
            &draft.audience,
            &draft.subject,
            draft.mechanism.name(),
        ] {
            add(part);
        }
        for which in OauthSecret::ALL {
            match self.secret(which) {
                Some(Secret::Sealed(sealed)) => {
                    let opened = Zeroizing::new(keyring.open(&which.place(account), sealed)?);
                    add("sealed");
                    add(&String::from_utf8_lossy(&opened));
                }
                Some(Secret::File(path)) => {
                    add("file");
                    add(path);
                }
                Some(Secret::Environment(name)) => {
                    add("environment");
                    add(name);
                }
                Some(Secret::Oauth(_)) | None => add("none"),
            }
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        entropy::Entropy,
        keyring::{KeyId, Sealed},
    };

    #[derive(Debug)]
    struct Fixed(u8);

    impl Entropy for Fixed {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(self.0);
        }
    }

    #[test]
    fn what_was_proven_is_the_secret_and_not_how_it_is_sealed() {
        let keyring = Keyring::new([(KeyId::parse("k").unwrap(), [7; 32])]).unwrap();
        let id = AccountId::from_bytes([1; 16]);
        let seal =
            |text: &str, nonce| keyring.seal(&OauthSecret::Client.place(&id), text.as_bytes(), &Fixed(nonce));
        let text = |secret: Sealed, scope: &str| {
            let draft = OauthDraft {
                token_endpoint: "https://login.example.com/token".into(),
                client_id: "client".into(),
                client_secret: Some(Secret::Sealed(secret)),
                scopes: vec![scope.into()],
                ..OauthDraft::default()
            };
            draft.check("").unwrap().proven_text(&id, &keyring).unwrap()
        };
        let proven = text(seal("a", 1), "smtp");
        assert_eq!(*proven, *text(seal("a", 2), "smtp"));
        assert_ne!(*proven, *text(seal("b", 1), "smtp"));
        assert_ne!(*proven, *text(seal("a", 1), "mail"));
    }
}

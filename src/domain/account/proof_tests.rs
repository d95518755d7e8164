use std::time::Duration;

use super::*;
use crate::domain::{
    account::{AccountDraft, Security},
    address::LocalPart,
    entropy::Entropy,
    id::AccountId,
    keyring::KeyId,
};

#[derive(Debug)]
struct Fixed(u8);

impl Entropy for Fixed {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(self.0);
    }
}

fn ring(keys: &[(&str, u8)]) -> Keyring {
    let keys = keys
        .iter()
        .map(|(id, byte)| (KeyId::parse(id).unwrap(), [*byte; 32]));
    Keyring::new(keys).unwrap()
}

fn account() -> Account {
    let settings = AccountDraft {
        name: "main".into(),
        host: "smtp.example.com".into(),
        security: Some(Security::StartTls),
        authentication: true,
        username: "ann".into(),
        secret: Some(Secret::File("/run/secrets/smtp".into())),
        sender: "noreply@example.com".into(),
        acknowledge_risks: true,
        ..AccountDraft::default()
    };
    Account {
        id: AccountId::from_bytes([1; 16]),
        is_default: true,
        settings: settings.check("", LocalPart::Ascii).unwrap(),
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
        version: 1,
        proof: None,
    }
}

fn sealed(password: &[u8], keys: &Keyring, salt: u8) -> Secret {
    let place = Account::secret_place(&account().id);
    Secret::Sealed(keys.seal(&place, password, &Fixed(salt)))
}

#[test]
fn what_a_test_tries_is_proven_by_it_and_nothing_else_is() {
    let keys = ring(&[("a", 1)]);
    let mut proven = account();
    assert!(!proven.is_proven(&keys));
    let settings = proven.fingerprint(&keys).unwrap();
    let at = Timestamp::default();
    proven.proof = Some(Proof { settings, at });
    assert!(proven.is_proven(&keys));
    let change = |change: fn(&mut AccountSettings)| {
        let mut changed = proven.clone();
        change(&mut changed.settings);
        changed.is_proven(&keys)
    };
    let harmless: [fn(&mut AccountSettings); 5] = [
        |settings| settings.name = "other".into(),
        |settings| settings.enabled = true,
        |settings| settings.order = 7,
        |settings| settings.sender.display_name = "Ann".into(),
        |settings| settings.sender.footnote = "Ltd".into(),
    ];
    assert!(harmless.into_iter().all(change));
    let telling: [fn(&mut AccountSettings); 15] = [
        |settings| settings.server.host = "x.example.com".into(),
        |settings| settings.server.port = 25,
        |settings| settings.server.security = Security::ImplicitTls,
        |settings| settings.link.hello_name = Some("x.example.com".into()),
        |settings| settings.link.server_name = Some("x.example.com".into()),
        |settings| settings.link.authorities = Some("PEM".into()),
        |settings| settings.link.any_certificate = true,
        |settings| {
            settings.link.identity = Some(Box::new(Identity {
                certificate: "PEM".into(),
                key: Secret::File("/run/secrets/key".into()),
            }));
        },
        |settings| settings.link.timeout = Some(Duration::from_secs(1)),
        |settings| settings.login = None,
        |settings| settings.login.as_mut().unwrap().username = "bo".into(),
        |settings| settings.login.as_mut().unwrap().secret = Secret::File("/run/secrets/other".into()),
        |settings| settings.login.as_mut().unwrap().secret = Secret::Environment("/run/secrets/smtp".into()),
        |settings| {
            settings.sender.address = EmailAddress::parse("x@example.com", LocalPart::Ascii).unwrap();
        },
        |settings| {
            settings.sender.return_path = EmailAddress::parse("x@example.com", LocalPart::Ascii).ok();
        },
    ];
    for (number, telling) in telling.into_iter().enumerate() {
        assert!(!change(telling), "{number}");
    }
}

#[test]
fn the_password_counts_and_not_how_it_is_sealed() {
    let (old, both) = (ring(&[("a", 1)]), ring(&[("a", 1), ("b", 2)]));
    let with = |secret: Secret| {
        let mut account = account();
        account.settings.login.as_mut().unwrap().secret = secret;
        account
    };
    let settings = with(sealed(b"hunter2", &old, 1)).fingerprint(&old).unwrap();
    let again = with(sealed(b"hunter2", &both, 2)).fingerprint(&both);
    assert_eq!(again, Ok(settings));
    let other = with(sealed(b"hunter3", &old, 1)).fingerprint(&old);
    assert_ne!(other, Ok(settings));
    // Under a key that is gone nothing is proven.
    let mut lost = with(sealed(b"hunter2", &both, 2));
    let at = Timestamp::default();
    lost.proof = Some(Proof { settings, at });
    assert!(lost.is_proven(&both) && !lost.is_proven(&old));
}

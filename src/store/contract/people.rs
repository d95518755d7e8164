//! Accounts, callers and the probe.

use std::{sync::Arc, time::Duration};

use super::*;
use crate::{
    domain::{
        account::{
            Account, AccountSettings, Identity, Link, Login, Proof, Secret, Security, Sender, Server, Volume,
        },
        address::{EmailAddress, LocalPart},
        caller::{Caller, CertificateDigest, KeyDigest, Role},
        id::AccountId,
        oauth::{Algorithm, GrantKind, Mechanism, OauthDraft},
        preset::Preset,
    },
    store::{AccountWrite, CallerWrite},
};

async fn open(place: &impl Place) -> (impl Store, Arc<ManualClock>) {
    let clock = ManualClock::new();
    (place.open(Arc::clone(&clock) as Arc<dyn Clock>).await, clock)
}

pub(crate) fn settings(name: &str) -> AccountSettings {
    let address = |text| EmailAddress::parse(text, LocalPart::Utf8).unwrap();
    AccountSettings {
        name: name.into(),
        enabled: true,
        server: Server {
            host: "smtp.example.com".into(),
            port: 587,
            security: Security::StartTls,
        },
        order: 7,
        volume: Volume {
            per_minute: 30,
            per_day: 500,
        },
        preset: Preset::from_name("exchange").unwrap(),
        link: Link {
            hello_name: Some("mail.example.com".into()),
            server_name: Some("smtp.internal".into()),
            authorities: Some("PEM".into()),
            any_certificate: true,
            identity: Some(Box::new(Identity {
                certificate: "PEM".into(),
                key: Secret::Environment("MAILFACTOR_SECRET_KEY".into()),
            })),
            timeout: Some(Duration::from_micros(1_500_001)),
        },
        login: None,
        sender: Sender {
            address: address("noreply@example.com"),
            display_name: "Zoë, “the” service".into(),
            reply_to: Some(address("jürgen@bücher.example")),
            return_path: Some(address("bounces@example.com")),
            read_receipt: true,
            confirmation: Some(address("read@example.com")),
            force: true,
            footnote_enabled: true,
            footnote: "Beispiel GmbH\n„Fußnote“".into(),
        },
    }
}

pub(crate) fn id() -> AccountId {
    AccountId::from_bytes(unique())
}

fn saved(write: AccountWrite) -> Account {
    match write {
        AccountWrite::Saved(account) => *account,
        other => panic!("{other:?}"),
    }
}

async fn default_of(store: &impl Store) -> Vec<String> {
    let accounts = Accounts::list(store).await.unwrap();
    let default = accounts.into_iter().filter(|account| account.is_default);
    default.map(|account| account.settings.name).collect()
}

pub(crate) async fn exactly_one_account_is_the_default(place: &impl Place) {
    let (store, clock) = open(place).await;
    let now = clock.now();
    let first = saved(store.create(id(), settings("b"), now, &note()).await.unwrap());
    let second = saved(store.create(id(), settings("a"), now, &note()).await.unwrap());
    assert!(first.is_default && !second.is_default);
    let names: Vec<String> = Accounts::list(&store)
        .await
        .unwrap()
        .into_iter()
        .map(|account| account.settings.name)
        .collect();
    assert_eq!(names, ["a", "b"]);
    assert!(matches!(
        Accounts::delete(&store, first.id, None, &note()).await.unwrap(),
        AccountWrite::IsDefault
    ));
    let mut disabled = settings("b");
    disabled.enabled = false;
    let refused = store
        .update(first.id, disabled.clone(), None, now, &note())
        .await
        .unwrap();
    assert!(matches!(refused, AccountWrite::IsDefault));
    let moved = saved(
        store
            .set_default(second.id, now.plus(SECOND), &note())
            .await
            .unwrap(),
    );
    assert_eq!(
        Some(&moved),
        Accounts::find(&store, second.id).await.unwrap().as_ref()
    );
    assert!(moved.is_default && moved.version > second.version);
    assert_eq!(default_of(&store).await, ["a"]);
    saved(
        store
            .update(first.id, disabled, None, now, &note())
            .await
            .unwrap(),
    );
    assert!(matches!(
        store.set_default(first.id, now, &note()).await.unwrap(),
        AccountWrite::Disabled
    ));
    assert!(matches!(
        store.set_default(id(), now, &note()).await.unwrap(),
        AccountWrite::Unknown
    ));
    saved(Accounts::delete(&store, first.id, None, &note()).await.unwrap());
    assert_eq!(default_of(&store).await, ["a"]);
    saved(Accounts::delete(&store, second.id, None, &note()).await.unwrap());
    assert!(Accounts::list(&store).await.unwrap().is_empty());
    assert!(saved(store.create(id(), settings("c"), now, &note()).await.unwrap()).is_default);
}

pub(crate) async fn an_update_names_its_version(place: &impl Place) {
    let (store, clock) = open(place).await;
    let account = saved(
        store
            .create(id(), settings("a"), clock.now(), &note())
            .await
            .unwrap(),
    );
    let later = clock.now().plus(SECOND);
    let mut other = settings("a");
    other.server.port = 465;
    let update = async |version| {
        store
            .update(account.id, other.clone(), version, later, &note())
            .await
    };
    let changed = saved(update(Some(account.version)).await.unwrap());
    assert!(changed.version > account.version);
    assert_eq!(
        (changed.created_at, changed.updated_at),
        (account.created_at, later)
    );
    assert_eq!(
        Accounts::find(&store, account.id).await.unwrap(),
        Some(changed.clone())
    );
    let stale = update(Some(account.version)).await.unwrap();
    assert!(matches!(stale, AccountWrite::Stale));
    let stale = Accounts::delete(&store, account.id, Some(account.version), &note())
        .await
        .unwrap();
    assert!(matches!(stale, AccountWrite::Stale));
    saved(update(None).await.unwrap());
    let unknown = store
        .update(id(), settings("x"), None, later, &note())
        .await
        .unwrap();
    assert!(matches!(unknown, AccountWrite::Unknown));
    assert!(matches!(
        Accounts::delete(&store, id(), None, &note()).await.unwrap(),
        AccountWrite::Unknown
    ));
}

pub(crate) async fn a_passed_test_stays_noted(place: &impl Place) {
    let (store, clock) = open(place).await;
    let account = saved(
        store
            .create(id(), settings("a"), clock.now(), &note())
            .await
            .unwrap(),
    );
    assert_eq!(account.proof, None);
    let proof = |byte: u8| Proof {
        settings: Subject::from_bytes([byte; 32]),
        at: clock.now().plus(SECOND),
    };
    let found = || async { Accounts::find(&store, account.id).await.unwrap().unwrap() };
    for byte in [1, 2] {
        store.note_test(account.id, proof(byte)).await.unwrap();
        assert_eq!(found().await.proof, Some(proof(byte)));
    }
    assert_eq!(found().await.version, account.version);
    saved(
        store
            .update(account.id, settings("b"), None, clock.now(), &note())
            .await
            .unwrap(),
    );
    assert_eq!(found().await.proof, Some(proof(2)));
    // Of nobody: nothing.
    store.note_test(id(), proof(3)).await.unwrap();
}

/// Settings with all that may be set, and a secret of each kind.
fn oauth() -> OauthDraft {
    OauthDraft {
        token_endpoint: "https://login.example.com/token?x=1".into(),
        scopes: vec!["smtp".into(), "offline_access".into()],
        grant: GrantKind::RefreshToken,
        client_id: "client".into(),
        private_key: Some(Secret::File("/run/secrets/key".into())),
        refresh_token: Some(Secret::Sealed(Sealed::from_bytes(vec![0, 255, 2]))),
        algorithm: Some(Algorithm::Ps256),
        key_id: "kid".into(),
        audience: "https://login.example.com".into(),
        mechanism: Mechanism::OauthBearer,
        ..OauthDraft::default()
    }
}

pub(crate) async fn every_secret_comes_back(place: &impl Place) {
    let (store, clock) = open(place).await;
    let secrets = [
        Secret::Sealed(Sealed::from_bytes(vec![0, 255, 1])),
        Secret::File("/run/secrets/smtp".into()),
        Secret::Environment("MAILFACTOR_SECRET_SMTP".into()),
        Secret::Oauth(Box::new(oauth().check("").unwrap())),
        Secret::Default,
    ];
    for (index, secret) in secrets.into_iter().enumerate() {
        let mut settings = settings(&format!("account {index}"));
        settings.login = Some(Login {
            username: "robot".into(),
            secret,
        });
        let account = saved(
            store
                .create(id(), settings.clone(), clock.now(), &note())
                .await
                .unwrap(),
        );
        assert_eq!(account.settings, settings);
        assert_eq!(Accounts::find(&store, account.id).await.unwrap(), Some(account));
    }
}

pub(crate) async fn names_of_accounts_are_unique(place: &impl Place) {
    let (store, clock) = open(place).await;
    let now = clock.now();
    saved(store.create(id(), settings("a"), now, &note()).await.unwrap());
    let second = saved(store.create(id(), settings("b"), now, &note()).await.unwrap());
    let taken = store.create(id(), settings("a"), now, &note()).await.unwrap();
    assert!(matches!(taken, AccountWrite::NameTaken));
    let taken = store
        .update(second.id, settings("a"), None, now, &note())
        .await
        .unwrap();
    assert!(matches!(taken, AccountWrite::NameTaken));
    assert_eq!(Accounts::find(&store, second.id).await.unwrap(), Some(second));
    assert_eq!(Accounts::list(&store).await.unwrap().len(), 2);
}

fn caller(number: u8, name: &str, now: Timestamp) -> Caller {
    Caller {
        id: CallerId::parse(&format!("{number:016x}")).unwrap(),
        name: name.into(),
        role: Role::Authenticator,
        see_users: true,
        keys: vec![KeyDigest([number; 32])],
        certificate: None,
        created_at: now,
    }
}

pub(crate) async fn two_keys_are_live(place: &impl Place) {
    let (store, clock) = open(place).await;
    let caller = caller(1, "idp", clock.now());
    assert_eq!(
        store.add(caller.clone(), &note()).await.unwrap(),
        CallerWrite::Saved
    );
    for number in [2, 3] {
        let key = KeyDigest([number; 32]);
        assert_eq!(
            store.rotate(caller.id, key, clock.now(), &note()).await.unwrap(),
            CallerWrite::Saved
        );
    }
    let kept = Callers::find(&store, caller.id).await.unwrap().unwrap();
    assert_eq!(kept.keys, [KeyDigest([3; 32]), KeyDigest([2; 32])]);
    let unknown = CallerId::parse("00000000000000ff").unwrap();
    assert_eq!(
        store
            .rotate(unknown, KeyDigest([9; 32]), clock.now(), &note())
            .await
            .unwrap(),
        CallerWrite::Unknown
    );
}

pub(crate) async fn callers_are_found_and_unique(place: &impl Place) {
    let (store, clock) = open(place).await;
    let digest = CertificateDigest::of(b"a certificate");
    let mut first = caller(1, "idp", clock.now());
    first.certificate = Some(digest);
    let mut second = caller(2, "agent", clock.now());
    second.role = Role::Endpoint;
    second.see_users = false;
    second.keys = Vec::new();
    for caller in [&first, &second] {
        assert_eq!(
            store.add(caller.clone(), &note()).await.unwrap(),
            CallerWrite::Saved
        );
        assert_eq!(
            Callers::find(&store, caller.id).await.unwrap().as_ref(),
            Some(caller)
        );
    }
    let found = store.find_by_certificate(digest).await.unwrap();
    assert_eq!(found.as_ref(), Some(&first));
    let other = CertificateDigest::of(b"another");
    assert_eq!(store.find_by_certificate(other).await.unwrap(), None);
    let mut same_certificate = caller(3, "third", clock.now());
    same_certificate.certificate = Some(digest);
    for taken in [caller(3, "idp", clock.now()), same_certificate] {
        assert_eq!(store.add(taken, &note()).await.unwrap(), CallerWrite::Taken);
    }
    assert_eq!(
        Callers::list(&store).await.unwrap(),
        [second.clone(), first.clone()]
    );
    assert_eq!(store.remove(first.id, &note()).await.unwrap(), CallerWrite::Saved);
    assert_eq!(
        store.remove(first.id, &note()).await.unwrap(),
        CallerWrite::Unknown
    );
    assert_eq!(Callers::find(&store, first.id).await.unwrap(), None);
    assert_eq!(store.find_by_certificate(digest).await.unwrap(), None);
    assert_eq!(Callers::list(&store).await.unwrap(), [second]);
}

pub(crate) async fn the_probe_passes(place: &impl Place) {
    let (store, _) = open(place).await;
    for _ in 0..2 {
        store.probe().await.unwrap();
    }
}

//! The use cases over the real store.

use std::sync::atomic::{AtomicI64, Ordering};

use tempfile::TempDir;

use super::*;
use crate::{
    domain::{
        account::{Account, AccountDraft, ENVIRONMENT_PREFIX, Secret, Security},
        caller::{ApiKey, Caller, CallerId, Role},
        clock::Timestamp,
        delivery::DeliveryState,
        id::AccountId,
        keyring::KeyId,
        message::Mail,
        otp_policy::Configured,
        visitor::Visitor,
    },
    mail::MailSettings,
    secret_files::SecretFiles,
    store::{
        Callers as _, NewEntry,
        handoff::{Tray, handoff},
        sql::{SqlSettings, SqlStore},
    },
    system::SystemEntropy,
};

#[derive(Debug)]
struct ManualClock(AtomicI64);

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

pub(super) struct House {
    _folder: TempDir,
    store: SqlStore,
    pub(super) office: Office,
    tray: Tray,
    admin: Visitor,
}

impl House {
    pub(super) async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock(AtomicI64::new(1_800_000_000_000_000)));
        let url = format!("sqlite:{}", folder.path().join("mailfactor.db").display());
        let store = SqlStore::connect(&SqlSettings::new(url), Arc::clone(&clock))
            .await
            .unwrap();
        store.migrate().await.unwrap();
        let keyring = Arc::new(Keyring::new([(KeyId::parse("k").unwrap(), [7; 32])]).unwrap());
        let transports = Transports::new(
            MailSettings {
                secret_files: Arc::new(SecretFiles::new(vec!["/run/secrets".into()], Vec::new())),
                ..MailSettings::default()
            },
            Arc::clone(&keyring),
            Arc::clone(&clock),
            Arc::new(SystemEntropy),
            Arc::new(store.clone()),
        )
        .unwrap();
        let (handoff, tray) = handoff(8);
        let signer = Signer::new(Arc::new(store.clone()), Arc::clone(&keyring));
        let office = Office {
            clock,
            entropy: Arc::new(SystemEntropy),
            keyring,
            accounts: Arc::new(store.clone()),
            outbox: Arc::new(store.clone()),
            audit: Arc::new(store.clone()),
            reports: ReportLane::default(),
            set_policies: Arc::new(store.clone()),
            policies: Arc::new(PolicyBook::new(Configured::default(), Arc::new(store.clone()))),
            transports: Arc::new(transports),
            dkim: Arc::new(store.clone()),
            signer: Arc::new(signer),
            templates: Arc::new(store.clone()),
            library: Arc::new(Library::new(Arc::new(store.clone()), "")),
            handoff,
            settings: OfficeSettings {
                local_part: LocalPart::Ascii,
                tested_only: false,
                message_id_domain: "mf.example.com".into(),
                repositories: vec!["staff".into()],
                code_in_subject: false,
                test_lifetime: Duration::from_mins(1),
                wait: Duration::from_millis(20),
            },
        };
        Self {
            _folder: folder,
            store,
            office,
            tray,
            admin: visitor(caller(1)),
        }
    }

    async fn create(&self, name: &str) -> Account {
        self.office
            .create_account(&self.admin, input(name, Some("hunter2 hunter2")))
            .await
            .unwrap()
            .account
    }

    fn password_of(&self, account: &Account) -> Vec<u8> {
        let Some(Secret::Sealed(sealed)) = account.settings.login.as_ref().map(|login| &login.secret) else {
            panic!("no sealed secret")
        };
        let place = Account::secret_place(&account.id);
        self.office.keyring.open(&place, sealed).unwrap()
    }
}

fn visitor(caller: Caller) -> Visitor {
    Visitor {
        caller: Arc::new(caller),
        peer: "192.0.2.7:4711".parse().unwrap(),
        request_id: "change-1".into(),
    }
}

fn caller(byte: u8) -> Caller {
    Caller {
        id: CallerId::parse(&format!("{byte:016x}")).unwrap(),
        name: format!("admin-{byte}"),
        role: Role::Admin,
        see_users: true,
        keys: vec![],
        certificate: None,
        created_at: Timestamp::default(),
    }
}

fn input(name: &str, password: Option<&str>) -> AccountInput {
    AccountInput {
        client_key: None,
        draft: AccountDraft {
            name: name.into(),
            enabled: true,
            host: "localhost".into(),
            security: Some(Security::StartTls),
            authentication: true,
            username: "user".into(),
            sender: "noreply@example.com".into(),
            ..AccountDraft::default()
        },
        password: password.map(|password| password.to_owned().into()),
        oauth: Vec::new(),
    }
}

fn fields(error: &AccountError) -> Vec<&str> {
    let AccountError::Invalid(faults) = error else {
        panic!("{error}")
    };
    faults
        .as_slice()
        .iter()
        .map(|fault| fault.field.as_str())
        .collect()
}

#[tokio::test]
async fn a_password_goes_in_sealed_and_stays_through_updates() {
    let house = House::new().await;
    let account = house.create("main").await;
    assert!(account.is_default);
    assert_eq!(house.password_of(&account), b"hunter2 hunter2");
    let renamed = input("renamed", None);
    let changed = house
        .office
        .update_account(&house.admin, account.id, renamed, &[], Some(account.version))
        .await
        .unwrap();
    assert_eq!(changed.account.settings.name, "renamed");
    assert_eq!(house.password_of(&changed.account), b"hunter2 hunter2");
    let stale = house
        .office
        .update_account(
            &house.admin,
            account.id,
            input("again", None),
            &[],
            Some(account.version),
        )
        .await;
    assert!(matches!(stale, Err(AccountError::Stale)));
    let new_secret = ["secret".to_owned()];
    let changed = house
        .office
        .update_account(
            &house.admin,
            account.id,
            input("x", Some("next")),
            &new_secret,
            None,
        )
        .await
        .unwrap();
    assert_eq!(
        (
            changed.account.settings.name.as_str(),
            house.password_of(&changed.account)
        ),
        ("renamed", b"next".to_vec())
    );
}

#[tokio::test]
async fn updates_without_a_version_lose_nothing_to_each_other() {
    let house = House::new().await;
    let id = house.create("main").await.id;
    let (username, sender) = (["username".to_owned()], ["display_name".to_owned()]);
    let mut one = input("x", None);
    one.draft.username = "relay".into();
    let mut two = input("x", None);
    two.draft.display_name = "Two".into();
    let (one, two) = tokio::join!(
        house
            .office
            .update_account(&house.admin, id, one, &username, None),
        house.office.update_account(&house.admin, id, two, &sender, None),
    );
    one.unwrap();
    two.unwrap();
    let after = house.office.account(&AccountRef::Id(id)).await.unwrap().settings;
    assert_eq!(
        (
            after.login.unwrap().username.as_str(),
            after.sender.display_name.as_str()
        ),
        ("relay", "Two")
    );
}

#[tokio::test]
async fn every_fault_of_an_account_is_told_at_once() {
    let house = House::new().await;
    for bad in [Some(""), Some("with\nline end"), None] {
        let mut bad = input("", bad);
        bad.draft.host = "a b".into();
        let error = house.office.create_account(&house.admin, bad).await.unwrap_err();
        let mut told = fields(&error);
        told.sort_unstable();
        assert_eq!(told, ["account.host", "account.name", "account.secret"]);
    }
    for (secret, good) in [
        (Secret::File("/run/secrets/smtp".into()), true),
        (Secret::File("/etc/passwd".into()), false),
        (Secret::Environment(format!("{ENVIRONMENT_PREFIX}SMTP")), true),
        (Secret::Environment("PATH".into()), false),
    ] {
        let mut input = input("main", None);
        input.draft.secret = Some(secret.clone());
        let created = house.office.create_account(&house.admin, input).await;
        assert_eq!(created.is_ok(), good, "{secret:?}");
        if let Ok(created) = created {
            let by_name = AccountRef::Name(created.account.settings.name);
            house
                .office
                .delete_account(&house.admin, &by_name, None)
                .await
                .unwrap();
        }
    }
    let unknown = house.office.account(&AccountRef::Name("main".into())).await;
    assert!(matches!(unknown, Err(AccountError::Unknown)));
}

#[tokio::test]
async fn a_kept_secret_does_not_move_to_another_host() {
    let house = House::new().await;
    let id = house.create("main").await.id;
    let update = async |password, mask: &[&str]| {
        let mut input = input("main", password);
        input.draft.host = "relay.example.com".into();
        let mask: Vec<String> = mask.iter().map(|&field| field.to_owned()).collect();
        house
            .office
            .update_account(&house.admin, id, input, &mask, None)
            .await
    };
    // Also where one is sent along that the mask does not name.
    for (password, mask) in [(None, &["host"][..]), (None, &[]), (Some("next"), &["host"])] {
        let refused = update(password, mask).await.unwrap_err();
        assert_eq!(fields(&refused), ["account.secret"]);
    }
    let moved = update(Some("next"), &["host", "secret"]).await.unwrap();
    assert_eq!(moved.account.settings.server.host, "relay.example.com");
    assert_eq!(house.password_of(&moved.account), b"next");
    // Where it is already, nothing is asked again.
    update(None, &["host", "username"]).await.unwrap();
}

#[tokio::test]
async fn a_name_that_reads_like_an_id_is_found() {
    let house = House::new().await;
    let name = AccountId::from_bytes([9; 16]).to_string();
    let account = house.create(&name).await;
    let by_name = AccountRef::Id(name.parse().unwrap());
    assert_eq!(house.office.account(&by_name).await.unwrap().id, account.id);
    let deleted = house.office.delete_account(&house.admin, &by_name, None).await;
    deleted.unwrap();
    let gone = house.office.account(&by_name).await;
    assert!(matches!(gone, Err(AccountError::Unknown)));
}

#[tokio::test]
async fn the_default_stays_enabled() {
    let house = House::new().await;
    let (first, second) = (house.create("first").await, house.create("second").await);
    let mut off = input("first", None);
    off.draft.enabled = false;
    let enabled = ["enabled".to_owned()];
    let refused = house
        .office
        .update_account(&house.admin, first.id, off, &enabled, None)
        .await;
    assert!(matches!(refused, Err(AccountError::IsDefault)));
    let refused = house
        .office
        .delete_account(&house.admin, &AccountRef::Id(first.id), None)
        .await;
    assert!(matches!(refused, Err(AccountError::IsDefault)));
    let by_name = AccountRef::Name("second".into());
    assert!(
        house
            .office
            .set_default_account(&house.admin, &by_name)
            .await
            .unwrap()
            .is_default
    );
    house
        .office
        .delete_account(&house.admin, &AccountRef::Id(first.id), None)
        .await
        .unwrap();
    assert_eq!(house.office.accounts().await.unwrap()[0].id, second.id);
}

#[tokio::test]
async fn a_test_message_goes_through_the_outbox() {
    let mut house = House::new().await;
    let message = || TestMessage {
        account: None,
        recipient: "ann@example.com".into(),
        subject: String::new(),
        text: "one\r\ntwo".into(),
        wait: true,
    };
    let nowhere = house.office.send_test_message(&house.admin, message()).await;
    assert!(matches!(nowhere, Err(TestError::NoAccount)));
    let account = house.create("main").await;
    let bad = TestMessage {
        recipient: "ann".into(),
        subject: "a\nb".into(),
        text: "\u{0}".into(),
        ..message()
    };
    let refused = house.office.send_test_message(&house.admin, bad).await;
    assert!(matches!(refused, Err(TestError::Invalid(faults)) if faults.as_slice().len() == 3));
    let mut sent = Vec::new();
    for _ in 0..3 {
        // Nobody sends: the wait ends by itself.
        let entry = house
            .office
            .send_test_message(&house.admin, message())
            .await
            .unwrap();
        assert_eq!(
            (entry.state, entry.masked_recipient.as_str()),
            (DeliveryState::Queued, "a*****@e*****.com")
        );
        let claimed = house.tray.receiver.recv().await.unwrap();
        let place = NewEntry::place(&entry.id);
        let Ok(Mail::Test(mail)) =
            Mail::from_bytes(&house.office.keyring.open(&place, &claimed.mail).unwrap())
        else {
            panic!("no test mail")
        };
        assert_eq!((mail.account, mail.text.as_str()), (account.id, "one\ntwo"));
        assert_eq!(mail.subject, "mailfactor test message");
        sent.push(entry.id);
    }
    let search = EntrySearch::default();
    let page = house.office.list_entries(&search, None, 2).await.unwrap();
    let rest = house.office.list_entries(&search, page.next, 2).await.unwrap();
    assert!(page.next.is_some() && rest.next.is_none());
    let listed: Vec<_> = page
        .entries
        .iter()
        .chain(&rest.entries)
        .map(|entry| entry.id)
        .collect();
    assert_eq!(listed, sent.iter().rev().copied().collect::<Vec<_>>());
    let (entry, attempts) = house.office.entry(sent[0]).await.unwrap();
    assert_eq!((entry.id, attempts.len()), (sent[0], 0));
}

#[tokio::test]
async fn a_kept_secret_is_tested_only_against_its_own_server() {
    let house = House::new().await;
    let account = house.create("main").await;
    let target = |host: &str| {
        let mut input = Box::new(input("", None));
        input.draft.host = host.into();
        // Nothing listens there: the test fails at the connection, having got that far.
        input.draft.port = 1;
        TestTarget::Unsaved {
            input,
            secret_of: Some(account.id),
        }
    };
    let report = house
        .office
        .test_connection(&house.admin, target("localhost"), "")
        .await
        .unwrap();
    assert!(!report.succeeded());
    let elsewhere = house
        .office
        .test_connection(&house.admin, target("evil.example.com"), "")
        .await;
    let Err(TestError::Invalid(faults)) = elsewhere else {
        panic!("{elsewhere:?}")
    };
    assert_eq!(faults.as_slice()[0].field, "settings.secret");
}

fn proof(key: &ApiKey) -> Proof {
    Proof::Key(key.caller, key.digest())
}

#[tokio::test]
async fn the_gate_knows_keys_and_forgets_callers_in_time() {
    let house = House::new().await;
    let mut known = caller(7);
    let key = ApiKey::random(known.id, &SystemEntropy);
    known.keys = vec![key.digest()];
    let store = Arc::new(house.store.clone());
    house
        .store
        .add(known.clone(), &crate::store::contract::note())
        .await
        .unwrap();
    let gate = Gate::new(store, Duration::from_hours(1));
    assert_eq!(
        gate.admit(&proof(&key)).await.unwrap().map(|caller| caller.id),
        Some(known.id)
    );
    assert!(
        gate.admit(&proof(&ApiKey::random(known.id, &SystemEntropy)))
            .await
            .unwrap()
            .is_none()
    );
    let stranger = caller(8);
    let early = ApiKey::random(stranger.id, &SystemEntropy);
    assert!(gate.admit(&proof(&early)).await.unwrap().is_none());
    // What was asked is kept: the removal and the addition are seen once that is over.
    house
        .store
        .remove(known.id, &crate::store::contract::note())
        .await
        .unwrap();
    house
        .store
        .add(
            Caller {
                keys: vec![early.digest()],
                ..stranger
            },
            &crate::store::contract::note(),
        )
        .await
        .unwrap();
    assert!(gate.admit(&proof(&key)).await.unwrap().is_some());
    assert!(gate.admit(&proof(&early)).await.unwrap().is_none());
    let fresh = Gate::new(Arc::new(house.store.clone()), Duration::from_hours(1));
    assert!(fresh.admit(&proof(&key)).await.unwrap().is_none());
    assert!(fresh.admit(&proof(&early)).await.unwrap().is_some());
}

//! The use cases over the real store.

use std::{
    fs,
    sync::atomic::{AtomicI64, Ordering},
};

use futures_util::StreamExt as _;
use tempfile::TempDir;

use super::*;
use crate::{
    domain::{
        account::Replies,
        address::LocalPart,
        caller::CallerId,
        challenge::{Purpose, Verdict},
        clock::Timestamp,
        id::AccountId,
        keyring::KeyId,
        message::{CodeMail, Mail},
        otp_policy::Configured,
    },
    repository::{Member, Route, file::FileRepository},
    store::{
        Accounts, Claimed, NewEntry, Policies,
        contract::{self, people},
        handoff::{Tray, handoff},
        sql::{SqlSettings, SqlStore},
    },
    system::SystemEntropy,
};

const USERS: &str = "
    [[user]]
    name = 'ann'
    email = 'Ann@Example.com'
    display_name = 'Ann Example'
    locale = 'de'
    [[user]]
    name = 'bob'
    [[user]]
    name = 'kim'
    email = 'kim1@example.com'
    [[user]]
    name = 'kim'
    email = 'kim2@example.com'
";

#[derive(Debug)]
struct ManualClock(AtomicI64);

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

struct House {
    _folder: TempDir,
    clock: Arc<ManualClock>,
    desk: Arc<Desk>,
    tray: Tray,
}

impl House {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let users = folder.path().join("users.toml");
        fs::write(&users, USERS).unwrap();
        let staff = FileRepository::open("staff".into(), users, LocalPart::Ascii).unwrap();
        let clock = Arc::new(ManualClock(AtomicI64::new(1_800_000_000_000_000)));
        let settings = SqlSettings {
            url: format!("sqlite:{}", folder.path().join("mailfactor.db").display()),
            readers: 2,
            busy_timeout: Duration::from_secs(2),
            deadline: Duration::from_secs(20),
        };
        let store = SqlStore::connect(&settings, Arc::clone(&clock) as Arc<dyn Clock>)
            .await
            .unwrap();
        store.migrate().await.unwrap();
        let store = Arc::new(store);
        let account = people::settings("work");
        let id = AccountId::from_bytes([1; 16]);
        store
            .create(id, account, clock.now(), &contract::note())
            .await
            .unwrap();
        let (handoff, tray) = handoff(8);
        let desk = Desk {
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            entropy: Arc::new(SystemEntropy),
            keyring: Arc::new(Keyring::new([(KeyId::parse("k").unwrap(), [7; 32])]).unwrap()),
            challenges: Arc::clone(&store) as Arc<dyn Challenges>,
            budgets: Arc::clone(&store) as Arc<dyn Budgets>,
            password_checks: PasswordChecks::default(),
            outbox: Arc::clone(&store) as Arc<dyn Outbox>,
            confirmations: Arc::clone(&store) as Arc<dyn Confirmations>,
            directory: Arc::new(Directory::new(
                vec![Member::new(Arc::new(staff), Route::default(), Duration::ZERO)],
                Duration::from_millis(2_500),
            )),
            policies: Arc::new(PolicyBook::new(
                Configured::default(),
                Arc::clone(&store) as Arc<dyn Policies>,
            )),
            handoff,
            accounts: Arc::new(AccountBook::new(Arc::clone(&store) as Arc<dyn Accounts>)),
            changes: Changes::new(),
            settings: DeskSettings {
                default_locale: "en".into(),
                message_id_domain: "mf.example.com".into(),
                decoy_domains: vec!["example.com".into()],
                wait: Duration::from_millis(20),
                poll: Duration::from_millis(5),
            },
        };
        Self {
            _folder: folder,
            clock,
            desk: Arc::new(desk),
            tray,
        }
    }

    fn pass(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }

    async fn start(&self, caller: &Caller, user: &str) -> ChallengeView {
        self.desk.start(caller, request(user)).await.unwrap()
    }

    /// The next mail that is handed to the worker, a moment after the answer; none where none comes in a hundred moments.
    async fn mail(&mut self) -> Option<(Claimed, CodeMail)> {
        let next = self.tray.receiver.recv();
        let claimed = tokio::time::timeout(Duration::from_millis(500), next)
            .await
            .ok()??;
        let place = NewEntry::place(&claimed.id);
        let mail = self.desk.keyring.open(&place, &claimed.mail).unwrap();
        match Mail::from_bytes(&mail).unwrap() {
            Mail::Code(mail) => Some((claimed, mail)),
            Mail::Test(_) => None,
        }
    }

    fn code(&self, challenge: &Challenge, number: u32) -> String {
        let key = self.desk.keyring.code_key(&challenge.key).unwrap();
        let code = key.derive(&challenge.id, number, challenge.purpose, &challenge.spec);
        code.reveal().to_owned()
    }

    fn wrong_code(&self, challenge: &Challenge) -> String {
        let right: Vec<String> = (1..=challenge.most_codes)
            .map(|number| self.code(challenge, number))
            .collect();
        let mut codes = (0..).map(|number| format!("{number:06}"));
        codes.find(|code| !right.contains(code)).unwrap()
    }

    async fn verify(&self, caller: &Caller, challenge: &Challenge, code: &str) -> Verdict {
        self.submit(caller, challenge.id, code).await.unwrap().verdict
    }

    async fn submit(&self, caller: &Caller, id: ChallengeId, code: &str) -> Result<Judgement, VerifyError> {
        let request = VerifyRequest {
            id,
            code: code.to_owned().into(),
            expected: Expected::default(),
            request_id: None,
        };
        self.desk.verify(caller, request).await
    }
}

fn caller(role: Role, byte: u8) -> Caller {
    Caller {
        id: CallerId::parse(&format!("{byte:016x}")).unwrap(),
        name: format!("{}-{byte}", role.name()),
        role,
        see_users: role.sees_users(),
        keys: vec![],
        certificate: None,
        created_at: Timestamp::default(),
    }
}

fn request(user: &str) -> StartRequest {
    StartRequest {
        user: UserName::parse(user).unwrap(),
        repository: None,
        password: None,
        purpose: Purpose::Login,
        event: "vpn".into(),
        endpoint: "laptop".into(),
        locale: None,
        client_ip: None,
        wait: false,
        request_id: None,
        override_address: None,
        replies: Replies::default(),
    }
}

#[tokio::test]
async fn a_started_challenge_mails_its_code_which_verifies_once() {
    let mut house = House::new().await;
    let server = caller(Role::Authenticator, 1);
    let view = house.start(&server, " ANN ").await;
    assert_eq!(view.standing, Standing::Pending);
    assert_eq!(view.delivery, Some(DeliveryState::Queued));
    assert_eq!(view.challenge.masked_recipient, "A*****@e*****.com");
    let (claimed, mail) = house.mail().await.unwrap();
    assert_eq!(claimed.challenge, Some(view.challenge.id));
    assert!(
        claimed.message_id.ends_with("@mf.example.com>"),
        "{}",
        claimed.message_id
    );
    assert_eq!(mail.context.recipient.as_str(), "Ann@example.com");
    assert_eq!(
        (mail.context.user.as_str(), mail.context.locale.as_str()),
        ("Ann Example", "de")
    );
    assert_eq!((mail.number, mail.lifetime_seconds), (1, 300));

    let wrong = house.wrong_code(&view.challenge);
    assert_eq!(
        house.verify(&server, &view.challenge, &wrong).await,
        Verdict::Wrong { attempts_left: 4 }
    );
    let malformed = house.submit(&server, view.challenge.id, "12345").await;
    assert!(matches!(malformed, Err(VerifyError::NotACode(_))));
    let code = house.code(&view.challenge, 1);
    let now = house.clock.now();
    assert_eq!(
        house.verify(&server, &view.challenge, &code).await,
        Verdict::Verified { at: now }
    );
    assert_eq!(
        house.verify(&server, &view.challenge, &code).await,
        Verdict::Used { at: now }
    );
    let after = house.desk.get(&server, view.challenge.id).await.unwrap();
    assert_eq!(after.standing, Standing::Verified);
    assert_eq!(after.delivery, Some(DeliveryState::Withdrawn));
}

#[tokio::test]
async fn callers_that_see_users_are_told_the_truth() {
    let house = House::new().await;
    let server = caller(Role::Authenticator, 1);
    let ask = async |user: &str| house.desk.start(&server, request(user)).await.unwrap_err();
    assert!(matches!(ask("nobody").await, StartError::UserUnknown));
    assert!(matches!(ask("bob").await, StartError::NoAddress));
    assert!(matches!(ask("kim").await, StartError::UserAmbiguous));
    let elsewhere = StartRequest {
        repository: Some("elsewhere".into()),
        ..request("ann")
    };
    let refused = house.desk.start(&server, elsewhere).await;
    assert!(matches!(refused, Err(StartError::RepositoryNotConfigured)));
}

#[tokio::test]
async fn a_decoy_is_like_a_challenge_but_mails_nothing_and_never_verifies() {
    let mut house = House::new().await;
    let laptop = caller(Role::Endpoint, 2);
    for wait in [
        StartRequest {
            wait: true,
            ..request("ann")
        },
        StartRequest {
            wait: true,
            ..request("nobody")
        },
    ] {
        assert!(matches!(
            house.desk.start(&laptop, wait).await,
            Err(StartError::WaitNotAllowed)
        ));
    }
    let real = house.start(&laptop, "ann").await;
    assert!(house.mail().await.is_some());
    for user in ["nobody", "bob", "kim"] {
        let decoy = house.start(&laptop, user).await;
        assert!(house.mail().await.is_none(), "{user}");
        assert_eq!((decoy.standing, decoy.delivery), (real.standing, real.delivery));
        assert_eq!(decoy.challenge.masked_recipient, real.challenge.masked_recipient);
        for number in 1..=decoy.challenge.most_codes {
            let code = house.code(&decoy.challenge, number);
            let verdict = house.verify(&laptop, &decoy.challenge, &code).await;
            let left = decoy.challenge.most_attempts - number;
            assert!(
                matches!(verdict, Verdict::Wrong { attempts_left } if attempts_left == left),
                "{verdict:?}"
            );
        }
        let code = house.code(&decoy.challenge, 1);
        assert_eq!(
            house.verify(&laptop, &decoy.challenge, &code).await,
            Verdict::Locked
        );
    }
    for user in ["ann", "nobody"] {
        // One of the three at once is used.
        for _ in 0..2 {
            house.start(&laptop, user).await;
        }
        let refused = house.desk.start(&laptop, request(user)).await;
        assert!(matches!(refused, Err(StartError::OverBudget(_))), "{user}");
    }
}

#[tokio::test]
async fn a_resend_keeps_the_code_before_and_the_time_that_is_left() {
    let mut house = House::new().await;
    let server = caller(Role::Authenticator, 1);
    let view = house.start(&server, "ann").await;
    let again = ResendRequest {
        id: view.challenge.id,
        wait: false,
    };
    let early = house.desk.resend(&server, again).await;
    assert!(matches!(early, Err(ResendError::TooEarly(moment)) if moment == view.challenge.resend_at));
    house.pass(31);
    let second = house.desk.resend(&server, again).await.unwrap();
    assert_eq!(second.challenge.code_number, 2);
    assert_eq!(second.challenge.expires_at, view.challenge.expires_at);
    let (_, first_mail) = house.mail().await.unwrap();
    let (_, second_mail) = house.mail().await.unwrap();
    assert_eq!((first_mail.number, second_mail.number), (1, 2));
    assert_eq!(second_mail.lifetime_seconds, 240);
    assert_eq!(second_mail.context, first_mail.context);
    house.pass(31);
    house.desk.resend(&server, again).await.unwrap();
    // The third is out: the second still counts, the first does not.
    let first = house.code(&view.challenge, 1);
    assert_eq!(
        house.verify(&server, &view.challenge, &first).await,
        Verdict::Wrong { attempts_left: 4 }
    );
    let code = house.code(&view.challenge, 2);
    assert!(matches!(
        house.verify(&server, &view.challenge, &code).await,
        Verdict::Verified { .. }
    ));
    house.pass(31);
    let closed = house.desk.resend(&server, again).await;
    assert!(matches!(closed, Err(ResendError::Closed(Standing::Verified))));
}

#[tokio::test]
async fn a_request_id_makes_one_challenge_and_one_mail() {
    let mut house = House::new().await;
    let server = caller(Role::Authenticator, 1);
    let with_id = || StartRequest {
        request_id: Some("r1".into()),
        ..request("ann")
    };
    let first = house.desk.start(&server, with_id()).await.unwrap();
    let second = house.desk.start(&server, with_id()).await.unwrap();
    assert_eq!(first.challenge.id, second.challenge.id);
    assert!(house.mail().await.is_some() && house.mail().await.is_none());
    let other = StartRequest {
        endpoint: "other".into(),
        ..with_id()
    };
    assert!(matches!(
        house.desk.start(&server, other).await,
        Err(StartError::RequestReused)
    ));
    let of_another_caller = house
        .desk
        .start(&caller(Role::Authenticator, 9), with_id())
        .await
        .unwrap();
    assert_ne!(of_another_caller.challenge.id, first.challenge.id);
}

#[tokio::test]
async fn a_challenge_is_its_callers_and_an_admins_alone_and_cancelled_at_will() {
    let house = House::new().await;
    let server = caller(Role::Authenticator, 1);
    let stranger = caller(Role::Authenticator, 3);
    let id = house.start(&server, "ann").await.challenge.id;
    assert!(matches!(
        house.desk.get(&stranger, id).await,
        Err(GetError::Unknown)
    ));
    assert!(matches!(
        house.desk.cancel(&stranger, id).await,
        Err(CancelError::Unknown)
    ));
    assert!(matches!(
        house.submit(&stranger, id, "000000").await,
        Err(VerifyError::Unknown)
    ));
    let again = ResendRequest { id, wait: false };
    assert!(matches!(
        house.desk.resend(&stranger, again).await,
        Err(ResendError::Unknown)
    ));
    assert!(house.desk.get(&caller(Role::Admin, 4), id).await.is_ok());
    for _ in 0..2 {
        let view = house.desk.cancel(&server, id).await.unwrap();
        assert_eq!(view.standing, Standing::Cancelled);
        assert_eq!(view.delivery, Some(DeliveryState::Withdrawn));
    }
    let late = house.start(&server, "ann").await.challenge.id;
    house.pass(300);
    let expired = house.desk.cancel(&server, late).await;
    assert!(matches!(expired, Err(CancelError::Closed(Standing::Expired))));
}

#[tokio::test]
async fn whoever_waits_hears_of_the_mail_or_of_its_delay() {
    let house = House::new().await;
    let server = caller(Role::Authenticator, 1);
    let wait = StartRequest {
        wait: true,
        ..request("ann")
    };
    // Nobody sends: the wait ends by itself, and the challenge is there.
    let view = house.desk.start(&server, wait).await.unwrap();
    assert_eq!(view.delivery, Some(DeliveryState::Queued));
    house.desk.outbox.withdraw(view.challenge.id).await.unwrap();
    let listener = house.desk.changes.listen(view.challenge.id);
    let told = house.desk.answer(&server, view.challenge, Some(&listener)).await;
    assert_eq!(told.delivery, Some(DeliveryState::Withdrawn));
}

#[tokio::test]
async fn a_watch_shows_each_change_and_ends_with_the_challenge() {
    let house = House::new().await;
    for (caller, delivery) in [
        (caller(Role::Authenticator, 1), Some(DeliveryState::Queued)),
        (caller(Role::Endpoint, 2), None),
    ] {
        let challenge = house.start(&caller, "ann").await.challenge;
        let mut watch = Box::pin(house.desk.watch(&caller, challenge.id).await.unwrap());
        let first = watch.next().await.unwrap().unwrap();
        assert_eq!((first.standing, first.delivery), (Standing::Pending, delivery));
        house
            .verify(&caller, &challenge, &house.wrong_code(&challenge))
            .await;
        let second = watch.next().await.unwrap().unwrap();
        assert_eq!(
            (second.standing, second.challenge.attempts),
            (Standing::Pending, 1)
        );
        house
            .verify(&caller, &challenge, &house.code(&challenge, 1))
            .await;
        let last = watch.next().await.unwrap().unwrap();
        assert_eq!(last.standing, Standing::Verified);
        // What follows is the mail's withdrawal at the most, and that is not worth another word.
        assert!(watch.next().await.is_none());
    }
    let laptop = caller(Role::Endpoint, 2);
    let challenge = house.start(&laptop, "nobody").await.challenge;
    let mut watch = Box::pin(house.desk.watch(&laptop, challenge.id).await.unwrap());
    assert!(watch.next().await.unwrap().is_ok());
    house.pass(300);
    assert_eq!(watch.next().await.unwrap().unwrap().standing, Standing::Expired);
    assert!(watch.next().await.is_none());
}

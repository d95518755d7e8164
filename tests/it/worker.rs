//! The worker on a real store and a mail server that does what it is told: what becomes of a mail, and what is written
//! down of it.

use std::{sync::Arc, time::Duration};

use mailfactor::{
    domain::{
        account::{AccountSettings, Link, Replies, Security, Sender, Server, Volume},
        address::{EmailAddress, LocalPart},
        challenge::Purpose,
        clock::Clock,
        code::CodeSpec,
        delivery::{DeliveryState, Stage},
        id::{AccountId, ChallengeId, EntryId, LeaseId},
        keyring::{KeyId, Sealed, SubjectKind},
        mail_queue::MailQueue,
        message::{CodeMail, Mail, MailContext},
        otp_policy::Configured,
        preset::Preset,
        template::{TemplateKey, TemplateParts},
    },
    mail::{Library, MailSettings, Renderer, Settled, Signer, Transports, Worker, WorkerSettings},
    store::{
        Accounts as _, Claimed, Entry, LEASE, MailKind, NewEntry, Outbox, Templates,
        changes::Changes,
        handoff::{Handoff, Tray, handoff},
        policy_book::PolicyBook,
        sql::{SqlSettings, SqlStore},
    },
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::harness::{
    CountingEntropy, ManualClock, in_time, keyring, note,
    smtp::{Act, At, Options, SmtpServer},
};

const LIFETIME: Duration = Duration::from_mins(5);

struct PostRoom {
    server: SmtpServer,
    clock: Arc<ManualClock>,
    entropy: Arc<CountingEntropy>,
    store: SqlStore,
    worker: Arc<Worker>,
    _directory: TempDir,
}

fn address(text: &str) -> EmailAddress {
    EmailAddress::parse(text, LocalPart::Ascii).unwrap()
}

impl PostRoom {
    async fn new() -> Self {
        Self::facing(Options::default()).await
    }

    /// One whose mail server is like that.
    async fn facing(options: Options) -> Self {
        let mut room = Self::without_account().await;
        room.server = SmtpServer::start(options).await;
        let settings = AccountSettings {
            name: "main".into(),
            enabled: true,
            server: Server {
                host: "127.0.0.1".into(),
                port: room.server.address.port(),
                security: Security::Plain,
            },
            order: 0,
            preset: Preset::OTHER,
            link: Link::default(),
            login: None,
            sender: Sender {
                address: address("noreply@example.com"),
                display_name: String::new(),
                reply_to: None,
                ..Sender::new(address("noreply@example.com"))
            },
            volume: Volume::default(),
        };
        let id = AccountId::from_bytes([1; 16]);
        room.store
            .create(id, settings, room.clock.now(), &note())
            .await
            .unwrap();
        room
    }

    async fn without_account() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let settings = SqlSettings {
            url: format!("sqlite:{}", directory.path().join("store.db").display()),
            readers: 2,
            busy_timeout: Duration::from_secs(2),
            deadline: Duration::from_secs(10),
        };
        let clock = Arc::new(ManualClock::new());
        let entropy = Arc::new(CountingEntropy::default());
        let store = SqlStore::connect(&settings, clock.clone()).await.unwrap();
        store.migrate().await.unwrap();
        let keyring = Arc::new(keyring());
        let settings = MailSettings::default();
        let transports = Transports::new(
            settings,
            keyring.clone(),
            clock.clone(),
            entropy.clone(),
            Arc::new(store.clone()),
        )
        .unwrap();
        let signer = Signer::new(Arc::new(store.clone()), keyring.clone());
        let worker = Worker {
            clock: clock.clone(),
            entropy: entropy.clone(),
            keyring,
            outbox: Arc::new(store.clone()),
            accounts: Arc::new(store.clone()),
            transports: Arc::new(transports),
            renderer: Arc::new(Renderer::default()),
            policies: Arc::new(PolicyBook::new(Configured::default(), Arc::new(store.clone()))),
            library: Arc::new(Library::new(Arc::new(store.clone()), "")),
            signer: Arc::new(signer),
            changes: Changes::new(),
            settings: WorkerSettings {
                concurrency: 4,
                poll: Duration::from_millis(10),
            },
        };
        Self {
            server: SmtpServer::plain().await,
            clock,
            entropy,
            store,
            worker: Arc::new(worker),
            _directory: directory,
        }
    }

    fn entry(&self, recipient: &str, lease: Option<LeaseId>) -> NewEntry {
        let id = EntryId::random(self.clock.now(), self.entropy.as_ref());
        let mail = Mail::Code(CodeMail {
            challenge: ChallengeId::from_bytes(*id.as_bytes()),
            number: 1,
            purpose: Purpose::Login,
            spec: CodeSpec::default(),
            key: KeyId::parse("k1").unwrap(),
            lifetime_seconds: 300,
            context: MailContext {
                recipient: address(recipient),
                user: "Ann".into(),
                endpoint: String::new(),
                event: String::new(),
                locale: "en".into(),
                client_ip: String::new(),
                replies: Replies::default(),
                asked: None,
            },
            account: None,
        });
        let place = NewEntry::place(&id);
        NewEntry {
            id,
            kind: MailKind::Code,
            challenge: None,
            decoy: false,
            submitted_at: self.clock.now(),
            expires_at: self.clock.now().plus(LIFETIME),
            masked_recipient: "a*****@e*****.org".into(),
            recipient: self.worker.keyring.subject(SubjectKind::Address, &[recipient]),
            message_id: format!("<{id}@mailfactor.example.com>"),
            mail: self
                .worker
                .keyring
                .seal(&place, &mail.to_bytes(), self.entropy.as_ref()),
            queue: MailQueue::default(),
            lease,
        }
    }

    /// Writes a mail that nobody holds.
    async fn owe(&self) -> EntryId {
        let entry = self.entry("ann@example.org", None);
        let id = entry.id;
        self.store.enqueue(entry).await.unwrap();
        id
    }

    async fn claim(&self) -> Claimed {
        let lease = LeaseId::random(self.entropy.as_ref());
        self.store.claim(1, vec![lease]).await.unwrap().remove(0)
    }

    /// One step for the mail that is due.
    async fn step(&self) -> Settled {
        in_time(self.worker.step(self.claim().await)).await
    }

    async fn find(&self, id: EntryId) -> Entry {
        Outbox::find(&self.store, id).await.unwrap().unwrap()
    }

    /// Hands a fresh mail over as a use case does.
    async fn hand_over(&self, handoff: &Handoff, recipient: &str) -> EntryId {
        let slot = handoff.slot(MailQueue::default(), self.entropy.as_ref(), self.clock.as_ref());
        let entry = self.entry(recipient, slot.lease());
        let id = entry.id;
        self.store.enqueue(entry.clone()).await.unwrap();
        slot.deliver(&entry);
        id
    }

    fn start(&self, tray: Tray) -> (CancellationToken, tokio::task::JoinSet<()>) {
        let soft = CancellationToken::new();
        let mut running = tokio::task::JoinSet::new();
        running.spawn(Arc::clone(&self.worker).run(tray, soft.clone()));
        (soft, running)
    }
}

fn states(state: DeliveryState) -> Settled {
    Settled::As(state)
}

#[tokio::test]
async fn a_mail_that_was_taken_is_written_down_as_sent() {
    let room = PostRoom::new().await;
    let id = room.owe().await;
    assert_eq!(room.step().await, states(DeliveryState::Sent));
    let entry = room.find(id).await;
    assert_eq!((entry.state, entry.attempts), (DeliveryState::Sent, 1));
    assert_eq!(
        (entry.subject.as_str(), entry.account.as_str()),
        ("Your sign-in code", "main")
    );
    assert_eq!(entry.sent_at, Some(room.clock.now()));
    let attempts = room.store.attempts(id).await.unwrap();
    assert_eq!(
        (attempts[0].stage, attempts[0].reply_code),
        (Stage::Accept, Some(250))
    );
    let mails = room.server.wait_for_mails(1).await;
    assert!(mails[0].data.contains(&entry.message_id));
}

#[tokio::test]
async fn a_temporary_failure_is_tried_again_when_its_time_has_come() {
    let room = PostRoom::new().await;
    let id = room.owe().await;
    room.server.times(1, At::Rcpt, Act::Reply("450 4.2.0 later"));
    assert_eq!(room.step().await, states(DeliveryState::Deferred));
    let entry = room.find(id).await;
    assert_eq!(entry.last_error, "rcpt failed: 4.2.0 later");
    let next = entry.next_attempt_at.unwrap();
    let wait = next.since(room.clock.now());
    assert!(
        wait >= Duration::from_millis(800) && wait <= Duration::from_millis(1200),
        "{wait:?}"
    );
    room.clock.advance(wait);
    assert_eq!(room.step().await, states(DeliveryState::Sent));
    assert_eq!(room.find(id).await.attempts, 2);
    assert_eq!(room.server.mails().len(), 1);
}

#[tokio::test]
async fn a_refusal_and_a_mail_that_cannot_be_opened_end_at_once() {
    let room = PostRoom::new().await;
    let id = room.owe().await;
    room.server.times(1, At::Rcpt, Act::Reply("550 5.1.1 unknown"));
    assert_eq!(room.step().await, states(DeliveryState::Failed));
    assert_eq!(room.find(id).await.state, DeliveryState::Failed);
    let mut poison = room.entry("ann@example.org", None);
    poison.mail = Sealed::from_bytes(vec![1, b'x', 0]);
    let id = poison.id;
    room.store.enqueue(poison).await.unwrap();
    assert_eq!(room.step().await, states(DeliveryState::Failed));
    let entry = room.find(id).await;
    assert!(
        entry.last_error.starts_with("render failed: the mail "),
        "{}",
        entry.last_error
    );
}

#[tokio::test]
async fn of_a_mail_with_unknown_fate_there_are_two_copies_at_the_most_and_they_are_the_same() {
    for options in Options::both() {
        let room = PostRoom::facing(options).await;
        let id = room.owe().await;
        room.server.on(At::Dot, Act::Drop);
        assert_eq!(room.step().await, states(DeliveryState::Deferred));
        room.clock.advance(Duration::from_secs(2));
        assert_eq!(room.step().await, states(DeliveryState::Failed));
        let mails = room.server.wait_for_mails(2).await;
        assert_eq!(mails[0].data, mails[1].data);
        room.clock.advance(LEASE * 2);
        let leases = vec![LeaseId::random(room.entropy.as_ref())];
        assert!(room.store.claim(1, leases).await.unwrap().is_empty());
        assert_eq!(room.find(id).await.state, DeliveryState::Failed);
    }
}

#[tokio::test]
async fn failures_before_the_dot_never_use_the_copies_up() {
    for options in Options::both() {
        let room = PostRoom::facing(options).await;
        room.owe().await;
        for at in [At::Mail, At::Rcpt, At::Data, At::Data] {
            room.server.times(1, at, Act::Drop);
            let claimed = room.claim().await;
            assert_eq!(claimed.unsure, 0, "{at:?}");
            assert_eq!(
                in_time(room.worker.step(claimed)).await,
                states(DeliveryState::Deferred)
            );
            room.clock.advance(Duration::from_secs(20));
        }
        // Refused, nothing is out either, though leave was given.
        for at in [At::Mail, At::Rcpt, At::Data] {
            room.server.times(1, at, Act::Reply("450 4.2.0 later"));
            assert_eq!(room.step().await, states(DeliveryState::Deferred));
            room.clock.advance(Duration::from_secs(20));
        }
        assert_eq!(room.step().await, states(DeliveryState::Sent));
    }
}

#[tokio::test]
async fn nothing_goes_out_after_its_time() {
    let room = PostRoom::new().await;
    let id = room.owe().await;
    let claimed = room.claim().await;
    room.clock.advance(LIFETIME);
    assert_eq!(
        in_time(room.worker.step(claimed)).await,
        states(DeliveryState::Expired)
    );
    assert_eq!(room.server.connections(), 0);
    assert_eq!(room.find(id).await.state, DeliveryState::Expired);
}

#[tokio::test]
async fn a_stale_lease_is_given_back_and_a_lost_one_transmits_nothing() {
    let room = PostRoom::new().await;
    room.owe().await;
    let stale = room.claim().await;
    room.clock.advance(Duration::from_secs(6));
    assert_eq!(in_time(room.worker.step(stale)).await, Settled::Released);
    // Frozen after the claim: the mail is somebody else's by the time it goes on.
    let mut lost = room.claim().await;
    room.clock.advance(LEASE);
    lost.leased_until = room.clock.now().plus(LEASE);
    assert_eq!(room.step().await, states(DeliveryState::Sent));
    assert_eq!(in_time(room.worker.step(lost)).await, Settled::Lost);
    assert_eq!(room.server.mails().len(), 1);
}

#[tokio::test]
async fn without_an_account_mail_waits_and_says_why() {
    let room = PostRoom::without_account().await;
    let id = room.owe().await;
    assert_eq!(room.step().await, states(DeliveryState::Deferred));
    let entry = room.find(id).await;
    assert!(
        entry.last_error.contains("no mail account"),
        "{}",
        entry.last_error
    );
}

#[tokio::test]
async fn an_open_breaker_holds_mail_back_without_an_attempt() {
    let room = PostRoom::new().await;
    room.server.on(At::Greeting, Act::Drop);
    for _ in 0..5 {
        room.owe().await;
        assert_eq!(room.step().await, states(DeliveryState::Deferred));
    }
    let id = room.owe().await;
    assert_eq!(room.step().await, states(DeliveryState::Deferred));
    assert_eq!(room.server.connections(), 5);
    let entry = room.find(id).await;
    assert_eq!(entry.attempts, 0);
    assert!(entry.last_error.contains("held back"), "{}", entry.last_error);
    room.server.behave();
    room.clock.advance(Duration::from_secs(10));
    for _ in 0..6 {
        assert_eq!(room.step().await, states(DeliveryState::Sent));
    }
}

#[tokio::test]
async fn the_loop_sends_what_is_handed_over_and_what_it_finds() {
    let room = PostRoom::new().await;
    room.owe().await;
    let (handoff, tray) = handoff(2);
    let (soft, mut running) = room.start(tray);
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(room.hand_over(&handoff, "ann@example.org").await);
    }
    room.server.wait_for_mails(21).await;
    soft.cancel();
    in_time(running.join_next()).await.unwrap().unwrap();
    for id in ids {
        assert_eq!(room.find(id).await.state, DeliveryState::Sent);
    }
    assert_eq!(room.server.mails().len(), 21);
}

#[tokio::test]
async fn at_the_end_what_was_begun_is_finished_and_the_rest_is_given_back() {
    let room = PostRoom::new().await;
    let (handoff, tray) = handoff(16);
    room.server
        .times(4, At::Mail, Act::Delay(Duration::from_millis(300)));
    let mut ids = Vec::new();
    for _ in 0..12 {
        ids.push(room.hand_over(&handoff, "ann@example.org").await);
    }
    let (soft, mut running) = room.start(tray);
    in_time(async {
        while room.server.count("MAIL") < 4 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    soft.cancel();
    in_time(running.join_next()).await.unwrap().unwrap();
    let sent = room.server.mails().len();
    assert_eq!(sent, 4);
    let leases = (0..12).map(|_| LeaseId::random(room.entropy.as_ref())).collect();
    let free = room.store.claim(12, leases).await.unwrap();
    assert_eq!(free.len(), 12 - sent);
    // Given back unbegun, they have used none of their copies up.
    assert!(free.iter().all(|mail| mail.unsure == 0 && mail.attempts == 0));
}

#[tokio::test]
async fn a_template_that_breaks_gives_way_to_the_built_in_one_and_the_attempt_says_so() {
    let room = PostRoom::new().await;
    let any = "{{ otp }}";
    for (subject, text, words) in [
        ("Own", "{% if %}", "broke in its text"),
        ("Own", "{{ otp }} {{ nobody }}", "broke in its text"),
        ("Own", "{{ user }}", "shows no code"),
        ("a\u{85}{{ user }}", any, "no line of text"),
        ("{{ otp }}", any, "shows the code"),
        ("Own", any, ""),
    ] {
        let parts = TemplateParts {
            subject: subject.into(),
            text: text.into(),
            html: String::new(),
        };
        let key = TemplateKey::new(Purpose::Login, "", "en");
        let now = room.clock.now();
        Templates::save(&room.store, key, parts, None, now, &note())
            .await
            .unwrap();
        room.worker.library.forget().await;
        let id = room.owe().await;
        assert_eq!(room.step().await, states(DeliveryState::Sent));
        let attempts = room.store.attempts(id).await.unwrap();
        assert!(attempts[0].reply.contains(words), "{}", attempts[0].reply);
        let expected = if words.is_empty() {
            "Own"
        } else {
            "Your sign-in code"
        };
        assert_eq!(room.find(id).await.subject, expected, "{subject} {text}");
        room.clock.advance(Duration::from_secs(1));
    }
}

//! The archive: our own state, behind contracts.
//!
//! The contracts stand here; [`sql`] keeps them. What an implementation promises is written at each method and checked
//! by one suite for all of them. Two things hold everywhere: `Ok` means durable, and every conditional write says
//! whether its condition held. No contract assumes that it shares a transaction with another, except
//! [`Challenges::start`] and [`Challenges::resend`], which also charge budgets and write the outbox.
//!
//! In front of the challenges stands [`cached`]: it refuses what can be refused without the database. [`handoff`] gives
//! a fresh mail to this instance's worker without another query, and [`changes`] wakes whoever waits for news of a
//! challenge.

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::{
    account::{Account, AccountSettings},
    budget::{GuessLimits, Lock, SendLimits},
    caller::{Caller, CallerId, CertificateDigest, KeyDigest},
    challenge::{Challenge, Verdict},
    clock::Timestamp,
    code::CodeNumbers,
    delivery::{DeliveryState, SendFailure, Stage},
    id::{AccountId, ChallengeId, EntryId, LeaseId},
    keyring::{Sealed, Subject},
};

pub mod cached;
pub mod changes;
#[cfg(test)]
pub mod contract;
pub mod handoff;
pub mod sql;

/// The store did not answer, or not in time, or answered what it never wrote.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be read or written at present.
    #[error("the store is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It did not answer in time.
    #[error("the store did not answer within {0:?}")]
    Timeout(Duration),
    /// A row that this version cannot read.
    #[error("the store holds something unreadable in {0}")]
    Corrupt(&'static str),
}

/// What every contract answers with.
pub type StoreResult<T> = Result<T, StoreError>;

/// What one more mail is charged to.
#[derive(Clone, Debug)]
pub struct Charge {
    /// Whose budget.
    pub subject: Subject,
    /// Its limits.
    pub limits: SendLimits,
}

/// Makes a start safe to repeat.
#[derive(Clone, Copy, Debug)]
pub struct RequestKey {
    /// The keyed hash of caller and request id.
    pub id: Subject,
    /// The keyed hash of the request's contents: the same id with others is refused.
    pub contents: Subject,
}

/// A mail to be written to the outbox.
#[derive(Clone, Debug)]
pub struct NewEntry {
    /// Its name.
    pub id: EntryId,
    /// What kind of mail it is.
    pub kind: MailKind,
    /// The challenge whose code it carries.
    pub challenge: Option<ChallengeId>,
    /// Written like any other and never sent: it stands for a user who cannot be mailed.
    pub decoy: bool,
    /// When it was accepted.
    pub submitted_at: Timestamp,
    /// After this it is never sent.
    pub expires_at: Timestamp,
    /// The recipient as reports show it.
    pub masked_recipient: String,
    /// The Message-ID of every copy.
    pub message_id: String,
    /// The [`crate::domain::message::Mail`], sealed for [`NewEntry::place`].
    pub mail: Sealed,
    /// The lease this instance takes at once, where its worker has room.
    pub lease: Option<LeaseId>,
}

impl NewEntry {
    /// The place an entry's mail is sealed for.
    #[must_use]
    pub fn place(id: &EntryId) -> String {
        format!("outbox/{id}/mail")
    }
}

/// What kind of mail an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailKind {
    /// One with a code.
    Code,
    /// A test message.
    Test,
}

impl MailKind {
    /// The number that stands for it in the store.
    #[must_use]
    pub const fn tag(self) -> i64 {
        match self {
            Self::Code => 1,
            Self::Test => 2,
        }
    }

    /// The kind of a tag.
    #[must_use]
    pub fn from_tag(tag: i64) -> Option<Self> {
        [Self::Code, Self::Test]
            .into_iter()
            .find(|kind| kind.tag() == tag)
    }
}

/// All that starting a challenge writes, in one transaction.
#[derive(Clone, Debug)]
pub struct Start {
    /// The challenge.
    pub challenge: Challenge,
    /// Its first mail.
    pub entry: NewEntry,
    /// What the mail is charged to, in this order.
    pub charges: Vec<Charge>,
    /// Makes it safe to repeat.
    pub request: Option<RequestKey>,
}

/// How a start went.
#[derive(Clone, Debug)]
pub enum Started {
    /// Everything was written.
    Opened,
    /// The request id was seen before with the same contents: this is what it started. Nothing was written.
    Repeated(Box<Challenge>),
    /// The request id was seen before with other contents. Nothing was written.
    RequestReused,
    /// The user is locked. Nothing was written.
    UserLocked(Lock),
    /// A budget is spent until this moment. Nothing was written.
    OverBudget(Timestamp),
}

/// All that a resend writes, in one transaction.
#[derive(Clone, Debug)]
pub struct Resend {
    /// The challenge.
    pub id: ChallengeId,
    /// The number of the new code: the write happens only if the newest is the one before it.
    pub number: u32,
    /// From when on the next may be sent.
    pub resend_at: Timestamp,
    /// The new mail.
    pub entry: NewEntry,
    /// What it is charged to.
    pub charges: Vec<Charge>,
    /// The moment of the call.
    pub now: Timestamp,
}

/// How a resend went.
#[derive(Clone, Debug)]
pub enum Resent {
    /// Everything was written; the challenge as it now stands. Unsent mails with older codes were withdrawn.
    Opened(Box<Challenge>),
    /// The challenge moved on meanwhile (closed, expired, cooling down, or somebody else was first). As it stands.
    Refused(Box<Challenge>),
    /// The user is locked.
    UserLocked(Lock),
    /// A budget is spent until this moment.
    OverBudget(Timestamp),
}

/// One submitted code.
#[derive(Clone, Debug)]
pub struct Guess {
    /// The challenge.
    pub id: ChallengeId,
    /// The numbers of the codes it equals. Compared before, in constant time; told only once it is counted.
    pub numbers: CodeNumbers,
    /// The user's limits.
    pub limits: GuessLimits,
    /// The moment of the call.
    pub now: Timestamp,
}

/// What a guess did.
#[derive(Clone, Debug)]
pub struct Guessed {
    /// The verdict.
    pub verdict: Verdict,
    /// The challenge as it now stands.
    pub challenge: Challenge,
}

/// Challenges, and the budgets they draw on.
#[async_trait]
pub trait Challenges: Send + Sync {
    /// Writes a challenge, its first mail and the charges: all or nothing. A repeated request id is noticed before
    /// locks and budgets are.
    async fn start(&self, start: Start) -> StoreResult<Started>;

    /// Writes a further code of a pending challenge and its charges: all or nothing. `None`: no such challenge.
    async fn resend(&self, resend: Resend) -> StoreResult<Option<Resent>>;

    /// Counts one attempt and judges it, in one transaction: a challenge that is pending, in time and has attempts left,
    /// of a user who is not locked, counts the attempt; a right code consumes the challenge and clears the user's
    /// failures, a wrong one counts among them; the last wrong one locks the challenge. Of any number of parallel
    /// right guesses exactly one is [`Verdict::Verified`]; of any number of wrong ones exactly as many are compared
    /// as the challenge has attempts. `None`: no such challenge.
    async fn guess(&self, guess: Guess) -> StoreResult<Option<Guessed>>;

    /// Cancels a pending challenge; answers with it as it now stands, whether or not that changed anything.
    /// `None`: no such challenge.
    async fn cancel(&self, id: ChallengeId, now: Timestamp) -> StoreResult<Option<Challenge>>;

    /// Looks a challenge up.
    async fn find(&self, id: ChallengeId) -> StoreResult<Option<Challenge>>;

    /// Forgets challenges and request ids that expired before this moment, at most `limit`; says how many.
    async fn purge(&self, expired_before: Timestamp, limit: u32) -> StoreResult<u64>;
}

/// Locks on users.
#[async_trait]
pub trait Budgets: Send + Sync {
    /// The lock that holds for a user at `now`, and the failures counted.
    async fn guesses(&self, user: Subject, now: Timestamp) -> StoreResult<(u32, Option<Lock>)>;

    /// Lifts a user's lock and forgets the failures. `false`: there were none.
    async fn unlock(&self, user: Subject) -> StoreResult<bool>;

    /// Locks a user until unlocked.
    async fn lock(&self, user: Subject) -> StoreResult<()>;
}

/// An outbox entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name.
    pub id: EntryId,
    /// What kind of mail it is.
    pub kind: MailKind,
    /// The challenge whose code it carries.
    pub challenge: Option<ChallengeId>,
    /// Where it stands.
    pub state: DeliveryState,
    /// When it was accepted.
    pub submitted_at: Timestamp,
    /// When a mail server took it.
    pub sent_at: Option<Timestamp>,
    /// After this it is never sent.
    pub expires_at: Timestamp,
    /// When it is tried (again); `None` where it is not.
    pub next_attempt_at: Option<Timestamp>,
    /// The recipient as reports show it.
    pub masked_recipient: String,
    /// The subject with the code masked; empty until it was rendered.
    pub subject: String,
    /// The name of the account of the last attempt; empty before one.
    pub account: String,
    /// How many attempts were made.
    pub attempts: u32,
    /// Why it is deferred or failed; empty where it is not.
    pub last_error: String,
    /// The Message-ID of every copy.
    pub message_id: String,
}

/// A mail that this worker, and no other, may send until the lease runs out.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The entry.
    pub id: EntryId,
    /// The lease: every write of the holder names it.
    pub lease: LeaseId,
    /// Until when it holds, on the store's clock.
    pub leased_until: Timestamp,
    /// The challenge whose code it carries.
    pub challenge: Option<ChallengeId>,
    /// When it was accepted.
    pub submitted_at: Timestamp,
    /// After this it is never sent.
    pub expires_at: Timestamp,
    /// The Message-ID of every copy.
    pub message_id: String,
    /// Attempts made before.
    pub attempts: u32,
    /// Copies of unknown fate, this one included where `charged`.
    pub unsure: u32,
    /// Whether this lease already counts as a copy of unknown fate: true for a fresh mail, whose row was written so.
    pub charged: bool,
    /// The mail, sealed.
    pub mail: Sealed,
}

/// Leave to transmit, asked for right before the message itself is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Granted: the copy counts as one of unknown fate until it is settled.
    Granted,
    /// Two copies of unknown fate are out already: a third is not sent.
    Exhausted,
    /// The lease is somebody else's by now, or the mail was withdrawn.
    Lost,
}

/// One attempt to send, for the record.
#[derive(Clone, Debug)]
pub struct AttemptRecord {
    /// Counted from 1; set by the store.
    pub number: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// The account's name; empty where none could be chosen.
    pub account: String,
    /// How far it came.
    pub stage: Stage,
    /// The server's reply code, if any.
    pub reply_code: Option<u16>,
    /// What the server said, or what went wrong.
    pub reply: String,
    /// The state it left the entry in.
    pub outcome: DeliveryState,
}

/// What became of a claimed mail.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A mail server took it.
    Sent {
        /// When.
        at: Timestamp,
    },
    /// It is tried again.
    Retry {
        /// When.
        at: Timestamp,
        /// Why.
        failure: SendFailure,
    },
    /// It ends here.
    Failed {
        /// Why.
        failure: SendFailure,
    },
    /// Its code expires before another attempt.
    Expired {
        /// Why it could not be sent in time, where an attempt was made.
        failure: Option<SendFailure>,
    },
}

/// A worker's last word on a claimed mail.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// The entry.
    pub id: EntryId,
    /// The lease it is settled under.
    pub lease: LeaseId,
    /// What became of it.
    pub outcome: Outcome,
    /// The subject with the code masked, where it was rendered.
    pub subject: Option<String>,
    /// The attempts made under this lease (fail-over may make several), oldest first.
    pub attempts: Vec<AttemptRecord>,
    /// Whether a copy of unknown fate was charged, and its fate is now known: the charge is taken back.
    pub fate_known: bool,
}

/// Which entries to list.
#[derive(Clone, Debug, Default)]
pub struct EntryFilter {
    /// In these states; empty: all.
    pub states: Vec<DeliveryState>,
    /// Last tried through this account.
    pub account: Option<String>,
    /// Submitted at or after this.
    pub from: Option<Timestamp>,
    /// Submitted before this.
    pub until: Option<Timestamp>,
}

/// Where a page begins: after this entry, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageKey {
    /// Its submission.
    pub submitted_at: Timestamp,
    /// Its name, among those submitted in the same microsecond.
    pub id: EntryId,
}

/// What is waiting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueDepth {
    /// Mails not yet sent.
    pub waiting: u64,
    /// The oldest of them.
    pub oldest: Option<Timestamp>,
}

/// Mails owed.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Writes a mail that belongs to no challenge.
    async fn enqueue(&self, entry: NewEntry) -> StoreResult<()>;

    /// Leases up to `limit` mails that are due and that nobody holds, oldest first. Expired ones are not claimed.
    /// A lease holds for [`LEASE`] on the store's clock.
    async fn claim(&self, limit: u32, leases: Vec<LeaseId>) -> StoreResult<Vec<Claimed>>;

    /// Asks for leave to transmit one more copy.
    async fn leave(&self, id: EntryId, lease: LeaseId) -> StoreResult<Leave>;

    /// Records the attempts and the outcome. `false`: the lease is lost, and nothing was changed.
    async fn settle(&self, settlement: Settlement) -> StoreResult<bool>;

    /// Gives back mails that were leased and not begun, at once.
    async fn release(&self, leased: Vec<(EntryId, LeaseId)>) -> StoreResult<()>;

    /// Gives back every lease there is: only for a store that nobody else uses, at the start.
    async fn release_all(&self) -> StoreResult<u64>;

    /// Ends mails whose time is over and that nobody holds, at most `limit`; says which challenges they belonged to.
    async fn expire(&self, now: Timestamp, limit: u32) -> StoreResult<Vec<Option<ChallengeId>>>;

    /// Withdraws a challenge's unsent mails.
    async fn withdraw(&self, challenge: ChallengeId) -> StoreResult<()>;

    /// The newest mail of a challenge.
    async fn newest(&self, challenge: ChallengeId) -> StoreResult<Option<Entry>>;

    /// Looks an entry up. Decoys are not found.
    async fn find(&self, id: EntryId) -> StoreResult<Option<Entry>>;

    /// The attempts of an entry, oldest first.
    async fn attempts(&self, id: EntryId) -> StoreResult<Vec<AttemptRecord>>;

    /// Entries, newest first, without decoys.
    async fn list(&self, filter: &EntryFilter, after: Option<PageKey>, limit: u32)
    -> StoreResult<Vec<Entry>>;

    /// What is waiting.
    async fn depth(&self) -> StoreResult<QueueDepth>;

    /// Forgets closed entries and their attempts submitted before this moment, at most `limit`; says how many.
    async fn purge(&self, submitted_before: Timestamp, limit: u32) -> StoreResult<u64>;
}

/// How long a claimed mail is one worker's alone.
pub const LEASE: Duration = Duration::from_secs(30);

/// How a write to the accounts went.
#[derive(Clone, Debug)]
pub enum AccountWrite {
    /// Written; the account as it now stands.
    Saved(Box<Account>),
    /// Another account has that name.
    NameTaken,
    /// The account was changed since the version that was named.
    Stale,
    /// No such account.
    Unknown,
    /// It is the default and others exist, or it is disabled and cannot be the default.
    IsDefault,
    /// It is disabled and cannot become the default.
    Disabled,
}

/// Mail accounts. Exactly one is the default as long as there are any.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// Creates one; the first becomes the default.
    async fn create(
        &self,
        id: AccountId,
        settings: AccountSettings,
        now: Timestamp,
    ) -> StoreResult<AccountWrite>;

    /// Changes one, from the version that is named, if one is.
    async fn update(
        &self,
        id: AccountId,
        settings: AccountSettings,
        version: Option<i64>,
        now: Timestamp,
    ) -> StoreResult<AccountWrite>;

    /// Deletes one; the default only as the last. Answers with what was there.
    async fn delete(&self, id: AccountId, version: Option<i64>) -> StoreResult<AccountWrite>;

    /// Makes an enabled account the default.
    async fn set_default(&self, id: AccountId, now: Timestamp) -> StoreResult<AccountWrite>;

    /// Looks one up.
    async fn find(&self, id: AccountId) -> StoreResult<Option<Account>>;

    /// All of them, by name.
    async fn list(&self) -> StoreResult<Vec<Account>>;
}

/// How a write to the callers went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerWrite {
    /// Written.
    Saved,
    /// Another caller has that name or certificate.
    Taken,
    /// No such caller.
    Unknown,
}

/// Who may call.
#[async_trait]
pub trait Callers: Send + Sync {
    /// Adds one.
    async fn add(&self, caller: Caller) -> StoreResult<CallerWrite>;

    /// Adds a key; of the older ones only the newest stays live.
    async fn rotate(&self, id: CallerId, key: KeyDigest, now: Timestamp) -> StoreResult<CallerWrite>;

    /// Removes one with all its keys.
    async fn remove(&self, id: CallerId) -> StoreResult<CallerWrite>;

    /// Looks one up.
    async fn find(&self, id: CallerId) -> StoreResult<Option<Caller>>;

    /// Looks one up by its client certificate.
    async fn find_by_certificate(&self, certificate: CertificateDigest) -> StoreResult<Option<Caller>>;

    /// All of them, by name.
    async fn list(&self) -> StoreResult<Vec<Caller>>;
}

/// Whether the store works at all.
#[async_trait]
pub trait Probe: Send + Sync {
    /// Reads and writes, durably: `Ok` means that a start would succeed.
    async fn probe(&self) -> StoreResult<()>;
}

//! The contract of the outbox: mails owed.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{ChangeKey, Changed, Charge, StoreResult, handoff::TrayPlace};
use crate::domain::{
    audit::Note,
    clock::Timestamp,
    delivery::{DeliveryState, SendFailure, Stage},
    id::{ChallengeId, EntryId, LeaseId},
    keyring::{Sealed, Subject},
    mail_queue::MailQueue,
};

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
    /// The keyed hash of the recipient, so that its mails are found without opening any.
    pub recipient: Subject,
    /// The Message-ID of every copy.
    pub message_id: String,
    /// The [`crate::domain::message::Mail`], sealed for [`NewEntry::place`].
    pub mail: Sealed,
    /// Whose turn it waits for.
    pub queue: MailQueue,
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
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Code, Self::Test];

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
        Self::ALL.into_iter().find(|kind| kind.tag() == tag)
    }
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
    /// The address it was sent from at the last attempt; empty before one.
    pub sender: String,
    /// How many attempts were made.
    pub attempts: u32,
    /// Why it is deferred or failed; empty where it is not.
    pub last_error: String,
    /// The Message-ID of every copy.
    pub message_id: String,
    /// When anything of it last changed, on the store's clock.
    pub changed_at: Timestamp,
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
    /// Whose turn it waits for.
    pub queue: MailQueue,
    /// The place in the tray that it holds until it is begun, where it came that way.
    pub place: Option<Arc<TrayPlace>>,
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
    /// The account has sent all that its limits allow: not before this moment. Nothing was charged.
    Spent(Timestamp),
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
    /// The address it was sent from, where it was rendered.
    pub sender: Option<String>,
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
    /// Of this kind.
    pub kind: Option<MailKind>,
    /// To this recipient.
    pub recipient: Option<Subject>,
    /// Submitted at or after this.
    pub from: Option<Timestamp>,
    /// Submitted before this.
    pub until: Option<Timestamp>,
    /// In which order they are listed.
    pub order: EntryOrder,
}

/// In which order entries are listed, by submission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EntryOrder {
    /// The last one first.
    #[default]
    NewestFirst,
    /// The first one first.
    OldestFirst,
}

/// Where a page begins: after this entry, in the order of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageKey {
    /// Its submission.
    pub submitted_at: Timestamp,
    /// Its name, among those submitted in the same microsecond.
    pub id: EntryId,
}

/// What became of the wish to try a mail again.
#[derive(Clone, Debug)]
pub enum Requeued {
    /// It is due now, with its copies of unknown fate forgiven: somebody decided that another may go out.
    Due(Box<Entry>),
    /// It is not one that failed.
    NotFailed,
    /// Its time is over, its challenge closed, or a newer mail carries a newer code.
    Expired,
    /// No such entry.
    Unknown,
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

    /// Leases up to `limit` mails that are due and that nobody holds: those of callers that go first before the others,
    /// and among equals one of each caller in turn, the longest due first. Expired ones are not claimed.
    /// A lease holds for [`LEASE`] on the store's clock.
    async fn claim(&self, limit: u32, leases: Vec<LeaseId>) -> StoreResult<Vec<Claimed>> {
        self.claim_of(false, limit, leases).await
    }

    /// The same; `only_preferred`: none but mails of callers that go first.
    async fn claim_of(
        &self,
        only_preferred: bool,
        limit: u32,
        leases: Vec<LeaseId>,
    ) -> StoreResult<Vec<Claimed>>;

    /// Asks for leave to transmit one more copy, which counts once for each lease; where it is granted, the mail is charged
    /// to the limits of the account.
    async fn leave(&self, id: EntryId, lease: LeaseId, toll: Option<Charge>) -> StoreResult<Leave>;

    /// How many unsent mails of the same queue were submitted before; no more than a thousand are counted.
    async fn ahead(&self, queue: MailQueue, submitted_at: Timestamp) -> StoreResult<u32>;

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

    /// Makes a failed mail due at once, if its code still lives at `now`.
    async fn requeue(&self, id: EntryId, now: Timestamp, note: &Note) -> StoreResult<Requeued>;

    /// The newest mail of a challenge.
    async fn newest(&self, challenge: ChallengeId) -> StoreResult<Option<Entry>>;

    /// Looks an entry up. Decoys are not found.
    async fn find(&self, id: EntryId) -> StoreResult<Option<Entry>>;

    /// The attempts of an entry, oldest first.
    async fn attempts(&self, id: EntryId) -> StoreResult<Vec<AttemptRecord>>;

    /// Entries in the filter's order, without decoys. Costs what the page costs, wherever in the list it lies.
    async fn list(&self, filter: &EntryFilter, after: Option<PageKey>, limit: u32)
    -> StoreResult<Vec<Entry>>;

    /// Entries that changed at or after `from`, after `after` where one is given, without decoys, each once and as it
    /// stands. The filter's order plays no part. A limit of 0 only tells the moment.
    async fn changed(
        &self,
        filter: &EntryFilter,
        from: Timestamp,
        after: Option<ChangeKey>,
        limit: u32,
    ) -> StoreResult<Changed>;

    /// What is waiting.
    async fn depth(&self) -> StoreResult<QueueDepth>;

    /// Forgets decoys that expired before this moment, at most `limit`; says how many.
    async fn purge_decoys(&self, expired_before: Timestamp, limit: u32) -> StoreResult<u64>;

    /// Forgets closed entries and their attempts submitted before this moment, at most `limit`; says how many.
    async fn purge(&self, submitted_before: Timestamp, limit: u32) -> StoreResult<u64>;
}

/// How long a claimed mail is one worker's alone.
pub const LEASE: Duration = Duration::from_secs(30);

//! The contracts of challenges and of the budgets they draw on.

use std::sync::Arc;

use async_trait::async_trait;

use super::{NewEntry, StoreResult};
use crate::domain::{
    audit::Note,
    budget::{GuessLimits, Lock, SendLimits},
    challenge::{Challenge, Verdict},
    clock::Timestamp,
    code::CodeNumbers,
    id::ChallengeId,
    keyring::{Sealed, Subject},
};

/// What one more mail is charged to.
#[derive(Clone, Debug)]
pub struct Charge {
    /// Whose budget.
    pub subject: Subject,
    /// Its limits.
    pub limits: SendLimits,
    /// Whether nobody is told where it is spent: all is written as ever then, but for a mail that is never sent.
    pub silent: bool,
}

/// Makes a start safe to repeat.
#[derive(Clone, Copy, Debug)]
pub struct RequestKey {
    /// The keyed hash of caller and request id.
    pub id: Subject,
    /// The keyed hash of the request's contents: the same id with others is refused.
    pub contents: Subject,
}

/// All that starting a challenge writes, in one transaction.
#[derive(Clone, Debug)]
pub struct Start {
    /// The challenge.
    pub challenge: Challenge,
    /// The [`crate::domain::message::MailContext`] of further codes, sealed.
    pub context: Sealed,
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
    /// Everything was written, as of a decoy: the user is locked, or a budget is spent, of which the caller is not told.
    Muted,
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
    /// The same with a mail that is never sent: the user is locked, or a budget is spent, of which the caller is not told.
    Muted(Box<Challenge>),
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
    /// As it was last seen, if it was: what never changes of it need not be read again.
    pub known: Option<Arc<Challenge>>,
    /// The numbers of the codes it equals. Compared before, in constant time; told only once it is counted.
    pub numbers: CodeNumbers,
    /// The user's limits.
    pub limits: GuessLimits,
    /// Makes it safe to repeat.
    pub request: Option<RequestKey>,
    /// The moment of the call.
    pub now: Timestamp,
}

/// What a guess did.
#[derive(Clone, Debug)]
pub enum Guessed {
    /// It was judged, now or before.
    Judged(Box<Judged>),
    /// The request id was seen before with other contents. Nothing was counted.
    RequestReused,
}

/// A guess that was judged.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// The challenge as it now stands.
    pub challenge: Challenge,
    /// What its further codes are mailed with, sealed. `None`: it was not looked at.
    pub context: Option<Sealed>,
    /// The request id was seen before with the same contents: this was its verdict. Nothing was counted again.
    pub repeated: bool,
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
    /// of a user who is not locked, counts the attempt; a right code consumes the challenge, withdraws its unsent mails,
    /// clears the user's failures and notes the address that the challenge confirms, a wrong one counts among them; the
    /// last wrong one locks the challenge. Of any number of parallel right guesses exactly one is [`Verdict::Verified`]; of any number of wrong ones exactly as many are compared
    /// as the challenge has attempts. What a request id counted is noticed before all else, and answered with the same verdict
    /// for as long as the challenge is kept. `None`: no such challenge.
    async fn guess(&self, guess: Guess) -> StoreResult<Option<Guessed>>;

    /// Cancels a pending challenge; answers with it as it now stands, whether or not that changed anything.
    /// `None`: no such challenge.
    async fn cancel(&self, id: ChallengeId, now: Timestamp) -> StoreResult<Option<Challenge>>;

    /// Looks a challenge up. What never changes of it is right; the rest may lag behind what others wrote.
    async fn find(&self, id: ChallengeId) -> StoreResult<Option<Challenge>>;

    /// Looks a challenge up as it stands, whoever wrote to it last.
    async fn present(&self, id: ChallengeId) -> StoreResult<Option<Challenge>> {
        self.find(id).await
    }

    /// What further codes of a challenge are mailed with. `None`: no such challenge.
    async fn context(&self, id: ChallengeId) -> StoreResult<Option<Sealed>>;

    /// Forgets decoys that expired before this moment, at most `limit`; says how many. One with a request id stays as long
    /// as a user's: a repetition is known by it.
    async fn purge_decoys(&self, expired_before: Timestamp, limit: u32) -> StoreResult<u64>;

    /// Forgets challenges and request ids that expired before this moment, at most `limit`; says how many.
    async fn purge(&self, expired_before: Timestamp, limit: u32) -> StoreResult<u64>;
}

/// Locks on users.
#[async_trait]
pub trait Budgets: Send + Sync {
    /// The lock that holds for a user at `now`, and the failures counted.
    async fn guesses(&self, user: Subject, now: Timestamp) -> StoreResult<(u32, Option<Lock>)>;

    /// Lifts a user's lock and forgets the failures. `false`: there were none. The audit calls the user
    /// by `name`: no whole address.
    async fn unlock(&self, user: Subject, name: &str, note: &Note) -> StoreResult<bool>;

    /// Counts one more attempt, before it is judged, among those of each subject; the lock that holds of the first that is
    /// locked, with its place among them, and nothing is counted then from that one on. However many are made at once, no
    /// more are let pass than one after another.
    async fn attempt(
        &self,
        subjects: &[(Subject, GuessLimits)],
        now: Timestamp,
    ) -> StoreResult<Option<(usize, Lock)>>;

    /// Forgets the attempts: the last one was right.
    async fn succeed(&self, subjects: &[Subject]) -> StoreResult<()>;

    /// Locks a user until unlocked.
    async fn lock(&self, user: Subject, name: &str, note: &Note) -> StoreResult<()>;
}

//! What callers were told: every acknowledged call, and how many calls nobody answered.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use mailfactor::pb::v1 as pb;
use tokio::time::Instant;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// One user's challenge, as its callers saw it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    /// Its id.
    pub(crate) challenge: String,
    /// Mails that were acknowledged: by its start, and by each resend.
    pub(crate) mails: usize,
    /// Submitted codes by what was answered.
    pub(crate) verified: usize,
    pub(crate) wrong: usize,
    /// Codes whose submission nobody answered: right ones, wrong ones.
    pub(crate) right_unanswered: usize,
    pub(crate) wrong_unanswered: usize,
    /// Right codes that were called used.
    pub(crate) used: usize,
    /// It was, or may have been, cancelled.
    pub(crate) cancelled: bool,
    /// A resend was asked for that nobody answered.
    pub(crate) resend_unanswered: bool,
}

/// All of them, by the number of the user.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    accounts: Mutex<BTreeMap<usize, Account>>,
    next: AtomicUsize,
    /// Second mails that are wanted, and from when on.
    resends: Mutex<VecDeque<(Instant, usize, String)>>,
    unanswered: Mutex<BTreeMap<String, usize>>,
    /// The longest that a call waited to hear of a store that is away.
    slowest: Mutex<Duration>,
}

impl Ledger {
    /// The next user, of whom nothing was asked yet.
    pub(crate) fn user(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// A start was acknowledged.
    pub(crate) fn started(&self, user: usize, challenge: &pb::Challenge) {
        let account = Account {
            challenge: challenge.challenge_id.clone(),
            mails: 1,
            ..Account::default()
        };
        assert!(
            self.lock().insert(user, account).is_none(),
            "two challenges of one user"
        );
    }

    /// Something else became known of a user's challenge.
    pub(crate) fn note(&self, user: usize, change: impl FnOnce(&mut Account)) {
        change(self.lock().get_mut(&user).unwrap());
    }

    /// Somebody will want a second mail.
    pub(crate) fn resend_later(&self, user: usize, challenge: &pb::Challenge) {
        let (created, resend) = (challenge.created_at.unwrap(), challenge.resend_at.unwrap());
        let wait = u64::try_from(resend.seconds - created.seconds).unwrap();
        let at = Instant::now() + Duration::from_millis(wait * 1_000 + 50);
        let resend = (at, user, challenge.challenge_id.clone());
        self.resends.lock().unwrap().push_back(resend);
    }

    /// A second mail that may be asked for by now: its user and challenge.
    pub(crate) fn resend_due(&self) -> Option<(usize, String)> {
        let mut resends = self.resends.lock().unwrap();
        let due = resends.front().is_some_and(|(at, ..)| *at <= Instant::now());
        let (_, user, challenge) = due.then(|| resends.pop_front()).flatten()?;
        Some((user, challenge))
    }

    /// A call failed. It may have done its work or not; what may not be said is that it was wrong.
    pub(crate) fn unanswered(&self, status: &Status, waited: Duration) {
        let reason = status
            .get_details_error_info()
            .map(|info| info.reason)
            .unwrap_or_default();
        let excused = match status.code() {
            Code::Unavailable | Code::Cancelled | Code::Unknown => true,
            // A connection that broke; or a call that panicked, where a test makes it.
            Code::Internal => reason.is_empty() || reason == "INTERNAL",
            _ => false,
        };
        assert!(excused, "a call under faults was told: {status:?} {reason}");
        if reason == "STORE_UNAVAILABLE" {
            let mut slowest = self.slowest.lock().unwrap();
            *slowest = waited.max(*slowest);
        }
        let what = format!("{:?} {reason}", status.code());
        *self.unanswered.lock().unwrap().entry(what).or_default() += 1;
    }

    /// How many calls nobody answered, by what was said instead.
    pub(crate) fn failures(&self) -> BTreeMap<String, usize> {
        self.unanswered.lock().unwrap().clone()
    }

    /// The longest that a call waited to hear that the store is away.
    pub(crate) fn slowest(&self) -> Duration {
        *self.slowest.lock().unwrap()
    }

    /// How many starts were acknowledged.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// A copy of everything.
    pub(crate) fn accounts(&self) -> BTreeMap<usize, Account> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, Account>> {
        self.accounts.lock().unwrap()
    }
}

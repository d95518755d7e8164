//! Whose turn it is at an account whose limits are spent: of the mails that come back together one may go, and it is not to
//! be the same caller's each time, however many that one has waiting.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::domain::{clock::Timestamp, id::AccountId, mail_queue::MailQueue};

/// How long after its time a mail that was held back is waited for: it comes with the next look at the outbox.
const GRACE: Duration = Duration::from_secs(2);

/// Callers remembered of one account; beyond that all begin anew.
const REMEMBERED: usize = 4_096;

/// The turns at all accounts, as this instance sees them.
#[derive(Debug, Default)]
pub(super) struct LimitTurns(Mutex<HashMap<AccountId, Turns>>);

#[derive(Debug, Default)]
struct Turns {
    /// When the first mail of a queue that was held back comes again.
    held: HashMap<MailQueue, Timestamp>,
    /// When each had a mail sent, counted in mails.
    sent: HashMap<MailQueue, u64>,
    count: u64,
}

impl LimitTurns {
    /// Whether a mail of this queue may try: nobody else's is due that had to wait longer.
    pub(super) fn may_try(&self, account: AccountId, queue: MailQueue, now: Timestamp) -> bool {
        self.with(account, |turns| {
            let last = |queue: &MailQueue| turns.sent.get(queue).copied().unwrap_or(0);
            let own = last(&queue);
            let goes_before = |(other, at): (&MailQueue, &Timestamp)| {
                other.is_preferred() == queue.is_preferred()
                    && last(other) < own
                    && *at <= now
                    && now <= at.plus(GRACE)
            };
            !turns.held.iter().any(goes_before)
        })
    }

    /// The first mail of a queue was held back until this moment.
    pub(super) fn held(&self, account: AccountId, queue: MailQueue, until: Timestamp) {
        self.with(account, |turns| {
            if turns.held.len() >= REMEMBERED {
                turns.held.clear();
            }
            turns.held.insert(queue, until);
        });
    }

    /// A mail of a queue was sent.
    pub(super) fn sent(&self, account: AccountId, queue: MailQueue) {
        self.with(account, |turns| {
            if turns.sent.len() >= REMEMBERED {
                turns.sent.clear();
            }
            turns.held.remove(&queue);
            turns.count += 1;
            turns.sent.insert(queue, turns.count);
        });
    }

    fn with<T>(&self, account: AccountId, work: impl FnOnce(&mut Turns) -> T) -> T {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        work(known.entry(account).or_default())
    }
}

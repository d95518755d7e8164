//! The breakers at work: each attempt through an account needs a pass, and tells the breaker how it went.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Accepted, Admission, Breaker, Unsent};
use crate::domain::{
    account::Account,
    clock::{Clock, Timestamp},
    delivery::Stage,
    id::AccountId,
};

/// Leave from the account's breaker for one attempt. Dropped untold, it says nothing of the account.
#[derive(Debug)]
pub struct Pass {
    breakers: Arc<Breakers>,
    account: AccountId,
    version: i64,
    others: bool,
    told: bool,
}

impl Pass {
    /// Says whether other accounts could take the mail: then one failure is enough to open the breaker.
    #[must_use]
    pub fn with_others(mut self, others: bool) -> Self {
        self.others = others;
        self
    }

    /// Tells the breaker how the attempt went.
    pub(super) fn tell(mut self, result: &Result<Accepted, Unsent>) {
        let others = self.others;
        self.told = true;
        let now = self.breakers.clock.now();
        self.breakers
            .update(self.account, self.version, |breaker| match result {
                Err(Unsent::Failed(failure)) if failure.stage.concerns_account() => {
                    let rejected =
                        failure.stage == Stage::Auth && failure.code.is_some_and(|code| code >= 500);
                    breaker.failed(rejected || others, now);
                }
                _ => breaker.succeeded(),
            });
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if !self.told {
            let now = self.breakers.clock.now();
            self.breakers
                .update(self.account, self.version, |breaker| breaker.abandoned(now));
        }
    }
}

#[derive(Debug)]
struct Known {
    version: i64,
    name: String,
    breaker: Breaker,
}

/// The breakers of all accounts, on one clock.
#[derive(Debug)]
pub(super) struct Breakers {
    known: Mutex<HashMap<AccountId, Known>>,
    clock: Arc<dyn Clock>,
}

impl Breakers {
    /// None yet.
    pub(super) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            known: Mutex::default(),
            clock,
        })
    }

    /// Asks for an attempt.
    pub(super) fn enter(self: &Arc<Self>, account: &Account) -> Result<Pass, Timestamp> {
        let now = self.clock.now();
        match self.with(account, |breaker| breaker.enter(now)) {
            Admission::Granted => Ok(Pass {
                breakers: Arc::clone(self),
                account: account.id,
                version: account.version,
                others: false,
                told: false,
            }),
            Admission::Refused(until) => Err(until),
        }
    }

    /// The account got through by another way than an attempt to send: what it failed at before is forgiven. Says
    /// nothing of an account that was changed since, or never used.
    pub(super) fn recovered(&self, account: &Account) {
        self.update(account.id, account.version, Breaker::succeeded);
    }

    /// Whether the account's is open, a probe under way included.
    pub(super) fn is_open(&self, account: &Account) -> bool {
        self.with(account, |breaker| breaker.is_open())
    }

    /// Whether none is open.
    pub(super) fn all_closed(&self) -> bool {
        self.lock().values().all(|known| !known.breaker.is_open())
    }

    /// Forgets all but those that `keep` wants.
    pub(super) fn retain(&self, keep: impl Fn(&AccountId) -> bool) {
        self.lock().retain(|id, known| {
            let kept = keep(id);
            if !kept {
                gauge(&known.name, false);
            }
            kept
        });
    }

    /// Works with the account's breaker; a changed account gets a new one.
    fn with<T>(&self, account: &Account, work: impl FnOnce(&mut Breaker) -> T) -> T {
        let fresh = || Known {
            version: account.version,
            name: account.settings.name.clone(),
            breaker: Breaker::default(),
        };
        let mut known = self.lock();
        let entry = known.entry(account.id).or_insert_with(fresh);
        if entry.version != account.version {
            gauge(&entry.name, false);
            *entry = fresh();
        }
        work(&mut entry.breaker)
    }

    fn update(&self, id: AccountId, version: i64, work: impl FnOnce(&mut Breaker)) {
        let mut known = self.lock();
        if let Some(entry) = known.get_mut(&id)
            && entry.version == version
        {
            let before = entry.breaker.is_open();
            work(&mut entry.breaker);
            let after = entry.breaker.is_open();
            gauge(&entry.name, after);
            if before != after {
                tracing::warn!(mail.account = %entry.name, open = after, "the breaker of a mail account changed");
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<AccountId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn gauge(account: &str, open: bool) {
    let value = if open { 1.0 } else { 0.0 };
    metrics::gauge!("mailfactor_breaker_open", "account" => account.to_owned()).set(value);
}

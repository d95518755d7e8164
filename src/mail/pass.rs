//! The breakers at work: each attempt through an account needs a pass, and tells the breaker how it went.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;

use super::{Accepted, Admission, Breaker, Unsent, Withheld, turns::News};
use crate::{
    domain::{
        account::Account,
        clock::{Clock, Timestamp},
        delivery::SendFailure,
        id::AccountId,
    },
    store::Leave,
};

/// How an account does at present, as this instance sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// What keeps mail from going through it.
    pub obstacle: Option<Obstacle>,
    /// What the last attempt said that failed for a reason of the account, since one last succeeded.
    pub last_failure: Option<SendFailure>,
}

/// What keeps mail from going through an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// It keeps failing: it is tried again at this moment.
    Resting(Timestamp),
    /// It has sent all that its limits allow: it sends again from this moment on.
    Spent(Timestamp),
}

impl Obstacle {
    /// Until when.
    #[must_use]
    pub fn until(self) -> Timestamp {
        match self {
            Self::Resting(until) | Self::Spent(until) => until,
        }
    }
}

/// Leave from the account's breaker for one attempt. Dropped untold, it says nothing of the account.
#[derive(Debug)]
pub struct Pass {
    breakers: Arc<Breakers>,
    account: AccountId,
    version: i64,
    preferred: bool,
    others: bool,
    told: bool,
    /// Whether the breaker is open by now; `None` for the probe of an open one.
    open: Option<watch::Receiver<bool>>,
}

impl Pass {
    /// Says whether other accounts could take the mail: then one failure is enough to open the breaker.
    #[must_use]
    pub fn with_others(mut self, others: bool) -> Self {
        self.others = others;
        self
    }

    /// Waits until another attempt has found the account failing, where other accounts could take the mail: nobody else
    /// is to find that out by waiting.
    pub(super) async fn overtaken(&self) {
        if let Some(mut open) = self.open.clone()
            && self.others
            && open.wait_for(|open| *open).await.is_ok()
        {
            return;
        }
        std::future::pending::<()>().await;
    }

    /// Tells the breaker how the attempt went, and says what that makes of the server.
    pub(super) fn tell(mut self, result: &Result<Accepted, Unsent>) -> News {
        let (others, preferred) = (self.others, self.preferred);
        self.told = true;
        let now = self.breakers.clock.now();
        let mut news = News::Nothing;
        self.breakers
            .update(self.account, self.version, |known| match result {
                Err(Unsent::Failed(failure)) if failure.stage.concerns_account() => {
                    known.breaker.failed(failure.is_rejection() || others, now);
                    known.last_failure = Some(failure.clone());
                    if known.breaker.is_open() {
                        news = News::Outage;
                    }
                }
                // Nobody asked the server.
                Err(Unsent::Withheld(Withheld::Refused(Leave::Spent(until)))) => {
                    known.succeeded();
                    known.spent_until[usize::from(preferred)] = Some(*until);
                }
                _ => {
                    known.succeeded();
                    news = News::Well;
                }
            });
        news
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if !self.told {
            let now = self.breakers.clock.now();
            self.breakers
                .update(self.account, self.version, |known| known.breaker.abandoned(now));
        }
    }
}

#[derive(Debug)]
struct Known {
    version: i64,
    name: String,
    breaker: Breaker,
    open: watch::Sender<bool>,
    /// Until when its limits allow no more mails, except those of callers that go first; and until when not even those.
    spent_until: [Option<Timestamp>; 2],
    last_failure: Option<SendFailure>,
}

impl Known {
    fn new(account: &Account) -> Self {
        Self {
            version: account.version,
            name: account.settings.name.clone(),
            breaker: Breaker::default(),
            open: watch::Sender::new(false),
            spent_until: [None; 2],
            last_failure: None,
        }
    }

    fn succeeded(&mut self) {
        self.breaker.succeeded();
        self.last_failure = None;
    }

    fn spent(&self, preferred: bool, now: Timestamp) -> Option<Obstacle> {
        let until = self.spent_until[usize::from(preferred)];
        until.filter(|until| now < *until).map(Obstacle::Spent)
    }
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

    /// Asks for an attempt for a mail that goes first, or does not.
    pub(super) fn enter(self: &Arc<Self>, account: &Account, preferred: bool) -> Result<Pass, Obstacle> {
        let now = self.clock.now();
        self.with(account, |known| {
            if let Some(spent) = known.spent(preferred, now) {
                return Err(spent);
            }
            let probe = known.breaker.is_open();
            match known.breaker.enter(now) {
                Admission::Granted => Ok(Pass {
                    breakers: Arc::clone(self),
                    account: account.id,
                    version: account.version,
                    preferred,
                    others: false,
                    told: false,
                    open: (!probe).then(|| known.open.subscribe()),
                }),
                Admission::Refused(until) => Err(Obstacle::Resting(until)),
            }
        })
    }

    /// How an account does; nothing is known of one that was never used as it is now.
    pub(super) fn standing(&self, account: &Account) -> Standing {
        let now = self.clock.now();
        let locked = self.lock();
        let known = locked
            .get(&account.id)
            .filter(|known| known.version == account.version);
        known.map_or_else(Standing::default, |known| Standing {
            obstacle: known
                .breaker
                .rests_until(now)
                .map(Obstacle::Resting)
                .or_else(|| known.spent(true, now))
                .or_else(|| known.spent(false, now)),
            last_failure: known.last_failure.clone(),
        })
    }

    /// The account got through by another way than an attempt to send: what it failed at before is forgiven. Says
    /// nothing of an account that was changed since, or never used.
    pub(super) fn recovered(&self, account: &Account) {
        self.update(account.id, account.version, Known::succeeded);
    }

    /// Whether the account's is open, a probe under way included.
    pub(super) fn is_open(&self, account: &Account) -> bool {
        self.with(account, |known| known.breaker.is_open())
    }

    /// Whether some account works, as far as anybody knows.
    pub(super) fn any_closed(&self) -> bool {
        let known = self.lock();
        known.is_empty() || known.values().any(|known| !known.breaker.is_open())
    }

    /// Whether some account fails.
    pub(super) fn any_open(&self) -> bool {
        self.lock().values().any(|known| known.breaker.is_open())
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
    fn with<T>(&self, account: &Account, work: impl FnOnce(&mut Known) -> T) -> T {
        let mut known = self.lock();
        let entry = known.entry(account.id).or_insert_with(|| Known::new(account));
        if entry.version != account.version {
            gauge(&entry.name, false);
            *entry = Known::new(account);
        }
        work(entry)
    }

    fn update(&self, id: AccountId, version: i64, work: impl FnOnce(&mut Known)) {
        let mut known = self.lock();
        if let Some(entry) = known.get_mut(&id)
            && entry.version == version
        {
            let before = entry.breaker.is_open();
            work(entry);
            let after = entry.breaker.is_open();
            entry.open.send_replace(after);
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

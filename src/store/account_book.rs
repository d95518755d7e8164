//! What a start asks of the mail accounts, in memory: whether there is one to send through, and the domains they send from.
//! What is set up here or elsewhere is known a few seconds later; where none is known, the store is asked at once.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{Accounts, StoreResult};

/// How often the store is asked again.
const READ_AGAIN: Duration = Duration::from_secs(2);

/// What is known of the enabled accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Senders {
    /// Whether there is any.
    pub any: bool,
    /// The domains of their senders, each once, in order.
    pub domains: Vec<String>,
}

/// The enabled accounts, as last read.
pub struct AccountBook {
    store: Arc<dyn Accounts>,
    known: RwLock<Arc<Senders>>,
}

impl AccountBook {
    /// Knows of none until it has read.
    #[must_use]
    pub fn new(store: Arc<dyn Accounts>) -> Self {
        Self {
            store,
            known: RwLock::default(),
        }
    }

    /// What was last read.
    #[must_use]
    pub fn current(&self) -> Arc<Senders> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether there is an account to send through. Where none was known, somebody may just have added one.
    pub async fn any(&self) -> StoreResult<bool> {
        if self.current().any {
            return Ok(true);
        }
        Ok(self.read().await?.any)
    }

    /// Reads the accounts.
    pub async fn read(&self) -> StoreResult<Arc<Senders>> {
        let accounts = self.store.list().await?;
        let enabled = accounts.iter().filter(|account| account.settings.enabled);
        let mut domains: Vec<String> = enabled
            .map(|account| account.settings.sender.address.domain().to_owned())
            .collect();
        let any = !domains.is_empty();
        domains.sort_unstable();
        domains.dedup();
        let fresh = Arc::new(Senders { any, domains });
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&fresh);
        Ok(fresh)
    }

    /// Reads again every few seconds until the token is cancelled. While the store is away, what was last read holds.
    pub async fn keep_fresh(self: Arc<Self>, end: CancellationToken) {
        let mut rounds = interval(READ_AGAIN);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while end.run_until_cancelled(rounds.tick()).await.is_some() {
            if let Some(Err(error)) = end.run_until_cancelled(self.read()).await {
                tracing::debug!(%error, "the mail accounts could not be read again");
            }
        }
    }
}

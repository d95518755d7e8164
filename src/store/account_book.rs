//! What a start asks of the mail accounts, in memory: whether there is one to send through.
//! What is set up here or elsewhere is known a few seconds later; where none is known, the store is asked at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{Accounts, StoreResult};

/// How often the store is asked again.
const READ_AGAIN: Duration = Duration::from_secs(2);

/// The enabled accounts, as last read.
pub struct AccountBook {
    store: Arc<dyn Accounts>,
    any: AtomicBool,
}

impl AccountBook {
    /// Knows of none until it has read.
    #[must_use]
    pub fn new(store: Arc<dyn Accounts>) -> Self {
        Self {
            store,
            any: AtomicBool::new(false),
        }
    }

    /// Whether there is an account to send through. Where none was known, somebody may just have added one.
    pub async fn any(&self) -> StoreResult<bool> {
        if self.any.load(Ordering::Relaxed) {
            return Ok(true);
        }
        self.read().await
    }

    /// Reads the accounts: whether any is enabled.
    pub async fn read(&self) -> StoreResult<bool> {
        let accounts = self.store.list().await?;
        let any = accounts.iter().any(|account| account.settings.enabled);
        self.any.store(any, Ordering::Relaxed);
        Ok(any)
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

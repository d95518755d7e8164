//! The policies in force, in memory: what is set at run time over what is configured. A start asks this, not the
//! database; what another process sets is known here a few seconds later.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio::{
    sync::Mutex,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{Policies, SetPolicies, StoreResult};
use crate::domain::otp_policy::{Configured, Policies as InForce};

/// How often the store is asked what other processes have set.
const READ_AGAIN: Duration = Duration::from_secs(2);

/// The policies in force.
pub struct PolicyBook {
    configured: Configured,
    store: Arc<dyn Policies>,
    in_force: RwLock<Arc<InForce>>,
    /// One reads at a time: what is read later is never overtaken by what was read before it.
    reading: Mutex<()>,
}

impl PolicyBook {
    /// With what is configured; what is set is known after the first [`PolicyBook::read`].
    #[must_use]
    pub fn new(configured: Configured, store: Arc<dyn Policies>) -> Self {
        let (in_force, _) = configured.resolve(&BTreeMap::new(), true);
        Self {
            configured,
            store,
            in_force: RwLock::new(Arc::new(in_force)),
            reading: Mutex::new(()),
        }
    }

    /// What is configured.
    #[must_use]
    pub fn configured(&self) -> &Configured {
        &self.configured
    }

    /// The policies in force, as last read.
    #[must_use]
    pub fn current(&self) -> Arc<InForce> {
        Arc::clone(&self.in_force.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads what is set, and puts it in force.
    pub async fn read(&self) -> StoreResult<SetPolicies> {
        let _one_at_a_time = self.reading.lock().await;
        let set = self.store.all().await?;
        let drafts = set.by_event.iter();
        let drafts = drafts
            .map(|(event, set)| (event.clone(), set.draft.clone()))
            .collect();
        let (fresh, faults) = self.configured.resolve(&drafts, set.sending.enabled);
        metrics::gauge!("mailfactor_sending_enabled").set(if fresh.sending { 1.0 } else { 0.0 });
        let mut in_force = self.in_force.write().unwrap_or_else(PoisonError::into_inner);
        if **in_force != fresh {
            if !faults.is_empty() {
                tracing::error!(%faults, "policies that no longer fit the configuration are left out");
            }
            if in_force.sending != fresh.sending {
                tracing::warn!(enabled = fresh.sending, "the master switch of sending was moved");
            }
            *in_force = Arc::new(fresh);
        }
        drop(in_force);
        Ok(set)
    }

    /// Reads again every few seconds until the token is cancelled. While the store is away, what was last read holds.
    pub async fn keep_fresh(self: Arc<Self>, end: CancellationToken) {
        let mut rounds = interval(READ_AGAIN);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while end.run_until_cancelled(rounds.tick()).await.is_some() {
            if let Some(Err(error)) = end.run_until_cancelled(self.read()).await {
                tracing::warn!(%error, "the policies could not be read again");
            }
        }
    }
}

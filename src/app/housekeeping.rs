//! Housekeeping: forgets what is past its retention.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Retention,
    domain::{challenge::Challenge, clock::Clock},
    store::{Audit, Challenges, Outbox, StoreError},
};

/// How often what is past its retention is looked for.
const ROUND: Duration = Duration::from_mins(5);

/// Rows forgotten in one transaction: few enough that nobody waits for it.
const BATCH: u32 = 500;

/// What housekeeping works with.
pub(super) struct Housekeeping {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) challenges: Arc<dyn Challenges>,
    pub(super) outbox: Arc<dyn Outbox>,
    pub(super) audit: Arc<dyn Audit>,
    pub(super) retention: Retention,
}

impl Housekeeping {
    /// Goes round until the token is cancelled.
    pub(super) async fn run(self, end: CancellationToken) {
        let mut rounds = interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while end.run_until_cancelled(rounds.tick()).await.is_some() {
            if let Some(Err(error)) = end.run_until_cancelled(self.purge()).await {
                tracing::warn!(%error, "the store could not be cleaned up");
            }
        }
    }

    /// Forgets in batches, until a batch is not full. Mails go first: their challenges are looked up from them.
    #[tracing::instrument(name = "app.purge", skip_all)]
    async fn purge(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let decoys = now.minus(Challenge::REMEMBERED);
        while self.outbox.purge_decoys(decoys, BATCH).await? >= u64::from(BATCH) {}
        while self.challenges.purge_decoys(decoys, BATCH).await? >= u64::from(BATCH) {}
        let mails = now.minus(self.retention.outbox);
        while self.outbox.purge(mails, BATCH).await? >= u64::from(BATCH) {}
        let challenges = now.minus(self.retention.challenges);
        while self.challenges.purge(challenges, BATCH).await? >= u64::from(BATCH) {}
        let audit = now.minus(self.retention.audit);
        while self.audit.purge(audit, BATCH).await? >= u64::from(BATCH) {}
        Ok(())
    }
}

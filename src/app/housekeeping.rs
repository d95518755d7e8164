//! Housekeeping: forgets what is past its retention, and measures what is waiting.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Retention,
    domain::clock::Clock,
    store::{Challenges, Outbox, StoreError},
};

/// How often the outbox is measured.
const MEASURE: Duration = Duration::from_secs(5);

/// How often what is past its retention is looked for, in measurements: every five minutes.
const PURGE: u32 = 60;

/// Rows forgotten in one transaction: few enough that nobody waits for it.
const BATCH: u32 = 500;

/// What housekeeping works with.
pub(super) struct Housekeeping {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) challenges: Arc<dyn Challenges>,
    pub(super) outbox: Arc<dyn Outbox>,
    pub(super) retention: Retention,
}

impl Housekeeping {
    /// Goes round until the token is cancelled.
    pub(super) async fn run(self, end: CancellationToken) {
        let mut ticks = interval(MEASURE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut round = 0;
        while end.run_until_cancelled(ticks.tick()).await.is_some() {
            self.measure().await;
            if round % PURGE == 0 {
                match end.run_until_cancelled(self.purge()).await {
                    Some(Err(error)) => tracing::warn!(%error, "the store could not be cleaned up"),
                    Some(Ok(())) | None => {}
                }
            }
            round += 1;
        }
    }

    async fn measure(&self) {
        let Ok(depth) = self.outbox.depth().await else {
            return;
        };
        let now = self.clock.now();
        let age = depth.oldest.map_or(Duration::ZERO, |oldest| now.since(oldest));
        #[expect(
            clippy::cast_precision_loss,
            reason = "a gauge is a float; no queue reaches 2^52"
        )]
        metrics::gauge!("mailfactor_outbox_waiting").set(depth.waiting as f64);
        metrics::gauge!("mailfactor_outbox_oldest_seconds").set(age.as_secs_f64());
    }

    /// Forgets in batches, until a batch is not full. Mails go first: their challenges are looked up from them.
    #[tracing::instrument(name = "app.purge", skip_all)]
    async fn purge(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let mails = now.minus(self.retention.outbox);
        while self.outbox.purge(mails, BATCH).await? >= u64::from(BATCH) {}
        let challenges = now.minus(self.retention.challenges);
        while self.challenges.purge(challenges, BATCH).await? >= u64::from(BATCH) {}
        Ok(())
    }
}

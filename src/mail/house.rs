//! What the worker does beside the mails: ends those whose time is over, measures the queue, tries out accounts that fail.

use std::time::Duration;

use futures_util::future::join_all;

use super::Worker;

/// How many mails whose time is over are ended in one go.
const MOST_EXPIRED: u32 = 200;

impl Worker {
    /// Finds out which of the accounts that fail work again, without a mail, so that none waits for them.
    pub(super) async fn try_out_resting(&self) {
        let Ok(accounts) = self.accounts.list().await else {
            return;
        };
        let resting = accounts
            .iter()
            .filter(|account| account.settings.enabled && self.transports.is_resting(account));
        join_all(resting.map(|account| self.transports.try_out(account))).await;
    }

    /// Ends mails whose time is over, and now and then measures the queue.
    pub(super) async fn keep_house(&self, survey: bool) {
        match self.outbox.expire(self.clock.now(), MOST_EXPIRED).await {
            Ok(ended) => {
                if !ended.is_empty() {
                    metrics::counter!("mailfactor_mails_total", "outcome" => "expired", "stage" => "none")
                        .increment(ended.len() as u64);
                }
                ended
                    .into_iter()
                    .flatten()
                    .for_each(|challenge| self.changes.ring(challenge));
            }
            Err(error) => tracing::error!(error = %error, "mails whose time is over cannot be ended"),
        }
        if !survey {
            return;
        }
        if let Ok(depth) = self.outbox.depth().await {
            let age = depth
                .oldest
                .map_or(Duration::ZERO, |oldest| self.clock.now().since(oldest));
            #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
            metrics::gauge!("mailfactor_outbox_waiting").set(depth.waiting as f64);
            metrics::gauge!("mailfactor_outbox_oldest_seconds").set(age.as_secs_f64());
        }
        if let Ok(accounts) = self.accounts.list().await {
            let enabled = accounts.iter().filter(|account| account.settings.enabled);
            self.transports.retain(enabled);
        }
    }
}

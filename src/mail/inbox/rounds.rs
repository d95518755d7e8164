//! The rounds: every second a look at which inboxes are due, a few read at a time, and checks that somebody asks for.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Checked, Collector};
use crate::{domain::id::InboxId, store::StoreResult};

/// How often due inboxes are looked for.
const EVERY: Duration = Duration::from_secs(1);

/// How many inboxes are read at a time.
const AT_A_TIME: usize = 4;

/// How long checks under way have, at the end.
const LAST_CHECKS: Duration = Duration::from_secs(5);

/// How many checks may be asked for and not begun.
pub(super) const WAITING: usize = 16;

/// Somebody asks for a check.
#[derive(Debug)]
pub(super) struct Request {
    inbox: InboxId,
    answer: oneshot::Sender<StoreResult<Checked>>,
}

/// Where a check is asked for. It goes on where whoever asked is gone.
#[derive(Clone, Debug)]
pub struct CheckDesk {
    pub(super) sender: mpsc::Sender<Request>,
}

impl CheckDesk {
    /// Has an inbox checked now. `None`: the rounds have ended.
    pub async fn check(&self, inbox: InboxId) -> Option<StoreResult<Checked>> {
        let (answer, answered) = oneshot::channel();
        self.sender.send(Request { inbox, answer }).await.ok()?;
        answered.await.ok()
    }
}

/// The rounds.
pub struct Rounds {
    pub(super) collector: Arc<Collector>,
    pub(super) requests: mpsc::Receiver<Request>,
}

impl Rounds {
    /// Goes on until `soft` is cancelled; checks under way get a little time to end.
    pub async fn run(mut self, soft: CancellationToken) {
        let mut looks = interval(EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut checks: JoinSet<InboxId> = JoinSet::new();
        let mut reading = HashSet::new();
        loop {
            let room = AT_A_TIME.saturating_sub(checks.len());
            tokio::select! {
                () = soft.cancelled() => break,
                Some(ended) = checks.join_next() => match ended {
                    Ok(inbox) => drop(reading.remove(&inbox)),
                    // Which one panicked is not known; the lease in the store keeps order.
                    Err(_) => reading.clear(),
                },
                Some(request) = self.requests.recv(), if room > 0 => {
                    let collector = Arc::clone(&self.collector);
                    checks.spawn(async move {
                        // Whoever asked may be gone.
                        let _ = request.answer.send(collector.check(request.inbox).await);
                        request.inbox
                    });
                }
                _ = looks.tick(), if room > 0 => {
                    for inbox in self.due(room).await {
                        if reading.insert(inbox) {
                            let collector = Arc::clone(&self.collector);
                            checks.spawn(async move {
                                if let Err(error) = collector.check(inbox).await {
                                    tracing::warn!(error = %error, "an inbox could not be claimed");
                                }
                                inbox
                            });
                        }
                    }
                }
            }
        }
        // What is not finished by then is stopped: nothing is deleted before what it tells is durable.
        let finish = async { while checks.join_next().await.is_some() {} };
        let _ = timeout(LAST_CHECKS, finish).await;
    }

    async fn due(&self, limit: usize) -> Vec<InboxId> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let now = self.collector.clock.now();
        match self.collector.inboxes.due_inboxes(now, limit).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(error = %error, "due inboxes could not be looked for");
                Vec::new()
            }
        }
    }
}

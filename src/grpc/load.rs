//! Room for calls: a bounded number is in flight, the rest is refused at once. Nothing queues.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

use super::{
    methods::{Access, Kind, Method},
    status,
};

/// When a refused caller should try again.
const RETRY: Duration = Duration::from_secs(1);

/// The room there is. Streams that stay open for minutes have a room of their own and never crowd out calls; those that
/// anybody may open never crowd out those of callers.
pub(super) struct Load {
    calls: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    public_streams: Arc<Semaphore>,
}

impl Load {
    /// Room for so many calls, and as many streams of either sort.
    pub(super) fn new(most: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        Self {
            calls: Arc::new(Semaphore::new(most)),
            streams: Arc::new(Semaphore::new(most)),
            public_streams: Arc::new(Semaphore::new(most)),
        }
    }

    /// Takes a place, given back when the permit is dropped. A check of health needs none.
    pub(super) fn enter(&self, method: &Method) -> Result<Option<OwnedSemaphorePermit>, Status> {
        let room = match (method.kind, method.access) {
            (Kind::Pulse, _) => return Ok(None),
            (Kind::Call, _) => &self.calls,
            (Kind::Watch | Kind::Dialogue, Access::Roles(_)) => &self.streams,
            (Kind::Watch | Kind::Dialogue, Access::Public) => &self.public_streams,
        };
        let permit = Arc::clone(room).try_acquire_owned();
        permit
            .map(Some)
            .map_err(|_| status::exhausted("OVERLOADED", "too many calls are in flight; try again", RETRY))
    }
}

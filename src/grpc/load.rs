//! Room for calls: a bounded number is in flight, the rest is refused at once. Nothing queues.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

use super::{
    methods::{Kind, Method},
    status,
};

/// When a refused caller should try again.
const RETRY: Duration = Duration::from_secs(1);

/// The room there is. Streams that stay open for minutes have a room of their own: they never crowd out calls.
pub(super) struct Load {
    calls: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

impl Load {
    /// Room for so many calls, and so many streams.
    pub(super) fn new(most: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        Self {
            calls: Arc::new(Semaphore::new(most)),
            streams: Arc::new(Semaphore::new(most)),
        }
    }

    /// Takes a place, given back when the permit is dropped. A check of health needs none.
    pub(super) fn enter(&self, method: &Method) -> Result<Option<OwnedSemaphorePermit>, Status> {
        let room = match method.kind {
            Kind::Pulse => return Ok(None),
            Kind::Call => &self.calls,
            Kind::Watch | Kind::Dialogue => &self.streams,
        };
        let permit = Arc::clone(room).try_acquire_owned();
        permit
            .map(Some)
            .map_err(|_| status::exhausted("OVERLOADED", "too many calls are in flight; try again", RETRY))
    }
}

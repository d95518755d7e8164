//! Requeue: a failed mail is tried again while its code lives.

use super::{Entry, Office, OutboxError};
use crate::{
    domain::{audit::Action, delivery::DeliveryState, id::EntryId, visitor::Visitor},
    store::{Requeued, StoreError},
};

/// Why an entry is not tried again.
#[derive(Debug, thiserror::Error)]
pub enum RequeueError {
    /// It could not be had.
    #[error(transparent)]
    Entry(#[from] OutboxError),
    /// It is in another state.
    #[error("the entry has not failed")]
    NotFailed,
    /// Its code is no longer good.
    #[error("the code of the entry is no longer good")]
    Expired,
}

impl From<StoreError> for RequeueError {
    fn from(error: StoreError) -> Self {
        Self::Entry(error.into())
    }
}

impl Office {
    /// Makes a failed entry due at once.
    #[tracing::instrument(name = "policy.requeue_entry", skip_all, fields(entry.id = %id))]
    pub async fn requeue_entry(&self, caller: &Visitor, id: EntryId) -> Result<Entry, RequeueError> {
        let note = self.note(caller, Action::OutboxRequeue);
        match self.outbox.requeue(id, self.clock.now(), &note).await? {
            Requeued::Unknown => Err(OutboxError::Unknown.into()),
            Requeued::NotFailed => Err(RequeueError::NotFailed),
            Requeued::Expired => Err(RequeueError::Expired),
            Requeued::Due(entry) => {
                tracing::info!(
                    caller.name = %caller.name,
                    state = DeliveryState::Deferred.name(),
                    "a failed mail is tried again"
                );
                self.handoff.wake();
                Ok(*entry)
            }
        }
    }
}

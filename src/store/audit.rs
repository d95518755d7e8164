//! The contract of the audit: what was done is written with what it changed, and never changed again.
//!
//! Whoever changes something through another contract hands a [`Note`] along; the implementation writes the event in the
//! same transaction, if something was changed.

use async_trait::async_trait;

use super::StoreResult;
use crate::domain::{
    audit::{Action, AuditEvent, Change, Note, Object},
    clock::Timestamp,
    id::AuditId,
};

/// Which events to list; all that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Of one of these actions; empty: of any.
    pub actions: Vec<Action>,
    /// On the object of this identifier or name.
    pub object: Option<String>,
    /// By the actor of this identifier or name.
    pub actor: Option<String>,
    /// At or after this.
    pub from: Option<Timestamp>,
    /// Before this.
    pub until: Option<Timestamp>,
}

/// Where a page begins: after this event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditKey {
    /// When it was.
    pub at: Timestamp,
    /// Its name, among those of the same microsecond.
    pub id: AuditId,
}

impl AuditKey {
    /// An event's.
    #[must_use]
    pub fn of(event: &AuditEvent) -> Self {
        Self {
            at: event.at,
            id: event.note.id,
        }
    }
}

/// What was done.
#[async_trait]
pub trait Audit: Send + Sync {
    /// Writes an event of its own, for what is done outside the store.
    async fn record(&self, note: &Note, object: Object, change: Change) -> StoreResult<()>;

    /// Events, the last one first. Costs what the page costs, wherever in the list it lies.
    async fn list(
        &self,
        filter: &AuditFilter,
        after: Option<AuditKey>,
        limit: u32,
    ) -> StoreResult<Vec<AuditEvent>>;

    /// Forgets events from before this moment, at most `limit`; says how many.
    async fn purge(&self, before: Timestamp, limit: u32) -> StoreResult<u64>;
}

//! The audit: what is noted with every change, and what was done.

use super::{Office, StoreError};
use crate::domain::{audit::Note, id::AuditId, visitor::Visitor};
pub use crate::{
    domain::audit::{Action, ActorKind, AuditEvent},
    store::{AuditFilter, AuditKey},
};

/// A page of events.
#[derive(Clone, Debug)]
pub struct AuditPage {
    /// The events, the last one first.
    pub events: Vec<AuditEvent>,
    /// Where the next page begins; `None`: this was the last.
    pub next: Option<AuditKey>,
}

impl Office {
    /// A page of up to `size` events.
    #[tracing::instrument(name = "policy.list_audit_events", skip_all)]
    pub async fn list_audit_events(
        &self,
        filter: &AuditFilter,
        after: Option<AuditKey>,
        size: u32,
    ) -> Result<AuditPage, StoreError> {
        // One more than is shown tells whether there is a next page.
        let mut events = self.audit.list(filter, after, size.saturating_add(1)).await?;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let more = events.len() > size;
        events.truncate(size);
        let next = events.last().filter(|_| more).map(AuditKey::of);
        Ok(AuditPage { events, next })
    }

    /// What goes along with a change.
    pub(super) fn note(&self, visitor: &Visitor, action: Action) -> Note {
        Note::of(visitor, AuditId::random(&*self.entropy), action)
    }
}

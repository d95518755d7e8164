//! The outbox report.

use super::Office;
use crate::domain::id::EntryId;
pub use crate::store::{AttemptRecord, Entry, EntryFilter, MailKind, PageKey, StoreError};

/// A page of entries.
#[derive(Clone, Debug)]
pub struct EntryPage {
    /// The entries, newest first.
    pub entries: Vec<Entry>,
    /// Where the next page begins; `None`: this was the last.
    pub next: Option<PageKey>,
}

/// Why an entry was not shown.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// No such entry.
    #[error("no such outbox entry")]
    Unknown,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Office {
    /// A page of entries.
    #[tracing::instrument(name = "policy.list_entries", skip_all)]
    pub async fn list_entries(
        &self,
        filter: &EntryFilter,
        after: Option<PageKey>,
        size: u32,
    ) -> Result<EntryPage, OutboxError> {
        // One more than asked for tells whether a further page exists.
        let mut entries = self.outbox.list(filter, after, size.saturating_add(1)).await?;
        let wanted = usize::try_from(size).unwrap_or(usize::MAX);
        let more = entries.len() > wanted;
        entries.truncate(wanted);
        let last = entries.last().map(|entry| PageKey {
            submitted_at: entry.submitted_at,
            id: entry.id,
        });
        Ok(EntryPage {
            next: last.filter(|_| more),
            entries,
        })
    }

    /// One entry with its attempts.
    #[tracing::instrument(name = "policy.entry", skip_all, fields(entry.id = %id))]
    pub async fn entry(&self, id: EntryId) -> Result<(Entry, Vec<AttemptRecord>), OutboxError> {
        let entry = self.outbox.find(id).await?.ok_or(OutboxError::Unknown)?;
        let attempts = self.outbox.attempts(id).await?;
        Ok((entry, attempts))
    }
}

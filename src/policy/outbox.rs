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
    /// A page of up to `size` entries, newest first.
    #[tracing::instrument(name = "policy.list_entries", skip_all)]
    pub async fn list_entries(
        &self,
        filter: &EntryFilter,
        after: Option<PageKey>,
        size: u32,
    ) -> Result<EntryPage, OutboxError> {
        // One more than is shown tells whether there is a next page.
        let most = size.saturating_add(1);
        let entries = self.outbox.list(filter, after, most).await?;
        Ok(page(entries, size))
    }

    /// One entry with its attempts.
    #[tracing::instrument(name = "policy.entry", skip_all, fields(entry.id = %id))]
    pub async fn entry(&self, id: EntryId) -> Result<(Entry, Vec<AttemptRecord>), OutboxError> {
        let entry = self.outbox.find(id).await?.ok_or(OutboxError::Unknown)?;
        let attempts = self.outbox.attempts(id).await?;
        Ok((entry, attempts))
    }
}

fn page(mut entries: Vec<Entry>, size: u32) -> EntryPage {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let more = entries.len() > size;
    entries.truncate(size);
    let next = entries.last().filter(|_| more).map(|last| PageKey {
        submitted_at: last.submitted_at,
        id: last.id,
    });
    EntryPage { entries, next }
}

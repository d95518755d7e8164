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
    pub async fn list_entries(
        &self,
        filter: &EntryFilter,
        after: Option<PageKey>,
        size: u32,
    ) -> Result<EntryPage, OutboxError> {
        todo!("{filter:?} {after:?} {size}")
    }

    /// One entry with its attempts.
    pub async fn entry(&self, id: EntryId) -> Result<(Entry, Vec<AttemptRecord>), OutboxError> {
        todo!("{id:?}")
    }
}

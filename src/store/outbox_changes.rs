//! What the contract of the outbox says of changes: they are read in the order they happened.

use super::Entry;
use crate::domain::{clock::Timestamp, id::EntryId};

/// Where a page of changes begins: after this entry's last change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeKey {
    /// When it changed, on the store's clock.
    pub changed_at: Timestamp,
    /// Its name, among those that changed in the same microsecond.
    pub id: EntryId,
}

impl ChangeKey {
    /// An entry's.
    #[must_use]
    pub fn of(entry: &Entry) -> Self {
        Self {
            changed_at: entry.changed_at,
            id: entry.id,
        }
    }
}

/// A page of changes.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The entries as they stand, by their last change.
    pub entries: Vec<Entry>,
    /// When this was read, on the store's clock: what changes later has a later moment, but for what was being written
    /// meanwhile.
    pub as_of: Timestamp,
}

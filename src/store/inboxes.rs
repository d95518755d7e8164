//! The contract of inboxes: their settings, who reads them at present, and how far they were read.

use std::time::Duration;

use async_trait::async_trait;

use super::StoreResult;
use crate::domain::{
    audit::Note,
    clock::Timestamp,
    id::{InboxId, LeaseId},
    inbox::{Inbox, InboxSettings, Position},
};

/// How a write to the inboxes went.
#[derive(Clone, Debug)]
pub enum InboxWrite {
    /// Written; the inbox as it now stands.
    Saved(Box<Inbox>),
    /// Another inbox has that name.
    NameTaken,
    /// The inbox was changed since the version that was named.
    Stale,
    /// No such inbox.
    Unknown,
    /// There are [`MOST_INBOXES`] already.
    Full,
}

/// How many inboxes there may be.
pub const MOST_INBOXES: i64 = 100;

/// What became of the wish to read an inbox.
#[derive(Clone, Debug)]
pub enum BegunCheck {
    /// It is this reader's alone until the lease runs out.
    Begun(Box<Inbox>, Position),
    /// Somebody else is reading it.
    Busy,
    /// No such inbox.
    Unknown,
}

/// How a check went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckEnd {
    /// When it ended.
    pub at: Timestamp,
    /// Why it failed; `None`: it did not.
    pub error: Option<String>,
    /// When the next one is due.
    pub next_check_at: Timestamp,
    /// How many messages were read.
    pub messages_read: u64,
    /// How many of them told of a mail of ours.
    pub reports_matched: u64,
    /// Where reading goes on.
    pub position: Position,
}

/// Inboxes. A lease holds on the store's clock, and a change of the settings ends it: whoever held it changes nothing more.
#[async_trait]
pub trait Inboxes: Send + Sync {
    /// Creates one, due at once.
    async fn create_inbox(
        &self,
        id: InboxId,
        settings: InboxSettings,
        now: Timestamp,
        note: &Note,
    ) -> StoreResult<InboxWrite>;

    /// Changes one, from the version that is named, if one is. It is due at once; elsewhere
    /// ([`InboxSettings::is_elsewhere`]) reading begins anew.
    async fn update_inbox(
        &self,
        id: InboxId,
        settings: InboxSettings,
        version: Option<i64>,
        now: Timestamp,
        note: &Note,
    ) -> StoreResult<InboxWrite>;

    /// Deletes one. Answers with what was there.
    async fn delete_inbox(&self, id: InboxId, version: Option<i64>, note: &Note) -> StoreResult<InboxWrite>;

    /// Looks one up.
    async fn find_inbox(&self, id: InboxId) -> StoreResult<Option<Inbox>>;

    /// All of them, by name.
    async fn list_inboxes(&self) -> StoreResult<Vec<Inbox>>;

    /// Those that are enabled, checked by themselves, due and free, at most `limit`, the one that is due longest first.
    async fn due_inboxes(&self, now: Timestamp, limit: u32) -> StoreResult<Vec<InboxId>>;

    /// Takes the right to read one for this long.
    async fn begin_check(&self, id: InboxId, lease: LeaseId, hold: Duration) -> StoreResult<BegunCheck>;

    /// Whether the lease still holds: asked before anything is deleted at the server.
    async fn holds_check(&self, id: InboxId, lease: LeaseId) -> StoreResult<bool>;

    /// Notes how it went and gives the lease up. `false`: it was lost, and nothing was changed.
    async fn end_check(&self, id: InboxId, lease: LeaseId, end: CheckEnd) -> StoreResult<bool>;

    /// Gives back every lease there is: only for a store that nobody else uses, at the start.
    async fn release_checks(&self) -> StoreResult<()>;
}

//! The contract of reports: what was told of mails after they were sent.

use async_trait::async_trait;

use super::StoreResult;
use crate::domain::{
    id::{ChallengeId, EntryId},
    report::Report,
};

/// How many reports are kept for an entry: they come from outside, and anybody who has seen the mail can write more.
pub const MOST_REPORTS: i64 = 8;

/// What a report was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported {
    /// The entry.
    pub entry: EntryId,
    /// The challenge whose code it carries.
    pub challenge: Option<ChallengeId>,
    /// Whether the entry became bounced by this.
    pub changed: bool,
}

/// Reports on mails.
#[async_trait]
pub trait Reports: Send + Sync {
    /// Notes a report on the mail with exactly this Message-ID; `None`: there is none. A mail that
    /// was sent and came back for good is bounced from now on; one whose attempt is not settled yet, when it is settled as
    /// sent. Nothing else changes. One report of a kind and status is kept, [`MOST_REPORTS`] in all.
    async fn report(&self, entry: EntryId, message_id: &str, report: Report)
    -> StoreResult<Option<Reported>>;

    /// The reports on an entry, oldest first.
    async fn reports(&self, entry: EntryId) -> StoreResult<Vec<Report>>;
}

//! The contract of DKIM keys.

use async_trait::async_trait;

use super::StoreResult;
use crate::domain::{audit::Note, clock::Timestamp, dkim::DkimKey, id::AccountId};

/// How a write to the keys went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DkimWrite {
    /// Written; the key as it now stands, or stood before it was removed.
    Saved(Box<DkimKey>),
    /// It was changed since the version that was named.
    Stale,
    /// No such key, or no such account.
    Unknown,
    /// The account has [`crate::domain::dkim::MOST_KEYS`] already.
    Full,
}

/// DKIM keys, by account and selector. They go with their account.
#[async_trait]
pub trait DkimKeys: Send + Sync {
    /// Writes one, new or over the version that is named, if one is. Its own time and version are not looked at.
    async fn save_dkim_key(
        &self,
        key: DkimKey,
        version: Option<i64>,
        now: Timestamp,
        note: &Note,
    ) -> StoreResult<DkimWrite>;

    /// Removes one.
    async fn remove_dkim_key(
        &self,
        account: AccountId,
        selector: String,
        version: Option<i64>,
        note: &Note,
    ) -> StoreResult<DkimWrite>;

    /// All of an account, by selector.
    async fn dkim_keys(&self, account: AccountId) -> StoreResult<Vec<DkimKey>>;
}

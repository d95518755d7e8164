//! The contract of callers.

use async_trait::async_trait;

use super::StoreResult;
use crate::domain::{
    audit::Note,
    caller::{Caller, CallerId, CertificateDigest, KeyDigest},
    clock::Timestamp,
};

/// How a write to the callers went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerWrite {
    /// Written.
    Saved,
    /// Another caller has that name or certificate.
    Taken,
    /// No such caller.
    Unknown,
}

/// Who may call.
#[async_trait]
pub trait Callers: Send + Sync {
    /// Adds one.
    async fn add(&self, caller: Caller, note: &Note) -> StoreResult<CallerWrite>;

    /// Adds a key; of the older ones only the newest stays live.
    async fn rotate(
        &self,
        id: CallerId,
        key: KeyDigest,
        now: Timestamp,
        note: &Note,
    ) -> StoreResult<CallerWrite>;

    /// Removes one with all its keys.
    async fn remove(&self, id: CallerId, note: &Note) -> StoreResult<CallerWrite>;

    /// Looks one up.
    async fn find(&self, id: CallerId) -> StoreResult<Option<Caller>>;

    /// Looks one up by its client certificate.
    async fn find_by_certificate(&self, certificate: CertificateDigest) -> StoreResult<Option<Caller>>;

    /// All of them, by name.
    async fn list(&self) -> StoreResult<Vec<Caller>>;
}

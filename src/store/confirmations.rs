//! The contract of confirmations: which other addresses users have proved to read.

use async_trait::async_trait;

use super::StoreResult;
use crate::domain::{audit::Note, clock::Timestamp, keyring::Subject};

/// The addresses that users confirmed, each by a code that was sent to it. Written by [`super::Challenges::guess`], together
/// with the verdict; kept as keyed hashes alone. Forgotten a year after.
#[async_trait]
pub trait Confirmations: Send + Sync {
    /// When a user last confirmed an address; `None`: never, or it was forgotten.
    async fn confirmed_at(&self, user: Subject, address: Subject) -> StoreResult<Option<Timestamp>>;

    /// How many addresses a user has confirmed.
    async fn confirmed(&self, user: Subject) -> StoreResult<u64>;

    /// Forgets the addresses that a user has confirmed; says how many. The audit calls the user by `name`: no whole address.
    async fn forget_confirmed(&self, user: Subject, name: &str, note: &Note) -> StoreResult<u64>;
}

//! The contract of what lies sealed in the store, so that it can be sealed anew under another key.

use async_trait::async_trait;

use super::StoreResult;
use crate::domain::keyring::{KeyId, Sealed};

/// The kinds of sealed values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SealedKind {
    /// Secrets of accounts.
    Account,
    /// Mails of the outbox.
    Mail,
    /// What challenges keep for their next mail.
    Context,
    /// Secrets of inboxes.
    Inbox,
}

impl SealedKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Account, Self::Mail, Self::Context, Self::Inbox];
}

/// A sealed value, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedValue {
    /// The 16 bytes of the owner's identifier.
    pub owner: [u8; 16],
    /// The value.
    pub value: Sealed,
}

/// Sealed values, whatever they are for.
#[async_trait]
pub trait Seals: Send + Sync {
    /// Up to `most` values of a kind that were sealed under other keys than this one, by owner, from after `after` on.
    async fn sealed_otherwise(
        &self,
        kind: SealedKind,
        key: &KeyId,
        after: Option<[u8; 16]>,
        most: u32,
    ) -> StoreResult<Vec<SealedValue>>;

    /// Puts values in the place of others, each if that one is still there; says how many were. Nothing else of their
    /// owners changes.
    async fn reseal(&self, kind: SealedKind, values: Vec<(SealedValue, Sealed)>) -> StoreResult<u64>;
}

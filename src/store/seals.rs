//! The contract of what lies sealed in the store, so that it can be sealed anew under another key.

use async_trait::async_trait;

use super::StoreResult;
use crate::domain::{
    id::AccountId,
    keyring::{KeyId, Sealed},
    oauth::Oauth,
};

/// The kinds of sealed values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SealedKind {
    /// Passwords of accounts. Their OAuth settings are sealed anew as a whole: [`Seals::reseal_oauth`].
    Account,
    /// Private keys of accounts' client certificates.
    ClientKey,
    /// Private keys of DKIM.
    Dkim,
    /// Mails of the outbox.
    Mail,
    /// What challenges keep for their next mail.
    Context,
    /// Secrets of inboxes.
    Inbox,
    /// Refresh tokens that replaced those that were given.
    RefreshToken,
}

impl SealedKind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Account,
        Self::ClientKey,
        Self::Dkim,
        Self::Mail,
        Self::Context,
        Self::Inbox,
        Self::RefreshToken,
    ];
}

/// A sealed value, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedValue {
    /// The bytes of the owner's identifier, or of the keyed hash it is kept under.
    pub owner: Vec<u8>,
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
        after: Option<Vec<u8>>,
        most: u32,
    ) -> StoreResult<Vec<SealedValue>>;

    /// Puts OAuth settings in the place of an account's, if those are still there: the same, sealed anew.
    async fn reseal_oauth(&self, account: AccountId, old: &Oauth, new: &Oauth) -> StoreResult<bool>;

    /// Puts values in the place of others, each if that one is still there; says how many were. Nothing else of their
    /// owners changes.
    async fn reseal(&self, kind: SealedKind, values: Vec<(SealedValue, Sealed)>) -> StoreResult<u64>;
}

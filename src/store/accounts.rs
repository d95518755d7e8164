//! The contract of mail accounts.

use async_trait::async_trait;

use super::StoreResult;
use crate::domain::{
    account::{Account, AccountSettings, Proof},
    audit::Note,
    clock::Timestamp,
    id::AccountId,
};

/// How a write to the accounts went.
#[derive(Clone, Debug)]
pub enum AccountWrite {
    /// Written; the account as it now stands.
    Saved(Box<Account>),
    /// Another account has that name.
    NameTaken,
    /// The account was changed since the version that was named.
    Stale,
    /// No such account.
    Unknown,
    /// It is the default and others exist, or it is disabled and cannot be the default.
    IsDefault,
    /// It is disabled and cannot become the default.
    Disabled,
}

/// Mail accounts. Exactly one is the default as long as there are any.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// Creates one; the first becomes the default.
    async fn create(
        &self,
        id: AccountId,
        settings: AccountSettings,
        now: Timestamp,
        note: &Note,
    ) -> StoreResult<AccountWrite>;

    /// Changes one, from the version that is named, if one is.
    async fn update(
        &self,
        id: AccountId,
        settings: AccountSettings,
        version: Option<i64>,
        now: Timestamp,
        note: &Note,
    ) -> StoreResult<AccountWrite>;

    /// Deletes one; the default only as the last. Answers with what was there.
    async fn delete(&self, id: AccountId, version: Option<i64>, note: &Note) -> StoreResult<AccountWrite>;

    /// Makes an enabled account the default.
    async fn set_default(&self, id: AccountId, now: Timestamp, note: &Note) -> StoreResult<AccountWrite>;

    /// Notes the connection test that was passed last. No change: the version stays. Of an account that is gone, nothing.
    async fn note_test(&self, id: AccountId, proof: Proof) -> StoreResult<()>;

    /// Looks one up.
    async fn find(&self, id: AccountId) -> StoreResult<Option<Account>>;

    /// All of them, by name.
    async fn list(&self) -> StoreResult<Vec<Account>>;
}

//! Accounts: create, get, list, update, delete, set the default.

use zeroize::Zeroizing;

use super::Office;
use crate::{
    domain::{
        account::{Account, AccountDraft},
        caller::Caller,
        id::AccountId,
        violation::Violations,
    },
    store::StoreError,
};

/// An account as it was written: the draft, and the password that is still to be sealed.
#[derive(Debug, Default)]
pub struct AccountInput {
    /// All but the password. `draft.secret` is set for files and variables.
    pub draft: AccountDraft,
    /// The password itself.
    pub password: Option<Zeroizing<String>>,
}

/// An account, named either way.
#[derive(Clone, Debug)]
pub enum AccountRef {
    /// By identifier.
    Id(AccountId),
    /// By name.
    Name(String),
}

/// Why an account was not saved or found.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Something is wrong with it.
    #[error(transparent)]
    Invalid(#[from] Violations),
    /// No such account.
    #[error("no such account")]
    Unknown,
    /// Another has that name.
    #[error("another account has that name")]
    NameTaken,
    /// Somebody else changed it in between.
    #[error("the account was changed in between")]
    Stale,
    /// The default account stays enabled and stays, as long as there are others.
    #[error("the account is the default")]
    IsDefault,
    /// A disabled account cannot be the default.
    #[error("the account is disabled")]
    Disabled,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The fields of an account that an update may change, named as in the protocol.
pub const UPDATABLE: [&str; 11] = [
    "name",
    "enabled",
    "host",
    "port",
    "security",
    "authentication",
    "username",
    "secret",
    "sender",
    "display_name",
    "reply_to",
];

impl Office {
    /// Creates an account; the first becomes the default.
    pub async fn create_account(
        &self,
        caller: &Caller,
        input: AccountInput,
    ) -> Result<Account, AccountError> {
        todo!("{caller:?} {input:?}")
    }

    /// Answers with one account.
    pub async fn account(&self, account: &AccountRef) -> Result<Account, AccountError> {
        todo!("{account:?}")
    }

    /// All accounts, by name.
    pub async fn accounts(&self) -> Result<Vec<Account>, AccountError> {
        todo!()
    }

    /// Changes the fields that `mask` names ([`UPDATABLE`]); empty: all, keeping the secret where none is given.
    /// `version` refuses to overwrite somebody else's change.
    pub async fn update_account(
        &self,
        caller: &Caller,
        id: AccountId,
        input: AccountInput,
        mask: &[String],
        version: Option<i64>,
    ) -> Result<Account, AccountError> {
        todo!("{caller:?} {id:?} {input:?} {mask:?} {version:?}")
    }

    /// Deletes an account; the default only as the last.
    pub async fn delete_account(
        &self,
        caller: &Caller,
        account: &AccountRef,
        version: Option<i64>,
    ) -> Result<(), AccountError> {
        todo!("{caller:?} {account:?} {version:?}")
    }

    /// Makes an enabled account the default.
    pub async fn set_default_account(
        &self,
        caller: &Caller,
        account: &AccountRef,
    ) -> Result<Account, AccountError> {
        todo!("{caller:?} {account:?}")
    }
}

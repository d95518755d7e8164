//! Tests: of a connection, stage by stage, and of a whole message.

use super::{AccountError, AccountInput, AccountRef, Office};
use crate::{
    domain::{caller::Caller, delivery::ConnectionReport, id::AccountId, violation::Violations},
    store::{Entry, StoreError},
};

/// What to test.
#[derive(Debug)]
pub enum TestTarget {
    /// A saved account.
    Saved(AccountRef),
    /// Settings that need not be saved; with the id of a saved account and no secret, that account's secret is used.
    Unsaved {
        /// The settings.
        input: Box<AccountInput>,
        /// The account whose secret is used.
        secret_of: Option<AccountId>,
    },
}

/// A test message to be sent.
#[derive(Clone, Debug)]
pub struct TestMessage {
    /// Through which account; `None`: the default.
    pub account: Option<AccountRef>,
    /// Where to, unchecked.
    pub recipient: String,
    /// The subject; empty: a built-in one.
    pub subject: String,
    /// The text; empty: a built-in one.
    pub text: String,
    /// Whether to answer only when the mail server has spoken.
    pub wait: bool,
}

/// Why nothing was tested.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    /// Something is wrong with the request.
    #[error(transparent)]
    Invalid(#[from] Violations),
    /// The account could not be had.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// There is no account at all.
    #[error("no mail account is set up")]
    NoAccount,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Office {
    /// Tries an account's settings against its mail server, up to RSET. `recipient` empty: the sender itself.
    pub async fn test_connection(
        &self,
        caller: &Caller,
        target: TestTarget,
        recipient: &str,
    ) -> Result<ConnectionReport, TestError> {
        todo!("{caller:?} {target:?} {recipient}")
    }

    /// Sends a test message through the outbox and the worker.
    pub async fn send_test_message(&self, caller: &Caller, message: TestMessage) -> Result<Entry, TestError> {
        todo!("{caller:?} {message:?}")
    }
}

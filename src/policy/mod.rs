//! The office: the use cases of `MailSenderPolicy` and `MailOutbox`.
//!
//! Accounts are created, changed and tested here, and the outbox is read. A test takes the very path real mail takes: a
//! connection test uses the worker's dialer, a test message goes through the outbox and the worker.

use std::{path::PathBuf, sync::Arc, time::Duration};

use crate::{
    domain::{address::LocalPart, clock::Clock, entropy::Entropy, keyring::Keyring, mask::Mask},
    mail::Transports,
    store::{Accounts, Outbox, handoff::Handoff},
};

mod accounts;
mod gate;
mod merge;
mod outbox;
mod secrets;
mod test;
mod vitals;

pub use accounts::{AccountError, AccountInput, AccountRef};
pub use gate::Gate;
pub use merge::UPDATABLE;
pub use outbox::{AttemptRecord, Entry, EntryFilter, EntryPage, MailKind, OutboxError, PageKey, StoreError};
pub use test::{TestError, TestMessage, TestTarget};
pub use vitals::Vitals;

/// What the office works with.
pub struct Office {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// The service's keys.
    pub keyring: Arc<Keyring>,
    /// Mail accounts.
    pub accounts: Arc<dyn Accounts>,
    /// Mails owed.
    pub outbox: Arc<dyn Outbox>,
    /// The worker's connections.
    pub transports: Arc<Transports>,
    /// The way to this instance's worker.
    pub handoff: Handoff,
    /// The rest.
    pub settings: OfficeSettings,
}

/// Settings of the office.
#[derive(Clone, Debug)]
pub struct OfficeSettings {
    /// Which local parts senders and recipients may have.
    pub local_part: LocalPart,
    /// The directories in which files with secrets may lie.
    pub secret_directories: Vec<PathBuf>,
    /// What stands after the `@` of a Message-ID.
    pub message_id_domain: String,
    /// How recipients of test messages are shown.
    pub mask: Mask,
    /// How long a test message is tried.
    pub test_lifetime: Duration,
    /// How long a caller that waits for the mail server waits at the most.
    pub wait: Duration,
}

#[cfg(test)]
#[path = "office_tests.rs"]
mod tests;

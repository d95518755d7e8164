//! The office: the use cases of `MailSenderPolicy`, `MailOutbox` and `MailInbox`.
//!
//! Accounts are created, changed and tested here, and the outbox is read. A test takes the very path real mail takes: a
//! connection test uses the worker's dialer, a test message goes through the outbox and the worker.

use std::{sync::Arc, time::Duration};

use crate::{
    domain::{address::LocalPart, clock::Clock, entropy::Entropy, keyring::Keyring},
    mail::{Library, Signer, Transports},
    store::{
        Accounts, Audit, DkimKeys, Outbox, Policies, Templates, handoff::Handoff, policy_book::PolicyBook,
    },
};

mod accounts;
mod audit;
mod dkim;
mod export;
mod gate;
mod identity;
mod inbox_merge;
mod inboxes;
mod merge;
mod oauth;
mod otp_policy;
mod outbox;
mod prove;
mod reports;
mod requeue;
mod secrets;
mod templates;
mod test;
mod vitals;
mod watch;

pub use crate::{
    mail::{CheckReport, Matched, Obstacle, Standing},
    store::Sending,
};
pub use accounts::{AccountError, AccountInput, AccountRef};
pub use audit::{Action, ActorKind, AuditEvent, AuditFilter, AuditKey, AuditPage};
pub use dkim::{DkimDraft, DkimError, DkimSource};
pub use gate::{Gate, Proof};
pub use inbox_merge::UPDATABLE_INBOX;
pub use inboxes::{InboxError, InboxInput, InboxOffice, InboxRef, InboxTarget};
pub use merge::UPDATABLE;
pub use otp_policy::{PolicyError, PolicyView};
pub use outbox::{
    AttemptRecord, Entry, EntryFilter, EntryOrder, EntryPage, EntrySearch, MailKind, OutboxError, PageKey,
    StoreError,
};
pub use prove::SavedAccount;
pub use reports::{ReportLane, ReportTurn};
pub use requeue::RequeueError;
pub use templates::{Sample, Shown, TemplateError};
pub use test::{TestError, TestMessage, TestTarget};
pub use vitals::Vitals;
pub use watch::EntryNews;

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
    /// The reports that are being read.
    pub reports: ReportLane,
    /// What was done.
    pub audit: Arc<dyn Audit>,
    /// Policies as they are set at run time.
    pub set_policies: Arc<dyn Policies>,
    /// The policies in force.
    pub policies: Arc<PolicyBook>,
    /// The worker's connections.
    pub transports: Arc<Transports>,
    /// Keys that sign mails.
    pub dkim: Arc<dyn DkimKeys>,
    /// What signs with them.
    pub signer: Arc<Signer>,
    /// Templates in place of built-in ones.
    pub templates: Arc<dyn Templates>,
    /// The same, as the worker knows them.
    pub library: Arc<Library>,
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
    /// Whether accounts are enabled only with settings that passed the connection test.
    pub tested_only: bool,
    /// What stands after the `@` of a Message-ID.
    pub message_id_domain: String,
    /// The names of the repositories.
    pub repositories: Vec<String>,
    /// Whether subjects of mails may show the code.
    pub code_in_subject: bool,
    /// How long a test message is tried.
    pub test_lifetime: Duration,
    /// How long a caller that waits for the mail server waits at the most.
    pub wait: Duration,
}

#[cfg(test)]
#[path = "office_tests.rs"]
mod tests;

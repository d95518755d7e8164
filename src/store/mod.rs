//! The archive: our own state, behind contracts.
//!
//! The contracts stand here; [`sql`] keeps them. What an implementation promises is written at each method and checked
//! by one suite for all of them. Two things hold everywhere: `Ok` means durable, and every conditional write says
//! whether its condition held. No contract assumes that it shares a transaction with another, except
//! [`Challenges::start`] and [`Challenges::resend`], which also charge budgets and write the outbox.
//!
//! In front of the challenges stands [`cached`]: it refuses what can be refused without the database; in front of the mail
//! accounts [`cached_accounts`]. [`handoff`] gives
//! a fresh mail to this instance's worker without another query, [`changes`] wakes whoever waits for news of a
//! challenge, and [`policy_book`] holds the policies in force, [`account_book`] what a start asks of the mail accounts.

use std::time::Duration;

use async_trait::async_trait;

pub mod account_book;
mod accounts;
mod audit;
pub mod cached;
pub mod cached_accounts;
mod callers;
mod challenges;
pub mod changes;
mod confirmations;
#[cfg(test)]
pub(crate) mod contract;
mod dkim;
pub mod handoff;
mod inboxes;
mod outbox;
mod outbox_changes;
mod packed;
mod policies;
pub mod policy_book;
mod refresh_tokens;
mod reports;
mod seals;
pub mod sql;
mod templates;

pub use accounts::{AccountWrite, Accounts};
pub use audit::{Audit, AuditFilter, AuditKey};
pub use callers::{CallerWrite, Callers};
pub use challenges::{
    Budgets, Challenges, Charge, Guess, Guessed, Judged, RequestKey, Resend, Resent, Start, Started,
};
pub use confirmations::Confirmations;
pub use dkim::{DkimKeys, DkimWrite};
pub use inboxes::{BegunCheck, CheckEnd, InboxWrite, Inboxes, MOST_INBOXES};
pub use outbox::{
    AttemptRecord, Claimed, Entry, EntryFilter, EntryOrder, LEASE, Leave, MailKind, NewEntry, Outbox,
    Outcome, PageKey, QueueDepth, Requeued, Settlement,
};
pub use outbox_changes::{ChangeKey, Changed};
pub use policies::{Policies, Sending, SetPolicies, SetPolicy};
pub use refresh_tokens::{REFRESH_TURN, RefreshTokens, RefreshTurn};
pub use reports::{MOST_REPORTS, Reported, Reports};
pub use seals::{SealedKind, SealedValue, Seals};
pub use templates::{TemplateWrite, Templates};

/// The store did not answer, or not in time, or answered what it never wrote.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be read or written at present.
    #[error("the store is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It did not answer in time.
    #[error("the store did not answer within {0:?}")]
    Timeout(Duration),
    /// A row that this version cannot read.
    #[error("the store holds something unreadable in {0}")]
    Corrupt(&'static str),
}

/// What every contract answers with.
pub type StoreResult<T> = Result<T, StoreError>;

/// Whether the store works at all.
#[async_trait]
pub trait Probe: Send + Sync {
    /// Reads and writes, durably: `Ok` means that a start would succeed.
    async fn probe(&self) -> StoreResult<()>;
}

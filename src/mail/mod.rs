//! The post room: the only way out by mail.

use crate::domain::{account::Account, address::EmailAddress, delivery::ConnectionReport};

/// The connections to mail servers, by account.
pub struct Transports {}

impl Transports {
    /// Whether no breaker of an enabled account is open.
    #[must_use]
    pub fn healthy(&self) -> bool {
        todo!()
    }

    /// Tries an account, stage by stage, up to RSET, with a connection of its own.
    pub async fn test(&self, account: &Account, recipient: &EmailAddress) -> ConnectionReport {
        todo!("{account:?} {recipient:?}")
    }
}

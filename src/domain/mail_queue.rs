//! Whose turn a mail waits for: mails of one caller queue behind each other, those of different callers take turns.

use super::caller::{Caller, Role};

/// Names the queue of a caller's mails, as a store keeps it. Not secret.
///
/// 0 is that of mails which no caller asked for, below it are those of callers that go first, above it the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MailQueue(i64);

impl MailQueue {
    /// The one of a caller: authentication servers and administrators go first.
    #[must_use]
    pub fn of(caller: &Caller) -> Self {
        // 62 bits of the name are as good as all of it, and never 0.
        let number = i64::try_from(caller.id.number() >> 2).unwrap_or(i64::MAX) + 1;
        match caller.role {
            Role::Authenticator | Role::Admin => Self(-number),
            Role::Endpoint | Role::Auditor => Self(number),
        }
    }

    /// The queue of a number that a store kept.
    #[must_use]
    pub const fn from_number(number: i64) -> Self {
        Self(number)
    }

    /// The number that stands for it in a store.
    #[must_use]
    pub const fn number(self) -> i64 {
        self.0
    }

    /// Whether its mails go before those of the others, and may use what is in reserve.
    #[must_use]
    pub const fn is_preferred(self) -> bool {
        self.0 <= 0
    }
}

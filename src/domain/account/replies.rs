//! Where answers go when a caller says so in place of the account.

use std::borrow::Cow;

use super::Sender;
use crate::domain::address::EmailAddress;

/// Where a caller wants answers to its mail to go; `None`: where the account says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replies {
    /// In place of [`Sender::reply_to`].
    pub reply_to: Option<EmailAddress>,
    /// In place of [`Sender::return_path`].
    pub return_path: Option<EmailAddress>,
    /// In place of [`Sender::confirmation`]. Whether confirmations are asked for at all, the account says.
    pub confirmation: Option<EmailAddress>,
}

impl Replies {
    /// Whether the caller says anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Sender {
    /// The sender of a mail whose caller wants answers elsewhere: as the caller says, unless the account forces its own.
    #[must_use]
    pub fn answered_at(&self, replies: &Replies) -> Cow<'_, Self> {
        if self.force || replies.is_empty() {
            return Cow::Borrowed(self);
        }
        let or = |wanted: &Option<EmailAddress>, own: &Option<EmailAddress>| {
            wanted.clone().or_else(|| own.clone())
        };
        Cow::Owned(Self {
            reply_to: or(&replies.reply_to, &self.reply_to),
            return_path: or(&replies.return_path, &self.return_path),
            confirmation: or(&replies.confirmation, &self.confirmation),
            ..self.clone()
        })
    }
}

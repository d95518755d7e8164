//! What became of an attempt to send.

use crate::{domain::delivery::SendFailure, store::Leave};

/// A mail server took a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its reply code.
    pub code: u16,
    /// What it said. Bounded, one line, no secrets.
    pub reply: String,
}

/// Why a message was not even offered to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withheld {
    /// The store gave no leave; never [`Leave::Granted`].
    Refused(Leave),
    /// The store could not be asked.
    Unasked,
    /// The time for it has passed.
    Late,
}

/// What is asked once the recipient was accepted, right before the message is transmitted.
pub type Clearance = Result<(), Withheld>;

/// Why a mail was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsent {
    /// The attempt failed.
    Failed(SendFailure),
    /// It was given up before the message went out.
    Withheld(Withheld),
    /// Another attempt found meanwhile that the account fails; this one was given up in favour of the other accounts.
    Overtaken,
}

impl From<SendFailure> for Unsent {
    fn from(failure: SendFailure) -> Self {
        Self::Failed(failure)
    }
}

//! Resend: a fresh code for an open challenge.

use super::{ChallengeView, Desk};
use crate::{
    domain::{
        budget::Lock, caller::Caller, challenge::Standing, clock::Timestamp, id::ChallengeId,
        keyring::KeyringError, message::FormError,
    },
    store::StoreError,
};

/// A checked request for a further code.
#[derive(Clone, Copy, Debug)]
pub struct ResendRequest {
    /// The challenge.
    pub id: ChallengeId,
    /// Whether to answer only when the mail server has spoken.
    pub wait: bool,
}

/// Why no further code was sent.
#[derive(Debug, thiserror::Error)]
pub enum ResendError {
    /// There is no such challenge, or it is somebody else's.
    #[error("no such challenge")]
    Unknown,
    /// It is closed.
    #[error("the challenge is closed")]
    Closed(Standing),
    /// The cooldown is not over.
    #[error("the next code can be sent later")]
    TooEarly(Timestamp),
    /// No further code can be sent for this challenge.
    #[error("no further code can be sent for this challenge")]
    NoMoreCodes,
    /// The caller may not see users, so it may not wait for their mail either.
    #[error("this caller may not wait for the mail server")]
    WaitNotAllowed,
    /// Too many wrong codes lately.
    #[error("the user is locked")]
    UserLocked(Lock),
    /// Too many mails lately.
    #[error("the budget for sending is spent")]
    OverBudget(Timestamp),
    /// A key is missing.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// What the store kept is unreadable.
    #[error(transparent)]
    Form(#[from] FormError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Desk {
    /// Sends a further code.
    #[tracing::instrument(name = "factor.resend", skip_all, fields(challenge.id = %request.id))]
    pub async fn resend(
        &self,
        caller: &Caller,
        request: ResendRequest,
    ) -> Result<ChallengeView, ResendError> {
        todo!("{caller:?}")
    }
}

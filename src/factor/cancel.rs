//! Cancel: close an open challenge.

use super::{ChallengeView, Desk};
use crate::{
    domain::{caller::Caller, challenge::Standing, id::ChallengeId},
    store::StoreError,
};

/// Why a challenge was not cancelled.
#[derive(Debug, thiserror::Error)]
pub enum CancelError {
    /// There is no such challenge, or it is somebody else's.
    #[error("no such challenge")]
    Unknown,
    /// It ended another way.
    #[error("the challenge is closed")]
    Closed(Standing),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Desk {
    /// Cancels a challenge; its unsent mails are withdrawn.
    #[tracing::instrument(name = "factor.cancel", skip_all, fields(challenge.id = %id))]
    pub async fn cancel(&self, caller: &Caller, id: ChallengeId) -> Result<ChallengeView, CancelError> {
        todo!("{caller:?}")
    }
}

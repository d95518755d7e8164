//! Cancel: close an open challenge.

use super::{ChallengeView, Desk, GetError, count};
use crate::{
    domain::{
        caller::Caller,
        challenge::{Standing, State},
        id::ChallengeId,
    },
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

impl From<GetError> for CancelError {
    fn from(error: GetError) -> Self {
        match error {
            GetError::Unknown => Self::Unknown,
            GetError::Store(error) => Self::Store(error),
        }
    }
}

impl Desk {
    /// Cancels a challenge; its unsent mails are withdrawn. Once more on a cancelled one changes nothing.
    #[tracing::instrument(name = "factor.cancel", skip_all, fields(challenge.id = %id))]
    pub async fn cancel(&self, caller: &Caller, id: ChallengeId) -> Result<ChallengeView, CancelError> {
        let before = self.challenge_of(caller, id).await?;
        let now = self.clock.now();
        failpoint!("cancel.before_commit");
        let challenge = self.challenges.cancel(id, now).await;
        failpoint!("cancel.after_commit");
        let challenge = challenge?.ok_or(CancelError::Unknown)?;
        if challenge.state != State::Cancelled {
            return Err(CancelError::Closed(challenge.standing(now)));
        }
        if before.state != State::Cancelled {
            count("cancelled");
            tracing::info!("cancelled");
        }
        self.withdraw(&challenge).await;
        self.changes.ring(id);
        Ok(self.view(caller, challenge).await?)
    }
}

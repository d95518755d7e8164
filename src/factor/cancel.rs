//! Cancel: close an open challenge.

use super::{ChallengeView, Desk, GetError, count};
use crate::{
    domain::{
        caller::Caller,
        challenge::{Challenge, Standing, State},
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
    #[tracing::instrument(level = "debug", name = "factor.cancel", skip_all, fields(challenge.id = %id))]
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

    /// Withdraws what was not sent yet. Only the newest mail can be open: a resend withdraws the older ones. It is looked
    /// at first, because in the usual case it was sent and nothing needs to be written. A failure costs nothing but a
    /// mail with a code that no longer counts.
    ///
    /// A decoy has no mail to withdraw; for it the look alone is the same work as for a user whose mail was sent.
    async fn withdraw(&self, challenge: &Challenge) {
        let withdrawn = match self.outbox.newest(challenge.id).await {
            Ok(Some(entry)) if entry.state.is_open() && !challenge.decoy => {
                self.outbox.withdraw(challenge.id).await
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = withdrawn {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(challenge.id = %challenge.id, error, "unsent mails could not be withdrawn");
        }
    }
}

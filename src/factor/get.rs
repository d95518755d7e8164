//! Get: a challenge as it stands.

use super::{ChallengeView, Desk, GetError};
use crate::domain::{caller::Caller, id::ChallengeId};

impl Desk {
    /// Answers with a challenge of this caller's.
    #[tracing::instrument(level = "debug", name = "factor.get", skip_all, fields(challenge.id = %id))]
    pub async fn get(&self, caller: &Caller, id: ChallengeId) -> Result<ChallengeView, GetError> {
        let challenge = self.present(caller, id).await?;
        Ok(self.view(caller, challenge).await?)
    }
}

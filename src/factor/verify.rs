//! Verify: one right code, once.

use std::sync::Arc;

use super::{Desk, GetError, count};
use crate::{
    domain::{
        caller::Caller,
        challenge::{Challenge, Verdict},
        code::{Code, NotACode},
        id::ChallengeId,
        keyring::KeyringError,
    },
    store::{Guess, Guessed, StoreError},
};

/// Why a code was not judged.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// There is no such challenge, or it is somebody else's.
    #[error("no such challenge")]
    Unknown,
    /// The text cannot be a code of this challenge. It cost no attempt.
    #[error(transparent)]
    NotACode(#[from] NotACode),
    /// A key is missing.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<GetError> for VerifyError {
    fn from(error: GetError) -> Self {
        match error {
            GetError::Unknown => Self::Unknown,
            GetError::Store(error) => Self::Store(error),
        }
    }
}

impl Desk {
    /// Judges a code: the verdict, and the challenge as it stands after it.
    #[tracing::instrument(level = "debug", name = "factor.verify", skip_all, fields(challenge.id = %id))]
    pub async fn verify(
        &self,
        caller: &Caller,
        id: ChallengeId,
        typed: &str,
    ) -> Result<(Verdict, Challenge), VerifyError> {
        let challenge = self.challenge_of(caller, id).await?;
        let code = Code::parse(typed, &challenge.spec)?;
        let judged = match challenge.closed(self.clock.now()) {
            Some(verdict) => (verdict, challenge),
            None => self.judge(Arc::new(challenge), &code).await?,
        };
        let verdict = judged.0.name();
        metrics::counter!("mailfactor_verifications_total", "verdict" => verdict).increment(1);
        tracing::debug!(verdict, "judged");
        Ok(judged)
    }

    async fn judge(
        &self,
        challenge: Arc<Challenge>,
        code: &Code,
    ) -> Result<(Verdict, Challenge), VerifyError> {
        // Every code the challenge may ever have is compared, decoy or not: the work tells nothing, and a resend that
        // overtakes this call changes nothing.
        let numbers = self.keyring.code_key(&challenge.key)?.matches(
            code,
            &challenge.id,
            challenge.most_codes,
            challenge.purpose,
            &challenge.spec,
        );
        let guess = Guess {
            id: challenge.id,
            numbers,
            limits: self.policies.current().of(&challenge.event).guesses,
            known: Some(challenge),
            now: self.clock.now(),
        };
        failpoint!("verify.before_commit");
        let guessed = self.challenges.guess(guess).await;
        failpoint!("verify.after_commit");
        let Guessed { verdict, challenge } = guessed?.ok_or(VerifyError::Unknown)?;
        match verdict {
            Verdict::Verified { .. } => count("verified"),
            Verdict::Wrong { attempts_left: 0 } => count("locked"),
            _ => {}
        }
        self.changes.ring(challenge.id);
        Ok((verdict, challenge))
    }
}

//! Verify: one right code, once.

use super::Desk;
use crate::{
    domain::{
        caller::Caller,
        challenge::{Challenge, Verdict},
        code::NotACode,
        id::ChallengeId,
        keyring::KeyringError,
    },
    store::StoreError,
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

impl Desk {
    /// Judges a code: the verdict, and the challenge as it stands after it.
    #[tracing::instrument(name = "factor.verify", skip_all, fields(challenge.id = %id))]
    pub async fn verify(
        &self,
        caller: &Caller,
        id: ChallengeId,
        typed: &str,
    ) -> Result<(Verdict, Challenge), VerifyError> {
        todo!("{caller:?} {typed}")
    }
}

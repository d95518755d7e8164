//! Resend: a fresh code for an open challenge.

use std::sync::Arc;

use super::{ChallengeView, Desk, GetError, context_place, count, sees_users};
use crate::{
    domain::{
        budget::Lock,
        caller::Caller,
        challenge::{Challenge, Standing},
        clock::Timestamp,
        id::ChallengeId,
        keyring::KeyringError,
        message::{FormError, MailContext},
    },
    store::{Resend, Resent, StoreError, handoff::Owed},
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
    /// The master switch is off.
    #[error("sending is switched off")]
    SendingDisabled,
    /// No mail account is enabled.
    #[error("no mail account is enabled")]
    NoAccount,
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

impl From<GetError> for ResendError {
    fn from(error: GetError) -> Self {
        match error {
            GetError::Unknown => Self::Unknown,
            GetError::Store(error) => Self::Store(error),
        }
    }
}

impl Desk {
    /// Sends a further code.
    #[tracing::instrument(level = "debug", name = "factor.resend", skip_all, fields(challenge.id = %request.id))]
    pub async fn resend(
        &self,
        caller: &Caller,
        request: ResendRequest,
    ) -> Result<ChallengeView, ResendError> {
        let policies = self.policies.current();
        if !policies.sending {
            return Err(ResendError::SendingDisabled);
        }
        if !self.accounts.any().await? {
            return Err(ResendError::NoAccount);
        }
        let challenge = self.present(caller, request.id).await?;
        let policy = policies.of(&challenge.event);
        if request.wait && !sees_users(caller, policy) {
            return Err(ResendError::WaitNotAllowed);
        }
        let now = self.clock.now();
        if let Some(refusal) = refusal(&challenge, now) {
            return Err(refusal);
        }
        // Refused now rather than by the worker, who could tell nobody.
        self.keyring.code_key(&challenge.key)?;
        let sealed = self.challenges.context(challenge.id).await?;
        let sealed = sealed.ok_or(ResendError::Unknown)?;
        let context = self.keyring.open(&context_place(challenge.id), &sealed)?;
        let context = MailContext::from_bytes(&context)?;
        let number = challenge.code_number + 1;

        let mut entry = self.entry(caller, &challenge, number, context, policy, now);
        let slot = self.handoff.slot(entry.queue, &*self.entropy, &*self.clock);
        entry.lease = slot.lease();
        let listener = request.wait.then(|| self.changes.listen(challenge.id));
        let resend = Resend {
            id: challenge.id,
            number,
            resend_at: now.plus(policy.resend_after),
            entry: entry.clone(),
            charges: self.charges(caller, &challenge, policy),
            now,
        };
        let challenges = Arc::clone(&self.challenges);
        let write = async move {
            failpoint!("resend.before_commit");
            let answer = challenges.resend(resend).await;
            failpoint!("resend.after_commit");
            answer
        };
        let owed = |resent: &Option<Resent>| match resent {
            Some(Resent::Opened(_)) => Owed::Mail,
            Some(Resent::Muted(_)) => Owed::Decoy,
            _ => Owed::Nothing,
        };
        match slot.owe(entry, write, owed).await? {
            Some(Resent::Opened(challenge) | Resent::Muted(challenge)) => {
                self.changes.ring(challenge.id);
                count("resent");
                tracing::info!(code.number = number, "resent");
                Ok(self.answer(caller, *challenge, listener.as_ref()).await)
            }
            // Somebody else was first: that code's cooldown has begun.
            Some(Resent::Refused(present)) => {
                Err(refusal(&present, now).unwrap_or(ResendError::TooEarly(present.resend_at)))
            }
            Some(Resent::UserLocked(lock)) => Err(ResendError::UserLocked(lock)),
            Some(Resent::OverBudget(until)) => Err(ResendError::OverBudget(until)),
            None => Err(ResendError::Unknown),
        }
    }
}

/// Why no further code of a challenge may be sent at `now`, as far as the challenge itself says.
fn refusal(challenge: &Challenge, now: Timestamp) -> Option<ResendError> {
    match (challenge.standing(now), challenge.next_resend()) {
        (Standing::Pending, Some(moment)) if now < moment => Some(ResendError::TooEarly(moment)),
        (Standing::Pending, Some(_)) => None,
        (Standing::Pending, None) => Some(ResendError::NoMoreCodes),
        (closed, _) => Some(ResendError::Closed(closed)),
    }
}

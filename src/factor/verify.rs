//! Verify: one right code, once, for what its caller expects it to be.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::{Desk, GetError, context_place, count, sees_users};
use crate::{
    domain::{
        asked::UserId,
        caller::Caller,
        challenge::{Challenge, Mismatch, Purpose, Verdict},
        code::{Code, NotACode},
        id::ChallengeId,
        keyring::{KeyringError, Sealed, SubjectKind},
        message::{FormError, MailContext},
    },
    repository::UserName,
    store::{Guess, Guessed, Judged, RequestKey, StoreError},
};

/// A checked request to verify a code.
#[derive(Clone, Debug)]
pub struct VerifyRequest {
    /// The challenge.
    pub id: ChallengeId,
    /// The code, as it was typed.
    pub code: Zeroizing<String>,
    /// What the challenge must be.
    pub expected: Expected,
    /// Makes the call safe to repeat.
    pub request_id: Option<String>,
}

/// What a caller expects of a challenge. What it does not name may be anything.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// Whom it was started for.
    pub user: Option<UserName>,
    /// What it is for.
    pub purpose: Option<Purpose>,
    /// The event that asked; may be empty.
    pub event: Option<String>,
}

/// What a code was worth, and of what.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// The challenge as it stands after it.
    pub challenge: Challenge,
    /// Whom it was started for; `None`: nobody, or this caller may not learn it.
    pub user: Option<UserId>,
}

/// Why a code was not judged.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// There is no such challenge, or it is somebody else's.
    #[error("no such challenge")]
    Unknown,
    /// The text cannot be a code of this challenge. It cost no attempt.
    #[error(transparent)]
    NotACode(#[from] NotACode),
    /// The request id was used for another code, or with other expectations. It cost no attempt.
    #[error("the request id was used for another request")]
    RequestReused,
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
    #[tracing::instrument(level = "debug", name = "factor.verify", skip_all, fields(challenge.id = %request.id))]
    pub async fn verify(&self, caller: &Caller, request: VerifyRequest) -> Result<Judgement, VerifyError> {
        let challenge = self.challenge_of(caller, request.id).await?;
        let tells_user = sees_users(caller, self.policies.current().of(&challenge.event));
        let judged = self.judged(caller, &request, challenge).await?;
        let verdict = judged.verdict.name();
        if !judged.repeated {
            metrics::counter!("mailfactor_verifications_total", "verdict" => verdict).increment(1);
        }
        tracing::debug!(verdict, judged.repeated, "judged");
        let user = match judged.context {
            _ if !tells_user => None,
            Some(context) => self.user_of(judged.challenge.id, &context)?,
            None => self.user_of(judged.challenge.id, &self.context_of(request.id).await?)?,
        };
        Ok(Judgement {
            verdict: judged.verdict,
            challenge: judged.challenge,
            user,
        })
    }

    async fn judged(
        &self,
        caller: &Caller,
        request: &VerifyRequest,
        challenge: Challenge,
    ) -> Result<Judged, VerifyError> {
        let told = |verdict, challenge, context| Judged {
            verdict,
            challenge,
            context,
            repeated: false,
        };
        let (mismatch, context) = self.mismatch(&request.expected, &challenge).await?;
        if mismatch.any() {
            return Ok(told(Verdict::Mismatch(mismatch), challenge, context));
        }
        let code = Code::parse(&request.code, &challenge.spec)?;
        let key = self.guess_key(caller, request, &code);
        match challenge.closed(self.clock.now()) {
            // It may be this very request that closed it.
            Some(verdict) if key.is_none() => Ok(told(verdict, challenge, context)),
            _ => self.judge(Arc::new(challenge), &code, key).await,
        }
    }

    /// What of a challenge is not as it is expected to be, and its context where that was looked at. Whom it was started
    /// for is a matter of names alone: whether anybody has the name is not asked, neither now nor of what was found then.
    async fn mismatch(
        &self,
        expected: &Expected,
        challenge: &Challenge,
    ) -> Result<(Mismatch, Option<Sealed>), VerifyError> {
        let mut mismatch = Mismatch {
            user: false,
            purpose: expected
                .purpose
                .is_some_and(|purpose| purpose != challenge.purpose),
            event: expected
                .event
                .as_ref()
                .is_some_and(|event| *event != challenge.event),
        };
        let Some(user) = &expected.user else {
            return Ok((mismatch, None));
        };
        let sealed = self.context_of(challenge.id).await?;
        let asked = self.opened(challenge.id, &sealed)?.asked;
        // Of a challenge that was started by an older version nothing is known: it is nobody's then.
        let asked = asked.and_then(|asked| UserName::parse(&asked.name).ok());
        mismatch.user = asked.is_none_or(|asked| asked.folded() != user.folded());
        Ok((mismatch, Some(sealed)))
    }

    async fn judge(
        &self,
        challenge: Arc<Challenge>,
        code: &Code,
        request: Option<RequestKey>,
    ) -> Result<Judged, VerifyError> {
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
            request,
            now: self.clock.now(),
        };
        failpoint!("verify.before_commit");
        let guessed = self.challenges.guess(guess).await;
        failpoint!("verify.after_commit");
        let judged = match guessed?.ok_or(VerifyError::Unknown)? {
            Guessed::Judged(judged) => *judged,
            Guessed::RequestReused => return Err(VerifyError::RequestReused),
        };
        match judged.verdict {
            _ if judged.repeated => {}
            Verdict::Verified { .. } => count("verified"),
            Verdict::Wrong { attempts_left: 0 } => count("locked"),
            _ => {}
        }
        self.changes.ring(judged.challenge.id);
        Ok(judged)
    }

    /// The request id, keyed by caller and challenge, and all the request says. The code is in it only as part of a keyed
    /// hash, and as it was understood: spaces may come and go.
    fn guess_key(&self, caller: &Caller, request: &VerifyRequest, code: &Code) -> Option<RequestKey> {
        let request_id = request.request_id.as_deref()?;
        let (caller, challenge) = (caller.id.to_string(), request.id.to_string());
        let expected = &request.expected;
        let event = expected.event.as_deref();
        let contents = [
            "guess",
            code.reveal(),
            expected.user.as_ref().map_or("", UserName::as_str),
            expected.purpose.map_or("", Purpose::name),
            event.map_or("", |_| "event"),
            event.unwrap_or_default(),
        ];
        let subject = |parts: &[&str]| self.keyring.subject(SubjectKind::Request, parts);
        Some(RequestKey {
            id: subject(&["guess id", &caller, &challenge, request_id]),
            contents: subject(&contents),
        })
    }

    fn user_of(&self, id: ChallengeId, sealed: &Sealed) -> Result<Option<UserId>, VerifyError> {
        Ok(self.opened(id, sealed)?.asked.and_then(|asked| asked.user))
    }

    async fn context_of(&self, id: ChallengeId) -> Result<Sealed, VerifyError> {
        self.challenges.context(id).await?.ok_or(VerifyError::Unknown)
    }

    fn opened(&self, id: ChallengeId, sealed: &Sealed) -> Result<MailContext, VerifyError> {
        let context = self.keyring.open(&context_place(id), sealed)?;
        Ok(MailContext::from_bytes(&context)?)
    }
}

//! The desk's errors.

use std::time::Duration;

use tonic::{Code, Status};

use super::{exhausted, exhausted_until, fault, invalid_field, log, refuse, sending_disabled, store};
use crate::{
    domain::{budget::Lock, clock::Timestamp, override_address::OverrideRefusal},
    factor::{CancelError, GetError, LookUpError, ResendError, StartError, VerifyError},
};

/// Why no challenge was started.
pub(in crate::grpc) fn start(error: &StartError, now: Timestamp) -> Status {
    match error {
        StartError::UserUnknown => refuse(Code::NotFound, "USER_UNKNOWN", "no such user"),
        StartError::NoAddress => refuse(
            Code::FailedPrecondition,
            "USER_HAS_NO_ADDRESS",
            "the user has no usable e-mail address",
        ),
        StartError::UserAmbiguous => refuse(
            Code::FailedPrecondition,
            "USER_AMBIGUOUS",
            "more than one user matches",
        ),
        StartError::PasswordMissing => invalid_field("password", "is required for this event"),
        StartError::PasswordNotChecked => refuse(
            Code::FailedPrecondition,
            "PASSWORD_NOT_CHECKED",
            "no repository that takes this name checks passwords",
        ),
        StartError::Overloaded => exhausted(
            "OVERLOADED",
            "too many passwords of this caller are being checked; try again",
            Duration::from_secs(1),
        ),
        StartError::WrongPassword => refuse(
            Code::PermissionDenied,
            "WRONG_PASSWORD",
            "the user's name or password is wrong",
        ),
        StartError::RepositoryNotConfigured => invalid_field(
            "repository",
            "is not the name of a repository that is searched for this event",
        ),
        StartError::Override(refusal) => override_refused(*refusal),
        StartError::Repository(cause) => {
            log(cause);
            refuse(
                Code::Unavailable,
                "REPOSITORY_UNAVAILABLE",
                "the user repository is unavailable; try again",
            )
        }
        StartError::SendingDisabled => sending_disabled(),
        StartError::NoAccount => no_account(),
        StartError::WaitNotAllowed => wait_not_allowed(),
        StartError::RequestReused => request_reused(),
        StartError::UserLocked(lock) => user_locked(*lock, now),
        StartError::OverBudget(until) => over_budget(*until, now),
        StartError::Keyring(cause) => fault(cause),
        StartError::Store(cause) => store(cause),
    }
}

/// Why no further code was sent.
pub(in crate::grpc) fn resend(error: &ResendError, now: Timestamp) -> Status {
    match error {
        ResendError::Unknown => challenge_unknown(),
        ResendError::SendingDisabled => sending_disabled(),
        ResendError::NoAccount => no_account(),
        ResendError::Closed(_) => challenge_closed(),
        ResendError::TooEarly(until) => exhausted_until(
            "RESEND_TOO_EARLY",
            "the next code can be sent later; see RetryInfo in the details",
            *until,
            now,
        ),
        // No RetryInfo: waiting does not help this challenge.
        ResendError::NoMoreCodes => refuse(
            Code::ResourceExhausted,
            "SEND_BUDGET_SPENT",
            "no further code can be sent for this challenge",
        ),
        ResendError::WaitNotAllowed => wait_not_allowed(),
        ResendError::UserLocked(lock) => user_locked(*lock, now),
        ResendError::OverBudget(until) => over_budget(*until, now),
        ResendError::Keyring(cause) => fault(cause),
        ResendError::Form(cause) => fault(cause),
        ResendError::Store(cause) => store(cause),
    }
}

/// Why a code was not judged.
pub(in crate::grpc) fn verify(error: &VerifyError) -> Status {
    match error {
        VerifyError::Unknown => challenge_unknown(),
        VerifyError::NotACode(cause) => invalid_field("code", cause),
        VerifyError::RequestReused => request_reused(),
        VerifyError::Keyring(cause) => fault(cause),
        VerifyError::Form(cause) => fault(cause),
        VerifyError::Store(cause) => store(cause),
    }
}

/// Why a challenge was not cancelled.
pub(in crate::grpc) fn cancel(error: &CancelError) -> Status {
    match error {
        CancelError::Unknown => challenge_unknown(),
        CancelError::Closed(_) => challenge_closed(),
        CancelError::Store(cause) => store(cause),
    }
}

/// Why a challenge was not shown.
pub(in crate::grpc) fn get(error: &GetError) -> Status {
    match error {
        GetError::Unknown => challenge_unknown(),
        GetError::Store(cause) => store(cause),
    }
}

/// Why nothing was looked up, or forgotten.
pub(in crate::grpc) fn look_up(error: &LookUpError) -> Status {
    match error {
        LookUpError::RepositoryNotConfigured => invalid_field("repository", "is the name of no repository"),
        LookUpError::UnmaskedNotAllowed => refuse(
            Code::PermissionDenied,
            "ROLE_MISSING",
            "only an admin sees users unmasked",
        ),
    }
}

fn no_account() -> Status {
    refuse(
        Code::FailedPrecondition,
        "NO_ACCOUNT",
        "no mail account is enabled, so no mail can go out",
    )
}

fn request_reused() -> Status {
    refuse(
        Code::AlreadyExists,
        "REQUEST_ID_REUSED",
        "the request id was used for another request",
    )
}

fn challenge_unknown() -> Status {
    refuse(Code::NotFound, "CHALLENGE_UNKNOWN", "no such challenge")
}

fn challenge_closed() -> Status {
    refuse(
        Code::FailedPrecondition,
        "CHALLENGE_CLOSED",
        "the challenge is closed",
    )
}

fn wait_not_allowed() -> Status {
    refuse(
        Code::PermissionDenied,
        "WAIT_NOT_ALLOWED",
        "this caller may not wait for the mail server",
    )
}

fn override_refused(refusal: OverrideRefusal) -> Status {
    match refusal {
        OverrideRefusal::Caller => refuse(
            Code::PermissionDenied,
            "OVERRIDE_NOT_ALLOWED",
            "a caller of this role may not name an address",
        ),
        OverrideRefusal::Disabled => refuse(
            Code::FailedPrecondition,
            "OVERRIDE_DISABLED",
            "the event's policy allows no other address than the one on file; see override_address.mode",
        ),
        OverrideRefusal::Unconfirmed => refuse(
            Code::FailedPrecondition,
            "OVERRIDE_UNCONFIRMED",
            "the address is not confirmed; start a PURPOSE_ADDRESS_CONFIRMATION with it first",
        ),
        OverrideRefusal::Purpose | OverrideRefusal::Domain => invalid_field("override_address", refusal),
    }
}

fn over_budget(until: Timestamp, now: Timestamp) -> Status {
    let text = "the budget for sending is spent for now; see RetryInfo in the details";
    exhausted_until("SEND_BUDGET_SPENT", text, until, now)
}

fn user_locked(lock: Lock, now: Timestamp) -> Status {
    const REASON: &str = "USER_LOCKED";
    match lock {
        Lock::Until(until) => {
            let text = "the user is locked after too many wrong codes; see RetryInfo in the details";
            exhausted_until(REASON, text, until, now)
        }
        // No RetryInfo: waiting does not help.
        Lock::ForGood => refuse(
            Code::ResourceExhausted,
            REASON,
            "the user is locked until an administrator unlocks",
        ),
    }
}

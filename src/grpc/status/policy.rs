//! The office's errors.

use tonic::{Code, Status};

use super::{invalid, refuse, store};
use crate::policy::{AccountError, OutboxError, TemplateError, TestError};

/// Why an account was not saved or found.
pub(in crate::grpc) fn account(error: &AccountError) -> Status {
    match error {
        AccountError::Invalid(faults) => invalid(faults),
        AccountError::Unknown => refuse(Code::NotFound, "ACCOUNT_UNKNOWN", "no such account"),
        AccountError::NameTaken => refuse(
            Code::AlreadyExists,
            "ACCOUNT_NAME_TAKEN",
            "another account has that name",
        ),
        AccountError::Stale => refuse(
            Code::Aborted,
            "ETAG_STALE",
            "the account was changed in between; read it again",
        ),
        AccountError::IsDefault => refuse(
            Code::FailedPrecondition,
            "ACCOUNT_IS_DEFAULT",
            "the account is the default; make another the default first",
        ),
        AccountError::Disabled => refuse(
            Code::FailedPrecondition,
            "ACCOUNT_DISABLED",
            "the account is disabled; enable it first",
        ),
        AccountError::Store(cause) => store(cause),
    }
}

/// Why nothing was tested.
pub(in crate::grpc) fn test(error: &TestError) -> Status {
    match error {
        TestError::Invalid(faults) => invalid(faults),
        TestError::Account(cause) => account(cause),
        TestError::NoAccount => refuse(
            Code::FailedPrecondition,
            "NO_ACCOUNT",
            "no mail account is set up",
        ),
        TestError::Store(cause) => store(cause),
    }
}

/// Why an entry was not shown.
pub(in crate::grpc) fn outbox(error: &OutboxError) -> Status {
    match error {
        OutboxError::Unknown => refuse(Code::NotFound, "ENTRY_UNKNOWN", "no such outbox entry"),
        OutboxError::Store(cause) => store(cause),
    }
}

/// Why a template was not saved or found.
pub(in crate::grpc) fn template(error: &TemplateError) -> Status {
    match error {
        TemplateError::Invalid(faults) => invalid(faults),
        TemplateError::Unknown => refuse(
            Code::NotFound,
            "TEMPLATE_UNKNOWN",
            "nobody wrote a template for exactly these mails",
        ),
        TemplateError::Stale => refuse(
            Code::Aborted,
            "ETAG_STALE",
            "the template was changed in between; read it again",
        ),
        TemplateError::Full => refuse(
            Code::ResourceExhausted,
            "TOO_MANY_TEMPLATES",
            "there are too many templates; reset some",
        ),
        TemplateError::Store(cause) => store(cause),
    }
}

//! The office's errors.

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{super::convert::NOT_CONNECTED, DOMAIN, exhausted, invalid, refuse, sending_disabled, store};
use crate::domain::delivery::ConnectionReport;
use crate::policy::{
    AccountError, DkimError, OutboxError, PolicyError, RequeueError, TemplateError, TestError,
};

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
        AccountError::TestFailed(report) => test_failed(report),
        AccountError::Store(cause) => store(cause),
    }
}

/// The sentence for people, and where the test stopped and with which reply.
fn test_failed(report: &ConnectionReport) -> Status {
    const REASON: &str = "ACCOUNT_TEST_FAILED";
    let mut details = ErrorDetails::with_error_info(REASON, DOMAIN, HashMap::new());
    if let Some(last) = report.stages.last() {
        details.add_precondition_failure_violation(REASON, last.stage.name(), &last.reply);
    }
    Status::with_error_details(Code::FailedPrecondition, NOT_CONNECTED, details)
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
        TestError::SendingDisabled => sending_disabled(),
        TestError::Store(cause) => store(cause),
    }
}

/// Why a policy was not shown or changed.
pub(in crate::grpc) fn otp_policy(error: &PolicyError) -> Status {
    match error {
        PolicyError::Invalid(faults) => invalid(faults),
        PolicyError::EventUnknown => refuse(Code::NotFound, "EVENT_UNKNOWN", "no such event"),
        PolicyError::EventExists => refuse(
            Code::AlreadyExists,
            "EVENT_EXISTS",
            "there is an event of that name",
        ),
        PolicyError::EventConfigured => refuse(
            Code::FailedPrecondition,
            "EVENT_CONFIGURED",
            "the event is in the configuration; take it out there",
        ),
        PolicyError::TooManyEvents => refuse(
            Code::FailedPrecondition,
            "TOO_MANY_EVENTS",
            "there are as many events as there may be; delete one first",
        ),
        PolicyError::Stale => refuse(
            Code::Aborted,
            "ETAG_STALE",
            "the policy was changed in between; read it again",
        ),
        PolicyError::Store(cause) => store(cause),
    }
}

/// Why an entry was not shown.
pub(in crate::grpc) fn outbox(error: &OutboxError) -> Status {
    match error {
        OutboxError::Unknown => refuse(Code::NotFound, "ENTRY_UNKNOWN", "no such outbox entry"),
        OutboxError::Overloaded => reports_overloaded(),
        OutboxError::Store(cause) => store(cause),
    }
}

/// Too many reports are being read.
pub(in crate::grpc) fn reports_overloaded() -> Status {
    exhausted(
        "OVERLOADED",
        "too many reports are being read; try again",
        Duration::from_secs(1),
    )
}

/// Why an entry is not tried again.
pub(in crate::grpc) fn requeue(error: &RequeueError) -> Status {
    match error {
        RequeueError::Entry(cause) => outbox(cause),
        RequeueError::NotFailed => refuse(
            Code::FailedPrecondition,
            "ENTRY_NOT_FAILED",
            "the entry has not failed; see its state",
        ),
        RequeueError::Expired => refuse(
            Code::FailedPrecondition,
            "ENTRY_EXPIRED",
            "the code of the entry is no longer good; start a new challenge or resend its code",
        ),
    }
}

/// Why a DKIM key was not saved or found.
pub(in crate::grpc) fn dkim(error: &DkimError) -> Status {
    match error {
        DkimError::Invalid(faults) => invalid(faults),
        DkimError::Account(cause) => account(cause),
        DkimError::Unknown => refuse(
            Code::NotFound,
            "DKIM_KEY_UNKNOWN",
            "the account has no DKIM key with this selector",
        ),
        DkimError::Stale => refuse(
            Code::Aborted,
            "ETAG_STALE",
            "the DKIM key was changed in between; read it again",
        ),
        DkimError::Full => refuse(
            Code::ResourceExhausted,
            "TOO_MANY_DKIM_KEYS",
            "the account has as many DKIM keys as it may have; delete one",
        ),
        DkimError::Store(cause) => store(cause),
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

//! Errors on the wire: a constant text and a reason for the caller, the chain of causes for the log, once.
//!
//! Every status carries `google.rpc.ErrorInfo`. The tables from each use case's error to its status are exhaustive: an
//! error that is added there does not compile here until it has its row.

use std::{collections::HashMap, error::Error, fmt, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    domain::{clock::Timestamp, violation::Violations},
    policy::StoreError,
};

mod factor;
mod inbox;
mod policy;

pub(super) use self::inbox::inbox;
pub(super) use factor::{cancel, get, look_up, resend, start, verify};
pub(super) use policy::{account, dkim, otp_policy, outbox, reports_overloaded, requeue, template, test};

/// The domain of every `ErrorInfo`.
pub(super) const DOMAIN: &str = "mailfactor";

/// How many violations one answer names. Clients take 8 KiB of headers, and that is where a status travels.
const MOST_VIOLATIONS: usize = 32;

/// How many fields the text and the metadata name.
const MOST_NAMED: usize = 5;

/// A status with its reason.
pub(super) fn refuse(code: Code, reason: &'static str, text: &'static str) -> Status {
    let details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
    Status::with_error_details(code, text, details)
}

/// `RESOURCE_EXHAUSTED` with the time until it is worth another try.
pub(super) fn exhausted(reason: &'static str, text: &'static str, wait: Duration) -> Status {
    let mut details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
    details.set_retry_info(Some(wait));
    Status::with_error_details(Code::ResourceExhausted, text, details)
}

/// `RESOURCE_EXHAUSTED` until a moment.
fn exhausted_until(reason: &'static str, text: &'static str, until: Timestamp, now: Timestamp) -> Status {
    exhausted(reason, text, until.since(now))
}

/// `INVALID_ARGUMENT`, naming every field that is wrong: in the details with what is wrong, and the first few in the text and in
/// the metadata, for those that show nothing else.
pub(super) fn invalid(faults: &Violations) -> Status {
    let fields = faults.as_slice().iter().map(|fault| fault.field.as_str());
    let mut named: Vec<&str> = Vec::new();
    for field in fields {
        if named.len() < MOST_NAMED && !named.contains(&field) {
            named.push(field);
        }
    }
    let named = named.join(", ");
    let text = format!("the request has invalid fields: {named}; see BadRequest in the details");
    let metadata = HashMap::from([("field".to_owned(), named)]);
    let mut details = ErrorDetails::with_error_info("INVALID_FIELD", DOMAIN, metadata);
    for fault in faults.as_slice().iter().take(MOST_VIOLATIONS) {
        details.add_bad_request_violation(&fault.field, &fault.description);
    }
    Status::with_error_details(Code::InvalidArgument, text, details)
}

/// `INVALID_ARGUMENT` for one field.
fn invalid_field(field: &str, description: impl fmt::Display) -> Status {
    let mut faults = Violations::new();
    faults.add(field, description);
    invalid(&faults)
}

/// What cannot be read as a request of this method at all.
pub(super) fn malformed(text: &'static str) -> Status {
    refuse(Code::InvalidArgument, "MALFORMED_REQUEST", text)
}

/// No method of this name is served.
pub(super) fn method_unknown() -> Status {
    refuse(Code::Unimplemented, "METHOD_UNKNOWN", "no such method")
}

/// The call's deadline, or the one for its message, has passed.
pub(super) fn deadline_passed() -> Status {
    refuse(
        Code::DeadlineExceeded,
        "DEADLINE_PASSED",
        "the deadline has passed",
    )
}

/// The process ends.
pub(super) fn shutting_down() -> Status {
    refuse(
        Code::Unavailable,
        "SHUTTING_DOWN",
        "this instance is shutting down; call another",
    )
}

/// The master switch is off.
fn sending_disabled() -> Status {
    refuse(
        Code::FailedPrecondition,
        "SENDING_DISABLED",
        "sending is switched off as a whole",
    )
}

/// A fault of our own.
pub(super) fn internal() -> Status {
    refuse(
        Code::Internal,
        "INTERNAL",
        "an internal error occurred; it was logged",
    )
}

/// The store failed.
pub(super) fn store(error: &StoreError) -> Status {
    log(error);
    refuse(
        Code::Unavailable,
        "STORE_UNAVAILABLE",
        "the store is unavailable; try again",
    )
}

/// A fault of our own, with its cause for the log.
fn fault(error: &dyn Error) -> Status {
    log(error);
    internal()
}

fn log(error: &dyn Error) {
    tracing::error!(error = %Chain(error), "the call failed");
}

/// An error and all its causes, in one line.
struct Chain<'a>(&'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

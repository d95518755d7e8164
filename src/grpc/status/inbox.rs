//! The errors of inboxes.

use tonic::{Code, Status};

use super::{invalid, refuse, shutting_down, store};
use crate::policy::InboxError;

/// Why an inbox was not saved, found, tested or read.
pub(in crate::grpc) fn inbox(error: &InboxError) -> Status {
    match error {
        InboxError::Invalid(faults) => invalid(faults),
        InboxError::Unknown => refuse(Code::NotFound, "INBOX_UNKNOWN", "no such inbox"),
        InboxError::NameTaken => refuse(
            Code::AlreadyExists,
            "INBOX_NAME_TAKEN",
            "another inbox has that name",
        ),
        InboxError::Stale => refuse(
            Code::Aborted,
            "ETAG_STALE",
            "the inbox was changed in between; read it again",
        ),
        InboxError::Full => refuse(
            Code::FailedPrecondition,
            "TOO_MANY_INBOXES",
            "there are as many inboxes as there may be; delete one first",
        ),
        InboxError::Disabled => refuse(
            Code::FailedPrecondition,
            "INBOX_DISABLED",
            "the inbox is disabled; enable it first",
        ),
        InboxError::Busy => refuse(
            Code::Aborted,
            "INBOX_BUSY",
            "the inbox is being read at present; try again",
        ),
        InboxError::Ending => shutting_down(),
        InboxError::Store(cause) => store(cause),
    }
}

//! Why a command failed, what to do next, and the exit code.

use std::{error::Error, process::ExitCode};

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::out;
use crate::{
    app::{BuildError, RunError, check::chain, local::LocalError},
    domain::violation::Violations,
    telemetry::TelemetryError,
};

/// `EX_CONFIG` of sysexits.h.
const WRONG_CONFIGURATION: u8 = 78;

/// Why a command failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The configuration is wrong: all of its faults.
    Configuration(Violations),
    /// Something that the configuration names is wrong.
    Setup(String),
    /// Anything else, with what to do next, if that can be said.
    Failed { what: String, next: Option<String> },
    /// What failed was said already.
    Told,
}

impl Failure {
    /// An error with its causes.
    pub(super) fn of(error: &dyn Error) -> Self {
        Self::say(chain(error))
    }

    /// A sentence.
    pub(super) fn say(what: impl Into<String>) -> Self {
        Self::Failed {
            what: what.into(),
            next: None,
        }
    }

    /// A sentence, and what to do next.
    pub(super) fn advise(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self::Failed {
            what: what.into(),
            next: Some(next.into()),
        }
    }

    /// Writes it to standard error; answers with the exit code.
    pub(super) fn report(self) -> ExitCode {
        match self {
            Self::Configuration(faults) => {
                let count = faults.as_slice().len();
                out::complain(format!("the configuration has {count} fault(s):"));
                for fault in faults.as_slice() {
                    out::complain(format!("  {fault}"));
                }
                out::complain(
                    "mend them, then see `mailfactor check`; every key is explained in `mailfactor check --defaults`",
                );
                ExitCode::from(WRONG_CONFIGURATION)
            }
            Self::Setup(what) => {
                out::complain(format!("error: {what}"));
                ExitCode::from(WRONG_CONFIGURATION)
            }
            Self::Failed { what, next } => {
                out::complain(format!("error: {what}"));
                if let Some(next) = next {
                    out::complain(format!("next: {next}"));
                }
                ExitCode::FAILURE
            }
            Self::Told => ExitCode::FAILURE,
        }
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Keys(_)
            | BuildError::Repository { .. }
            | BuildError::Mail(_)
            | BuildError::Door(_) => Self::Setup(chain(&error)),
            BuildError::Locked { .. }
            | BuildError::LockFile { .. }
            | BuildError::Store { .. }
            | BuildError::Listen { .. } => Self::of(&error),
        }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        Self::of(&error)
    }
}

impl From<LocalError> for Failure {
    fn from(error: LocalError) -> Self {
        Self::of(&error)
    }
}

impl From<TelemetryError> for Failure {
    fn from(error: TelemetryError) -> Self {
        Self::Setup(error.to_string())
    }
}

impl From<Status> for Failure {
    /// What a server refused: its words, every field it names, and when to try again.
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let reason = details.error_info().map(|info| info.reason.clone());
        let mut what = match &reason {
            Some(reason) => format!("{} ({reason})", status.message()),
            // Without a reason it never came from our server: the transport's causes say more.
            None => chain(&status),
        };
        for field in details
            .bad_request()
            .into_iter()
            .flat_map(|bad| &bad.field_violations)
        {
            what = format!("{what}\n  {}: {}", field.field, field.description);
        }
        for unmet in details
            .precondition_failure()
            .into_iter()
            .flat_map(|failure| &failure.violations)
        {
            what = format!("{what}\n  {}: {}", unmet.subject, unmet.description);
        }
        let retry = details.retry_info().and_then(|retry| retry.retry_delay);
        let next = match (status.code(), reason.as_deref(), retry) {
            (_, _, Some(delay)) => Some(format!("try again in {} s", delay.as_secs_f32().ceil())),
            (Code::Unauthenticated, ..) => Some(
                "give the key that `mailfactor caller add` told, in MAILFACTOR_API_KEY or with --api-key-file".into(),
            ),
            (Code::PermissionDenied, Some("ROLE_MISSING"), _) => {
                Some("use the key of a caller with the right role; see `mailfactor caller list`".into())
            }
            (Code::Unavailable, None, _) => {
                Some("is `mailfactor serve` running there? See --server, and --ca for a server with TLS".into())
            }
            (_, Some("ACCOUNT_UNKNOWN"), _) => Some("see `mailfactor account list`".into()),
            (_, Some("ACCOUNT_TEST_FAILED"), _) => {
                Some("nothing was changed; `--enabled false` keeps the new settings until they work".into())
            }
            (_, Some("INBOX_UNKNOWN"), _) => Some("see `mailfactor inbox list`".into()),
            (_, Some("INBOX_DISABLED"), _) => Some("see `mailfactor inbox update --help` for --enabled".into()),
            (_, Some("EVENT_UNKNOWN"), _) => Some("see `mailfactor event list`, or `mailfactor event create`".into()),
            (_, Some("SENDING_DISABLED"), _) => Some("see `mailfactor sending show`".into()),
            (_, Some("DKIM_KEY_UNKNOWN"), _) => Some("see `mailfactor account dkim list`".into()),
            (_, Some("TEMPLATE_UNKNOWN"), _) => Some("see `mailfactor template list`".into()),
            (_, Some("NO_ACCOUNT"), _) => Some("add a mail account with `mailfactor account add`".into()),
            (_, Some("ETAG_STALE"), _) => Some("somebody else was faster: look at it and try again".into()),
            _ => None,
        };
        Self::Failed { what, next }
    }
}

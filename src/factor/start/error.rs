//! Why no challenge was started.

use crate::{
    domain::{budget::Lock, clock::Timestamp, keyring::KeyringError, override_address::OverrideRefusal},
    factor::override_address,
    repository::RepositoryError,
    store::StoreError,
};

/// Why no challenge was started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No such user. Only to callers that see users.
    #[error("no such user")]
    UserUnknown,
    /// The user has no usable address. Only to callers that see users.
    #[error("the user has no e-mail address")]
    NoAddress,
    /// Several users match. Only to callers that see users.
    #[error("several users match")]
    UserAmbiguous,
    /// The event wants a password, and there is none.
    #[error("the event wants the user's password")]
    PasswordMissing,
    /// There is a password, and nobody who could check it.
    #[error("no repository that takes this name checks passwords")]
    PasswordNotChecked,
    /// Too many passwords of this caller are being checked.
    #[error("too many passwords of this caller are being checked")]
    Overloaded,
    /// The password is wrong, or there is no such user.
    #[error("the name or the password is wrong")]
    WrongPassword,
    /// The master switch is off.
    #[error("sending is switched off")]
    SendingDisabled,
    /// No mail account is enabled.
    #[error("no mail account is enabled")]
    NoAccount,
    /// The named repository is not configured, or not for this event.
    #[error("no repository of that name is configured")]
    RepositoryNotConfigured,
    /// The mail does not go to the address that was named.
    #[error(transparent)]
    Override(OverrideRefusal),
    /// A repository gave no answer.
    #[error(transparent)]
    Repository(RepositoryError),
    /// The caller may not see users, so it may not wait for their mail either.
    #[error("this caller may not wait for the mail server")]
    WaitNotAllowed,
    /// The request id was used for another request.
    #[error("the request id was used for another request")]
    RequestReused,
    /// Too many wrong codes lately.
    #[error("the user is locked")]
    UserLocked(Lock),
    /// Too many mails lately.
    #[error("the budget for sending is spent")]
    OverBudget(Timestamp),
    /// A key is missing.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl StartError {
    /// Its name in metrics.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::UserUnknown => "user_unknown",
            Self::NoAddress => "no_address",
            Self::UserAmbiguous => "user_ambiguous",
            Self::PasswordMissing => "password_missing",
            Self::PasswordNotChecked => "password_not_checked",
            Self::Overloaded => "overloaded",
            Self::WrongPassword => "wrong_password",
            Self::SendingDisabled => "sending_disabled",
            Self::NoAccount => "no_account",
            Self::RepositoryNotConfigured => "repository_not_configured",
            Self::Override(refusal) => override_address::outcome(*refusal),
            Self::Repository(_) => "repository_unavailable",
            Self::WaitNotAllowed => "wait_not_allowed",
            Self::RequestReused => "request_reused",
            Self::UserLocked(_) => "user_locked",
            Self::OverBudget(_) => "over_budget",
            Self::Keyring(_) => "key_missing",
            Self::Store(_) => "store_unavailable",
        }
    }
}

//! Start: find the user's address, open a challenge, owe the first mail.

use std::net::IpAddr;

use super::{ChallengeView, Desk};
use crate::{
    domain::{budget::Lock, caller::Caller, challenge::Purpose, clock::Timestamp, keyring::KeyringError},
    repository::{RepositoryError, UserName},
    store::StoreError,
};

/// A checked request to start a challenge.
#[derive(Clone, Debug)]
pub struct StartRequest {
    /// Who is to prove that mail reaches them.
    pub user: UserName,
    /// The one repository to look in.
    pub repository: Option<String>,
    /// What the code is for.
    pub purpose: Purpose,
    /// The event that asks; may be empty.
    pub event: String,
    /// Where the user stands; may be empty.
    pub endpoint: String,
    /// The user's language, if the caller knows it.
    pub locale: Option<String>,
    /// Where the user comes from.
    pub client_ip: Option<IpAddr>,
    /// Whether to answer only when the mail server has spoken.
    pub wait: bool,
    /// Makes the call safe to repeat.
    pub request_id: Option<String>,
}

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
    /// The named repository is not configured.
    #[error("no repository of that name is configured")]
    RepositoryNotConfigured,
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

impl Desk {
    /// Starts a challenge.
    #[tracing::instrument(name = "factor.start", skip_all, fields(caller.name = %caller.name))]
    pub async fn start(&self, caller: &Caller, request: StartRequest) -> Result<ChallengeView, StartError> {
        todo!("{caller:?} {request:?}")
    }
}

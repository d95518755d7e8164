//! The user's own password, where it comes along with a start: checked in the repository before any mail goes out.
//!
//! Whoever the user is, and whether there is one: the same is written, the same is asked of the repository, and what is
//! wrong is answered alike. An attempt is counted before it is judged, so that many at once find no more than one after
//! another. Wrong passwords are counted apart from wrong codes, under the same limits.

use tokio::time::Instant;

use super::{Desk, StartError, StartRequest};
use crate::{
    domain::{
        clock::Timestamp,
        keyring::{Keyring, Subject, SubjectKind},
        otp_policy::OtpPolicy,
    },
    repository::{RepositoryError, Scope, User, UserName},
};

impl Desk {
    /// Refuses, before anybody is looked up, what no user could change: a password that is missing, or that nobody checks.
    pub(super) fn expects_password(
        &self,
        request: &StartRequest,
        policy: &OtpPolicy,
        scope: Scope<'_>,
    ) -> Result<(), StartError> {
        if request.password.is_none() {
            return if policy.password_required {
                Err(StartError::PasswordMissing)
            } else {
                Ok(())
            };
        }
        match self.directory.checks_passwords(&request.user, scope) {
            Ok(true) => Ok(()),
            Ok(false) => Err(StartError::PasswordNotChecked),
            Err(error) => Err(unanswered(error)),
        }
    }

    /// Lets pass whose password is right, or who sent none.
    pub(super) async fn prove(
        &self,
        request: &StartRequest,
        policy: &OtpPolicy,
        scope: Scope<'_>,
        user: Option<&User>,
        began: Instant,
        now: Timestamp,
    ) -> Result<(), StartError> {
        let Some(password) = &request.password else {
            return Ok(());
        };
        let subject = attempts_of(&self.keyring, &request.user, user);
        if let Some(lock) = self.budgets.attempt(subject, &policy.guesses, now).await? {
            return Err(StartError::UserLocked(lock));
        }
        let found = user.map(|user| (user.repository.as_str(), &user.proof));
        let proved = self
            .directory
            .prove(&request.user, scope, found, password, began)
            .await;
        if proved.map_err(unanswered)? {
            self.budgets.succeed(subject).await?;
            return Ok(());
        }
        Err(StartError::WrongPassword)
    }
}

/// Whose wrong passwords are counted: the user's, however the name was written, or those of a name that nobody has.
fn attempts_of(keyring: &Keyring, name: &UserName, user: Option<&User>) -> Subject {
    match user {
        Some(user) => keyring.subject(SubjectKind::Password, &[&user.repository, &user.id]),
        None => keyring.subject(SubjectKind::Password, &["", &name.folded()]),
    }
}

fn unanswered(error: RepositoryError) -> StartError {
    match error {
        RepositoryError::NotConfigured => StartError::RepositoryNotConfigured,
        error => StartError::Repository(error),
    }
}

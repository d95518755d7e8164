//! The user's own password, where it comes along with a start: checked in the repository before any mail goes out.
//!
//! Whoever the user is, and whether there is one: the same is written, the same is asked of the repository, and what is
//! wrong is answered alike. An attempt is counted before it is judged, so that many at once find no more than one after
//! another. Wrong passwords are counted apart from wrong codes, under the same limits.

use std::time::Duration;

use tokio::time::Instant;

use super::{Desk, StartError, StartRequest, decoy::name_of_caller, start::Search};
use crate::{
    domain::{
        caller::{Caller, CallerId, Role},
        keyring::{Keyring, Subject, SubjectKind},
        otp_policy::OtpPolicy,
    },
    repository::{NameForm, RepositoryError, Scope, User},
    sync::fair::{FairPlace, FairPlaces, Share},
};

/// Passwords that are checked at once: each costs a repository a round trip, or a core its time.
const PLACES: usize = 16;

/// How long a check waits for its turn.
const PATIENCE: Duration = Duration::from_millis(700);

/// The checks under way, shared fairly: a caller that sends many waits for itself.
pub struct PasswordChecks(FairPlaces<CallerId>);

impl Default for PasswordChecks {
    fn default() -> Self {
        Self(FairPlaces::new(PLACES, PLACES / 4))
    }
}

impl PasswordChecks {
    /// Waits for a turn. `None`: so many of the caller's wait already, or it took too long.
    async fn turn(&self, caller: &Caller) -> Option<FairPlace<CallerId>> {
        let preferred = matches!(caller.role, Role::Authenticator | Role::Admin);
        let places = if preferred { PLACES / 2 } else { PLACES / 4 };
        let share = Share {
            preferred,
            places,
            waiting: places * 4,
        };
        self.0.enter(caller.id, share, PATIENCE).await.ok()
    }
}

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

    /// Lets pass whose password is right, or who sent none; says whether there was one. To a caller that may not see users
    /// a right password of a user who is locked is wrong, as any is of nobody.
    pub(super) async fn prove(
        &self,
        caller: &Caller,
        search: &Search<'_>,
        user: Option<&User>,
        began: Instant,
    ) -> Result<bool, StartError> {
        let Some(password) = &search.request.password else {
            return Ok(false);
        };
        // Before the attempt is counted: what is not checked costs none. And for whoever the user is: the same queue.
        let (queued, turn) = (Instant::now(), self.password_checks.turn(caller).await);
        let _turn = turn.ok_or(StartError::Overloaded)?;
        // The time in the queue is not the repository's.
        let began = began + queued.elapsed();
        let limits = search.policy.guesses;
        let attempts = attempts_of(&self.keyring, search.form, user);
        let name = name_of_caller(&self.keyring, SubjectKind::NamePassword, caller, search.form);
        let counted = if search.sees_users {
            vec![(attempts, limits)]
        } else {
            vec![(name, limits.of_name()), (attempts, limits)]
        };
        let held = match self.budgets.attempt(&counted, search.now).await? {
            Some((0, lock)) => return Err(StartError::UserLocked(lock)),
            held => held.is_some(),
        };
        let found = user.map(|user| (user.repository.as_str(), &user.proof));
        let proved = self
            .directory
            .prove(&search.request.user, search.scope, found, password, began)
            .await;
        if proved.map_err(unanswered)? && !held {
            let counted: Vec<Subject> = counted.into_iter().map(|(subject, _)| subject).collect();
            self.budgets.succeed(&counted).await?;
            return Ok(true);
        }
        Err(StartError::WrongPassword)
    }
}

/// Whose wrong passwords are counted: the user's, however the name was written, or those of a name that nobody has.
fn attempts_of(keyring: &Keyring, form: &NameForm, user: Option<&User>) -> Subject {
    match user {
        Some(user) => keyring.subject(SubjectKind::Password, &[&user.repository, &user.id]),
        None => keyring.subject(SubjectKind::Password, &["", &form.repository, &form.name]),
    }
}

fn unanswered(error: RepositoryError) -> StartError {
    match error {
        RepositoryError::NotConfigured => StartError::RepositoryNotConfigured,
        error => StartError::Repository(error),
    }
}

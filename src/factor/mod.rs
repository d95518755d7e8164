//! The desk: the use cases of `EmailOtpAuthenticator` and `UserRepositories`, one file each.
//!
//! Each takes the caller and a checked request, and answers with data or with its own error. What a caller may see is
//! decided here: its own challenges alone (unless it is an admin), and nothing of users unless it has the right to.

use std::{sync::Arc, time::Duration};

use crate::{
    domain::{
        caller::{Caller, Role},
        challenge::{Challenge, Standing},
        clock::Clock,
        delivery::DeliveryState,
        entropy::Entropy,
        id::ChallengeId,
        keyring::Keyring,
        otp_policy::OtpPolicy,
    },
    repository::Directory,
    store::{
        Budgets, Challenges, Confirmations, Outbox, StoreError, account_book::AccountBook, changes::Changes,
        handoff::Handoff, policy_book::PolicyBook,
    },
};

mod cancel;
mod decoy;
mod get;
mod lookup;
mod mailing;
mod override_address;
mod password;
mod resend;
mod start;
mod verify;
mod watch;

pub use crate::repository::{Password, PasswordError, RepositoryError, UserName};
pub use cancel::CancelError;
pub use decoy::names_of_callers;
pub use lookup::{Finding, Known, LookUpError, LookUpRequest, RepositoryView};
pub use password::PasswordChecks;
pub use resend::{ResendError, ResendRequest};
pub use start::{StartError, StartRequest};
pub use verify::{Expected, Judgement, VerifyError, VerifyRequest};

/// What the desk works with.
pub struct Desk {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// The service's keys.
    pub keyring: Arc<Keyring>,
    /// Challenges and their budgets.
    pub challenges: Arc<dyn Challenges>,
    /// How many passwords were tried.
    pub budgets: Arc<dyn Budgets>,
    /// Passwords that are being checked.
    pub password_checks: PasswordChecks,
    /// Mails owed.
    pub outbox: Arc<dyn Outbox>,
    /// Which other addresses users have confirmed.
    pub confirmations: Arc<dyn Confirmations>,
    /// Where users live.
    pub directory: Arc<Directory>,
    /// How codes look and how often.
    pub policies: Arc<PolicyBook>,
    /// Whether there is an account to send through.
    pub accounts: Arc<AccountBook>,
    /// The way to this instance's worker.
    pub handoff: Handoff,
    /// News of challenges.
    pub changes: Changes,
    /// The rest.
    pub settings: DeskSettings,
}

/// Settings of the desk.
#[derive(Clone, Debug)]
pub struct DeskSettings {
    /// The language of mails to users whose language nobody knows.
    pub default_locale: String,
    /// What stands after the `@` of a Message-ID.
    pub message_id_domain: String,
    /// The domains that callers who may not see users are shown, one for each name. None: they are shown none.
    pub decoy_domains: Vec<String>,
    /// How long a caller that waits for the mail server waits at the most.
    pub wait: Duration,
    /// How often a watched challenge is looked at without news.
    pub poll: Duration,
}

/// A challenge as its caller sees it.
#[derive(Clone, Debug)]
pub struct ChallengeView {
    /// The challenge.
    pub challenge: Challenge,
    /// Where it stands now.
    pub standing: Standing,
    /// How far its newest mail has come; `None`: this caller may not learn it.
    pub delivery: Option<DeliveryState>,
}

/// Why a challenge was not shown.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// There is none of that name, or it is somebody else's.
    #[error("no such challenge")]
    Unknown,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Desk {
    /// The challenge as it stands, if it is this caller's to see.
    async fn present(&self, caller: &Caller, id: ChallengeId) -> Result<Challenge, GetError> {
        let found = self.challenges.present(id).await?;
        found
            .filter(|challenge| self.may_see(caller, challenge))
            .ok_or(GetError::Unknown)
    }

    /// The same for those who let the store decide: where others write to it, the copy at hand may be an older one.
    async fn challenge_of(&self, caller: &Caller, id: ChallengeId) -> Result<Challenge, GetError> {
        let found = self.challenges.find(id).await?;
        found
            .filter(|challenge| self.may_see(caller, challenge))
            .ok_or(GetError::Unknown)
    }

    /// Whether a challenge is this caller's to see. To one that may not see users, a challenge that expired a while ago is
    /// gone, whether or not it was a decoy: those are forgotten by then.
    fn may_see(&self, caller: &Caller, challenge: &Challenge) -> bool {
        let theirs = caller.role == Role::Admin || challenge.caller == caller.id;
        let gone = || self.clock.now() >= challenge.expires_at.plus(Challenge::REMEMBERED);
        let policies = self.policies.current();
        theirs && (sees_users(caller, policies.of(&challenge.event)) || !gone())
    }

    /// The challenge as the caller sees it.
    async fn view(&self, caller: &Caller, challenge: Challenge) -> Result<ChallengeView, StoreError> {
        let sees = sees_users(caller, self.policies.current().of(&challenge.event));
        let delivery = if sees {
            let newest = self.outbox.newest(challenge.id).await?;
            Some(newest.map_or(DeliveryState::Queued, |entry| entry.state))
        } else {
            None
        };
        Ok(ChallengeView {
            standing: challenge.standing(self.clock.now()),
            challenge,
            delivery,
        })
    }
}

/// What a code's context is sealed for.
#[must_use]
pub fn context_place(id: ChallengeId) -> String {
    format!("challenge/{id}/context")
}

/// Counts what became of a request for a challenge, or of a challenge.
fn count(outcome: &'static str) {
    metrics::counter!("mailfactor_challenges_total", "outcome" => outcome).increment(1);
}

/// Whether a caller is told the truth about users: by its own right, or because the event's policy has it so.
fn sees_users(caller: &Caller, policy: &OtpPolicy) -> bool {
    caller.see_users || policy.see_users
}

#[cfg(test)]
#[path = "desk_tests.rs"]
mod tests;

//! Start: find the user's address, open a challenge, owe the first mail.

mod error;

use std::{net::IpAddr, sync::Arc};

use tokio::time::Instant;

pub use error::StartError;

use super::{ChallengeView, Desk, context_place, count, decoy::Veil, sees_users};
use crate::{
    domain::{
        account::Replies,
        address::EmailAddress,
        asked::{Asked, UserId},
        caller::{Caller, Role},
        challenge::{Challenge, Purpose, State},
        clock::Timestamp,
        id::ChallengeId,
        keyring::{Subject, SubjectKind},
        message::MailContext,
        otp_policy::OtpPolicy,
        override_address::OverrideRefusal,
    },
    repository::{Found, NameForm, Pace, Password, RepositoryError, Scope, User, UserName},
    store::{RequestKey, Start, Started, handoff::Owed},
};

/// A checked request to start a challenge.
#[derive(Clone, Debug)]
pub struct StartRequest {
    /// Who is to prove that mail reaches them.
    pub user: UserName,
    /// The one repository to look in.
    pub repository: Option<String>,
    /// The user's password, to be checked before any mail goes out.
    pub password: Option<Password>,
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
    /// Where the mail is to go instead of the address on file.
    pub override_address: Option<EmailAddress>,
    /// Where answers to the mail are to go instead of where the account says.
    pub replies: Replies,
}

impl Desk {
    /// Starts a challenge.
    #[tracing::instrument(level = "debug", name = "factor.start", skip_all, fields(caller.name = %caller.name))]
    pub async fn start(&self, caller: &Caller, request: StartRequest) -> Result<ChallengeView, StartError> {
        let started = self.try_start(caller, request).await;
        if let Err(error) = &started {
            count(error.outcome());
        }
        started
    }

    async fn try_start(&self, caller: &Caller, request: StartRequest) -> Result<ChallengeView, StartError> {
        // Before anything is looked up: the refusal must not depend on the user.
        let policies = self.policies.current();
        if !policies.sending {
            return Err(StartError::SendingDisabled);
        }
        if !self.accounts.any().await? {
            return Err(StartError::NoAccount);
        }
        let policy = policies.of(&request.event);
        if request.wait && !sees_users(caller, policy) {
            return Err(StartError::WaitNotAllowed);
        }
        if let Some(address) = &request.override_address {
            let checked = policy
                .override_address
                .check(caller.role, request.purpose, address);
            checked.map_err(StartError::Override)?;
        }
        if caller.role == Role::Endpoint && !request.replies.is_empty() {
            return Err(StartError::Override(OverrideRefusal::Caller));
        }
        let addressee = self.addressee(caller, &request, policy, self.clock.now()).await?;
        let now = self.clock.now();
        let addressee = self.overridden(&request, policy, addressee, now).await?;
        let request_key = self.request_key(caller, &request);
        let wait = request.wait;
        let context = self.context(request.clone(), &addressee);
        let challenge = self.new_challenge(caller, request, &addressee, policy, now);
        let place = context_place(challenge.id);
        let sealed = self.keyring.seal(&place, &context.to_bytes(), &*self.entropy);

        let mut entry = self.entry(caller, &challenge, challenge.code_number, context, policy, now);
        let slot = self.handoff.slot(entry.queue, &*self.entropy, &*self.clock);
        entry.lease = slot.lease();
        // Before the write: the worker may be faster than this task.
        let listener = wait.then(|| self.changes.listen(challenge.id));
        let start = Start {
            challenge: challenge.clone(),
            context: sealed,
            entry: entry.clone(),
            charges: self.charges(caller, &challenge, policy),
            request: request_key,
        };
        let challenges = Arc::clone(&self.challenges);
        let write = async move {
            failpoint!("start.before_commit");
            let started = challenges.start(start).await;
            failpoint!("start.after_commit");
            started
        };
        let owed = |started: &Started| match started {
            Started::Opened => Owed::Mail,
            Started::Muted => Owed::Decoy,
            _ => Owed::Nothing,
        };
        let started = slot.owe(entry, write, owed).await?;
        match started {
            Started::Opened | Started::Muted => {
                let challenge = Challenge {
                    decoy: challenge.decoy || matches!(started, Started::Muted),
                    ..challenge
                };
                count(match started {
                    Started::Muted => "muted",
                    _ if challenge.decoy => "decoy",
                    _ => "started",
                });
                tracing::debug!(challenge.id = %challenge.id, challenge.decoy = challenge.decoy, "started");
                Ok(self.answer(caller, challenge, listener.as_ref()).await)
            }
            Started::Repeated(challenge) => {
                count("repeated");
                let listener = wait.then(|| self.changes.listen(challenge.id));
                match listener {
                    Some(listener) => Ok(self.answer(caller, *challenge, Some(&listener)).await),
                    None => Ok(self.view(caller, *challenge).await?),
                }
            }
            Started::RequestReused => Err(StartError::RequestReused),
            Started::UserLocked(lock) => Err(StartError::UserLocked(lock)),
            Started::OverBudget(until) => Err(StartError::OverBudget(until)),
        }
    }

    /// Whom the mail goes to: the user, or a decoy for callers who must not learn that there is nobody to mail.
    async fn addressee(
        &self,
        caller: &Caller,
        request: &StartRequest,
        policy: &OtpPolicy,
        now: Timestamp,
    ) -> Result<Addressee, StartError> {
        let sees_users = sees_users(caller, policy);
        let scope = searched(request, policy)?;
        self.expects_password(request, policy, scope)?;
        let pace = match (sees_users, &request.password) {
            (false, _) => Pace::Alike,
            // A password must not be told to be somebody's by how fast it is refused.
            (true, Some(_)) => Pace::Even,
            (true, None) => Pace::Quick,
        };
        let form = self.directory.form(&request.user, scope);
        let form = form.map_err(|_| StartError::RepositoryNotConfigured)?;
        let search = Search {
            request,
            policy,
            scope,
            form: &form,
            sees_users,
            now,
        };
        // One deadline for finding the user and for checking the password.
        let began = Instant::now();
        let found = self.directory.find(&request.user, scope, pace).await;
        let veil = (!sees_users).then(|| self.veil(caller, &request.user, &form));
        let truth = match found {
            Ok(Found::User(user)) => {
                let proved = self.prove(caller, &search, Some(&user), began).await?;
                return Ok(Addressee {
                    // Whoever has the user's password knows that there is one.
                    veil: veil.filter(|_| !proved),
                    ..self.real(*user)
                });
            }
            Ok(Found::Unknown) => StartError::UserUnknown,
            Ok(Found::NoAddress) => StartError::NoAddress,
            Ok(Found::Ambiguous) => StartError::UserAmbiguous,
            Err(RepositoryError::NotConfigured) => return Err(StartError::RepositoryNotConfigured),
            Err(error) => return Err(StartError::Repository(error)),
        };
        // What is wrong with a user is told to those who may know; that there is none, to nobody who tries passwords.
        if sees_users && (request.password.is_none() || !matches!(truth, StartError::UserUnknown)) {
            return Err(truth);
        }
        self.prove(caller, &search, None, began).await?;
        tracing::debug!(reason = truth.outcome(), "a decoy stands in");
        Ok(Addressee {
            veil,
            ..self.decoy(&form)
        })
    }

    fn real(&self, user: User) -> Addressee {
        let address = user.address.folded();
        Addressee {
            user: self
                .keyring
                .subject(SubjectKind::User, &[&user.repository, &user.id]),
            found: Some(UserId {
                repository: user.repository,
                id: user.id,
            }),
            address: self.keyring.subject(SubjectKind::Address, &[&address]),
            recipient: user.address,
            display_name: user.display_name,
            locale: user.locale,
            confirms: None,
            decoy: false,
            veil: None,
        }
    }

    fn context(&self, request: StartRequest, addressee: &Addressee) -> MailContext {
        let given_name = || request.user.as_str().trim().to_owned();
        MailContext {
            recipient: addressee.recipient.clone(),
            user: addressee.display_name.clone().unwrap_or_else(given_name),
            endpoint: request.endpoint,
            event: request.event,
            locale: request
                .locale
                .or_else(|| addressee.locale.clone())
                .unwrap_or_else(|| self.settings.default_locale.clone()),
            client_ip: request.client_ip.map(|ip| ip.to_string()).unwrap_or_default(),
            replies: request.replies,
            asked: Some(Asked {
                name: request.user.as_str().to_owned(),
                within: request.repository,
                user: addressee.found.clone(),
            }),
        }
    }

    fn new_challenge(
        &self,
        caller: &Caller,
        request: StartRequest,
        addressee: &Addressee,
        policy: &OtpPolicy,
        now: Timestamp,
    ) -> Challenge {
        Challenge {
            id: ChallengeId::random(&*self.entropy),
            caller: caller.id,
            purpose: request.purpose,
            spec: policy.spec(request.purpose).clone(),
            key: self.keyring.newest(),
            user: addressee.user,
            name: addressee.veil.as_ref().map(|veil| veil.name),
            address: addressee.address,
            decoy: addressee.decoy,
            state: State::Pending,
            code_number: 1,
            most_codes: policy.codes,
            codes_before: policy.codes_before,
            attempts: 0,
            most_attempts: policy.attempts,
            created_at: now,
            expires_at: now.plus(policy.lifetime(request.purpose)),
            resend_at: now.plus(policy.resend_after),
            verified_at: None,
            masked_recipient: match &addressee.veil {
                Some(veil) => veil.recipient.clone(),
                None => policy.mask.apply(&addressee.recipient),
            },
            event: request.event,
            endpoint: request.endpoint,
            confirms: addressee.confirms,
        }
    }

    /// The request id, keyed by caller, and all the request says: what the store needs to know a repetition.
    fn request_key(&self, caller: &Caller, request: &StartRequest) -> Option<RequestKey> {
        let request_id = request.request_id.as_deref()?;
        let caller_id = caller.id.to_string();
        let client_ip = request.client_ip.map(|ip| ip.to_string()).unwrap_or_default();
        let mut contents = vec![
            "contents",
            request.user.as_str(),
            request.repository.as_deref().unwrap_or_default(),
            request.purpose.name(),
            &request.event,
            &request.endpoint,
            request.locale.as_deref().unwrap_or_default(),
            &client_ip,
            if request.wait { "wait" } else { "" },
            written(request.override_address.as_ref()),
        ];
        if !request.replies.is_empty() {
            let Replies {
                reply_to,
                return_path,
                confirmation,
            } = &request.replies;
            contents.extend([reply_to, return_path, confirmation].map(|address| written(address.as_ref())));
        }
        Some(RequestKey {
            id: self
                .keyring
                .subject(SubjectKind::Request, &["id", &caller_id, request_id]),
            contents: self.keyring.subject(SubjectKind::Request, &contents),
        })
    }
}

/// An address as it was asked for; empty: none was.
fn written(address: Option<&EmailAddress>) -> &str {
    address.map_or("", EmailAddress::as_str)
}

/// The repositories to search: the one that is named, if the policy allows it, or those of the policy; none: all.
fn searched<'a>(request: &'a StartRequest, policy: &'a OtpPolicy) -> Result<Scope<'a>, StartError> {
    let allowed = &policy.repositories;
    match request.repository.as_deref() {
        None if allowed.is_empty() => Ok(Scope::All),
        None => Ok(Scope::Among(allowed)),
        Some(name) if allowed.is_empty() || allowed.iter().any(|allowed| allowed == name) => {
            Ok(Scope::In(name))
        }
        Some(_) => Err(StartError::RepositoryNotConfigured),
    }
}

/// Whom a mail goes to, or seems to.
pub(super) struct Addressee {
    /// Whose guesses and mails are counted.
    pub(super) user: Subject,
    /// Who that is; `None`: nobody.
    pub(super) found: Option<UserId>,
    /// Which mailbox's mails are counted.
    pub(super) address: Subject,
    /// The address.
    pub(super) recipient: EmailAddress,
    /// How to address the user, if that is known.
    pub(super) display_name: Option<String>,
    /// The user's language, if that is known.
    pub(super) locale: Option<String>,
    /// What a right code confirms.
    pub(super) confirms: Option<Subject>,
    /// Nobody is there.
    pub(super) decoy: bool,
    /// What the caller sees instead; `None`: the truth.
    pub(super) veil: Option<Veil>,
}

/// What is asked of the repositories.
pub(super) struct Search<'a> {
    pub(super) request: &'a StartRequest,
    pub(super) policy: &'a OtpPolicy,
    pub(super) scope: Scope<'a>,
    /// The name in the form by which it is counted.
    pub(super) form: &'a NameForm,
    /// Whether the caller is told the truth about users.
    pub(super) sees_users: bool,
    pub(super) now: Timestamp,
}

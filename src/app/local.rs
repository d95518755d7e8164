//! What an administrator does on the machine itself, on the database, whether a server runs on it or not: callers
//! and locks on users.

use std::sync::Arc;

use super::{BuildError, Machine, archive, directory::directory};
use crate::{
    config::{Config, RepositoryKind, Users},
    domain::{
        address::{EmailAddress, LocalPart},
        audit::{Action, Actor, Note},
        budget::Lock,
        caller::{ApiKey, Caller, CallerId, CertificateDigest, Role, is_caller_name},
        id::AuditId,
        keyring::{Keyring, Subject, SubjectKind},
        mask::Mask,
    },
    factor::names_of_callers,
    repository::{Found, Pace, RepositoryError, Scope, UserName},
    store::{Budgets, CallerWrite, Callers, Confirmations, StoreError, sql::SqlStore},
    system::local_user,
};

/// The database, opened on the machine itself. Nothing else is: whoever locks a caller out, or lets a user in again, does not
/// depend on directories and mail servers being well.
pub struct Local {
    store: SqlStore,
    keyring: Arc<Keyring>,
    machine: Machine,
    users: Users,
    mask: Mask,
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// No name for a caller.
    #[error("a caller's name is 1 to 64 of letters, digits, `.`, `_`, `-`")]
    CallerName,
    /// The name or the certificate is another caller's.
    #[error("another caller has that name or certificate; see `mailfactor caller list`")]
    CallerTaken,
    /// No such caller.
    #[error("no caller has that name; see `mailfactor caller list`")]
    CallerUnknown,
    /// No name for a user.
    #[error("the user's name {0}")]
    UserName(crate::domain::text::TextError),
    /// No such user.
    #[error("no repository knows that user")]
    UserUnknown,
    /// The user has no usable address, so never had a code.
    #[error("the user has no usable e-mail address in the repository, so there is nothing to lock")]
    UserHasNoAddress,
    /// Several users of that name.
    #[error("several users have that name; name the repository with --repository")]
    UserAmbiguous,
    /// A repository gave no answer.
    #[error("{0}; `--repository NAME --id ID` needs none of them: `mailfactor user show` tells a user's id")]
    Repository(#[from] RepositoryError),
    /// A repository cannot be opened.
    #[error("{0}; `--repository NAME` needs that one only, and with `--id ID` not even that")]
    Directory(Box<BuildError>),
    /// No repository of that name.
    #[error("no repository of that name is configured")]
    RepositoryUnknown,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A caller to be added.
#[derive(Clone, Debug)]
pub struct NewCaller {
    /// Its name.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// Whether it sees users; `None`: as its role has it.
    pub see_users: Option<bool>,
    /// Its client certificate, instead of an API key.
    pub certificate: Option<CertificateDigest>,
}

/// Which user is meant.
#[derive(Clone, Copy, Debug)]
pub enum UserKey<'a> {
    /// The one that goes by this name, in this repository or in any.
    Name(Option<&'a str>, &'a str),
    /// The one that this repository knows by this identifier: it is not asked.
    Id(&'a str, &'a str),
}

impl<'a> UserKey<'a> {
    /// What it was called by.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        match self {
            Self::Name(_, text) | Self::Id(_, text) => text,
        }
    }
}

/// A user as the budgets know it.
#[derive(Clone, Debug)]
pub struct UserState {
    /// The identifier that the repository knows it by.
    pub id: String,
    /// The repository it was found in.
    pub repository: String,
    /// The address, masked; empty where nobody was asked for it.
    pub masked_address: String,
    /// Wrong codes in a row.
    pub failures: u32,
    /// Passwords that were tried in a row, none of them right.
    pub wrong_passwords: u32,
    /// The lock that holds for passwords.
    pub password_lock: Option<Lock>,
    /// The lock that holds.
    pub lock: Option<Lock>,
    /// How many other addresses the user has confirmed.
    pub confirmed: u64,
}

/// Under which names a user's budgets are kept.
struct Subjects {
    user: Subject,
    password: Subject,
    /// Those that callers who may not see users are answered by.
    names: Vec<Subject>,
}

impl Local {
    /// Opens the database and brings it up to date; makes it, with its key file, where there is none yet.
    pub async fn open(config: &Config, machine: &Machine) -> Result<Self, BuildError> {
        let (store, keyring) = archive::open(config, machine).await?;
        Ok(Self {
            store,
            keyring: Arc::new(keyring),
            machine: machine.clone(),
            users: config.users.clone(),
            mask: config.policies.default.mask.clone(),
        })
    }

    /// Closes the database.
    pub async fn close(self) {
        self.store.close().await;
    }

    /// Adds a caller. Its API key is told once, here; one with a certificate has none.
    pub async fn add_caller(&self, new: NewCaller) -> Result<(Caller, Option<ApiKey>), LocalError> {
        if !is_caller_name(&new.name) {
            return Err(LocalError::CallerName);
        }
        let entropy = &*self.machine.entropy;
        let id = CallerId::random(entropy);
        let key = new.certificate.is_none().then(|| ApiKey::random(id, entropy));
        let caller = Caller {
            id,
            name: new.name,
            role: new.role,
            see_users: new.see_users.unwrap_or(new.role.sees_users()),
            keys: key.iter().map(ApiKey::digest).collect(),
            certificate: new.certificate,
            created_at: self.machine.clock.now(),
        };
        match self
            .store
            .add(caller.clone(), &self.note(Action::CallerAdd))
            .await?
        {
            CallerWrite::Saved => Ok((caller, key)),
            CallerWrite::Taken | CallerWrite::Unknown => Err(LocalError::CallerTaken),
        }
    }

    /// All callers, by name.
    pub async fn callers(&self) -> Result<Vec<Caller>, LocalError> {
        Ok(Callers::list(&self.store).await?)
    }

    /// Gives a caller another key. The one before it stays live until the next rotation.
    pub async fn rotate_caller(&self, name: &str) -> Result<ApiKey, LocalError> {
        let caller = self.caller(name).await?;
        let key = ApiKey::random(caller.id, &*self.machine.entropy);
        let now = self.machine.clock.now();
        let note = self.note(Action::CallerRotate);
        match self.store.rotate(caller.id, key.digest(), now, &note).await? {
            CallerWrite::Saved => Ok(key),
            CallerWrite::Taken | CallerWrite::Unknown => Err(LocalError::CallerUnknown),
        }
    }

    /// Removes a caller with all its keys.
    pub async fn remove_caller(&self, name: &str) -> Result<(), LocalError> {
        let caller = self.caller(name).await?;
        match self
            .store
            .remove(caller.id, &self.note(Action::CallerRemove))
            .await?
        {
            CallerWrite::Saved => Ok(()),
            CallerWrite::Taken | CallerWrite::Unknown => Err(LocalError::CallerUnknown),
        }
    }

    async fn caller(&self, name: &str) -> Result<Caller, LocalError> {
        let mut callers = self.callers().await?.into_iter();
        callers
            .find(|caller| caller.name == name)
            .ok_or(LocalError::CallerUnknown)
    }

    /// A user's failures and lock.
    pub async fn user(&self, user: UserKey<'_>) -> Result<UserState, LocalError> {
        let (subjects, mut state) = self.find(user).await?;
        let (subject, now) = (subjects.user, self.machine.clock.now());
        (state.failures, state.lock) = self.store.guesses(subject, now).await?;
        (state.wrong_passwords, state.password_lock) = self.store.guesses(subjects.password, now).await?;
        state.confirmed = self.store.confirmed(subject).await?;
        Ok(state)
    }

    /// Lifts a user's lock and forgets the failures. `false`: there were none.
    pub async fn unlock_user(&self, user: UserKey<'_>) -> Result<bool, LocalError> {
        let (subjects, state) = self.find(user).await?;
        let shown = self.shown(&state, user.as_str());
        let note = || self.note(Action::UserUnlock);
        let codes = self.store.unlock(subjects.user, &shown, &note()).await?;
        let passwords = self.store.unlock(subjects.password, &shown, &note()).await?;
        // Callers that may not see users are answered by the name: unlocked as it is written here.
        let mut names = false;
        for name in &subjects.names {
            names |= self.store.guesses(*name, self.machine.clock.now()).await?.0 > 0;
        }
        self.store.succeed(&subjects.names).await?;
        Ok(codes || passwords || names)
    }

    /// Locks a user until unlocked.
    pub async fn lock_user(&self, user: UserKey<'_>) -> Result<(), LocalError> {
        let (subjects, state) = self.find(user).await?;
        let note = self.note(Action::UserLock);
        let shown = self.shown(&state, user.as_str());
        Ok(self.store.lock(subjects.user, &shown, &note).await?)
    }

    /// What goes along with a change: it is this machine's user who makes it.
    fn note(&self, action: Action) -> Note {
        note(&self.machine, action)
    }

    /// A user as the audit calls it: some are known by their addresses.
    fn shown(&self, state: &UserState, name: &str) -> String {
        let name = match EmailAddress::parse(name, LocalPart::Utf8) {
            Ok(address) => self.mask.apply(&address),
            Err(_) if name.contains('@') => "*****".to_owned(),
            Err(_) => name.to_owned(),
        };
        format!("{}/{name}", state.repository)
    }

    /// Forgets the other addresses that a user has confirmed; says how many.
    pub async fn forget_confirmed(&self, user: UserKey<'_>) -> Result<u64, LocalError> {
        let (subjects, state) = self.find(user).await?;
        let note = self.note(Action::UserForgetAddresses);
        let shown = self.shown(&state, user.as_str());
        Ok(self.store.forget_confirmed(subjects.user, &shown, &note).await?)
    }

    /// The user's budget, found as a start finds it: through the directory, or by what the directory would say.
    async fn find(&self, user: UserKey<'_>) -> Result<(Subjects, UserState), LocalError> {
        let (repository, name) = match user {
            UserKey::Id(repository, id) => {
                self.users_of(Some(repository))?;
                return Ok(self.known(repository, id, String::new()));
            }
            UserKey::Name(repository, name) => (repository, name),
        };
        let name = UserName::parse(name).map_err(LocalError::UserName)?;
        let users = self.users_of(repository)?;
        let scope = repository.map_or(Scope::All, Scope::In);
        let callers = self.callers().await?;
        let names;
        let found = match directory(&users) {
            Ok(directory) => {
                let form = directory.form(&name, scope)?;
                names = names_of_callers(&self.keyring, &callers, &form);
                directory.find(&name, scope, Pace::Quick).await
            }
            // Only a file knows its users by their names: there the name alone says enough.
            Err(error) => {
                return match users.repositories.as_slice() {
                    [only] if matches!(only.kind, RepositoryKind::File { .. }) => {
                        tracing::warn!(%error, "the users file cannot be read: the user is taken to be named so in it");
                        Ok(self.known(&only.name, &name.folded(), String::new()))
                    }
                    _ => Err(LocalError::Directory(Box::new(error))),
                };
            }
        };
        match found? {
            Found::User(user) => {
                let masked_address = self.mask.apply(&user.address);
                let (mut subjects, state) = self.known(&user.repository, &user.id, masked_address);
                subjects.names = names;
                Ok((subjects, state))
            }
            Found::Unknown => Err(LocalError::UserUnknown),
            Found::NoAddress => Err(LocalError::UserHasNoAddress),
            Found::Ambiguous => Err(LocalError::UserAmbiguous),
        }
    }

    /// The repositories, or the one that is named: the others are not opened.
    fn users_of(&self, repository: Option<&str>) -> Result<Users, LocalError> {
        let mut users = self.users.clone();
        if let Some(name) = repository {
            users.repositories.retain(|known| known.name == name);
            if users.repositories.is_empty() {
                return Err(LocalError::RepositoryUnknown);
            }
        }
        Ok(users)
    }

    fn known(&self, repository: &str, id: &str, masked_address: String) -> (Subjects, UserState) {
        let parts = [repository, id];
        let subjects = Subjects {
            user: self.keyring.subject(SubjectKind::User, &parts),
            password: self.keyring.subject(SubjectKind::Password, &parts),
            names: Vec::new(),
        };
        let state = UserState {
            id: id.to_owned(),
            masked_address,
            repository: repository.to_owned(),
            failures: 0,
            wrong_passwords: 0,
            password_lock: None,
            lock: None,
            confirmed: 0,
        };
        (subjects, state)
    }
}

/// What goes along with a change that this machine's user makes.
pub(super) fn note(machine: &Machine, action: Action) -> Note {
    let (uid, login) = local_user();
    Note {
        id: AuditId::random(&*machine.entropy),
        action,
        actor: Actor::local(uid, &login),
        peer: String::new(),
        request_id: String::new(),
    }
}

//! What an administrator does on the machine itself, on the database, whether a server runs on it or not: callers
//! and locks on users.

use std::sync::Arc;

use super::{BuildError, Machine, archive, directory::directory};
use crate::{
    config::Config,
    domain::{
        address::{EmailAddress, LocalPart},
        audit::{Action, Actor, Note},
        budget::Lock,
        caller::{ApiKey, Caller, CallerId, CertificateDigest, Role, is_caller_name},
        id::AuditId,
        keyring::{Keyring, Subject, SubjectKind},
        mask::Mask,
    },
    repository::{Directory, Found, Pace, RepositoryError, Scope, UserName},
    store::{Budgets, CallerWrite, Callers, Confirmations, StoreError, sql::SqlStore},
    system::local_user,
};

/// The database, opened on the machine itself.
pub struct Local {
    store: SqlStore,
    keyring: Arc<Keyring>,
    machine: Machine,
    directory: Directory,
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
    #[error(transparent)]
    Repository(#[from] RepositoryError),
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

/// A user as the budgets know it.
#[derive(Clone, Debug)]
pub struct UserState {
    /// The repository it was found in.
    pub repository: String,
    /// The address, masked.
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
}

impl Local {
    /// Opens the database and brings it up to date; makes it, with its key file, where there is none yet.
    pub async fn open(config: &Config, machine: &Machine) -> Result<Self, BuildError> {
        let (store, keyring) = archive::open(config, machine).await?;
        Ok(Self {
            store,
            keyring: Arc::new(keyring),
            machine: machine.clone(),
            directory: directory(&config.users)?,
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
    pub async fn user(&self, repository: Option<&str>, name: &str) -> Result<UserState, LocalError> {
        let (subjects, mut state) = self.find(repository, name).await?;
        let (subject, now) = (subjects.user, self.machine.clock.now());
        (state.failures, state.lock) = self.store.guesses(subject, now).await?;
        (state.wrong_passwords, state.password_lock) = self.store.guesses(subjects.password, now).await?;
        state.confirmed = self.store.confirmed(subject).await?;
        Ok(state)
    }

    /// Lifts a user's lock and forgets the failures. `false`: there were none.
    pub async fn unlock_user(&self, repository: Option<&str>, name: &str) -> Result<bool, LocalError> {
        let (subjects, state) = self.find(repository, name).await?;
        let shown = self.shown(&state, name);
        let note = || self.note(Action::UserUnlock);
        let codes = self.store.unlock(subjects.user, &shown, &note()).await?;
        let passwords = self.store.unlock(subjects.password, &shown, &note()).await?;
        Ok(codes || passwords)
    }

    /// Locks a user until unlocked.
    pub async fn lock_user(&self, repository: Option<&str>, name: &str) -> Result<(), LocalError> {
        let (subjects, state) = self.find(repository, name).await?;
        let note = self.note(Action::UserLock);
        let shown = self.shown(&state, name);
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
    pub async fn forget_confirmed(&self, repository: Option<&str>, name: &str) -> Result<u64, LocalError> {
        let (subjects, state) = self.find(repository, name).await?;
        let note = self.note(Action::UserForgetAddresses);
        let shown = self.shown(&state, name);
        Ok(self.store.forget_confirmed(subjects.user, &shown, &note).await?)
    }

    /// The user's budget, found as a start finds it: through the directory.
    async fn find(&self, repository: Option<&str>, name: &str) -> Result<(Subjects, UserState), LocalError> {
        let name = UserName::parse(name).map_err(LocalError::UserName)?;
        match self
            .directory
            .find(&name, repository.map_or(Scope::All, Scope::In), Pace::Quick)
            .await?
        {
            Found::User(user) => {
                let parts: [&str; 2] = [&user.repository, &user.id];
                let subjects = Subjects {
                    user: self.keyring.subject(SubjectKind::User, &parts),
                    password: self.keyring.subject(SubjectKind::Password, &parts),
                };
                let state = UserState {
                    masked_address: self.mask.apply(&user.address),
                    repository: user.repository,
                    failures: 0,
                    wrong_passwords: 0,
                    password_lock: None,
                    lock: None,
                    confirmed: 0,
                };
                Ok((subjects, state))
            }
            Found::Unknown => Err(LocalError::UserUnknown),
            Found::NoAddress => Err(LocalError::UserHasNoAddress),
            Found::Ambiguous => Err(LocalError::UserAmbiguous),
        }
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

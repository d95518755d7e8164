//! Accounts: create, get, list, update, delete, set the default.

use zeroize::Zeroizing;

use super::{
    Office, SavedAccount, Standing,
    identity::{gives_key, keep_key_at_home},
    merge::{check_mask, gives_secret, keep_secret_at_home, merge, names},
};
use crate::{
    domain::{
        account::{Account, AccountDraft, AccountSettings, Secret},
        audit::Action,
        delivery::ConnectionReport,
        id::AccountId,
        oauth::OauthSecret,
        violation::Violations,
        visitor::Visitor,
    },
    store::{AccountWrite, StoreError},
};

/// An account as it was written: the draft, and the password that is still to be sealed.
#[derive(Debug, Default)]
pub struct AccountInput {
    /// All but the password. `draft.secret` is set for files and variables.
    pub draft: AccountDraft,
    /// The password itself.
    pub password: Option<Zeroizing<String>>,
    /// The secrets of OAuth themselves; those in files and variables are in `draft.oauth`.
    pub oauth: Vec<(OauthSecret, Zeroizing<String>)>,
    /// The private key of the client certificate itself; one elsewhere is in `draft.identity`.
    pub client_key: Option<Zeroizing<String>>,
}

/// An account, named either way.
#[derive(Clone, Debug)]
pub enum AccountRef {
    /// By identifier; or by a name that reads like one, where no account has that identifier.
    Id(AccountId),
    /// By name.
    Name(String),
}

/// Why an account was not saved or found.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Something is wrong with it.
    #[error(transparent)]
    Invalid(#[from] Violations),
    /// No such account.
    #[error("no such account")]
    Unknown,
    /// Another has that name.
    #[error("another account has that name")]
    NameTaken,
    /// Somebody else changed it in between.
    #[error("the account was changed in between")]
    Stale,
    /// The default account stays enabled and stays, as long as there are others.
    #[error("the account is the default")]
    IsDefault,
    /// A disabled account cannot be the default.
    #[error("the account is disabled")]
    Disabled,
    /// The settings did not pass the connection test, and an enabled account must.
    #[error("the settings did not pass the connection test")]
    TestFailed(Box<ConnectionReport>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How often an update without a version is tried when others write at the same time.
const TRIES: u32 = 5;

impl Office {
    /// Creates an account; the first becomes the default. One that is to be enabled and fails its test is kept disabled, so
    /// that nothing of what was typed is lost.
    #[tracing::instrument(name = "policy.create_account", skip_all)]
    pub async fn create_account(
        &self,
        caller: &Visitor,
        input: AccountInput,
    ) -> Result<SavedAccount, AccountError> {
        let id = AccountId::random(&*self.entropy);
        let settings = self.check(id, "account.", input)?;
        if self.named(&settings.name).await?.is_some() {
            return Err(AccountError::NameTaken);
        }
        let mut imagined = self.imagined(id, settings);
        let trial = self.try_out(&imagined).await;
        imagined.settings.enabled &= trial.passed();
        let settings = imagined.settings;
        let note = self.note(caller, Action::AccountCreate);
        let write = self
            .accounts
            .create(id, settings, self.clock.now(), &note)
            .await?;
        let mut account = written(write)?;
        self.note_proof(&mut account, trial.proof).await?;
        tell(caller, &account, "account created");
        Ok(SavedAccount {
            account,
            report: trial.report,
        })
    }

    /// Answers with one account.
    #[tracing::instrument(name = "policy.account", skip_all)]
    pub async fn account(&self, account: &AccountRef) -> Result<Account, AccountError> {
        let found = match account {
            AccountRef::Id(id) => match self.accounts.find(*id).await? {
                Some(account) => Some(account),
                None => self.named(&id.to_string()).await?,
            },
            AccountRef::Name(name) => self.named(name).await?,
        };
        found.map(|found| self.judged(found)).ok_or(AccountError::Unknown)
    }

    async fn named(&self, name: &str) -> Result<Option<Account>, StoreError> {
        let all = self.accounts.list().await?;
        Ok(all.into_iter().find(|account| account.settings.name == name))
    }

    /// All accounts, by name.
    #[tracing::instrument(name = "policy.accounts", skip_all)]
    pub async fn accounts(&self) -> Result<Vec<Account>, AccountError> {
        let all = self.accounts.list().await?;
        Ok(all.into_iter().map(|account| self.judged(account)).collect())
    }

    /// How an account does at present, as this instance sees it.
    #[must_use]
    pub fn standing(&self, account: &Account) -> Standing {
        self.transports.standing(account)
    }

    /// Changes the fields that `mask` names ([`super::UPDATABLE`]); empty: all, keeping the secret where none is given.
    /// `version` refuses to overwrite somebody else's change. Without one, the fields that are not named keep whatever
    /// somebody else makes of them meanwhile. An account that is to be enabled with settings that fail their test stays as
    /// it is.
    #[tracing::instrument(name = "policy.update_account", skip_all, fields(account.id = %id))]
    pub async fn update_account(
        &self,
        caller: &Visitor,
        id: AccountId,
        input: AccountInput,
        mask: &[String],
        version: Option<i64>,
    ) -> Result<SavedAccount, AccountError> {
        check_mask(mask)?;
        // Sealed once: a password leaves this function only sealed.
        let input = self.sealed(id, "account.", input)?;
        if names(mask, "default_credentials") {
            let mut faults = Violations::new();
            self.check_default("account.", &input, &mut faults);
            faults.into_result()?;
        }
        let note = self.note(caller, Action::AccountUpdate);
        let (mut passed, mut report) = (None, None);
        for _ in 0..TRIES {
            let current = self.accounts.find(id).await?.ok_or(AccountError::Unknown)?;
            let draft = merge(&current.settings, &input, mask);
            let settings = draft.check("account.", self.settings.local_part)?;
            keep_secret_at_home(&current.settings, &settings, gives_secret(&input, mask))?;
            keep_key_at_home(&current.settings, &settings, gives_key(&input, mask))?;
            self.check_identity(id, "account.", &settings)?;
            if current.is_default && current.settings.enabled && !settings.enabled {
                return Err(AccountError::IsDefault);
            }
            let based_on = version.unwrap_or(current.version);
            if based_on != current.version {
                return Err(AccountError::Stale);
            }
            let tried = Account {
                settings: settings.clone(),
                proof: passed.or(current.proof),
                ..current
            };
            let trial = self.try_out(&tried).await;
            if !trial.passed() {
                return Err(trial.into());
            }
            passed = trial.proof.or(passed);
            report = trial.report.or(report);
            let write = self
                .accounts
                .update(id, settings, Some(based_on), self.clock.now(), &note)
                .await?;
            match written(write) {
                Err(AccountError::Stale) if version.is_none() => {}
                Ok(mut account) => {
                    self.note_proof(&mut account, passed).await?;
                    tell(caller, &account, "account changed");
                    let account = self.judged(account);
                    return Ok(SavedAccount { account, report });
                }
                Err(error) => return Err(error),
            }
        }
        Err(AccountError::Stale)
    }

    /// Deletes an account; the default only as the last.
    #[tracing::instrument(name = "policy.delete_account", skip_all)]
    pub async fn delete_account(
        &self,
        caller: &Visitor,
        account: &AccountRef,
        version: Option<i64>,
    ) -> Result<(), AccountError> {
        let id = self.account(account).await?.id;
        let note = self.note(caller, Action::AccountDelete);
        let account = written(self.accounts.delete(id, version, &note).await?)?;
        tell(caller, &account, "account deleted");
        Ok(())
    }

    /// Makes an enabled account the default.
    #[tracing::instrument(name = "policy.set_default_account", skip_all)]
    pub async fn set_default_account(
        &self,
        caller: &Visitor,
        account: &AccountRef,
    ) -> Result<Account, AccountError> {
        let id = self.account(account).await?.id;
        let note = self.note(caller, Action::AccountSetDefault);
        let write = self.accounts.set_default(id, self.clock.now(), &note).await?;
        let account = written(write)?;
        tell(caller, &account, "default account set");
        Ok(self.judged(account))
    }

    /// The settings of an input for the account of this name, its password sealed; or all that is wrong with them.
    pub(super) fn check(
        &self,
        id: AccountId,
        prefix: &str,
        input: AccountInput,
    ) -> Result<AccountSettings, Violations> {
        let (sealed, mut faults) = match self.sealed(id, prefix, input) {
            Ok(draft) => (draft, Violations::new()),
            Err(Unsealed { draft, faults }) => (*draft, faults),
        };
        self.check_default(prefix, &sealed, &mut faults);
        match sealed.check(prefix, self.settings.local_part) {
            Ok(settings) => {
                faults.into_result()?;
                self.check_identity(id, prefix, &settings).map(|()| settings)
            }
            Err(more) => {
                for fault in more.as_slice() {
                    faults.add(&fault.field, &fault.description);
                }
                Err(faults)
            }
        }
    }

    /// The draft with its secret checked, and sealed where it is a password.
    fn sealed(&self, id: AccountId, prefix: &str, input: AccountInput) -> Result<AccountDraft, Unsealed> {
        let AccountInput {
            mut draft,
            password,
            oauth,
            client_key,
        } = input;
        let mut faults = Violations::new();
        self.seal_client_key(id, prefix, &mut draft.identity, client_key, &mut faults);
        if let Some(draft) = &mut draft.oauth {
            self.seal_oauth(id, &format!("{prefix}oauth."), draft, oauth, &mut faults);
        }
        let secret = match (password, draft.secret.take()) {
            (None, None) => None,
            (Some(password), _) => Some(self.seal_password(id, &password)),
            (None, Some(secret)) => Some(self.check_secret(secret)),
        };
        draft.secret = secret.map(|secret| {
            secret.unwrap_or_else(|fault| {
                faults.add(format!("{prefix}secret"), fault);
                // There is one, only no good one: its absence is not another fault.
                Secret::Environment(String::new())
            })
        });
        if faults.is_empty() {
            return Ok(draft);
        }
        Err(Unsealed {
            draft: Box::new(draft),
            faults,
        })
    }
}

/// A draft whose secret is no good.
struct Unsealed {
    draft: Box<AccountDraft>,
    faults: Violations,
}

impl From<Unsealed> for AccountError {
    fn from(unsealed: Unsealed) -> Self {
        Self::Invalid(unsealed.faults)
    }
}

/// The account a write left, or why it wrote nothing.
fn written(write: AccountWrite) -> Result<Account, AccountError> {
    match write {
        AccountWrite::Saved(account) => Ok(*account),
        AccountWrite::NameTaken => Err(AccountError::NameTaken),
        AccountWrite::Stale => Err(AccountError::Stale),
        AccountWrite::Unknown => Err(AccountError::Unknown),
        AccountWrite::IsDefault => Err(AccountError::IsDefault),
        AccountWrite::Disabled => Err(AccountError::Disabled),
    }
}

/// For the record of who changed what.
fn tell(caller: &Visitor, account: &Account, what: &'static str) {
    tracing::info!(
        caller.name = %caller.name,
        account.name = %account.settings.name,
        account.id = %account.id,
        "{what}"
    );
    for risk in account.settings.risks() {
        tracing::warn!(
            caller.name = %caller.name,
            account.name = %account.settings.name,
            account.id = %account.id,
            risk = risk.text(),
            "the account is risky"
        );
    }
}

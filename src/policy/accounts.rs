//! Accounts: create, get, list, update, delete, set the default.

use std::path::{Component, Path};

use zeroize::Zeroizing;

use super::Office;
use crate::{
    domain::{
        account::{Account, AccountDraft, AccountSettings, ENVIRONMENT_PREFIX, Secret},
        caller::Caller,
        id::AccountId,
        violation::{Violation, Violations},
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
}

/// An account, named either way.
#[derive(Clone, Debug)]
pub enum AccountRef {
    /// By identifier.
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
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The longest password, in bytes: RFC 4954 leaves a line of 12,288 for AUTH; no provider comes near this.
const LONGEST_PASSWORD: usize = 1024;

impl Office {
    /// Creates an account; the first becomes the default.
    #[tracing::instrument(name = "policy.create_account", skip_all, fields(caller.name = %caller.name))]
    pub async fn create_account(
        &self,
        caller: &Caller,
        input: AccountInput,
    ) -> Result<Account, AccountError> {
        let id = AccountId::random(&*self.entropy);
        let settings = self.check_account(&id, input)?;
        let saved = saved(self.accounts.create(id, settings, self.clock.now()).await?)?;
        tracing::info!(account.name = saved.settings.name, "account created");
        Ok(saved)
    }

    /// Answers with one account.
    pub async fn account(&self, account: &AccountRef) -> Result<Account, AccountError> {
        let found = match account {
            AccountRef::Id(id) => self.accounts.find(*id).await?,
            AccountRef::Name(name) => self
                .accounts
                .list()
                .await?
                .into_iter()
                .find(|known| known.settings.name == *name),
        };
        found.ok_or(AccountError::Unknown)
    }

    /// All accounts, by name.
    pub async fn accounts(&self) -> Result<Vec<Account>, AccountError> {
        Ok(self.accounts.list().await?)
    }

    /// Changes the fields that `mask` names, as in the protocol; empty: all, keeping the secret where none is given.
    /// `version` refuses to overwrite somebody else's change; without one the last write wins.
    #[tracing::instrument(name = "policy.update_account", skip_all, fields(caller.name = %caller.name))]
    pub async fn update_account(
        &self,
        caller: &Caller,
        id: AccountId,
        input: AccountInput,
        mask: &[String],
        version: Option<i64>,
    ) -> Result<Account, AccountError> {
        let present = self.account(&AccountRef::Id(id)).await?;
        if version.is_some_and(|version| version != present.version) {
            return Err(AccountError::Stale);
        }
        // Without a version of the caller's, the one just read guards the fields that the mask leaves alone.
        let version = version.or(Some(present.version));
        let settings = self.check_account(&id, overlay(&present, input, mask)?)?;
        let saved = saved(
            self.accounts
                .update(id, settings, version, self.clock.now())
                .await?,
        )?;
        tracing::info!(account.name = saved.settings.name, "account updated");
        Ok(saved)
    }

    /// Deletes an account; the default only as the last.
    #[tracing::instrument(name = "policy.delete_account", skip_all, fields(caller.name = %caller.name))]
    pub async fn delete_account(
        &self,
        caller: &Caller,
        account: &AccountRef,
        version: Option<i64>,
    ) -> Result<(), AccountError> {
        let present = self.account(account).await?;
        let deleted = saved(self.accounts.delete(present.id, version).await?)?;
        tracing::info!(account.name = deleted.settings.name, "account deleted");
        Ok(())
    }

    /// Makes an enabled account the default.
    #[tracing::instrument(name = "policy.set_default_account", skip_all, fields(caller.name = %caller.name))]
    pub async fn set_default_account(
        &self,
        caller: &Caller,
        account: &AccountRef,
    ) -> Result<Account, AccountError> {
        let present = self.account(account).await?;
        let saved = saved(self.accounts.set_default(present.id, self.clock.now()).await?)?;
        tracing::info!(account.name = saved.settings.name, "account made the default");
        Ok(saved)
    }

    /// Seals the password for the account of this id and checks the whole.
    pub(super) fn check_account(
        &self,
        id: &AccountId,
        input: AccountInput,
    ) -> Result<AccountSettings, Violations> {
        let AccountInput { mut draft, password } = input;
        if let Some(password) = password {
            if password.is_empty()
                || password.len() > LONGEST_PASSWORD
                || password.chars().any(char::is_control)
            {
                let description = "must be 1 to 1,024 bytes without control characters";
                return Err(violation("account.secret.password", description));
            }
            let place = Account::secret_place(id);
            draft.secret = Some(Secret::Sealed(self.keyring.seal(
                &place,
                password.as_bytes(),
                &*self.entropy,
            )));
        }
        match &draft.secret {
            Some(Secret::File(path)) if !self.may_read(Path::new(path)) => {
                let description =
                    "must be an absolute path within one of the configured `secrets.directories`";
                return Err(violation("account.secret.file", description));
            }
            Some(Secret::Environment(name)) if !is_variable(name) => {
                let description = "must begin with MAILFACTOR_SECRET_ and go on with A-Z, 0-9 or `_`";
                return Err(violation("account.secret.environment", description));
            }
            _ => {}
        }
        draft.check("account.", self.settings.local_part)
    }

    fn may_read(&self, path: &Path) -> bool {
        let straight = path
            .components()
            .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        let within = self
            .settings
            .secret_directories
            .iter()
            .any(|directory| path.starts_with(directory));
        path.is_absolute() && straight && within
    }
}

fn is_variable(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    name.strip_prefix(ENVIRONMENT_PREFIX)
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(allowed))
}

fn violation(field: &str, description: &str) -> Violations {
    Violation {
        field: field.to_owned(),
        description: description.to_owned(),
    }
    .into()
}

fn saved(write: AccountWrite) -> Result<Account, AccountError> {
    match write {
        AccountWrite::Saved(account) => Ok(*account),
        AccountWrite::NameTaken => Err(AccountError::NameTaken),
        AccountWrite::Stale => Err(AccountError::Stale),
        AccountWrite::Unknown => Err(AccountError::Unknown),
        AccountWrite::IsDefault => Err(AccountError::IsDefault),
        AccountWrite::Disabled => Err(AccountError::Disabled),
    }
}

/// The present account with the masked fields replaced.
fn overlay(present: &Account, input: AccountInput, mask: &[String]) -> Result<AccountInput, Violations> {
    let kept = draft_of(present);
    let AccountInput { draft: new, password } = input;
    if mask.is_empty() {
        let secret = new.secret.or(kept.secret);
        return Ok(AccountInput {
            draft: AccountDraft { secret, ..new },
            password,
        });
    }
    let mut result = AccountInput {
        draft: kept,
        password: None,
    };
    let draft = &mut result.draft;
    let mut faults = Violations::new();
    for field in mask {
        match field.as_str() {
            "name" => draft.name.clone_from(&new.name),
            "enabled" => draft.enabled = new.enabled,
            "host" => draft.host.clone_from(&new.host),
            "port" => draft.port = new.port,
            "security" => draft.security = new.security,
            "authentication" => draft.authentication = new.authentication,
            "username" => draft.username.clone_from(&new.username),
            "secret" => {
                draft.secret.clone_from(&new.secret);
                result.password.clone_from(&password);
            }
            "sender" => draft.sender.clone_from(&new.sender),
            "display_name" => draft.display_name.clone_from(&new.display_name),
            "reply_to" => draft.reply_to.clone_from(&new.reply_to),
            _ => faults.add(
                "update_mask",
                "names a field that cannot be changed or does not exist",
            ),
        }
    }
    faults.into_result().map(|()| result)
}

fn draft_of(account: &Account) -> AccountDraft {
    let AccountSettings {
        name,
        enabled,
        server,
        login,
        sender,
    } = account.settings.clone();
    let authentication = login.is_some();
    let (username, secret) = login.map_or((String::new(), None), |login| {
        (login.username, Some(login.secret))
    });
    AccountDraft {
        name,
        enabled,
        host: server.host,
        port: server.port.into(),
        security: Some(server.security),
        authentication,
        username,
        secret,
        sender: sender.address.as_str().to_owned(),
        display_name: sender.display_name,
        reply_to: sender
            .reply_to
            .map(|address| address.as_str().to_owned())
            .unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{account::Security, address::LocalPart, clock::Timestamp};

    fn account() -> Account {
        let draft = AccountDraft {
            name: "main".into(),
            host: "smtp.example.com".into(),
            security: Some(Security::StartTls),
            authentication: true,
            username: "user".into(),
            secret: Some(Secret::Environment("MAILFACTOR_SECRET_SMTP".into())),
            sender: "noreply@example.com".into(),
            ..AccountDraft::default()
        };
        Account {
            id: AccountId::from_bytes([1; 16]),
            is_default: true,
            settings: draft.check("", LocalPart::Ascii).unwrap(),
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
            version: 1,
        }
    }

    fn overlaid(new: AccountDraft, mask: &[&str]) -> AccountSettings {
        let mask: Vec<String> = mask.iter().map(ToString::to_string).collect();
        let input = AccountInput {
            draft: new,
            password: None,
        };
        overlay(&account(), input, &mask)
            .unwrap()
            .draft
            .check("", LocalPart::Ascii)
            .unwrap()
    }

    #[test]
    fn a_mask_changes_what_it_names_and_nothing_else() {
        let new = AccountDraft {
            host: "relay.example.com".into(),
            port: 2525,
            ..AccountDraft::default()
        };
        let mut expected = account().settings;
        expected.server.host = "relay.example.com".into();
        assert_eq!(overlaid(new.clone(), &["host"]), expected);
        expected.server.port = 2525;
        assert_eq!(overlaid(new, &["host", "port"]), expected);
    }

    #[test]
    fn an_empty_mask_changes_all_and_keeps_the_secret() {
        let new = AccountDraft {
            secret: None,
            name: "other".into(),
            ..draft_of(&account())
        };
        let expected = AccountSettings {
            name: "other".into(),
            ..account().settings
        };
        assert_eq!(overlaid(new, &[]), expected);
    }

    #[test]
    fn a_mask_with_another_field_is_refused() {
        let faults = overlay(&account(), AccountInput::default(), &["is_default".into()]).unwrap_err();
        assert_eq!(faults.as_slice()[0].field, "update_mask");
    }

    #[test]
    fn variables_carry_the_prefix() {
        assert!(is_variable("MAILFACTOR_SECRET_SMTP_1"));
        for bad in [
            "PATH",
            "MAILFACTOR_SECRET_",
            "MAILFACTOR_SECRET_a",
            "MAILFACTOR__KEYS",
        ] {
            assert!(!is_variable(bad), "{bad}");
        }
    }
}

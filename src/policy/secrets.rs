//! Secrets of accounts: passwords are sealed, files and variables must be ones meant for this.

use std::path::Path;

use super::Office;
use crate::{
    domain::{
        account::{Account, AccountDraft, ENVIRONMENT_PREFIX, Secret},
        entropy::Entropy,
        id::AccountId,
        keyring::Keyring,
        violation::Violations,
    },
    secret_files::SecretFiles,
};

/// The longest password, in bytes.
const MOST_PASSWORD: usize = 1024;

/// Why a secret is refused. Nothing of the secret itself is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SecretFault {
    /// An empty password.
    #[error("must not be empty")]
    Empty,
    /// Too long a password.
    #[error("is longer than 1,024 bytes")]
    TooLong,
    /// AUTH PLAIN parts with NUL (RFC 4616), and a line end is a slip of whoever pasted it.
    #[error("has a control character, such as a line end")]
    ControlCharacter,
    /// Not where secrets are.
    #[error(
        "file: must be an absolute path, without `..`, within a directory that `secrets.directories` names, and \
         no file that the configuration names itself"
    )]
    File,
    /// Somebody else's variable.
    #[error("environment: must begin with `MAILFACTOR_SECRET_` and go on with A-Z, 0-9 and `_`")]
    Environment,
    /// Nobody else can seal.
    #[error("must be a password, a file or an environment variable")]
    Sealed,
}

impl Office {
    /// A password, sealed for its account.
    pub(super) fn seal_password(&self, id: AccountId, password: &str) -> Result<Secret, SecretFault> {
        let place = Account::secret_place(&id);
        seal(&self.keyring, &*self.entropy, &place, password)
    }

    /// Refuses default credentials where the service was given none.
    pub(super) fn check_default(&self, prefix: &str, draft: &AccountDraft, faults: &mut Violations) {
        let given = self.transports.settings().default_credentials.is_some();
        if draft.default_credentials && !given {
            let what = "cannot be used: the service was given none; set `username` and `password_file` in \
                        `[default_credentials]` of its configuration and restart it, or give `username` and `secret`";
            faults.add(format!("{prefix}default_credentials"), what);
        }
    }

    /// A secret that lies elsewhere, if it lies where this service may look.
    pub(super) fn check_secret(&self, secret: Secret) -> Result<Secret, SecretFault> {
        check(secret, &self.transports.settings().secret_files)
    }
}

/// A password, sealed for its place.
pub(super) fn seal(
    keyring: &Keyring,
    entropy: &dyn Entropy,
    place: &str,
    password: &str,
) -> Result<Secret, SecretFault> {
    if password.is_empty() {
        return Err(SecretFault::Empty);
    }
    if password.len() > MOST_PASSWORD {
        return Err(SecretFault::TooLong);
    }
    if password.chars().any(char::is_control) {
        return Err(SecretFault::ControlCharacter);
    }
    Ok(Secret::Sealed(keyring.seal(place, password.as_bytes(), entropy)))
}

/// A secret that lies elsewhere, if it lies where this service may look.
pub(super) fn check(secret: Secret, files: &SecretFiles) -> Result<Secret, SecretFault> {
    match &secret {
        Secret::File(path) if !files.may_name(Path::new(path)) => Err(SecretFault::File),
        Secret::Environment(name) if !is_secret_variable(name) => Err(SecretFault::Environment),
        Secret::Sealed(_) | Secret::Oauth(_) | Secret::Default => Err(SecretFault::Sealed),
        Secret::File(_) | Secret::Environment(_) => Ok(secret),
    }
}

fn is_secret_variable(name: &str) -> bool {
    name.strip_prefix(ENVIRONMENT_PREFIX).is_some_and(|rest| {
        (1..=128).contains(&rest.len())
            && rest
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_carry_the_prefix() {
        assert!(is_secret_variable("MAILFACTOR_SECRET_SMTP_1"));
        for bad in [
            "",
            "PATH",
            "MAILFACTOR_SECRET_",
            "MAILFACTOR_SECRET_a",
            "MAILFACTOR__KEYS",
            "MAILFACTOR_SECRET_A=B",
        ] {
            assert!(!is_secret_variable(bad), "{bad}");
        }
    }
}

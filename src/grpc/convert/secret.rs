//! Secrets of accounts: where they are, or the password itself, which goes in only.

use zeroize::Zeroizing;

use crate::{
    domain::{
        account::{ENVIRONMENT_PREFIX, Secret},
        text::require_line,
    },
    pb::v1 as pb,
};

/// A secret that lies elsewhere, and one that was given.
type Given = (Option<Secret>, Option<Zeroizing<String>>);

/// Where a secret is, or the password itself. `sealed`, as an account is read, means none given.
pub(super) fn read_secret(source: Option<pb::account_secret::Source>) -> Result<Given, String> {
    use pb::account_secret::Source;
    match source {
        None | Some(Source::Sealed(_)) => Ok((None, None)),
        Some(Source::Password(password)) => {
            let password = Zeroizing::new(password);
            match password.len() {
                1..=1024 if !password.contains(['\0', '\r', '\n']) => Ok((None, Some(password))),
                1..=1024 => Err("must not contain line breaks or NUL".to_owned()),
                _ => Err("must have 1 to 1,024 bytes".to_owned()),
            }
        }
        Some(Source::File(path)) => match require_line(&path, 1024) {
            Ok(()) if path.starts_with('/') => Ok((Some(Secret::File(path)), None)),
            Ok(()) => Err("must be an absolute path".to_owned()),
            Err(error) => Err(error.to_string()),
        },
        Some(Source::Environment(name)) => {
            let fits = name.strip_prefix(ENVIRONMENT_PREFIX).is_some_and(|rest| {
                (1..=64).contains(&rest.len())
                    && rest
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            });
            if fits {
                Ok((Some(Secret::Environment(name)), None))
            } else {
                Err(format!(
                    "must name a variable that begins with {ENVIRONMENT_PREFIX}"
                ))
            }
        }
    }
}

/// The secret, or how to get access tokens, whichever it is.
pub(super) fn secret_of(secret: Secret) -> (Option<pb::AccountSecret>, Option<pb::Oauth>) {
    use pb::account_secret::Source;
    let source = match secret {
        Secret::Oauth(oauth) => return (None, Some(super::oauth::oauth(&oauth))),
        Secret::Sealed(_) => Source::Sealed(true),
        Secret::File(path) => Source::File(path),
        Secret::Environment(name) => Source::Environment(name),
    };
    let secret = pb::AccountSecret { source: Some(source) };
    (Some(secret), None)
}

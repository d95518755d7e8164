//! Section `[default_credentials]`: what accounts that keep no user name and no password log in with.

use super::reader::Reader;
use crate::domain::{
    account::{DefaultCredentials, ENVIRONMENT_PREFIX, Secret},
    text::require_line,
};

/// The user name and where the password is; `None`: the service was given none. The password itself is read at each login.
pub(super) fn read(section: &Reader<'_>) -> Option<DefaultCredentials> {
    let username = section.parse_some("username", |text| {
        require_line(text, 256).map(|()| text.to_owned())
    });
    let file = section.file("password_file");
    let file = file.map(|path| Secret::File(path.display().to_string()));
    let variable = section.parse_some("password_environment", variable);
    if file.is_some() && variable.is_some() {
        section.fault(
            "password_environment",
            "contradicts `password_file`: set only one of the two",
        );
    }
    let has = |key: &str| !section.text(key).is_empty();
    let has_password = has("password_file") || has("password_environment");
    if has("username") && !has_password {
        section.fault(
            "password_file",
            "is required with `username`, or `password_environment`",
        );
    } else if has_password && !has("username") {
        section.fault("username", "is required with a password");
    }
    Some(DefaultCredentials {
        username: username?,
        password: file.or(variable)?,
    })
}

/// A variable that accounts could name as well: no login reads another secret of the process.
fn variable(name: &str) -> Result<Secret, String> {
    let rest = name.strip_prefix(ENVIRONMENT_PREFIX).unwrap_or_default();
    let fits = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if (1..=128).contains(&rest.len()) && rest.bytes().all(fits) {
        Ok(Secret::Environment(name.to_owned()))
    } else {
        Err(format!(
            "must begin with `{ENVIRONMENT_PREFIX}` and go on with A-Z, 0-9 and `_`"
        ))
    }
}

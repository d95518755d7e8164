//! Default credentials: what the service process was given to log in with, for accounts that keep nothing themselves.

use std::fmt;

use super::Secret;

/// A user name, and where its password is. They are never stored and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct DefaultCredentials {
    /// The user name.
    pub username: String,
    /// A file or a variable of the service; fetched anew at each login.
    pub password: Secret,
}

impl fmt::Debug for DefaultCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DefaultCredentials(..)")
    }
}

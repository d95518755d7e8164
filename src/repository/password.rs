//! Passwords, on their way from a caller to a repository, and what a repository checks them against.

use std::fmt;

use zeroize::Zeroizing;

/// The longest password: more than any directory takes, and little enough to be hashed.
const LONGEST: usize = 1_024;

/// Why a password is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Nothing there. A directory would take it for an anonymous bind, which proves nothing (RFC 4513, 5.1.2).
    #[error("is required")]
    Empty,
    /// Longer than any password.
    #[error("is longer than 1024 bytes")]
    TooLong,
}

/// A password as the user typed it: never empty, never shown, wiped when it goes.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes one over.
    pub fn parse(text: Zeroizing<String>) -> Result<Self, PasswordError> {
        match text.len() {
            0 => Err(PasswordError::Empty),
            length if length > LONGEST => Err(PasswordError::TooLong),
            _ => Ok(Self(text)),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// What a user's password is checked against: whatever the repository needs for it, such as a name to bind as or a hash.
/// Never shown, wiped when it goes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proof(Option<Zeroizing<String>>);

impl Proof {
    pub(super) fn new(text: String) -> Self {
        Self(Some(Zeroizing::new(text)))
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        self.0.as_ref().map(|text| text.as_str())
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_empty_and_never_shown() {
        let parse = |text: &str| Password::parse(Zeroizing::new(text.to_owned()));
        assert_eq!(parse("").unwrap_err(), PasswordError::Empty);
        assert_eq!(parse(&"x".repeat(1_025)).unwrap_err(), PasswordError::TooLong);
        let password = parse(" secret\0").unwrap();
        assert_eq!(password.as_str(), " secret\0", "byte for byte");
        assert_eq!(format!("{password:?}"), "Password(..)");
        assert_eq!(format!("{:?}", Proof::new("$2b$..".into())), "Proof(..)");
    }
}

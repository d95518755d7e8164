//! The directory: where users and their addresses live. Read, never written.
//!
//! [`UserRepository`] is what a directory must answer; [`mod@file`], [`sql`] and [`ldap`] are the kinds there are. A [`Directory`] holds the
//! configured ones and searches them in order, or the one that is named.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::domain::{
    address::{AddressError, EmailAddress},
    text::{TextError, require_line},
};

mod directory;
pub mod file;
mod hash;
pub mod ldap;
mod password;
mod route;
pub mod sql;

pub use directory::{Directory, Member, NameForm, Pace, Scope};
pub use password::{Password, PasswordError, Proof};
pub use route::Route;

/// A user's name as a caller gave it: one line, 1 to 256 characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UserName(String);

impl UserName {
    /// Reads one.
    pub fn parse(text: &str) -> Result<Self, TextError> {
        require_line(text, 256).map(|()| Self(text.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form in which names are compared where a repository leaves that to us: without space around it, in lower
    /// case. `Ann` and ` ann` are one user.
    #[must_use]
    pub fn folded(&self) -> String {
        self.0.trim().to_lowercase()
    }

    /// The form in which names are counted, whoever has them: whatever repositories may take for one name is one.
    #[must_use]
    pub fn counted(&self) -> String {
        route::counted(&self.0)
    }
}

/// A user that can be mailed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The repository it was found in.
    pub repository: String,
    /// What names the user there, however the caller spelt the name: budgets count by it.
    pub id: String,
    /// Where mail goes: the first usable address, byte for byte as the repository holds it but for the domain's case.
    pub address: EmailAddress,
    /// How to address the user, if the repository says.
    pub display_name: Option<String>,
    /// The user's language, if the repository says.
    pub locale: Option<String>,
    /// What the user's password is checked against.
    pub proof: Proof,
}

/// What a repository knows of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// One user, who can be mailed.
    User(Box<User>),
    /// No such user.
    Unknown,
    /// One user, without a usable address.
    NoAddress,
    /// Several users.
    Ambiguous,
}

/// Why a repository gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// It cannot be read at present.
    #[error("the repository {repository} is unavailable")]
    Unavailable {
        /// Its name.
        repository: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It did not answer in time.
    #[error("the repository {repository} did not answer within {limit:?}")]
    Timeout {
        /// Its name.
        repository: String,
        /// How long it was given.
        limit: Duration,
    },
    /// No repository of that name is configured.
    #[error("no repository of that name is configured")]
    NotConfigured,
}

/// A place that knows users.
#[async_trait]
pub trait UserRepository: Send + Sync {
    /// Its configured name.
    fn name(&self) -> &str;

    /// Looks a user up. Takes as long for a name it does not know as for one it does.
    async fn find(&self, user: &UserName) -> Result<Found, RepositoryError>;

    /// Why addresses that it holds for a user cannot be used, in its order; none where all can, or where there is no one user.
    async fn unusable_addresses(&self, _user: &UserName) -> Result<Vec<AddressError>, RepositoryError> {
        Ok(Vec::new())
    }

    /// What somebody should mend in it, in words without addresses and names; for those that know all their users.
    fn flaws(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether it can check passwords at all.
    fn checks_passwords(&self) -> bool {
        false
    }

    /// Whether this is the password of the user that was found with this proof. `None`: of nobody, so it is wrong. Takes
    /// as long whether or not there is somebody, and whether or not it is right.
    async fn prove(&self, _proof: Option<&Proof>, _password: &Password) -> Result<bool, RepositoryError> {
        Ok(false)
    }

    /// Whether a look-up costs a round trip, so that it is worth remembering what was found.
    fn is_distant(&self) -> bool {
        false
    }

    /// Whether it would answer now.
    async fn probe(&self) -> Result<(), RepositoryError> {
        Ok(())
    }
}

/// Repositories as they are shared.
pub type SharedRepository = Arc<dyn UserRepository>;

/// A thousand names that no user has, made to break whatever reads them.
#[cfg(test)]
pub(crate) fn hostile_names() -> Vec<String> {
    let seeds = [
        "'",
        "''",
        "\"",
        "`",
        "ann'; DROP TABLE users; --",
        "' OR '1'='1",
        "\" OR \"\"=\"",
        "$1",
        "?1",
        ":name",
        "%",
        "_nn",
        "a%",
        "*)(uid=*",
        "\\",
        "\0",
        "ann\0",
        "\n",
        "ann\r\nBcc: x@example.com",
        "\u{202e}nna",
        "\u{feff}ann",
        "ａｎｎ",
        "аnn",
        "İ",
        "ß",
        "👩‍👩‍👧",
        "../../etc/passwd",
        "{{7*7}}",
        "${jndi:ldap://x}",
        "",
        " ",
        "null",
        "0",
    ];
    let filler = ["", "x", "'", "é", "\u{1f600}", "\t", ";", "@example.com"];
    let mut names: Vec<String> = vec![
        "x".repeat(10_000),
        "'".repeat(10_000),
        "é".repeat(10_000),
        "y".repeat(256),
    ];
    for round in 0..4 {
        for seed in seeds {
            for fill in filler {
                names.push(format!("{seed}{}{}", fill.repeat(round + 1), "z".repeat(round)));
            }
        }
    }
    assert!(names.len() >= 1_000);
    names
}

//! Users in a database of the operator's own, asked with the operator's own query: `SQLite`, PostgreSQL, MySQL, MariaDB.
//!
//! The query has one parameter, `$1` (or `?1`, or a single `?`): the name as the caller gave it, without the space around
//! it. It is bound, never written into the query. How names compare is the query's business (`lower(name) = lower($1)`).
//! Rows of one id are the addresses of one user: the first usable one gets the mail. Two ids are two users.
//!
//! A column may hold the hash of the user's password: it is read with the rest, and checked here.
//!
//! Connections only read, and are opened when they are first needed, and again after whatever failed. Each statement is
//! bounded by the database as well as by us.

use std::{path::PathBuf, time::Duration};

use async_trait::async_trait;
use tokio::time::Instant;

use super::{Found, Password, Proof, RepositoryError, User, UserName, UserRepository, hash::Checker};
use crate::domain::{
    address::{AddressError, EmailAddress, LocalPart},
    locale::language_tag,
    text::check_line,
    violation::Violations,
};

mod databases;
mod place;
mod query;
mod row;

use databases::{Databases, Line, Query};
use place::Place;

/// Rows read for one name: enough for every address of one user.
const MOST_ROWS: usize = 32;

/// What a SQL repository is made of.
#[derive(Clone)]
pub struct SqlRepositorySettings {
    /// Its name.
    pub name: String,
    /// `sqlite:PATH`, `postgres://..` or `mysql://..`. May hold a password.
    pub url: String,
    /// Authorities that a server's certificate may come from, a PEM file; `None`: the public ones.
    pub authorities: Option<PathBuf>,
    /// One SELECT with one parameter.
    pub query: String,
    /// What its columns mean.
    pub columns: SqlColumns,
    /// How long a look-up may take; 2 s is usual, less than the whole search is given.
    pub timeout: Duration,
    /// How many look-ups may run at once.
    pub connections: u32,
    /// Which local parts an address may have.
    pub local_part: LocalPart,
}

/// The columns of the query's answer, by name.
#[derive(Clone, Debug)]
pub struct SqlColumns {
    /// What names the user, however the caller spelt the name. Text or a number.
    pub id: String,
    /// The address.
    pub email: String,
    /// How to address the user.
    pub display_name: Option<String>,
    /// The user's language.
    pub locale: Option<String>,
    /// The hash of the user's password.
    pub password: Option<String>,
}

impl Default for SqlColumns {
    /// `id` and `email`.
    fn default() -> Self {
        Self {
            id: "id".into(),
            email: "email".into(),
            display_name: None,
            locale: None,
            password: None,
        }
    }
}

/// Users in a database.
pub struct SqlRepository {
    settings: SqlRepositorySettings,
    query: Query,
    databases: Databases,
    checker: Checker,
}

impl SqlRepository {
    /// Checks the settings; each fault names `url`, `query` or `connections`. Nothing is connected yet.
    pub fn connect(settings: SqlRepositorySettings) -> Result<Self, Violations> {
        let mut faults = Violations::new();
        let place = Place::parse(&settings.url, settings.authorities.as_deref(), settings.timeout);
        let place = faults.check("url", place);
        faults.check("query", query::check(&settings.query));
        if settings.connections == 0 {
            faults.add("connections", "must be at least 1");
        }
        let (Some(place), true) = (place, faults.is_empty()) else {
            return Err(faults);
        };
        Ok(Self {
            query: query::written(&settings.query, Databases::dialect(&place)),
            databases: Databases::new(place, settings.connections, settings.timeout),
            checker: Checker::new(),
            settings,
        })
    }

    async fn ask(&self, user: &UserName) -> Result<Found, LookupError> {
        let until = Instant::now() + self.settings.timeout;
        let columns = &self.settings.columns;
        let name = user.as_str().trim();
        let lines = self.databases.lines(&self.query, name, columns, until).await?;
        let Some(first) = lines.first() else {
            return Ok(Found::Unknown);
        };
        if lines.iter().any(|line| line.id != first.id) {
            return Ok(Found::Ambiguous);
        }
        let user = lines.iter().find_map(|line| self.user(line));
        Ok(user.map_or(Found::NoAddress, |user| {
            self.checker.learn(&user.proof);
            Found::User(Box::new(user))
        }))
    }

    /// The user of a row, if its address can be used.
    fn user(&self, line: &Line) -> Option<User> {
        let address = EmailAddress::parse(line.email.as_deref()?.trim(), self.settings.local_part).ok()?;
        let fits = |name: &String| check_line(name, 128).is_ok() && !name.trim().is_empty();
        Some(User {
            repository: self.settings.name.clone(),
            id: line.id.clone(),
            address,
            display_name: line.display_name.clone().filter(fits),
            locale: line.locale.as_deref().and_then(language_tag),
            proof: line.password.clone().map_or_else(Proof::default, Proof::new),
        })
    }

    fn failure(&self, error: LookupError) -> RepositoryError {
        match error {
            LookupError::Timeout => RepositoryError::Timeout {
                repository: self.settings.name.clone(),
                limit: self.settings.timeout,
            },
            error => RepositoryError::Unavailable {
                repository: self.settings.name.clone(),
                source: Box::new(error),
            },
        }
    }
}

#[async_trait]
impl UserRepository for SqlRepository {
    fn name(&self) -> &str {
        &self.settings.name
    }

    async fn find(&self, user: &UserName) -> Result<Found, RepositoryError> {
        self.ask(user).await.map_err(|error| self.failure(error))
    }

    async fn unusable_addresses(&self, user: &UserName) -> Result<Vec<AddressError>, RepositoryError> {
        let until = Instant::now() + self.settings.timeout;
        let (columns, name) = (&self.settings.columns, user.as_str().trim());
        let lines = self.databases.lines(&self.query, name, columns, until).await;
        let lines = lines.map_err(|error| self.failure(error))?;
        let one = lines
            .iter()
            .all(|line| lines.first().is_some_and(|first| first.id == line.id));
        let held = lines
            .iter()
            .filter(|_| one)
            .filter_map(|line| line.email.as_deref());
        let parsed = held.map(|text| EmailAddress::parse(text.trim(), self.settings.local_part));
        Ok(parsed.filter_map(Result::err).collect())
    }

    fn checks_passwords(&self) -> bool {
        self.settings.columns.password.is_some()
    }

    async fn prove(&self, proof: Option<&Proof>, password: &Password) -> Result<bool, RepositoryError> {
        let (right, fault) = self.checker.check(proof, password).await;
        if let Some(fault) = fault {
            tracing::warn!(repository = %self.settings.name, error = &fault as &dyn std::error::Error, "a user's password cannot be checked");
        }
        Ok(right)
    }

    fn is_distant(&self) -> bool {
        true
    }

    async fn probe(&self) -> Result<(), RepositoryError> {
        // The operator's own query, with a name that nobody has: it is what must work.
        match UserName::parse("mailfactor-check-nobody") {
            Ok(nobody) => self.find(&nobody).await.map(|_| ()),
            Err(_) => Ok(()),
        }
    }
}

/// Why a look-up gave nothing.
#[derive(Debug, thiserror::Error)]
enum LookupError {
    #[error("the query took too long")]
    Timeout,
    #[error("the query's id column is NULL")]
    NoId,
    #[error("a column of the query is neither text nor a whole number: cast it to text")]
    NotText,
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
}

#[cfg(test)]
#[path = "sql_tests.rs"]
mod tests;

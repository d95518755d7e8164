//! Users in a database of the operator's own, asked with the operator's own query. `SQLite` for now.
//!
//! The query has one parameter, `$1` (or `?1`, or a single `?`): the name as the caller gave it, without the space around
//! it. It is bound, never written into the query. How names compare is the query's business (`lower(name) = lower($1)`).
//! Rows of one id are the addresses of one user: the first usable one gets the mail. Two ids are two users.
//!
//! The connection is opened read-only when it is first needed, and again after whatever failed.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Row as _, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteRow},
};
use tokio::time::{Instant, timeout};

use super::{Found, RepositoryError, User, UserName, UserRepository, is_locale};
use crate::domain::{
    address::{EmailAddress, LocalPart},
    text::check_line,
    violation::Violations,
};

mod query;

/// Rows read for one name: enough for every address of one user.
const MOST_ROWS: usize = 32;

/// How long a connection lives: a database file that was replaced is noticed within this time.
const MOST_AGE: Duration = Duration::from_secs(30);

/// How many steps of its virtual machine `SQLite` takes between two looks at the clock: well under a millisecond.
const STEPS: i32 = 4_000;

/// What a SQL repository is made of.
#[derive(Clone, Debug)]
pub struct SqlRepositorySettings {
    /// Its name.
    pub name: String,
    /// `sqlite:PATH`.
    pub url: String,
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
}

impl Default for SqlColumns {
    /// `id` and `email`.
    fn default() -> Self {
        Self {
            id: "id".into(),
            email: "email".into(),
            display_name: None,
            locale: None,
        }
    }
}

/// Users in a database.
pub struct SqlRepository {
    settings: SqlRepositorySettings,
    query: Arc<str>,
    pool: SqlitePool,
}

impl SqlRepository {
    /// Checks the settings; each fault names `url`, `query` or `connections`. Nothing is connected yet.
    ///
    /// To be called within a tokio run-time, which closes connections that have grown old.
    pub fn connect(settings: SqlRepositorySettings) -> Result<Self, Violations> {
        let mut faults = Violations::new();
        let options = faults.check("url", sqlite_options(&settings));
        faults.check("query", query::check(&settings.query));
        if settings.connections == 0 {
            faults.add("connections", "must be at least 1");
        }
        faults.into_result()?;
        let pool = SqlitePoolOptions::new()
            .max_connections(settings.connections)
            .min_connections(0)
            .acquire_timeout(settings.timeout)
            .max_lifetime(MOST_AGE)
            .idle_timeout(MOST_AGE)
            // A broken connection is noticed by the query, which has a deadline; a ping has none.
            .test_before_acquire(false)
            .connect_lazy_with(options.unwrap_or_default());
        Ok(Self {
            query: settings.query.as_str().into(),
            settings,
            pool,
        })
    }

    async fn ask(&self, user: &UserName) -> Result<Found, LookupError> {
        let mut connection = self.pool.acquire().await?;
        let asked = timeout(self.settings.timeout, self.rows(&mut connection, user)).await;
        if !matches!(asked, Ok(Ok(_))) {
            // Whatever is wrong with it, the next look-up gets a fresh one.
            connection.close_on_drop();
        }
        asked.map_err(|_| LookupError::Timeout)?
    }

    async fn rows(&self, connection: &mut SqliteConnection, user: &UserName) -> Result<Found, LookupError> {
        // Leaving a query does not stop it: SQLite itself must be told to, or a long one would hold the connection.
        let until = Instant::now() + self.settings.timeout;
        connection
            .lock_handle()
            .await?
            .set_progress_handler(STEPS, move || Instant::now() < until);
        let mut rows = sqlx::query(AssertSqlSafe(Arc::clone(&self.query)))
            .bind(user.as_str().trim())
            .fetch(connection);
        let mut found: Option<(String, Option<User>)> = None;
        for _ in 0..MOST_ROWS {
            let Some(row) = rows.try_next().await? else { break };
            let id = text(&row, &self.settings.columns.id)?.ok_or(LookupError::NoId)?;
            match &mut found {
                None => found = Some((id.clone(), self.user(&row, id)?)),
                Some((known, _)) if *known != id => return Ok(Found::Ambiguous),
                Some((_, user)) if user.is_none() => *user = self.user(&row, id)?,
                Some(_) => {}
            }
        }
        Ok(match found {
            None => Found::Unknown,
            Some((_, None)) => Found::NoAddress,
            Some((_, Some(user))) => Found::User(Box::new(user)),
        })
    }

    /// The user of a row, if its address can be used.
    fn user(&self, row: &SqliteRow, id: String) -> Result<Option<User>, LookupError> {
        let columns = &self.settings.columns;
        let Some(address) = text(row, &columns.email)? else {
            return Ok(None);
        };
        let Ok(address) = EmailAddress::parse(&address, self.settings.local_part) else {
            return Ok(None);
        };
        let optional = |column: &Option<String>| match column {
            Some(column) => text(row, column),
            None => Ok(None),
        };
        let fits = |name: &String| check_line(name, 128).is_ok() && !name.trim().is_empty();
        Ok(Some(User {
            repository: self.settings.name.clone(),
            id,
            address,
            display_name: optional(&columns.display_name)?.filter(fits),
            locale: optional(&columns.locale)?.filter(|tag| is_locale(tag)),
        }))
    }
}

#[async_trait]
impl UserRepository for SqlRepository {
    fn name(&self) -> &str {
        &self.settings.name
    }

    async fn find(&self, user: &UserName) -> Result<Found, RepositoryError> {
        self.ask(user).await.map_err(|error| match error {
            LookupError::Timeout | LookupError::Sql(sqlx::Error::PoolTimedOut) => RepositoryError::Timeout {
                repository: self.settings.name.clone(),
                limit: self.settings.timeout,
            },
            error => RepositoryError::Unavailable {
                repository: self.settings.name.clone(),
                source: Box::new(error),
            },
        })
    }
}

/// Why a look-up gave nothing.
#[derive(Debug, thiserror::Error)]
enum LookupError {
    #[error("the query took too long")]
    Timeout,
    #[error("the query's id column is NULL")]
    NoId,
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
}

fn sqlite_options(settings: &SqlRepositorySettings) -> Result<SqliteConnectOptions, &'static str> {
    let path = settings
        .url
        .strip_prefix("sqlite:")
        .filter(|path| !path.is_empty() && !path.contains('?') && !path.contains(":memory:"))
        .ok_or("must be `sqlite:PATH`")?;
    Ok(SqliteConnectOptions::new()
        .filename(path.strip_prefix("//").unwrap_or(path))
        .read_only(true)
        .create_if_missing(false)
        .busy_timeout(settings.timeout)
        .disable_statement_logging())
}

/// The text of a column, whatever type it is kept in; `None`: NULL.
fn text(row: &SqliteRow, column: &str) -> Result<Option<String>, LookupError> {
    Ok(row.try_get_unchecked::<Option<String>, _>(column)?)
}

#[cfg(test)]
#[path = "sql_tests.rs"]
mod tests;

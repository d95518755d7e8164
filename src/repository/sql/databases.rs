//! Connections to a database of users, whichever kind it is.

use std::{sync::Arc, time::Duration};

use futures_util::TryStreamExt as _;
use sqlx::{
    AssertSqlSafe, Database, Encode, Executor, IntoArguments, MySqlPool, PgPool, Pool, SqlitePool, Type,
    pool::{PoolConnection, PoolOptions},
};
use tokio::time::{Instant, timeout_at};

use super::{
    LookupError, MOST_ROWS, SqlColumns,
    place::{Place, bound_mysql},
    query::Dialect,
    row::Texts,
};

/// How long a connection to a file lives: a file that was replaced is noticed within this time.
const FILE_AGE: Duration = Duration::from_secs(30);

/// How long one to a server lives, and how long it may lie unused.
const SERVER_AGE: Duration = Duration::from_mins(10);
const SERVER_IDLE: Duration = Duration::from_mins(1);

/// How many steps of its virtual machine `SQLite` takes between two looks at the clock: well under a millisecond.
const STEPS: i32 = 4_000;

/// What a row says.
pub(super) struct Line {
    pub(super) id: String,
    pub(super) email: Option<String>,
    pub(super) display_name: Option<String>,
    pub(super) locale: Option<String>,
    pub(super) password: Option<String>,
}

/// A query as the database is given it.
#[derive(Clone)]
pub(super) struct Query {
    pub(super) text: Arc<str>,
    /// How often the name is bound.
    pub(super) binds: usize,
}

/// The connections.
pub(super) enum Databases {
    Sqlite(SqlitePool),
    Postgres(PgPool),
    MySql(MySqlPool),
}

impl Databases {
    /// Connects when it is first needed.
    pub(super) fn new(place: Place, connections: u32, limit: Duration) -> Self {
        match place {
            Place::Sqlite(options) => {
                let pool = pool(connections, limit)
                    .max_lifetime(FILE_AGE)
                    .idle_timeout(FILE_AGE);
                Self::Sqlite(pool.connect_lazy_with(options))
            }
            Place::Postgres(options) => Self::Postgres(pool(connections, limit).connect_lazy_with(options)),
            Place::MySql(options) => {
                let pool = pool(connections, limit)
                    .after_connect(move |connection, _| Box::pin(bound_mysql(connection, limit)));
                Self::MySql(pool.connect_lazy_with(options))
            }
        }
    }

    /// How its queries are written.
    pub(super) fn dialect(place: &Place) -> Dialect {
        match place {
            Place::Sqlite(_) => Dialect::Sqlite,
            Place::Postgres(_) => Dialect::Postgres,
            Place::MySql(_) => Dialect::MySql,
        }
    }

    /// Runs the query for a user.
    pub(super) async fn lines(
        &self,
        query: &Query,
        user: &str,
        columns: &SqlColumns,
        until: Instant,
    ) -> Result<Vec<Line>, LookupError> {
        match self {
            Self::Sqlite(pool) => {
                let mut connection = pool.acquire().await?;
                // Leaving a query does not stop it: SQLite itself must be told to, or a long one would hold the connection.
                connection
                    .lock_handle()
                    .await?
                    .set_progress_handler(STEPS, move || Instant::now() < until);
                ask(connection, query, user, columns, until).await
            }
            Self::Postgres(pool) => ask_server(pool, query, user, columns, until).await,
            Self::MySql(pool) => ask_server(pool, query, user, columns, until).await,
        }
    }
}

fn pool<DB: Database>(connections: u32, limit: Duration) -> PoolOptions<DB> {
    PoolOptions::new()
        .max_connections(connections)
        .min_connections(0)
        .acquire_timeout(limit)
        .max_lifetime(SERVER_AGE)
        .idle_timeout(SERVER_IDLE)
        // A broken connection is noticed by the query, which has a deadline; a ping has none, and costs a round trip.
        .test_before_acquire(false)
}

/// Asks a server. Connections that it closed meanwhile say nothing of it: another one is tried.
async fn ask_server<DB>(
    pool: &Pool<DB>,
    query: &Query,
    user: &str,
    columns: &SqlColumns,
    until: Instant,
) -> Result<Vec<Line>, LookupError>
where
    DB: Database,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'q> String: Encode<'q, DB> + Type<DB>,
    DB::Arguments: IntoArguments<DB>,
    DB::Row: Texts,
{
    let mut tries = pool.num_idle() + 1;
    loop {
        tries -= 1;
        let connection = timeout_at(until, pool.acquire())
            .await
            .map_err(|_| LookupError::Timeout)??;
        match ask(connection, query, user, columns, until).await {
            Err(LookupError::Sql(error)) if tries > 0 && is_broken_line(&error) => {}
            answer => return answer,
        }
    }
}

async fn ask<DB>(
    mut connection: PoolConnection<DB>,
    query: &Query,
    user: &str,
    columns: &SqlColumns,
    until: Instant,
) -> Result<Vec<Line>, LookupError>
where
    DB: Database,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'q> String: Encode<'q, DB> + Type<DB>,
    DB::Arguments: IntoArguments<DB>,
    DB::Row: Texts,
{
    let asked = timeout_at(until, rows(&mut *connection, query, user, columns)).await;
    match asked {
        Ok(Ok((lines, true))) => Ok(lines),
        other => {
            // Whatever is wrong with it, or still on its way, the next look-up gets another one.
            connection.close_on_drop();
            other.map_err(|_| LookupError::Timeout)?.map(|(lines, _)| lines)
        }
    }
}

/// The rows, as many as are read of one query, and whether that was all.
async fn rows<DB>(
    connection: &mut DB::Connection,
    query: &Query,
    user: &str,
    columns: &SqlColumns,
) -> Result<(Vec<Line>, bool), LookupError>
where
    DB: Database,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'q> String: Encode<'q, DB> + Type<DB>,
    DB::Arguments: IntoArguments<DB>,
    DB::Row: Texts,
{
    let mut asked = sqlx::query(AssertSqlSafe(Arc::clone(&query.text)));
    for _ in 0..query.binds {
        asked = asked.bind(user.to_owned());
    }
    let mut rows = asked.fetch(connection);
    let mut lines = Vec::new();
    while let Some(row) = rows.try_next().await? {
        if lines.len() == MOST_ROWS {
            return Ok((lines, false));
        }
        let optional = |column: &Option<String>| match column {
            Some(column) => row.text(column),
            None => Ok(None),
        };
        lines.push(Line {
            id: row.text(&columns.id)?.ok_or(LookupError::NoId)?,
            email: row.text(&columns.email)?,
            display_name: optional(&columns.display_name)?,
            locale: optional(&columns.locale)?,
            password: optional(&columns.password)?,
        });
    }
    Ok((lines, true))
}

fn is_broken_line(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        // PostgreSQL says so before it goes: terminated by an administrator, or about to stop.
        sqlx::Error::Database(said) => said.code().is_some_and(|code| code.starts_with("57P")),
        _ => false,
    }
}

//! Connections to a database of users, whichever kind it is.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::TryStreamExt as _;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Database, Encode, Executor, IntoArguments, MySql,
    MySqlConnection, PgConnection, Postgres, Sqlite, SqliteConnection, Type,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

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
    Sqlite(Lines<Sqlite>),
    Postgres(Lines<Postgres>),
    MySql(Lines<MySql>),
}

impl Databases {
    /// Connects when it is first needed.
    pub(super) fn new(place: Place, connections: u32, limit: Duration) -> Self {
        let connections = connections as usize;
        match place {
            Place::Sqlite(options) => {
                Self::Sqlite(Lines::new(options, connections, limit, [FILE_AGE, FILE_AGE]))
            }
            Place::Postgres(options) => {
                Self::Postgres(Lines::new(options, connections, limit, [SERVER_AGE, SERVER_IDLE]))
            }
            Place::MySql(options) => {
                Self::MySql(Lines::new(options, connections, limit, [SERVER_AGE, SERVER_IDLE]))
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
        let asked = timeout_at(until, async {
            match self {
                Self::Sqlite(lines) => lines.ask(query, user, columns, until).await,
                Self::Postgres(lines) => lines.ask(query, user, columns, until).await,
                Self::MySql(lines) => lines.ask(query, user, columns, until).await,
            }
        });
        asked.await.map_err(|_| LookupError::Timeout)?
    }
}

/// What each kind of connection needs before it is asked.
pub(super) trait Ready: Database {
    /// `fresh`: it was just opened. What it is asked then must end by `until`, and whatever it is ever asked within `limit`.
    fn ready(
        connection: &mut Self::Connection,
        fresh: bool,
        until: Instant,
        limit: Duration,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
}

impl Ready for Sqlite {
    async fn ready(
        connection: &mut SqliteConnection,
        _fresh: bool,
        until: Instant,
        _limit: Duration,
    ) -> Result<(), sqlx::Error> {
        // Leaving a query does not stop it: SQLite itself must be told to, or a long one would hold the connection.
        let mut handle = connection.lock_handle().await?;
        handle.set_progress_handler(STEPS, move || Instant::now() < until);
        Ok(())
    }
}

impl Ready for Postgres {
    async fn ready(
        _connection: &mut PgConnection,
        _fresh: bool,
        _until: Instant,
        _limit: Duration,
    ) -> Result<(), sqlx::Error> {
        Ok(())
    }
}

impl Ready for MySql {
    async fn ready(
        connection: &mut MySqlConnection,
        fresh: bool,
        _until: Instant,
        limit: Duration,
    ) -> Result<(), sqlx::Error> {
        if fresh {
            bound_mysql(connection, limit).await?;
        }
        Ok(())
    }
}

/// Connections of one kind. Not sqlx's pool: that one asks each for a sign of life when it comes back, a round trip each.
pub(super) struct Lines<DB: Database> {
    options: <DB::Connection as Connection>::Options,
    places: Semaphore,
    idle: Mutex<Vec<Idle<DB>>>,
    limit: Duration,
    most_age: Duration,
    most_idle: Duration,
}

struct Idle<DB: Database> {
    connection: DB::Connection,
    opened: Instant,
    since: Instant,
}

impl<DB> Lines<DB>
where
    DB: Ready,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'q> String: Encode<'q, DB> + Type<DB>,
    DB::Arguments: IntoArguments<DB>,
    DB::Row: Texts,
{
    fn new(
        options: <DB::Connection as Connection>::Options,
        connections: usize,
        limit: Duration,
        [most_age, most_idle]: [Duration; 2],
    ) -> Self {
        Self {
            options,
            places: Semaphore::new(connections),
            idle: Mutex::new(Vec::new()),
            limit,
            most_age,
            most_idle,
        }
    }

    /// Asks on a connection that lies idle, or on a fresh one. Idle ones that the server closed
    /// meanwhile say nothing of it: another one is tried. The deadline is the caller's.
    async fn ask(
        &self,
        query: &Query,
        user: &str,
        columns: &SqlColumns,
        until: Instant,
    ) -> Result<Vec<Line>, LookupError> {
        let _place = self.places.acquire().await.map_err(|_| LookupError::Timeout)?;
        while let Some(mut line) = self.take() {
            DB::ready(&mut line.connection, false, until, self.limit).await?;
            match rows(&mut line.connection, query, user, columns).await {
                Err(LookupError::Sql(error)) if is_broken_line(&error) => {}
                told => return self.told(line, told),
            }
        }
        let opened = Instant::now();
        let mut line = Idle {
            connection: self.options.connect().await?,
            opened,
            since: opened,
        };
        DB::ready(&mut line.connection, true, until, self.limit).await?;
        let told = rows(&mut line.connection, query, user, columns).await;
        self.told(line, told)
    }

    /// Keeps the connection, unless something is wrong with it or still on its way.
    fn told(
        &self,
        mut line: Idle<DB>,
        told: Result<(Vec<Line>, bool), LookupError>,
    ) -> Result<Vec<Line>, LookupError> {
        let (lines, whole) = told?;
        if whole {
            line.since = Instant::now();
            self.idle().push(line);
        }
        Ok(lines)
    }

    fn take(&self) -> Option<Idle<DB>> {
        let now = Instant::now();
        let mut idle = self.idle();
        while let Some(line) = idle.pop() {
            if now < line.opened + self.most_age && now < line.since + self.most_idle {
                return Some(line);
            }
        }
        None
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle<DB>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
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

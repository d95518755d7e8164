//! Everything in which one SQL engine differs from another: types, connections, locks, the clock, errors.
//!
//! The statements elsewhere are the same for all of them: `$1` placeholders (in those with many, see [`Engine::place`]), moments as whole microseconds, identifiers
//! as bytes, `ON CONFLICT` and `RETURNING`.

use std::{
    borrow::Cow,
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sqlx::{
    ConnectOptions as _,
    postgres::PgDatabaseError,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::{
    Failure, SqlSettings,
    query::{Connection, query},
    rows::Columns,
};
use crate::domain::clock::{Clock, Timestamp};

/// Asks PostgreSQL for its time, in microseconds.
macro_rules! server_time {
    () => {
        "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) AS now"
    };
}

/// Which engine a connection speaks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Engine {
    /// A file of this machine: one writer at a time.
    Sqlite,
    /// A server that instances share.
    Postgres,
}

impl Engine {
    /// Begins a transaction that will write. SQLite has one writer: it waits here, for the busy timeout, and not half-way
    /// through where waiting would be a deadlock. On PostgreSQL rows are locked as they are touched; it tells its time in
    /// the same round trip.
    pub(super) const fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => concat!("BEGIN; ", server_time!()),
        }
    }

    /// The next place for a value, in a text with many. SQLite's driver looks the name of a named one up in a list, each
    /// time: with hundreds of them that takes longer than all the rest.
    pub(super) fn place(self, last: &mut usize, text: &mut String) {
        *last += 1;
        match self {
            Self::Sqlite => text.push('?'),
            // Writing to a string does not fail.
            Self::Postgres => {
                let _ = write!(text, "${last}");
            }
        }
    }

    /// Stands after INSERT and UPDATE of many rows in a transaction that is given up when a statement fails. SQLite
    /// would otherwise keep each page it changes twice, so that it could undo the statement alone.
    pub(super) const fn or_fail(self) -> &'static str {
        match self {
            Self::Sqlite => " OR FAIL",
            Self::Postgres => "",
        }
    }

    /// Ends a SELECT inside a writing transaction whose rows must not change before it ends. SQLite has one writer anyway.
    pub(super) const fn for_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR UPDATE",
        }
    }

    /// Ends a SELECT of rows to be claimed: those that somebody else is claiming are passed over.
    pub(super) fn skip_locked(self, table: &str) -> String {
        match self {
            Self::Sqlite => String::new(),
            Self::Postgres => format!(" FOR UPDATE OF {table} SKIP LOCKED"),
        }
    }

    /// Follows a table's name: reads it by this index, or fails. Without statistics SQLite would guess; PostgreSQL has them.
    pub(super) fn by_index(self, index: &str) -> String {
        match self {
            Self::Sqlite => format!(" INDEXED BY {index}"),
            Self::Postgres => String::new(),
        }
    }

    /// The row of the table `probe` that a connection writes. Instances on one server do not wait for each other there.
    pub(super) const fn probe_row(self) -> &'static str {
        match self {
            Self::Sqlite => "1",
            Self::Postgres => "pg_backend_pid() % 1024",
        }
    }

    /// Answers with a row if there is a table of the name `$1`.
    pub(super) const fn has_table(self) -> &'static str {
        match self {
            Self::Sqlite => "SELECT name FROM sqlite_schema WHERE type = 'table' AND name = $1",
            Self::Postgres => {
                "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename = $1"
            }
        }
    }

    /// A script of the schema in the engine's own types.
    pub(super) fn script(self, script: &'static str) -> Cow<'static, str> {
        match self {
            Self::Sqlite => script.into(),
            Self::Postgres => script
                .replace(" BLOB", " BYTEA")
                .replace(" INTEGER", " BIGINT")
                // Byte by byte, as SQLite orders them, whatever the database's language.
                .replace(" TEXT", " TEXT COLLATE \"C\"")
                .replace(") STRICT", ")")
                .into(),
        }
    }
}

/// The clock that leases run on.
#[derive(Clone, Debug)]
pub(super) enum StoreClock {
    /// One machine uses a SQLite file: its own clock is the store's.
    Machine(Arc<dyn Clock>),
    /// PostgreSQL tells its own: in a transaction the moment at which that began.
    Server,
}

impl StoreClock {
    pub(super) async fn now(&self, connection: &mut Connection) -> Result<Timestamp, Failure> {
        match (self, connection.began_at()) {
            (Self::Machine(clock), _) => Ok(clock.now()),
            (Self::Server, Some(moment)) => Ok(moment),
            (Self::Server, None) => {
                let row = query(server_time!()).fetch_one(connection).await?;
                Ok(Columns::new("the clock", &row).time("now")?)
            }
        }
    }
}

/// The file of a `sqlite:PATH` URL.
pub(super) fn path_of(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("sqlite:")?;
    let path = path.strip_prefix("//").unwrap_or(path);
    // A database in memory would forget everything with its connection.
    let durable = !path.is_empty() && !path.starts_with(":memory:") && !path.contains('?');
    durable.then(|| PathBuf::from(path))
}

/// Creates the file, for the owner alone. SQLite gives its companions (`-wal`, `-shm`) the same mode.
pub(super) async fn create_file(path: &Path) -> std::io::Result<()> {
    let mut options = tokio::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    match options.open(path).await {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// More rows than one statement of a shared commit answers with.
const ROWS: usize = 256;

/// How many statements a connection keeps prepared: all there are, in each of their sizes, and some of those that are put
/// together.
pub(super) const STATEMENTS: usize = 256;

/// How to open the file for writing.
pub(super) fn writing(path: &Path, settings: &SqlSettings) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        // OK means durable: the log reaches the disk with every commit.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(settings.busy_timeout)
        // All rows of the largest statement: its thread is not to wait for whoever reads them.
        .row_buffer_size(ROWS)
        .statement_cache_capacity(STATEMENTS)
        // The log is cut back to this after a burst.
        .pragma("journal_size_limit", "67108864")
        .thread_name(|id| format!("store-{id}"))
        .disable_statement_logging()
}

/// How to open it for reading alone.
pub(super) fn reading(path: &Path, settings: &SqlSettings) -> SqliteConnectOptions {
    writing(path, settings).pragma("query_only", "ON")
}

/// Whether connections are as good as before after this error: one only had to wait too long, or a constraint held.
pub(super) fn leaves_connections_whole(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Configuration(_) => true,
        _ => match sqlstate(error) {
            Some(code) => concerns_one(&code),
            None => primary_code(error).is_some_and(|code| [BUSY, LOCKED, CONSTRAINT].contains(&code)),
        },
    }
}

const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const CONSTRAINT: i32 = 19;

/// Whether the database was busy with somebody else's work, or has no room: it will be so for everybody.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    const STATES: [&str; 4] = ["28", "53", "55P03", "57014"];
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Configuration(_) => true,
        _ => match sqlstate(error) {
            Some(code) => STATES.iter().any(|state| code.starts_with(state)),
            None => primary_code(error) == Some(BUSY),
        },
    }
}

/// Whether it failed because somebody else was at the same rows: SQLSTATE 40001 and 40P01. SQLite has one writer.
pub(super) fn is_race(error: &sqlx::Error) -> bool {
    matches!(sqlstate(error).as_deref(), Some("40001" | "40P01"))
}

/// Whether PostgreSQL took too long for a connection or a statement, has no room for one more, or is still starting.
pub(super) fn is_overrun(error: &sqlx::Error) -> bool {
    let too_late = matches!(error, sqlx::Error::PoolTimedOut);
    too_late || matches!(sqlstate(error).as_deref(), Some("57014" | "53300" | "57P03"))
}

/// Whether PostgreSQL's code is about one statement or one log-in: bad data, a constraint, an aborted or lost transaction, no
/// such thing, no room for one more, a lock, a time-out. A server that shuts down or became read-only fails for all.
fn concerns_one(code: &str) -> bool {
    const STATES: [&str; 10] = ["0A", "22", "23", "25P02", "28", "40", "42", "53", "55", "57014"];
    STATES.iter().any(|state| code.starts_with(state))
}

/// PostgreSQL's code of an error.
fn sqlstate(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    let error = error.as_database_error()?;
    error.try_downcast_ref::<PgDatabaseError>()?;
    error.code()
}

/// SQLite's: the low byte is the primary code, whatever the extended one says.
fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code = error.as_database_error()?.code()?;
    code.parse::<i32>().ok().map(|code| code & 0xff)
}

/// The channel of a PostgreSQL database on which mails are announced that nobody has taken.
pub(super) const CHANNEL: &str = "outbox_due";

/// Announces one.
pub(super) const ANNOUNCE: &str = "NOTIFY outbox_due";

/// How long a connection may be waited for: longer than any operation's deadline, which then speaks first.
pub(super) const ACQUIRE: Duration = Duration::from_mins(1);

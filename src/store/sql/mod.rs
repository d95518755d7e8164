//! The archive in SQL: one store that keeps every contract, one file for each.
//!
//! Writes go through one connection, reads through a few (`pools`). Every operation has a deadline. The statements are
//! one set for SQLite and PostgreSQL, spoken through `query`; what differs stands in `dialect`.

use std::{fmt, future::Future, path::Path, sync::Arc, time::Duration};

use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use self::{
    dialect::StoreClock,
    pools::{Broken, Pool},
    query::{Connection, Read, Write},
    server::Server,
    shared::{Queues, Sent},
};
use super::{StoreError, StoreResult};
use crate::domain::clock::{Clock, Timestamp};

mod account_rows;
mod accounts;
mod audit;
mod audit_pages;
mod budgets;
mod bulk;
mod callers;
mod challenge_rows;
mod challenges;
mod confirmations;
mod dialect;
mod dkim;
mod gathering;
mod guess_requests;
mod inbox_rows;
mod inboxes;
mod migrations;
mod news;
mod oauth_rows;
mod outbox;
mod outbox_changes;
mod outbox_pages;
mod outbox_report;
mod outbox_requeue;
mod outbox_work;
mod policies;
mod pools;
mod probe;
mod query;
mod refresh_tokens;
mod reports;
mod rows;
mod seals;
mod secrets;
mod server;
mod server_settings;
mod shared;
mod templates;
mod value;

pub use server_settings::ServerSettings;

/// Where the store is and how long it may take.
#[derive(Clone, Debug)]
pub struct SqlSettings {
    /// `sqlite:PATH`.
    pub url: String,
    /// How many connections read.
    pub readers: u32,
    /// How long to wait for a lock that another process holds. Shorter than the deadline.
    pub busy_timeout: Duration,
    /// How long one operation may take in all.
    pub deadline: Duration,
}

impl SqlSettings {
    /// The usual settings for a database at this URL.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            readers: 4,
            busy_timeout: Duration::from_secs(2),
            // A caller learns of a store that is down within 2.5 s.
            deadline: Duration::from_millis(2300),
        }
    }
}

/// The store. Clones share it.
#[derive(Clone)]
pub struct SqlStore(Arc<Inner>);

struct Inner {
    writer: Pool,
    readers: Pool,
    clock: StoreClock,
    deadline: Duration,
    broken: Broken,
    queues: Queues,
    sent: Sent,
    tasks: TaskTracker,
}

impl SqlStore {
    /// Opens the store; the file is created if there is none (mode 0600), the directory must exist. Nothing is
    /// migrated.
    pub async fn connect(settings: &SqlSettings, clock: Arc<dyn Clock>) -> StoreResult<Self> {
        let path = dialect::path_of(&settings.url).ok_or_else(|| {
            let text = "the URL of the store must be sqlite:PATH";
            StoreError::Unavailable(Box::new(std::io::Error::new(
                std::io::ErrorKind::InvalidInput,
                text,
            )))
        })?;
        dialect::create_file(&path).await.map_err(unavailable)?;
        let store = Self::open(&path, settings, clock);
        // The first connection makes the file what it should be, and says at once where it cannot be opened.
        store
            .operation("connect", async {
                drop(store.0.writer.read().await?);
                Ok(())
            })
            .await?;
        Ok(store)
    }

    /// Opens the store on a PostgreSQL server, which keeps the time of leases. Nothing is migrated.
    pub async fn connect_to_server(settings: &ServerSettings) -> StoreResult<Self> {
        Self::connect_with_clock(settings, StoreClock::Server).await
    }

    async fn connect_with_clock(settings: &ServerSettings, clock: StoreClock) -> StoreResult<Self> {
        let (broken, tasks) = (Broken::default(), TaskTracker::new());
        let server = Server::new(settings, broken.clone());
        let store = Self(Arc::new(Inner {
            writer: Pool::Postgres(server.clone()),
            readers: Pool::Postgres(server),
            clock,
            deadline: settings.deadline,
            broken,
            queues: Queues::of_server(&tasks, settings.connections),
            sent: Sent::default(),
            tasks,
        }));
        // The first connection says at once why there can be none.
        store
            .operation("connect", async { store.reader().await.map(drop) })
            .await?;
        Ok(store)
    }

    /// Closes every connection, once its operation is over.
    pub async fn close(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
        self.0.readers.close().await;
        self.0.writer.close().await;
    }

    fn open(path: &Path, settings: &SqlSettings, clock: Arc<dyn Clock>) -> Self {
        let (broken, tasks) = (Broken::default(), TaskTracker::new());
        let writing = dialect::writing(path, settings);
        let reading = dialect::reading(path, settings);
        Self(Arc::new(Inner {
            writer: Pool::Sqlite(broken.pool(1).connect_lazy_with(writing)),
            readers: Pool::Sqlite(broken.pool(settings.readers.max(1)).connect_lazy_with(reading)),
            clock: StoreClock::Machine(clock),
            deadline: settings.deadline,
            broken,
            queues: Queues::of_one_writer(&tasks),
            sent: Sent::default(),
            tasks,
        }))
    }

    /// Runs one operation: within the deadline, under a span, and noting where the database failed.
    async fn operation<T>(
        &self,
        name: &'static str,
        work: impl Future<Output = Result<T, Failure>> + Send,
    ) -> StoreResult<T> {
        let began = Instant::now();
        let span = tracing::debug_span!("store.operation", store.operation = name);
        let result = match tokio::time::timeout(self.0.deadline, work.instrument(span)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(failure)) => Err(self.0.broken.note(failure)),
            Err(_) => {
                self.0.broken.doubt();
                Err(StoreError::Timeout(self.0.deadline))
            }
        };
        let outcome = match &result {
            Ok(_) => "ok",
            Err(StoreError::Unavailable(_)) => "unavailable",
            Err(StoreError::Timeout(_)) => "timeout",
            Err(StoreError::Corrupt(_)) => "corrupt",
        };
        metrics::histogram!("mailfactor_store_operation_seconds", "operation" => name, "outcome" => outcome)
            .record(began.elapsed());
        result
    }

    /// The connection that writes, outside of a transaction.
    #[cfg(test)]
    async fn writer(&self) -> Result<Read, Failure> {
        self.0.writer.read().await
    }

    async fn reader(&self) -> Result<Read, Failure> {
        self.0.readers.read().await
    }

    /// Begins a transaction that writes.
    async fn write(&self) -> Result<Write, Failure> {
        self.0.writer.write().await
    }

    /// The present moment on the store's clock.
    async fn now(&self, connection: &mut Connection) -> Result<Timestamp, Failure> {
        self.0.clock.now(connection).await
    }
}

impl fmt::Debug for SqlStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SqlStore(..)")
    }
}

/// What an operation can end with, before it is told to the caller.
#[derive(Debug)]
enum Failure {
    /// The database's.
    Sql(sqlx::Error),
    /// Ours.
    Store(StoreError),
    /// Another instance changed the same rows between our look and our write. To be tried again.
    Raced,
}

impl Failure {
    /// Each of so many rows was written, or somebody was faster.
    fn unless_all(written: u64, rows: usize) -> Result<(), Self> {
        if usize::try_from(written) == Ok(rows) {
            Ok(())
        } else {
            Err(Self::Raced)
        }
    }
}

/// Whether a server may soon do better: it did not answer in time, has no room for one more, or is still starting.
#[must_use]
pub fn may_pass(error: &StoreError) -> bool {
    match error {
        StoreError::Unavailable(source) => source.downcast_ref().is_some_and(dialect::is_overrun),
        StoreError::Timeout(_) => true,
        StoreError::Corrupt(_) => false,
    }
}

/// What was there a moment ago is not what it was.
fn unreadable(table: &'static str) -> Failure {
    Failure::Store(StoreError::Corrupt(table))
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Unavailable(Box::new(error))
}

/// A truth value as the store keeps it.
fn flag(value: bool) -> i64 {
    i64::from(value)
}

#[cfg(test)]
#[path = "tests.rs"]
pub(super) mod tests;

#[cfg(test)]
#[path = "postgres_tests.rs"]
mod postgres_tests;

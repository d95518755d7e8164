//! Connections, kept open: a few to read with, and those that write.
//!
//! A database that fails does not need a restart: connections that were open when it failed are closed before they are
//! used again, so that none stays read-only, or full, or with a file that is gone.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sqlx::{Database, Sqlite, pool::PoolOptions};
use tokio::time::Instant;

use super::{
    Failure,
    dialect::{self, Engine},
    query::{Connection, Read, Write},
    server::Server,
    unavailable,
};
use crate::store::StoreError;

/// Connections of one kind.
#[derive(Clone)]
pub(super) enum Pool {
    Sqlite(sqlx::Pool<Sqlite>),
    Postgres(Server),
}

impl Pool {
    pub(super) async fn read(&self) -> Result<Read, Failure> {
        Ok(Read(match self {
            Self::Sqlite(pool) => Connection::Sqlite(pool.acquire().await?),
            Self::Postgres(server) => Connection::Postgres(server.acquire().await?),
        }))
    }

    /// Begins a transaction that writes.
    pub(super) async fn write(&self) -> Result<Write, Failure> {
        Ok(Write(match self {
            Self::Sqlite(pool) => Connection::SqliteWrite(pool.begin_with(Engine::Sqlite.begin()).await?),
            Self::Postgres(server) => Connection::Postgres(server.begin().await?),
        }))
    }

    /// Closes every connection, once its operation is over.
    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(server) => server.close().await,
        }
    }
}

/// When the database last failed: older connections are not used again.
#[derive(Clone, Debug, Default)]
pub(super) struct Broken(Arc<Mutex<Marks>>);

#[derive(Debug, Default)]
struct Marks {
    failed: Option<Instant>,
    /// When it last did not answer in time. It may be slow, or gone.
    silent: Option<Instant>,
}

impl Broken {
    /// A pool whose connections are closed, not used, if the database failed since they were opened.
    pub(super) fn pool<DB: Database>(&self, size: u32) -> PoolOptions<DB> {
        let broken = self.clone();
        PoolOptions::new()
            .max_connections(size)
            .acquire_timeout(dialect::ACQUIRE)
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .before_acquire(move |_, connection| {
                let whole = broken.opened_since(connection.age);
                Box::pin(async move { Ok(whole) })
            })
    }

    /// Whether a connection of this age was opened after the last failure.
    pub(super) fn opened_since(&self, age: Duration) -> bool {
        self.marks().failed.is_none_or(|failed| age < failed.elapsed())
    }

    /// Whether the database did not answer in time since this moment.
    pub(super) fn silent_since(&self, moment: Instant) -> bool {
        self.marks().silent.is_some_and(|silent| silent >= moment)
    }

    /// Notes that the database has failed.
    pub(super) fn fail(&self) {
        self.marks().failed = Some(Instant::now());
    }

    /// Notes that the database did not answer in time.
    pub(super) fn doubt(&self) {
        self.marks().silent = Some(Instant::now());
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a failure of the database and tells the caller.
    pub(super) fn note(&self, failure: Failure) -> StoreError {
        match failure {
            Failure::Store(error) => error,
            Failure::Raced => unavailable(std::io::Error::other("other instances are at the same rows")),
            Failure::Sql(error) => {
                if !dialect::leaves_connections_whole(&error) {
                    self.fail();
                }
                unavailable(error)
            }
        }
    }
}

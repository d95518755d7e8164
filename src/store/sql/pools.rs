//! Connections, kept open: a few to read with, and those that write.
//!
//! A database that fails does not need a restart: connections that were open when it failed are closed before they are
//! used again, so that none stays read-only, or full, or with a file that is gone.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sqlx::{Database, Postgres, Sqlite, pool::PoolOptions};
use tokio::time::Instant;

use super::{
    Failure,
    dialect::{self, Engine},
    query::{Connection, Read, Write},
    unavailable,
};
use crate::store::StoreError;

/// Connections of one kind.
#[derive(Clone, Debug)]
pub(super) enum Pool {
    Sqlite(sqlx::Pool<Sqlite>),
    Postgres(sqlx::Pool<Postgres>),
}

impl Pool {
    pub(super) async fn read(&self) -> Result<Read, Failure> {
        Ok(Read(match self {
            Self::Sqlite(pool) => Connection::Sqlite(pool.acquire().await?),
            Self::Postgres(pool) => Connection::Postgres(pool.acquire().await?),
        }))
    }

    /// Begins a transaction that writes.
    pub(super) async fn write(&self) -> Result<Write, Failure> {
        Ok(Write(match self {
            Self::Sqlite(pool) => Connection::SqliteWrite(pool.begin_with(Engine::Sqlite.begin()).await?),
            Self::Postgres(pool) => {
                Connection::PostgresWrite(pool.begin_with(Engine::Postgres.begin()).await?)
            }
        }))
    }

    /// Closes every connection, once its operation is over.
    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

/// When the database last failed: older connections are not used again.
#[derive(Clone, Debug, Default)]
pub(super) struct Broken(Arc<Mutex<Option<Instant>>>);

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

    fn opened_since(&self, age: Duration) -> bool {
        let failed = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failed.is_none_or(|failed| age < failed.elapsed())
    }

    /// Notes a failure of the database and tells the caller.
    pub(super) fn note(&self, failure: Failure) -> StoreError {
        match failure {
            Failure::Store(error) => error,
            Failure::Raced => unavailable(std::io::Error::other("other instances are at the same rows")),
            Failure::Sql(error) => {
                if !dialect::leaves_connections_whole(&error) {
                    *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                }
                unavailable(error)
            }
        }
    }
}

//! News between the instances on one server: a mail that nobody has taken is announced, and every instance looks at once.
//!
//! Only a hint, on one connection that does nothing else. What is announced while it is being opened again is found by the
//! look that follows, and by polling.

use std::time::Duration;

use sqlx::{Executor as _, Postgres, pool::PoolOptions, postgres::PgListener};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{SqlStore, dialect::CHANNEL, pools::Pool, server::Server};

/// How long a connection may be silent before it is asked whether it lives.
const QUIET: Duration = Duration::from_secs(10);

/// How long to wait before a connection that failed is opened again.
const AGAIN: Duration = Duration::from_secs(1);

impl SqlStore {
    /// Rings when some instance announces a mail, until `end` is cancelled. On a file, where there is one instance, nothing
    /// is ever announced.
    pub async fn hear(self, ring: impl Fn() + Send, end: CancellationToken) {
        let Pool::Postgres(server) = &self.0.writer else {
            return;
        };
        while let Some(Err(error)) = end.run_until_cancelled(listen(server, &ring)).await {
            // Down as it may be, whoever needs the database says so itself.
            tracing::debug!(%error, "no news from other instances");
            if end.run_until_cancelled(sleep(AGAIN)).await.is_none() {
                return;
            }
        }
    }
}

/// Listens until the connection fails.
async fn listen(server: &Server, ring: &(impl Fn() + Send)) -> Result<(), sqlx::Error> {
    let (connecting, pinging) = server.patience();
    // sqlx listens on a pool's connection: this one's only one.
    let pool = PoolOptions::<Postgres>::new()
        .max_connections(1)
        .acquire_timeout(connecting)
        .connect_lazy_with(server.options());
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.eager_reconnect(false);
    timeout(pinging, listener.listen(CHANNEL)).await.map_err(late)??;
    // What was announced before is not told again.
    ring();
    loop {
        match timeout(QUIET, listener.try_recv()).await {
            Ok(Ok(Some(_))) => ring(),
            Ok(Ok(None)) => return Err(sqlx::Error::PoolClosed),
            Ok(Err(error)) => return Err(error),
            Err(_) => timeout(pinging, listener.execute("SELECT 1"))
                .await
                .map_err(late)?
                .map(drop)?,
        }
    }
}

fn late(_: tokio::time::error::Elapsed) -> sqlx::Error {
    sqlx::Error::PoolTimedOut
}

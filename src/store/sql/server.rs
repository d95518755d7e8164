//! Connections to a PostgreSQL server: how they are opened, kept and given up.
//!
//! Not sqlx's pool: that one asks each connection for a sign of life when it comes back, a round trip each, and waits for
//! ever where none comes. Here one that was given up half-way, or whose server failed since it was opened, is closed;
//! one that is in doubt shows that it lives, within a deadline, before it is used again.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sqlx::{
    Connection as _, Executor as _, Row as _,
    postgres::{PgConnectOptions, PgConnection},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};
use tokio_util::task::TaskTracker;

use super::{
    dialect::{self, Engine},
    pools::Broken,
    server_settings::ServerSettings,
};
use crate::domain::clock::Timestamp;

/// The oldest server that is spoken to, as it numbers itself.
const OLDEST: u32 = 150_000;

/// After so much silence a connection is in doubt: the server may have closed it, or whatever lies between forgotten it.
const QUIET: Duration = Duration::from_secs(1);

/// How often mails are announced at the most: each announcement makes commits wait for each other.
const OFTEN: Duration = Duration::from_millis(100);

/// Asked of each new connection. Where commits would not be durable, from here on they are. Every statement has its index:
/// a plan that was made while a table was small, and is kept, would read all of it later. What avoids tables at any price
/// looks dear to the server: it would compile such statements before it runs them.
const GREETING: &str = "SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on' AS read_only, \
     CASE current_setting('synchronous_commit') WHEN 'off' THEN set_config('synchronous_commit', 'on', false) END AS durable, \
     set_config('enable_seqscan', 'off', false) AS by_index, set_config('jit', 'off', false) AS uncompiled";

/// Said on a connection that may take its time.
const PATIENT: &str = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0";

/// The connections of one instance. Clones share them.
#[derive(Clone)]
pub(super) struct Server(Arc<Inner>);

struct Inner {
    options: PgConnectOptions,
    connect_timeout: Duration,
    acquire_timeout: Duration,
    ping_timeout: Duration,
    places: Arc<Semaphore>,
    idle: Mutex<Vec<Idle>>,
    broken: Broken,
    announced: Mutex<Option<Instant>>,
    /// Connections whose transaction was given up are on their way back.
    returning: TaskTracker,
}

struct Idle {
    connection: PgConnection,
    opened: Instant,
    used: Instant,
}

/// A connection in use. Dropped, it goes back: at once where nothing is under way, after a rollback where a transaction
/// is open, and never where a statement was given up half-way.
pub(super) struct Lent {
    /// Taken only when this is dropped.
    connection: Option<PgConnection>,
    opened: Instant,
    /// It was open before it was lent.
    kept: bool,
    /// A statement is under way, or the connection broke.
    busy: bool,
    transaction: Option<Transaction>,
    place: Option<OwnedSemaphorePermit>,
    /// `None`: it is not kept.
    server: Option<Server>,
}

struct Transaction {
    /// On the server's clock.
    began_at: Timestamp,
    /// A statement failed in it: nothing of it will be written.
    failed: bool,
}

impl Server {
    /// Nothing is opened yet.
    pub(super) fn new(settings: &ServerSettings, broken: Broken) -> Self {
        Self(Arc::new(Inner {
            options: settings.options(),
            connect_timeout: settings.connect_timeout,
            acquire_timeout: settings.acquire_timeout,
            ping_timeout: settings.ping_timeout,
            places: Arc::new(Semaphore::new(settings.connections.max(1) as usize)),
            idle: Mutex::default(),
            broken,
            announced: Mutex::default(),
            returning: TaskTracker::new(),
        }))
    }

    /// Takes a connection, opened if none is free.
    pub(super) async fn acquire(&self) -> Result<Lent, sqlx::Error> {
        let place = timeout(self.0.acquire_timeout, self.0.places.clone().acquire_owned()).await;
        let place = place
            .map_err(|_| sqlx::Error::PoolTimedOut)?
            .map_err(|_| sqlx::Error::PoolClosed)?;
        while let Some(mut idle) = self.pop() {
            if !self.0.broken.opened_since(idle.opened.elapsed()) {
                continue;
            }
            if self.0.broken.silent_since(idle.used) || idle.used.elapsed() > QUIET {
                match timeout(self.0.ping_timeout, idle.connection.ping()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => {
                        self.0.broken.fail();
                        continue;
                    }
                    // Slow, or gone: the others are in doubt with it, and nobody waits for each of them in turn.
                    Err(_) => {
                        self.0.broken.doubt();
                        break;
                    }
                }
            }
            return Ok(self.lend(idle.connection, Some(idle.opened), place));
        }
        Ok(self.lend(self.connect().await?, None, place))
    }

    /// Takes a connection and begins a transaction.
    pub(super) async fn begin(&self) -> Result<Lent, sqlx::Error> {
        loop {
            let mut lent = self.acquire().await?;
            match lent.begin().await {
                // Nothing is done yet, so another connection does as well: this one was closed while nobody looked.
                Err(error) if lent.kept && !dialect::leaves_connections_whole(&error) => {
                    self.0.broken.fail();
                }
                begun => return begun.map(|()| lent),
            }
        }
    }

    /// A connection of its own, which is closed when it is dropped, for work that takes its time.
    pub(super) async fn patient(&self) -> Result<Lent, sqlx::Error> {
        let mut lent = Lent {
            connection: Some(self.connect().await?),
            opened: Instant::now(),
            kept: false,
            busy: false,
            transaction: None,
            place: None,
            server: None,
        };
        lent.run(PATIENT).await?;
        Ok(lent)
    }

    async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let connect = async {
            let mut connection = PgConnection::connect_with(&self.0.options).await?;
            if connection
                .server_version_num()
                .is_some_and(|number| number < OLDEST)
            {
                let text = "the server is older than PostgreSQL 15";
                return Err(sqlx::Error::Configuration(text.into()));
            }
            let greeting = connection.fetch_one(GREETING).await?;
            if greeting.try_get::<bool, _>("read_only")? {
                let text = "the server is read-only: a standby, or one that became one";
                return Err(sqlx::Error::Configuration(text.into()));
            }
            Ok(connection)
        };
        let connected = timeout(self.0.connect_timeout, connect).await;
        connected.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    /// Closes those that are free, and the others as they come back.
    pub(super) async fn close(&self) {
        self.0.places.close();
        self.0.returning.close();
        self.0.returning.wait().await;
        while let Some(idle) = self.pop() {
            let _ = timeout(self.0.ping_timeout, idle.connection.close()).await;
        }
    }

    /// The way to a connection that somebody else opens.
    pub(super) fn options(&self) -> PgConnectOptions {
        self.0.options.clone()
    }

    /// How long opening a connection may take, and how long one may take to show that it lives.
    pub(super) fn patience(&self) -> (Duration, Duration) {
        (self.0.connect_timeout, self.0.ping_timeout)
    }

    fn may_announce(&self) -> bool {
        let mut announced = self.0.announced.lock().unwrap_or_else(PoisonError::into_inner);
        let may = announced.is_none_or(|moment| moment.elapsed() >= OFTEN);
        if may {
            *announced = Some(Instant::now());
        }
        may
    }

    fn pop(&self) -> Option<Idle> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Lends a connection; `opened`: when, if it was kept.
    fn lend(&self, connection: PgConnection, opened: Option<Instant>, place: OwnedSemaphorePermit) -> Lent {
        Lent {
            connection: Some(connection),
            opened: opened.unwrap_or_else(Instant::now),
            kept: opened.is_some(),
            busy: false,
            transaction: None,
            place: Some(place),
            server: Some(self.clone()),
        }
    }

    fn put_back(&self, connection: PgConnection, opened: Instant) {
        if self.0.places.is_closed() {
            return;
        }
        let idle = Idle {
            connection,
            opened,
            used: Instant::now(),
        };
        self.0
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(idle);
    }
}

impl Lent {
    /// The connection, for a statement whose end is told to [`Self::done`]. Where it never is, the connection is closed.
    pub(super) fn begun(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        self.busy = true;
        self.connection.as_mut().ok_or(sqlx::Error::PoolClosed)
    }

    /// Notes how a statement ended.
    pub(super) fn done<T>(&mut self, done: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        let refused = matches!(done, Err(sqlx::Error::Database(_)));
        let answered = matches!(
            done,
            Ok(_) | Err(sqlx::Error::RowNotFound | sqlx::Error::ColumnDecode { .. })
        );
        self.busy = !refused && !answered;
        if let Some(transaction) = &mut self.transaction {
            transaction.failed |= refused;
        }
        done
    }

    /// When its transaction began.
    pub(super) fn began_at(&self) -> Option<Timestamp> {
        self.transaction.as_ref().map(|transaction| transaction.began_at)
    }

    /// Tells all instances, when the transaction is committed, that a mail is due which nobody has taken. Not for each of
    /// many at once: whoever hears of the first finds the others.
    pub(super) async fn announce(&mut self) -> Result<(), sqlx::Error> {
        let server = self.server.as_ref();
        if server.is_some_and(Server::may_announce) {
            self.run(dialect::ANNOUNCE).await
        } else {
            Ok(())
        }
    }

    /// Runs statements of fixed text.
    pub(super) async fn run(&mut self, statements: &'static str) -> Result<(), sqlx::Error> {
        let done = self.begun()?.execute(sqlx::raw_sql(statements)).await;
        self.done(done).map(drop)
    }

    /// Begins a transaction.
    async fn begin(&mut self) -> Result<(), sqlx::Error> {
        let begin = sqlx::raw_sql(Engine::Postgres.begin());
        let done = self.begun()?.fetch_one(begin).await;
        let micros = self.done(done)?.try_get("now")?;
        self.transaction = Some(Transaction {
            began_at: Timestamp::from_micros(micros),
            failed: false,
        });
        Ok(())
    }

    /// Makes what was written last.
    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        // The server would call it a success to write nothing.
        if self
            .transaction
            .as_ref()
            .is_some_and(|transaction| transaction.failed)
        {
            let text = "a transaction with a statement that failed cannot be committed";
            return Err(sqlx::Error::Protocol(text.into()));
        }
        self.run("COMMIT").await?;
        self.transaction = None;
        Ok(())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let (Some(mut connection), Some(server)) = (self.connection.take(), self.server.take()) else {
            return;
        };
        // Closed as it is: the server undoes what was begun.
        if self.busy {
            return;
        }
        let opened = self.opened;
        if self.transaction.is_none() {
            return server.put_back(connection, opened);
        }
        let place = self.place.take();
        let tasks = server.0.returning.clone();
        tasks.spawn(async move {
            let undone = timeout(server.0.ping_timeout, connection.execute("ROLLBACK")).await;
            if matches!(undone, Ok(Ok(_))) {
                server.put_back(connection, opened);
            }
            drop(place);
        });
    }
}

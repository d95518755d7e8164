//! Connections to a PostgreSQL server: how they are opened, kept and given up.
//!
//! Not sqlx's pool: that one asks each connection for a sign of life when it comes back, a round trip each, and waits for
//! ever where none comes. Here one that was given up half-way, or whose server failed since it was opened, is closed;
//! one that is in doubt shows that it lives, within a deadline, before it is used again.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sqlx::{
    ConnectOptions as _, Connection as _, Executor as _, Row as _,
    postgres::{PgConnectOptions, PgConnection, PgSslMode},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use super::Broken;

/// How to reach a PostgreSQL, and how long it may take.
#[derive(Clone)]
pub struct ServerSettings {
    /// The server's name or address, or the directory of its socket.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The role to log in as.
    pub user: String,
    /// Its password.
    pub password: Option<Zeroizing<String>>,
    /// The database.
    pub database: String,
    /// Whether to insist on TLS with a server that proves its name.
    pub encrypted: bool,
    /// Authorities to trust beside the public ones, a PEM file.
    pub authorities: Option<PathBuf>,
    /// Connections at the most.
    pub connections: u32,
    /// How long opening one may take.
    pub connect_timeout: Duration,
    /// How long to wait for one that is free.
    pub acquire_timeout: Duration,
    /// How long the server works on one statement.
    pub statement_timeout: Duration,
    /// How long one that is in doubt may take to show that it lives.
    pub ping_timeout: Duration,
    /// How long one operation may take in all.
    pub deadline: Duration,
}

impl fmt::Debug for ServerSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerSettings(..)")
    }
}

/// The oldest server that is spoken to, as it numbers itself.
const OLDEST: u32 = 150_000;

/// After so much silence a connection is in doubt: whatever lies between may have forgotten it.
const QUIET: Duration = Duration::from_secs(30);

/// How many statements a connection keeps prepared: all there are, and some of those that are put together.
const STATEMENTS: usize = 256;

/// Asked of each new connection. Where commits would not be durable, from here on they are.
const GREETING: &str = "SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on' AS read_only, \
     CASE current_setting('synchronous_commit') WHEN 'off' THEN set_config('synchronous_commit', 'on', false) END AS durable";

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
    /// A statement is under way.
    pub(super) busy: bool,
    /// A transaction is open.
    pub(super) open: bool,
    place: Option<OwnedSemaphorePermit>,
    server: Server,
}

impl Server {
    /// Nothing is opened yet.
    pub(super) fn new(settings: &ServerSettings, broken: Broken) -> Self {
        Self(Arc::new(Inner {
            options: options(settings),
            connect_timeout: settings.connect_timeout,
            acquire_timeout: settings.acquire_timeout,
            ping_timeout: settings.ping_timeout,
            places: Arc::new(Semaphore::new(settings.connections.max(1) as usize)),
            idle: Mutex::default(),
            broken,
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
            if self.0.broken.in_doubt_since(idle.used) || idle.used.elapsed() > QUIET {
                let ping = timeout(self.0.ping_timeout, idle.connection.ping()).await;
                if !matches!(ping, Ok(Ok(()))) {
                    continue;
                }
            }
            return Ok(self.lend(idle.connection, idle.opened, place));
        }
        let opened = Instant::now();
        Ok(self.lend(self.connect().await?, opened, place))
    }

    /// Opens a connection that is nobody else's.
    pub(super) async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let connect = async {
            let mut connection = PgConnection::connect_with(&self.0.options).await?;
            if connection.server_version_num().is_some_and(|number| number < OLDEST) {
                let text = "the server is older than PostgreSQL 15";
                return Err(sqlx::Error::Configuration(text.into()));
            }
            let greeting = connection.fetch_one(GREETING).await?;
            if greeting.try_get::<bool, _>("read_only")? {
                let text = "the server is read-only: a standby, or one that became one";
                return Err(sqlx::Error::Io(std::io::Error::other(text)));
            }
            Ok(connection)
        };
        let connected = timeout(self.0.connect_timeout, connect).await;
        connected.unwrap_or_else(|_| {
            let kind = std::io::ErrorKind::TimedOut;
            Err(sqlx::Error::Io(std::io::Error::new(kind, "the server did not let us in in time")))
        })
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

    fn pop(&self) -> Option<Idle> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn lend(&self, connection: PgConnection, opened: Instant, place: OwnedSemaphorePermit) -> Lent {
        Lent {
            connection: Some(connection),
            opened,
            busy: false,
            open: false,
            place: Some(place),
            server: self.clone(),
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
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).push(idle);
    }
}

impl Lent {
    /// The connection, while it is lent.
    pub(super) fn connection(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        self.connection.as_mut().ok_or(sqlx::Error::PoolClosed)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let (Some(mut connection), place, opened) = (self.connection.take(), self.place.take(), self.opened) else {
            return;
        };
        // Closed as it is: the server undoes what was begun.
        if self.busy {
            return;
        }
        let server = self.server.clone();
        if !self.open {
            return server.put_back(connection, opened);
        }
        let patience = server.0.ping_timeout;
        self.server.0.returning.spawn(async move {
            let undone = timeout(patience, connection.execute("ROLLBACK")).await;
            if matches!(undone, Ok(Ok(_))) {
                server.put_back(connection, opened);
            }
            drop(place);
        });
    }
}

fn options(settings: &ServerSettings) -> PgConnectOptions {
    let millis = |span: Duration| span.as_millis().max(1).to_string();
    let options = PgConnectOptions::new_without_pgpass()
        .port(settings.port)
        .username(&settings.user)
        // Without one here, none from the environment either.
        .password(settings.password.as_ref().map_or("", |password| password.as_str()))
        .database(&settings.database)
        .application_name("mailfactor")
        .statement_cache_capacity(STATEMENTS)
        .options([
            ("statement_timeout", millis(settings.statement_timeout)),
            // Whoever froze in the middle of a transaction holds no row for longer than this.
            ("idle_in_transaction_session_timeout", millis(2 * settings.deadline)),
            // Once nobody is there any more, the server soon stops working for them.
            ("client_connection_check_interval", millis(settings.deadline)),
            ("default_transaction_isolation", "read committed".to_owned()),
        ])
        .disable_statement_logging();
    let options = if settings.host.starts_with('/') {
        options.socket(&settings.host)
    } else {
        options.host(&settings.host)
    };
    match (&settings.authorities, settings.encrypted) {
        (_, false) => options.ssl_mode(PgSslMode::Disable),
        (None, true) => options.ssl_mode(PgSslMode::VerifyFull),
        (Some(file), true) => options.ssl_mode(PgSslMode::VerifyFull).ssl_root_cert(file),
    }
}

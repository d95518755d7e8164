//! The plan: from a configuration to the parts, and from the parts to a service that runs.
//!
//! [`build`] opens, checks and binds everything; [`App::run`] drives it until the end is asked for. Nothing else names
//! the configuration and the adapters together.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Config, Ending, keys::KeyFileError},
    domain::{clock::Clock, entropy::Entropy, keyring::Keyring},
    grpc::{Door, DoorError},
    lifecycle::Shutdown,
    mail::{MailError, Rounds, Worker},
    repository::Directory,
    store::{StoreError, account_book::AccountBook, handoff::Tray, policy_book::PolicyBook, sql::SqlStore},
    system::{SteadyClock, SystemEntropy},
    telemetry::{Metrics, keep_up},
};

mod archive;
pub mod check;
mod directory;
mod fresh_keys;
mod housekeeping;
pub mod keys;
pub mod local;
mod lock;
mod parts;

pub use archive::migrate;
use housekeeping::Housekeeping;
use lock::Lock;

/// What the machine gives: time and randomness.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

impl Machine {
    /// The real ones.
    #[must_use]
    pub fn real() -> Self {
        Self {
            clock: Arc::new(SteadyClock::new()),
            entropy: Arc::new(SystemEntropy),
        }
    }
}

/// Why the service cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// No keys.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// Another process serves from this database.
    #[error("another mailfactor runs on this database (it holds {path}); stop it first")]
    Locked {
        /// The lock file.
        path: String,
    },
    /// The lock file cannot be made.
    #[error("the lock file {path} cannot be opened")]
    LockFile {
        /// The lock file.
        path: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The database cannot be opened or brought up to date.
    #[error("the database {path} cannot be opened")]
    Store {
        /// Where it is.
        path: String,
        /// Why not.
        #[source]
        source: StoreError,
    },
    /// A repository cannot be opened.
    #[error("the repository {name} cannot be opened")]
    Repository {
        /// Its name.
        name: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The post room cannot be opened.
    #[error("mail cannot be set up")]
    Mail(#[from] MailError),
    /// The door cannot be hung.
    #[error("gRPC cannot be set up")]
    Door(#[from] DoorError),
    /// A port cannot be bound.
    #[error("cannot listen on {address} for {what}; is something else there already?")]
    Listen {
        /// What for.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// Why the service ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The door broke.
    #[error("gRPC stopped")]
    Door(#[from] DoorError),
}

/// The service, bound to its ports and ready to run.
pub struct App {
    /// Where gRPC is served.
    pub grpc: SocketAddr,
    /// Where metrics are served.
    pub metrics: Option<SocketAddr>,
    store: SqlStore,
    door: Door,
    door_listener: TcpListener,
    worker: Arc<Worker>,
    tray: Tray,
    policies: Arc<PolicyBook>,
    accounts: Arc<AccountBook>,
    keyring: Arc<Keyring>,
    rounds: Rounds,
    directory: Arc<Directory>,
    metrics_listener: Option<TcpListener>,
    housekeeping: Housekeeping,
    ending: Ending,
    lock: Option<Lock>,
}

/// Opens, checks and binds everything. Migrates the embedded database and, at the very first start, makes its key file.
pub async fn build(config: Config, machine: Machine) -> Result<App, BuildError> {
    // Metrics first: counters that are touched before the recorder is there are lost.
    let _ = Metrics::install();
    let lock = config.store.file().map(Lock::take).transpose()?;
    let (store, keyring) = archive::open(&config, &machine).await?;
    archive::take_over(&store, &config).await?;
    let keyring = Arc::new(keyring);
    let parts = parts::assemble(&config, &machine, &store, Arc::clone(&keyring))?;
    parts.door.check()?;
    archive::failed(&config, parts.policies.read().await)?;
    archive::failed(&config, parts.accounts.read().await)?;
    let door_listener = listen("gRPC", config.server.listen).await?;
    let metrics_listener = match config.metrics {
        Some(address) => Some(listen("metrics", address).await?),
        None => None,
    };
    let bound = |listener: &TcpListener| listener.local_addr().ok();
    parts::warn(&config, &store).await;
    Ok(App {
        grpc: bound(&door_listener).unwrap_or(config.server.listen),
        metrics: metrics_listener.as_ref().and_then(bound),
        door: parts.door,
        door_listener,
        worker: parts.worker,
        tray: parts.tray,
        policies: parts.policies,
        accounts: parts.accounts,
        keyring,
        rounds: parts.rounds,
        directory: parts.directory,
        metrics_listener,
        housekeeping: Housekeeping {
            clock: machine.clock,
            challenges: Arc::new(store.clone()),
            outbox: Arc::new(store.clone()),
            audit: Arc::new(store.clone()),
            retention: config.retention,
        },
        store,
        ending: config.ending,
        lock,
    })
}

/// How long calls in flight may still hand fresh mails to the worker once no more are taken.
const HEAD_START: Duration = Duration::from_secs(5);

/// What is left of the deadline for closing the database and the process itself, at the most.
const LAST_STEPS: Duration = Duration::from_secs(2);

impl App {
    /// Serves until `shutdown`'s soft token is cancelled, then ends everything within the configured deadline: the door
    /// first, then the worker, at last the database.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), RunError> {
        let Self {
            store,
            door,
            door_listener,
            worker,
            tray,
            policies,
            accounts,
            keyring,
            rounds,
            directory,
            metrics_listener,
            housekeeping,
            ending: Ending { notice, deadline },
            lock,
            ..
        } = self;
        let soft = shutdown.soft().clone();
        // The worker outlives the door: a call that waits for its mail is still in flight.
        let after_door = CancellationToken::new();
        let mut door = shutdown.spawn(door.serve(door_listener, soft.clone()));
        let wake = tray.wake.clone();
        let hear = store.clone().hear(move || wake.notify_one(), after_door.clone());
        shutdown.spawn(hear);
        shutdown.spawn(worker.run(tray, after_door.clone()));
        shutdown.spawn(housekeeping.run(soft.clone()));
        shutdown.spawn(rounds.run(soft.clone()));
        shutdown.spawn(directory::look_after(directory, soft.clone()));
        shutdown.spawn(policies.keep_fresh(after_door.clone()));
        shutdown.spawn(accounts.keep_fresh(after_door.clone()));
        shutdown.spawn(fresh_keys::keep_fresh(keyring, after_door.clone()));
        match metrics_listener {
            Some(listener) => shutdown.spawn(Metrics::install().serve(listener, after_door.clone())),
            None => shutdown.spawn(keep_up(Metrics::install(), after_door.clone())),
        };
        let early = tokio::select! {
            () = soft.cancelled() => None,
            ended = &mut door => Some(ended),
        };
        tracing::info!("ending");
        soft.cancel();
        let last_steps = LAST_STEPS.min(deadline / 2);
        let drain = async {
            let ended = match early {
                Some(ended) => Some(ended),
                None => timeout(notice + HEAD_START, &mut door).await.ok(),
            };
            after_door.cancel();
            ended
        };
        let (ended, in_time) = tokio::join!(drain, shutdown.end(deadline.saturating_sub(last_steps)));
        if timeout(last_steps / 2, store.close()).await.is_err() {
            tracing::warn!("the database was not closed in time; nothing is lost");
        }
        drop(lock);
        if !in_time {
            tracing::warn!(deadline = ?deadline, "something was stopped where it was");
        }
        tracing::info!("ended");
        match ended {
            Some(Ok(Some(Err(error)))) => Err(error.into()),
            _ => Ok(()),
        }
    }
}

async fn listen(what: &'static str, address: SocketAddr) -> Result<TcpListener, BuildError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| BuildError::Listen {
            what,
            address,
            source,
        })
}

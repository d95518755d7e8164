//! Opening the archive: the key file and the database, which belong together.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{BuildError, Lock, Machine};
use crate::{
    config::{Config, Encryption, Host, Postgres, StorePlace, keys},
    domain::keyring::Keyring,
    store::{
        Inboxes as _, Outbox as _, StoreError, StoreResult,
        sql::{ServerSettings, SqlSettings, SqlStore, may_pass},
    },
};

/// How long a database that is not ready is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long until it is tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// Opens the database and brings it up to date, whoever serves from it at present.
///
/// The key file is made together with the database and never afterwards: a database whose keys are gone is not to get
/// others in silence.
pub(super) async fn open(config: &Config, machine: &Machine) -> Result<(SqlStore, Keyring), BuildError> {
    let (store, keyring, _) = open_and_migrate(config, machine).await?;
    Ok((store, keyring))
}

/// The same, and how many steps it took to bring it up to date.
async fn open_and_migrate(
    config: &Config,
    machine: &Machine,
) -> Result<(SqlStore, Keyring, usize), BuildError> {
    let keyring = keys::load(&config.key_file, is_new(config), &*machine.entropy)?;
    let store = patiently(|| connect(config, machine)).await?;
    let steps = patiently(async || failed(config, store.migrate().await)).await?;
    Ok((store, keyring, steps))
}

/// Tries again for a while where a database server is slow, full or still starting: it was perhaps started together with
/// this process, or is overrun by all that come back after an outage.
async fn patiently<T>(attempt: impl AsyncFn() -> Result<T, BuildError>) -> Result<T, BuildError> {
    let until = Instant::now() + PATIENCE;
    loop {
        match attempt().await {
            Err(BuildError::Store { path, source }) if may_pass(&source) && Instant::now() < until => {
                let error: &dyn std::error::Error = &source;
                tracing::warn!(
                    store.path = path,
                    error,
                    "the database is not ready: it is tried again"
                );
                sleep(AGAIN).await;
            }
            done => return done,
        }
    }
}

/// Connects, without bringing anything up to date.
pub(super) async fn connect(config: &Config, machine: &Machine) -> Result<SqlStore, BuildError> {
    let store = &config.store;
    let clock = machine.clock.clone();
    let connected = match &store.place {
        StorePlace::File(file) => {
            let settings = SqlSettings {
                url: format!("sqlite:{}", file.display()),
                readers: store.readers,
                busy_timeout: store.busy_timeout,
                deadline: store.deadline,
            };
            SqlStore::connect(&settings, clock).await
        }
        StorePlace::Postgres(postgres) => {
            SqlStore::connect_to_server(&server(postgres, store.deadline)).await
        }
    };
    failed(config, connected)
}

fn server(postgres: &Postgres, deadline: Duration) -> ServerSettings {
    ServerSettings {
        host: match &postgres.host {
            Host::Name(name) => name.clone(),
            Host::Socket(directory) => directory.display().to_string(),
        },
        port: postgres.port,
        user: postgres.user.clone(),
        password: postgres.password.clone(),
        database: postgres.database.clone(),
        encrypted: postgres.tls != Encryption::Plain,
        authorities: match &postgres.tls {
            Encryption::Verified(file) => file.clone(),
            Encryption::Plain => None,
        },
        connections: postgres.connections,
        connect_timeout: postgres.connect_timeout,
        acquire_timeout: postgres.acquire_timeout,
        statement_timeout: postgres.statement_timeout,
        ping_timeout: postgres.ping_timeout,
        deadline,
    }
}

/// Takes over what a killed process left leased in a file: nobody else uses it, so nobody else is sending it. On a server
/// others may be; what was left there is taken over when its lease has run out.
pub(super) async fn take_over(store: &SqlStore, config: &Config) -> Result<(), BuildError> {
    if config.store.file().is_none() {
        return Ok(());
    }
    let released = failed(config, store.release_all().await)?;
    failed(config, store.release_checks().await)?;
    if released > 0 {
        tracing::info!(
            mails = released,
            "took over mails that were under way when the process ended"
        );
    }
    Ok(())
}

/// Brings the database up to date; says how many steps that took. A file only where no server runs on it.
pub async fn migrate(config: &Config, machine: &Machine) -> Result<usize, BuildError> {
    let _lock = config.store.file().map(Lock::take).transpose()?;
    let (store, _, steps) = open_and_migrate(config, machine).await?;
    store.close().await;
    Ok(steps)
}

/// Whether the database is a file that is still to be made, and its keys with it.
pub(super) fn is_new(config: &Config) -> bool {
    config.store.file().is_some_and(|file| !file.exists())
}

/// A failure of the store, with the database's name.
pub(super) fn failed<T>(config: &Config, result: StoreResult<T>) -> Result<T, BuildError> {
    result.map_err(|source: StoreError| BuildError::Store {
        path: config.store.name(),
        source,
    })
}

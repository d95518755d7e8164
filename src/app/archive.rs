//! Opening the archive: the key file and the database, which belong together.

use std::path::Path;

use super::{BuildError, Lock, Machine};
use crate::{
    config::{Config, keys},
    domain::keyring::Keyring,
    store::{
        Inboxes as _, Outbox as _, StoreError, StoreResult,
        sql::{SqlSettings, SqlStore},
    },
};

/// Opens the database and brings it up to date, whoever serves from it at present.
///
/// The key file is made together with the database and never afterwards: a database whose keys are gone is not to get
/// others in silence.
pub(super) async fn open(config: &Config, machine: &Machine) -> Result<(SqlStore, Keyring), BuildError> {
    let fresh = !config.store.file.exists();
    let keyring = keys::load(&config.key_file, fresh, &*machine.entropy)?;
    let store = connect(config, machine).await?;
    failed(config, store.migrate().await)?;
    Ok((store, keyring))
}

/// Connects, without bringing anything up to date.
pub(super) async fn connect(config: &Config, machine: &Machine) -> Result<SqlStore, BuildError> {
    let settings = SqlSettings {
        url: config.store.url.clone(),
        readers: config.store.readers,
        busy_timeout: config.store.busy_timeout,
        deadline: config.store.deadline,
    };
    failed(config, SqlStore::connect(&settings, machine.clock.clone()).await)
}

/// Takes over what a killed process left leased: nobody else uses this database, so nobody else is sending it.
pub(super) async fn take_over(store: &SqlStore, config: &Config) -> Result<(), BuildError> {
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

/// Brings the database up to date; says how many steps that took. Only where no server runs on it.
pub async fn migrate(config: &Config, machine: &Machine) -> Result<usize, BuildError> {
    let _lock = Lock::take(&config.store.file)?;
    keys::load(&config.key_file, !config.store.file.exists(), &*machine.entropy)?;
    let store = connect(config, machine).await?;
    let steps = failed(config, store.migrate().await)?;
    store.close().await;
    Ok(steps)
}

/// Whether a database is there.
pub(super) fn exists(path: &Path) -> bool {
    path.is_file()
}

/// A failure of the store, with the database's path.
pub(super) fn failed<T>(config: &Config, result: StoreResult<T>) -> Result<T, BuildError> {
    result.map_err(|source: StoreError| BuildError::Store {
        path: config.store.file.display().to_string(),
        source,
    })
}

//! Keys: another one, and everything sealed anew under it, whether a server runs on the database or not.
//!
//! Each step leaves everything readable: the key is in the file before anything is sealed under it, a running server
//! reads the file again when it meets a key that it does not know, and old keys stay. Interrupted, it is repeated.

use super::{BuildError, Machine, archive};
use crate::{
    config::{
        Config,
        keys::{self, KeyFileError},
    },
    domain::{
        account::Account,
        id::{AccountId, ChallengeId, EntryId, InboxId},
        inbox::Inbox,
        keyring::{KeyId, Keyring},
    },
    factor::context_place,
    store::{NewEntry, SealedKind, SealedValue, Seals, StoreError, sql::SqlStore},
};

/// Values sealed anew in one transaction: few enough that nobody waits for it.
const BATCH: u32 = 200;

/// Why keys were not changed.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The database or its keys cannot be opened.
    #[error(transparent)]
    Open(#[from] BuildError),
    /// The key file cannot be changed.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The store failed; what was sealed anew stays so.
    #[error("the store failed; what was sealed anew stays so: `mailfactor keys reseal` goes on")]
    Store(#[from] StoreError),
}

/// What became of the sealed values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    /// Sealed anew.
    pub changed: u64,
    /// Opened by no key there is, and left as they are.
    pub lost: u64,
}

/// The keys of the file, oldest first.
pub fn list(config: &Config, machine: &Machine) -> Result<Vec<KeyId>, KeysError> {
    Ok(keys::load(&config.key_file, false, &*machine.entropy)?.ids())
}

/// Adds a key to the key file, which becomes the newest.
pub fn add(config: &Config, machine: &Machine) -> Result<KeyId, KeysError> {
    Ok(keys::add(&config.key_file, &*machine.entropy)?)
}

/// Seals everything anew under the newest key.
pub async fn reseal(config: &Config, machine: &Machine) -> Result<Resealed, KeysError> {
    let (store, keyring) = archive::open(config, machine).await?;
    let mut resealed = Resealed::default();
    for kind in SealedKind::ALL {
        let result = reseal_kind(&store, &keyring, machine, kind, &mut resealed).await;
        if let Err(error) = result {
            store.close().await;
            return Err(error.into());
        }
    }
    store.close().await;
    Ok(resealed)
}

async fn reseal_kind(
    store: &SqlStore,
    keyring: &Keyring,
    machine: &Machine,
    kind: SealedKind,
    resealed: &mut Resealed,
) -> Result<(), StoreError> {
    let newest = keyring.newest();
    let mut after = None;
    loop {
        let found = store.sealed_otherwise(kind, &newest, after, BATCH).await?;
        let Some(last) = found.last() else {
            return Ok(());
        };
        after = Some(last.owner);
        let mut fresh = Vec::with_capacity(found.len());
        for old in found {
            let place = place(kind, &old);
            match keyring.open(&place, &old.value) {
                Ok(plain) => {
                    let plain = zeroize::Zeroizing::new(plain);
                    let sealed = keyring.seal(&place, &plain, &*machine.entropy);
                    fresh.push((old, sealed));
                }
                Err(_) => resealed.lost += 1,
            }
        }
        resealed.changed += store.reseal(kind, fresh).await?;
    }
}

/// The place a value is sealed for.
fn place(kind: SealedKind, value: &SealedValue) -> String {
    match kind {
        SealedKind::Account => Account::secret_place(&AccountId::from_bytes(value.owner)),
        SealedKind::Mail => NewEntry::place(&EntryId::from_bytes(value.owner)),
        SealedKind::Context => context_place(ChallengeId::from_bytes(value.owner)),
        SealedKind::Inbox => Inbox::secret_place(&InboxId::from_bytes(value.owner)),
    }
}

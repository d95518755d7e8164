//! Keys: another one, and everything sealed anew under it, whether a server runs on the database or not.
//!
//! Each step leaves everything readable: the key is in the file before anything is sealed under it, a running server
//! reads the file again when it meets a key that it does not know, and old keys stay. Interrupted, it is repeated.

use std::path::Path;

use super::{BuildError, Machine, archive, local};
use crate::{
    config::{
        Config,
        keys::{self, KeyFileError},
    },
    domain::{
        account::{Account, Secret},
        audit::{Action, Fields, Object},
        dkim::DkimKey,
        id::{AccountId, ChallengeId, DkimKeyId, EntryId, InboxId},
        inbox::Inbox,
        keyring::{KeyId, Keyring, Sealed, Subject},
        oauth::{OauthDraft, OauthSecret},
    },
    factor::context_place,
    mail::refresh_token_place,
    store::{Accounts, Audit as _, NewEntry, SealedKind, Seals, StoreError, sql::SqlStore},
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

/// Makes the key file, with one key; there must be none. A database file that is there has its keys already.
pub fn create(config: &Config, machine: &Machine) -> Result<KeyId, KeysError> {
    let path = &config.key_file;
    if config.store.file().is_some_and(Path::exists) && !path.exists() {
        return Err(KeyFileError::Missing { path: path.clone() }.into());
    }
    keys::create(path, &*machine.entropy)?;
    Ok(keys::load(path, false, &*machine.entropy)?.newest())
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
    let result = reseal_oauth(&store, &keyring, machine, &mut resealed).await;
    if let Err(error) = result {
        store.close().await;
        return Err(error.into());
    }
    let told = tell(&store, &keyring, machine, resealed).await;
    store.close().await;
    told?;
    Ok(resealed)
}

/// Leaves an audit event: under which key everything is sealed by now.
async fn tell(
    store: &SqlStore,
    keyring: &Keyring,
    machine: &Machine,
    resealed: Resealed,
) -> Result<(), StoreError> {
    let after = Fields::new()
        .with("newest", keyring.newest().as_str())
        .with("sealed_anew", resealed.changed)
        .with("lost", resealed.lost);
    let change = Fields::change(&Fields::new(), &after);
    let note = local::note(machine, Action::KeysReseal);
    store.record(&note, Object::named("keys"), change).await
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
        after = Some(last.owner.clone());
        let mut fresh = Vec::with_capacity(found.len());
        for old in found {
            let place = place(kind, &old.owner);
            let sealed = place.and_then(|place| anew(keyring, machine, &place, &old.value));
            match sealed {
                Some(sealed) => fresh.push((old, sealed)),
                None => resealed.lost += 1,
            }
        }
        resealed.changed += store.reseal(kind, fresh).await?;
    }
}

/// The secrets of OAuth settings, which an account keeps together.
async fn reseal_oauth(
    store: &SqlStore,
    keyring: &Keyring,
    machine: &Machine,
    resealed: &mut Resealed,
) -> Result<(), StoreError> {
    let prefix = Sealed::prefix(&keyring.newest());
    for account in Accounts::list(store).await? {
        let Some(Secret::Oauth(old)) = account.settings.login.map(|login| login.secret) else {
            continue;
        };
        let mut draft = OauthDraft::from(&*old);
        let mut changed = 0;
        for which in OauthSecret::ALL {
            let slot = draft.secret(which);
            let Some(Secret::Sealed(sealed)) = slot else {
                continue;
            };
            if sealed.as_bytes().starts_with(&prefix) {
                continue;
            }
            match anew(keyring, machine, &which.place(&account.id), sealed) {
                Some(fresh) => {
                    *sealed = fresh;
                    changed += 1;
                }
                None => resealed.lost += 1,
            }
        }
        let Ok(new) = draft.check("") else {
            return Err(StoreError::Corrupt("accounts"));
        };
        if changed > 0 && store.reseal_oauth(account.id, &old, &new).await? {
            resealed.changed += changed;
        }
    }
    Ok(())
}

/// The same, sealed under the newest key; `None`: no key there is opens it.
fn anew(keyring: &Keyring, machine: &Machine, place: &str, sealed: &Sealed) -> Option<Sealed> {
    let plain = zeroize::Zeroizing::new(keyring.open(place, sealed).ok()?);
    Some(keyring.seal(place, &plain, &*machine.entropy))
}

/// The place a value is sealed for.
fn place(kind: SealedKind, owner: &[u8]) -> Option<String> {
    let id = || owner.try_into().ok();
    Some(match kind {
        SealedKind::Account => Account::secret_place(&AccountId::from_bytes(id()?)),
        SealedKind::ClientKey => Account::client_key_place(&AccountId::from_bytes(id()?)),
        SealedKind::Dkim => DkimKey::secret_place(&DkimKeyId::from_bytes(id()?)),
        SealedKind::Mail => NewEntry::place(&EntryId::from_bytes(id()?)),
        SealedKind::Context => context_place(ChallengeId::from_bytes(id()?)),
        SealedKind::Inbox => Inbox::secret_place(&InboxId::from_bytes(id()?)),
        SealedKind::RefreshToken => refresh_token_place(&Subject::from_bytes(owner.try_into().ok()?)),
    })
}

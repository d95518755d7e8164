//! DKIM keys of accounts: list, set, delete.

use zeroize::Zeroizing;

use super::{AccountError, AccountRef, Action, Office, StoreError};
use crate::{
    domain::{
        account::{Account, Secret},
        dkim::{DkimKey, Place},
        id::DkimKeyId,
        violation::Violations,
        visitor::Visitor,
    },
    mail::{SigningKey, read_signing_key},
    store::DkimWrite,
};

/// The longest private key, in bytes; 4,096 bits take 3,300.
const MOST_KEY: usize = 8192;

/// Why a key was not saved or found.
#[derive(Debug, thiserror::Error)]
pub enum DkimError {
    /// Something is wrong with it.
    #[error(transparent)]
    Invalid(#[from] Violations),
    /// The account.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The account has no such key.
    #[error("no such key")]
    Unknown,
    /// Somebody else changed it in between.
    #[error("the key was changed in between")]
    Stale,
    /// The account has as many as it may have.
    #[error("the account has too many keys")]
    Full,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A key as somebody wrote it.
#[derive(Debug)]
pub struct DkimDraft {
    /// Where it is published.
    pub selector: String,
    /// The domain; empty: that of the account's sender.
    pub domain: String,
    /// Whether it signs.
    pub enabled: bool,
    /// The private key; `None`: the one there is.
    pub source: Option<DkimSource>,
}

/// Where a private key comes from.
pub enum DkimSource {
    /// This one, PEM.
    Pem(Zeroizing<String>),
    /// A file or an environment variable.
    Elsewhere(Secret),
    /// A new Ed25519 key that nobody has ever seen.
    Generate,
}

impl std::fmt::Debug for DkimSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DkimSource(..)")
    }
}

impl Office {
    /// The keys of an account, by selector.
    #[tracing::instrument(name = "policy.dkim_keys", skip_all)]
    pub async fn dkim_keys(&self, account: &AccountRef) -> Result<Vec<DkimKey>, DkimError> {
        let account = self.account(account).await?;
        Ok(self.dkim.dkim_keys(account.id).await?)
    }

    /// Writes the key of a selector. Without a private key, the one there is stays.
    #[tracing::instrument(name = "policy.set_dkim_key", skip_all)]
    pub async fn set_dkim_key(
        &self,
        caller: &Visitor,
        account: &AccountRef,
        draft: DkimDraft,
        version: Option<i64>,
    ) -> Result<DkimKey, DkimError> {
        let account = self.account(account).await?;
        let known = self.dkim.dkim_keys(account.id).await?;
        let key = self.check_key(&account, draft, &known).await?;
        let note = self.note(caller, Action::DkimSet);
        let now = self.clock.now();
        let saved = self.dkim.save_dkim_key(key, version, now, &note).await?;
        self.signer.forget(account.id).await;
        let key = written(saved)?;
        tell(caller, &account, &key, "DKIM key set");
        Ok(key)
    }

    /// Deletes the key of a selector.
    #[tracing::instrument(name = "policy.delete_dkim_key", skip_all)]
    pub async fn delete_dkim_key(
        &self,
        caller: &Visitor,
        account: &AccountRef,
        selector: String,
        version: Option<i64>,
    ) -> Result<(), DkimError> {
        let account = self.account(account).await?;
        let note = self.note(caller, Action::DkimDelete);
        let removed = self
            .dkim
            .remove_dkim_key(account.id, selector, version, &note)
            .await?;
        self.signer.forget(account.id).await;
        tell(caller, &account, &written(removed)?, "DKIM key deleted");
        Ok(())
    }

    async fn check_key(
        &self,
        account: &Account,
        draft: DkimDraft,
        known: &[DkimKey],
    ) -> Result<DkimKey, Violations> {
        let mut faults = Violations::new();
        let selector = faults.check("key.selector", Place::selector(&draft.selector));
        let domain = match draft.domain.as_str() {
            "" => account.settings.sender.address.domain(),
            domain => domain,
        };
        let domain = faults.check("key.domain", Place::domain(domain));
        let known = known
            .iter()
            .find(|known| Some(&known.place.selector) == selector.as_ref());
        let id = known.map_or_else(|| DkimKeyId::random(&*self.entropy), |known| known.id);
        let sealed_for = DkimKey::secret_place(&id);
        let private = match (draft.source, known) {
            (None, Some(known)) => Some((known.secret.clone(), known.algorithm, known.public.clone())),
            (None, None) => {
                faults.add(
                    "key.private_key",
                    "is required: a key, a file, a variable, or generate",
                );
                None
            }
            (Some(source), _) => {
                let field = source.field();
                let read = self.read_key(&sealed_for, source).await;
                let read = faults.check(field, read);
                read.map(|(secret, key)| (secret, key.algorithm(), key.public()))
            }
        };
        match (selector, domain, private) {
            (Some(selector), Some(domain), Some((secret, algorithm, public))) => Ok(DkimKey {
                id,
                account: account.id,
                place: Place { selector, domain },
                enabled: draft.enabled,
                algorithm,
                public,
                secret,
                updated_at: self.clock.now(),
                version: 0,
            }),
            _ => Err(faults),
        }
    }

    /// The key and where it lies from now on. What is wrong is told without the key.
    async fn read_key(&self, place: &str, source: DkimSource) -> Result<(Secret, SigningKey), String> {
        let seal = |pem: &str| {
            let key = SigningKey::from_pem(pem).map_err(|error| error.to_string())?;
            let sealed = self.keyring.seal(place, pem.as_bytes(), &*self.entropy);
            Ok((Secret::Sealed(sealed), key))
        };
        match source {
            DkimSource::Pem(pem) if pem.len() > MOST_KEY => Err("is longer than 8,192 bytes".to_owned()),
            DkimSource::Pem(pem) => seal(&pem),
            DkimSource::Generate => seal(&SigningKey::generate(&*self.entropy)),
            DkimSource::Elsewhere(secret) => {
                let secret = self.check_secret(secret).map_err(|error| error.to_string())?;
                let files = &self.transports.settings().secret_files;
                let key = read_signing_key(place, &secret, &self.keyring, files).await?;
                Ok((secret, key))
            }
        }
    }
}

impl DkimSource {
    fn field(&self) -> &'static str {
        match self {
            Self::Pem(_) => "key.private_key",
            Self::Elsewhere(Secret::File(_)) => "key.file",
            Self::Elsewhere(_) => "key.environment",
            Self::Generate => "key.generate",
        }
    }
}

fn written(write: DkimWrite) -> Result<DkimKey, DkimError> {
    match write {
        DkimWrite::Saved(key) => Ok(*key),
        DkimWrite::Stale => Err(DkimError::Stale),
        DkimWrite::Unknown => Err(DkimError::Unknown),
        DkimWrite::Full => Err(DkimError::Full),
    }
}

/// For the record of who changed what.
fn tell(caller: &Visitor, account: &Account, key: &DkimKey, what: &'static str) {
    tracing::info!(
        caller.name = %caller.name,
        account.name = %account.settings.name,
        dkim.record = %key.place.record_name(),
        dkim.algorithm = key.algorithm.name(),
        dkim.enabled = key.enabled,
        "{what}"
    );
}

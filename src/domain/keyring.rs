//! The service's keys: what codes are derived under, secrets sealed with and look-ups hashed by.
//!
//! Each key of the key file yields sub-keys by HKDF-SHA256 (RFC 5869), one per use. The newest key signs and seals; older
//! ones still open and verify what they made. Keyed hashes always come from the oldest key: budgets counted under a
//! hash must not refill when a key is added.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{code::CodeKey, entropy::Entropy, entropy::random_bytes};

/// Names a key: 1 to 32 of a-z, 0-9 and `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(String);

impl KeyId {
    /// Reads a key's name.
    pub fn parse(text: &str) -> Result<Self, KeyringError> {
        let fits = (1..=32).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(KeyringError::Name)
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is wrong with keys, or with something they should open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// No keys at all.
    #[error("holds no key")]
    NoKeys,
    /// A name twice.
    #[error("names a key twice")]
    Duplicate,
    /// No key name.
    #[error("names a key with other characters than a-z, 0-9 and -")]
    Name,
    /// Sealed under a key that is not here.
    #[error("was sealed under a key that is not in the key file")]
    UnknownKey,
    /// Changed since it was sealed, or sealed for another place.
    #[error("cannot be opened: it was changed, or belongs elsewhere")]
    Tampered,
}

/// Sealed bytes: which key, a nonce, and XChaCha20-Poly1305 over the rest.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// From what a store kept.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// What a store keeps.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Sealed {
    /// What the bytes begin with that were sealed under a key.
    #[must_use]
    pub fn prefix(key: &KeyId) -> Vec<u8> {
        let id = key.as_str().as_bytes();
        let mut bytes = vec![u8::try_from(id.len()).unwrap_or_default()];
        bytes.extend_from_slice(id);
        bytes
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// Whose budget it is: a keyed hash, so that a stolen database names nobody.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject([u8; 32]);

impl Subject {
    /// From what a store kept.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// What a store keeps.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Subject(..)")
    }
}

/// What a keyed hash stands for: hashes of one kind never equal those of another. Its place goes into the hash, so that new
/// kinds come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectKind {
    /// A user of a repository.
    User,
    /// A mailbox.
    Address,
    /// A caller.
    Caller,
    /// A request id of a caller, or the contents of a request.
    Request,
    /// The invented address of a decoy.
    Decoy,
    /// A mail account.
    Account,
    /// The settings of an account that passed a test.
    Settings,
    /// An address that a user confirms, byte for byte.
    Confirmed,
    /// A refresh token, as an administrator gave it.
    RefreshToken,
    /// A message in an inbox.
    Message,
    /// A user of a repository, as wrong passwords are counted.
    Password,
    /// A name as one caller gives it, whether or not anybody has it.
    Name,
    /// The same, as wrong passwords are counted.
    NamePassword,
}

#[derive(Zeroize, ZeroizeOnDrop)]
struct SubKeys {
    #[zeroize(skip)]
    id: KeyId,
    #[zeroize(skip)] // Wipes itself.
    code: CodeKey,
    seal: [u8; 32],
    hash: [u8; 32],
}

/// Where keys come from that were added while the service runs.
pub trait KeySource: Send + Sync {
    /// All keys, oldest first; `None`: they cannot be had now.
    fn keys(&self) -> Option<Vec<(KeyId, [u8; 32])>>;
}

/// All keys, oldest first. Keys that are added to their source while the service runs are taken in; none is dropped.
pub struct Keyring {
    ring: RwLock<Vec<Arc<SubKeys>>>,
    source: Option<Box<dyn KeySource>>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

impl Keyring {
    /// From the keys of a key file, oldest first.
    pub fn new(keys: impl IntoIterator<Item = (KeyId, [u8; 32])>) -> Result<Self, KeyringError> {
        let mut ring: Vec<Arc<SubKeys>> = Vec::new();
        for (id, bytes) in keys {
            if ring.iter().any(|known| known.id == id) {
                return Err(KeyringError::Duplicate);
            }
            ring.push(Arc::new(SubKeys::derive(id, bytes)));
        }
        if ring.is_empty() {
            return Err(KeyringError::NoKeys);
        }
        Ok(Self {
            ring: RwLock::new(ring),
            source: None,
        })
    }

    /// With a source that is asked for keys that are not known.
    #[must_use]
    pub fn with_source(mut self, source: Box<dyn KeySource>) -> Self {
        self.source = Some(source);
        self
    }

    /// Takes in keys that were added to the source since; says how many. The newest seals from now on.
    pub fn read_again(&self) -> usize {
        let Some(keys) = self.source.as_ref().and_then(|source| source.keys()) else {
            return 0;
        };
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        let before = ring.len();
        for (id, bytes) in keys {
            if !ring.iter().any(|known| known.id == id) {
                ring.push(Arc::new(SubKeys::derive(id, bytes)));
            }
        }
        ring.len() - before
    }

    /// The names of the keys, oldest first.
    #[must_use]
    pub fn ids(&self) -> Vec<KeyId> {
        self.read(|ring| ring.iter().map(|keys| keys.id.clone()).collect())
    }

    /// The key that new codes are derived under.
    #[must_use]
    pub fn newest(&self) -> KeyId {
        self.newest_keys().id.clone()
    }

    /// The key that codes of this name are derived under.
    pub fn code_key(&self, id: &KeyId) -> Result<CodeKey, KeyringError> {
        self.find(id.as_str().as_bytes()).map(|keys| keys.code.clone())
    }

    /// Seals `plain` for `place`, such as `outbox/<id>`: it opens nowhere else.
    #[must_use]
    pub fn seal(&self, place: &str, plain: &[u8], entropy: &dyn Entropy) -> Sealed {
        let keys = self.newest_keys();
        let nonce: [u8; 24] = random_bytes(entropy);
        let cipher = XChaCha20Poly1305::new(&keys.seal.into());
        let payload = Payload {
            msg: plain,
            aad: place.as_bytes(),
        };
        // Encryption fails only beyond 256 GiB; an empty text then opens nowhere.
        let sealed = cipher.encrypt(&XNonce::from(nonce), payload).unwrap_or_default();
        let mut bytes = Sealed::prefix(&keys.id);
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&sealed);
        Sealed(bytes)
    }

    /// Opens what was sealed for `place`.
    pub fn open(&self, place: &str, sealed: &Sealed) -> Result<Vec<u8>, KeyringError> {
        let (length, rest) = sealed.0.split_first().ok_or(KeyringError::Tampered)?;
        let (id, rest) = rest
            .split_at_checked(usize::from(*length))
            .ok_or(KeyringError::Tampered)?;
        let (nonce, text) = rest.split_first_chunk::<24>().ok_or(KeyringError::Tampered)?;
        let keys = self.find(id)?;
        let cipher = XChaCha20Poly1305::new(&keys.seal.into());
        let payload = Payload {
            msg: text,
            aad: place.as_bytes(),
        };
        cipher
            .decrypt(&XNonce::from(*nonce), payload)
            .map_err(|_| KeyringError::Tampered)
    }

    /// The keyed hash of some parts.
    #[must_use]
    pub fn subject(&self, kind: SubjectKind, parts: &[&str]) -> Subject {
        let oldest = self.read(|ring| ring.first().map(|keys| keys.hash).unwrap_or_default());
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&oldest) else {
            return Subject([0; 32]);
        };
        mac.update(&[kind as u8]);
        for part in parts {
            // Lengths first: "ab", "c" and "a", "bc" are different subjects.
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        Subject(mac.finalize().into_bytes().into())
    }

    fn newest_keys(&self) -> Arc<SubKeys> {
        self.read(|ring| ring.last().cloned())
            .unwrap_or_else(|| unreachable!("a keyring has a key"))
    }

    /// The keys of a name. One that is not known may have been added by another process just now.
    fn find(&self, id: &[u8]) -> Result<Arc<SubKeys>, KeyringError> {
        let known = || {
            self.read(|ring| {
                let mut keys = ring.iter();
                keys.find(|keys| keys.id.as_str().as_bytes() == id).cloned()
            })
        };
        let found = known().or_else(|| (self.read_again() > 0).then(known).flatten());
        found.ok_or(KeyringError::UnknownKey)
    }

    fn read<T>(&self, work: impl FnOnce(&[Arc<SubKeys>]) -> T) -> T {
        work(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl SubKeys {
    fn derive(id: KeyId, mut bytes: [u8; 32]) -> Self {
        let keys = Self {
            code: CodeKey::new(sub_key(&bytes, b"mailfactor 1 codes")),
            seal: sub_key(&bytes, b"mailfactor 1 sealing"),
            hash: sub_key(&bytes, b"mailfactor 1 look-ups"),
            id,
        };
        bytes.zeroize();
        keys
    }
}

fn sub_key(key: &[u8; 32], info: &[u8]) -> [u8; 32] {
    let mut okm = [0; 32];
    // 32 bytes of output are always allowed.
    let _ = Hkdf::<Sha256>::new(None, key).expand(info, &mut okm);
    okm
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Fixed(u8);

    impl Entropy for Fixed {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(self.0);
        }
    }

    fn ring(keys: &[(&str, u8)]) -> Keyring {
        Keyring::new(
            keys.iter()
                .map(|(id, byte)| (KeyId::parse(id).unwrap(), [*byte; 32])),
        )
        .unwrap()
    }

    #[test]
    fn opens_what_it_sealed_and_only_in_its_place() {
        let keys = ring(&[("a", 1)]);
        let sealed = keys.seal("outbox/1", b"secret", &Fixed(7));
        assert_eq!(keys.open("outbox/1", &sealed).unwrap(), b"secret");
        assert_eq!(keys.open("outbox/2", &sealed), Err(KeyringError::Tampered));
        let mut bytes = sealed.as_bytes().to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        assert_eq!(
            keys.open("outbox/1", &Sealed::from_bytes(bytes)),
            Err(KeyringError::Tampered)
        );
        assert_eq!(
            keys.open("outbox/1", &Sealed::from_bytes(vec![])),
            Err(KeyringError::Tampered)
        );
        assert_eq!(
            ring(&[("b", 1)]).open("outbox/1", &sealed),
            Err(KeyringError::UnknownKey)
        );
    }

    #[test]
    fn a_new_key_seals_an_old_one_still_opens_and_look_ups_stay() {
        let old = ring(&[("a", 1)]);
        let both = ring(&[("a", 1), ("b", 2)]);
        let sealed = old.seal("x", b"secret", &Fixed(7));
        assert_eq!(both.open("x", &sealed).unwrap(), b"secret");
        assert_eq!(both.newest().as_str(), "b");
        assert_eq!(
            old.open("x", &both.seal("x", b"s", &Fixed(7))),
            Err(KeyringError::UnknownKey)
        );
        let subject = |ring: &Keyring| ring.subject(SubjectKind::User, &["staff", "ann"]);
        assert_eq!(subject(&old), subject(&both));
    }

    struct Added(Vec<(&'static str, u8)>);

    impl KeySource for Added {
        fn keys(&self) -> Option<Vec<(KeyId, [u8; 32])>> {
            let keys = self.0.iter();
            let keys = keys.map(|(id, byte)| (KeyId::parse(id).unwrap(), [*byte; 32]));
            Some(keys.collect())
        }
    }

    #[test]
    fn a_key_that_was_added_since_is_found_when_it_is_needed() {
        let both = ring(&[("a", 1), ("b", 2)]);
        let sealed = both.seal("x", b"secret", &Fixed(7));
        let running = ring(&[("a", 1)]).with_source(Box::new(Added(vec![("b", 2)])));
        assert_eq!(running.newest().as_str(), "a");
        assert_eq!(running.open("x", &sealed).unwrap(), b"secret");
        // From then on it seals, and what is looked up is still found.
        assert_eq!(running.newest().as_str(), "b");
        let subject = |ring: &Keyring| ring.subject(SubjectKind::User, &["ann"]);
        assert_eq!(subject(&running), subject(&both));
        assert_eq!(running.read_again(), 0);
        let foreign = ring(&[("c", 3)]).seal("x", b"secret", &Fixed(7));
        assert_eq!(running.open("x", &foreign), Err(KeyringError::UnknownKey));
    }

    #[test]
    fn subjects_differ_by_kind_and_by_where_parts_end() {
        let keys = ring(&[("a", 1)]);
        let user = keys.subject(SubjectKind::User, &["ab", "c"]);
        assert_ne!(user, keys.subject(SubjectKind::User, &["a", "bc"]));
        assert_ne!(user, keys.subject(SubjectKind::Address, &["ab", "c"]));
    }

    #[test]
    fn refuses_no_keys_and_two_of_a_name() {
        assert_eq!(Keyring::new([]).unwrap_err(), KeyringError::NoKeys);
        let id = || KeyId::parse("a").unwrap();
        assert_eq!(
            Keyring::new([(id(), [0; 32]), (id(), [1; 32])]).unwrap_err(),
            KeyringError::Duplicate
        );
        assert_eq!(KeyId::parse("A"), Err(KeyringError::Name));
    }
}

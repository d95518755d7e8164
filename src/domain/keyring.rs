//! The service's keys: what codes are derived under, secrets sealed with and look-ups hashed by.
//!
//! Each key of the key file yields sub-keys by HKDF-SHA256 (RFC 5869), one per use. The newest key signs and seals; older
//! ones still open and verify what they made. Keyed hashes always come from the oldest key: budgets counted under a
//! hash must not refill when a key is added.

use std::fmt;

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

/// What a keyed hash stands for: hashes of one kind never equal those of another.
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
    /// A message in an inbox.
    Message,
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

/// All keys, oldest first.
pub struct Keyring(Vec<SubKeys>);

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|keys| &keys.id))
            .finish()
    }
}

impl Keyring {
    /// From the keys of a key file, oldest first.
    pub fn new(keys: impl IntoIterator<Item = (KeyId, [u8; 32])>) -> Result<Self, KeyringError> {
        let mut ring: Vec<SubKeys> = Vec::new();
        for (id, mut bytes) in keys {
            if ring.iter().any(|known| known.id == id) {
                return Err(KeyringError::Duplicate);
            }
            ring.push(SubKeys {
                code: CodeKey::new(sub_key(&bytes, b"mailfactor 1 codes")),
                seal: sub_key(&bytes, b"mailfactor 1 sealing"),
                hash: sub_key(&bytes, b"mailfactor 1 look-ups"),
                id,
            });
            bytes.zeroize();
        }
        if ring.is_empty() {
            Err(KeyringError::NoKeys)
        } else {
            Ok(Self(ring))
        }
    }

    /// The key that new codes are derived under.
    #[must_use]
    pub fn newest(&self) -> &KeyId {
        &self.newest_keys().id
    }

    /// The key that codes of this name are derived under.
    pub fn code_key(&self, id: &KeyId) -> Result<&CodeKey, KeyringError> {
        self.find(id.as_str().as_bytes()).map(|keys| &keys.code)
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
        let id = keys.id.as_str().as_bytes();
        let mut bytes = Vec::with_capacity(1 + id.len() + nonce.len() + sealed.len());
        bytes.push(u8::try_from(id.len()).unwrap_or_default());
        bytes.extend_from_slice(id);
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
        let cipher = XChaCha20Poly1305::new(&self.find(id)?.seal.into());
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
        let oldest = self.0.first().map(|keys| keys.hash).unwrap_or_default();
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

    fn newest_keys(&self) -> &SubKeys {
        self.0
            .last()
            .unwrap_or_else(|| unreachable!("a keyring has a key"))
    }

    fn find(&self, id: &[u8]) -> Result<&SubKeys, KeyringError> {
        self.0
            .iter()
            .find(|keys| keys.id.as_str().as_bytes() == id)
            .ok_or(KeyringError::UnknownKey)
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

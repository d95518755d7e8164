//! Callers: who may use the service, how they prove it and what they may do.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{clock::Timestamp, entropy::Entropy, entropy::random_bytes};

/// Names a caller: 16 hexadecimal digits. Not secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallerId([u8; 8]);

impl CallerId {
    /// A new one.
    #[must_use]
    pub fn random(entropy: &dyn Entropy) -> Self {
        Self(random_bytes(entropy))
    }

    /// The number that the digits are.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number.to_be_bytes())
    }

    /// The digits as a number.
    #[must_use]
    pub const fn number(self) -> u64 {
        u64::from_be_bytes(self.0)
    }

    /// From what a store kept, or an API key says.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let canonical = text.len() == 16
            && text
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        canonical
            .then(|| u64::from_str_radix(text, 16).ok().map(Self::from_number))
            .flatten()
    }
}

impl fmt::Display for CallerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.number())
    }
}

impl fmt::Debug for CallerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallerId({self})")
    }
}

/// What a caller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Administers accounts and policy, sees every challenge.
    Admin,
    /// Reads accounts and the outbox.
    Auditor,
    /// An authentication server: starts and verifies challenges, learns the truth about users.
    Authenticator,
    /// An agent on a laptop or a web site: starts and verifies challenges, learns nothing about users.
    Endpoint,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 4] = [Self::Admin, Self::Auditor, Self::Authenticator, Self::Endpoint];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Auditor => "auditor",
            Self::Authenticator => "authenticator",
            Self::Endpoint => "endpoint",
        }
    }

    /// The role of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Whether a caller of this role sees users unless told otherwise.
    #[must_use]
    pub const fn sees_users(self) -> bool {
        matches!(self, Self::Admin | Self::Authenticator)
    }
}

/// A caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its name in keys and challenges.
    pub id: CallerId,
    /// Its name for people, unique.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// Whether it learns that a user is unknown, has no address or matches twice.
    pub see_users: bool,
    /// Its live keys: two at the most, for rotation, newest first.
    pub keys: Vec<KeyDigest>,
    /// The client certificate that is as good as a key.
    pub certificate: Option<CertificateDigest>,
    /// When it was added.
    pub created_at: Timestamp,
}

impl Caller {
    /// Whether it may do what another state of it may, and sees the same.
    #[must_use]
    pub fn may_as(&self, other: &Self) -> bool {
        self.id == other.id && self.role == other.role && self.see_users == other.see_users
    }
}

/// The SHA-256 of an API key's secret. The secret has 256 random bits, so a plain hash is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyDigest(pub [u8; 32]);

impl KeyDigest {
    /// Whether it is that of one of the caller's live keys, in constant time.
    #[must_use]
    pub fn is_live_of(&self, caller: &Caller) -> bool {
        let same = |any, key: &Self| any | key.0.ct_eq(&self.0);
        caller.keys.iter().fold(subtle::Choice::from(0), same).into()
    }
}

/// The SHA-256 of a client certificate in DER.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CertificateDigest(pub [u8; 32]);

impl CertificateDigest {
    /// Of a certificate.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }

    /// From 64 hexadecimal digits, with or without colons, as `openssl x509 -fingerprint -sha256` prints them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
        let mut bytes = [0; 32];
        // `from_str_radix` takes a sign as well.
        if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        for (slot, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *slot = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for CertificateDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CertificateDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateDigest({self})")
    }
}

/// Characters at the end of a key that tell whether it was copied whole: a key that is made up costs no look-up, and a
/// scanner of files knows one when it sees it.
const CHECK: usize = 6;

/// An API key: `mf_<caller id>_<secret><check>`. Keys of before there was a check have none, and are good.
pub struct ApiKey {
    /// Whose it claims to be.
    pub caller: CallerId,
    secret: Zeroizing<String>,
}

impl ApiKey {
    /// A new one.
    #[must_use]
    pub fn random(caller: CallerId, entropy: &dyn Entropy) -> Self {
        let bytes = Zeroizing::new(random_bytes::<32>(entropy));
        Self {
            caller,
            secret: Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes)),
        }
    }

    /// Reads one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix("mf_")?.split_once('_')?;
        let caller = CallerId::parse(id)?;
        // 32 bytes in base64url; a bound on the work for whatever else is sent.
        let (secret, check) = secret.split_at_checked(43)?;
        let whole = check.is_empty() || check == check_of(caller, secret);
        whole.then(|| Self {
            caller,
            secret: Zeroizing::new(secret.to_owned()),
        })
    }

    /// What a store keeps of it.
    #[must_use]
    pub fn digest(&self) -> KeyDigest {
        KeyDigest(Sha256::digest(self.secret.as_bytes()).into())
    }

    /// Whether it is one of the caller's live keys, in constant time.
    #[must_use]
    pub fn opens(&self, caller: &Caller) -> bool {
        caller.id == self.caller && self.digest().is_live_of(caller)
    }

    /// The key itself: shown once, when it is made.
    #[must_use]
    pub fn reveal(&self) -> Zeroizing<String> {
        let check = check_of(self.caller, &self.secret);
        Zeroizing::new(format!("mf_{}_{}{check}", self.caller, *self.secret))
    }
}

/// The beginning of the SHA-256 of all that comes before, in base64url.
fn check_of(caller: CallerId, secret: &str) -> String {
    let text = Zeroizing::new(format!("mf_{caller}_{secret}"));
    let mut check = URL_SAFE_NO_PAD.encode(Sha256::digest(text.as_bytes()));
    check.truncate(CHECK);
    check
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({}, ..)", self.caller)
    }
}

/// Checks a caller's name: 1 to 64 of letters, digits, `.`, `_`, `-`.
#[must_use]
pub fn is_caller_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

//! Hashes of passwords, as databases of users keep them: argon2, scrypt and PBKDF2 in the PHC string format, bcrypt in its
//! own. Checked, never made. What a hash may cost is bounded: one that asks for more is of no use.

use std::sync::{Arc, PoisonError, RwLock};

use argon2::{Algorithm, Argon2, Params as Argon2Params, Version};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use pbkdf2::pbkdf2_hmac;
use scrypt::Params as ScryptParams;
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq as _;
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::{Password, Proof};

/// Memory that one hash may take, and all its passes together, in KiB.
const MOST_KIB: u64 = 256 * 1024;
const MOST_WORK_KIB: u64 = 1024 * 1024;

/// Rounds of PBKDF2: about a second's worth.
const MOST_ROUNDS: u32 = 4_000_000;

/// The cost of bcrypt: about a second's worth; and the least there is.
const MOST_COST: u32 = 14;

/// Hashes computed at once at the most: each keeps a core busy.
const AT_ONCE: usize = 4;

/// Why a hash is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HashFault {
    /// Of a kind that is not known, or not written as its kind is.
    #[error("a password hash is none of argon2, scrypt, pbkdf2 (PHC format) and bcrypt")]
    Unknown,
    /// It would take too long.
    #[error("a password hash costs more than is allowed")]
    TooCostly,
}

/// A hash, ready to be compared with.
#[derive(Clone)]
pub(super) struct Hash {
    kind: Kind,
    salt: Vec<u8>,
    digest: Vec<u8>,
}

#[derive(Clone)]
enum Kind {
    Argon2(Algorithm, Version, Argon2Params),
    Scrypt(ScryptParams),
    Pbkdf2 {
        sha512: bool,
        rounds: u32,
    },
    /// As it is written.
    Bcrypt(String),
}

impl Hash {
    /// Reads one.
    pub(super) fn parse(text: &str) -> Result<Self, HashFault> {
        let mut parts = text
            .trim()
            .strip_prefix('$')
            .ok_or(HashFault::Unknown)?
            .split('$');
        let mut part = || parts.next().ok_or(HashFault::Unknown);
        let name = part()?;
        let kind = match name {
            "2a" | "2b" | "2y" => {
                let cost = number(part()?)?;
                return bcrypt(text.trim(), cost);
            }
            "argon2id" | "argon2i" | "argon2d" => argon2(name, part()?, &mut part)?,
            "scrypt" => scrypt(part()?)?,
            "pbkdf2-sha256" | "pbkdf2-sha512" => pbkdf2(name.ends_with("512"), part()?)?,
            _ => return Err(HashFault::Unknown),
        };
        let (salt, digest) = (bytes(part()?)?, bytes(part()?)?);
        let fits = (8..=64).contains(&salt.len()) && (16..=64).contains(&digest.len());
        if parts.next().is_some() || !fits {
            return Err(HashFault::Unknown);
        }
        Ok(Self { kind, salt, digest })
    }

    /// One that costs as much and that no password has.
    fn decoy(&self) -> Self {
        Self {
            digest: Vec::new(),
            ..self.clone()
        }
    }

    /// Whether it is this password's. Takes as long either way.
    fn is_of(&self, password: &str) -> bool {
        let mut computed = vec![0; self.digest.len().max(16)];
        let done = match &self.kind {
            Kind::Argon2(algorithm, version, params) => Argon2::new(*algorithm, *version, params.clone())
                .hash_password_into(password.as_bytes(), &self.salt, &mut computed)
                .is_ok(),
            Kind::Scrypt(params) => {
                scrypt::scrypt(password.as_bytes(), &self.salt, params, &mut computed).is_ok()
            }
            Kind::Pbkdf2 { sha512, rounds } => {
                let compute = if *sha512 {
                    pbkdf2_hmac::<Sha512>
                } else {
                    pbkdf2_hmac::<Sha256>
                };
                compute(password.as_bytes(), &self.salt, *rounds, &mut computed);
                true
            }
            Kind::Bcrypt(text) => {
                let right = bcrypt::verify(password, text).unwrap_or(false);
                return right && !self.digest.is_empty();
            }
        };
        done && bool::from(computed.as_slice().ct_eq(&self.digest))
    }
}

/// Checks passwords against hashes, apart from the threads that answer calls, so many at once.
pub(super) struct Checker {
    places: Arc<Semaphore>,
    /// What the hash of a user who is not there would cost: as much as that of the user who was found last.
    usual: RwLock<Hash>,
}

impl Checker {
    pub(super) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            places: Arc::new(Semaphore::new(cores.min(AT_ONCE))),
            usual: RwLock::new(Hash {
                kind: Kind::Argon2(Algorithm::Argon2id, Version::V0x13, Argon2Params::DEFAULT),
                salt: vec![0; 16],
                digest: Vec::new(),
            }),
        }
    }

    /// Notes what hashes cost here.
    pub(super) fn learn(&self, proof: &Proof) {
        if let Some(hash) = proof.as_str().and_then(|text| Hash::parse(text).ok()) {
            *self.usual.write().unwrap_or_else(PoisonError::into_inner) = hash.decoy();
        }
    }

    /// Whether a password is the one that `proof` is the hash of. Without a hash that is of any use it takes as long, and
    /// is wrong; the fault is told beside it.
    pub(super) async fn check(
        &self,
        proof: Option<&Proof>,
        password: &Password,
    ) -> (bool, Option<HashFault>) {
        let parsed = proof.and_then(Proof::as_str).map(Hash::parse);
        let fault = parsed.as_ref().and_then(|parsed| parsed.as_ref().err().copied());
        let hash = match parsed {
            Some(Ok(hash)) => hash,
            _ => self.usual.read().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
            return (false, fault);
        };
        let password = password.clone();
        let checked = spawn_blocking(move || {
            let right = hash.is_of(password.as_str());
            drop(place);
            right
        });
        (checked.await.unwrap_or(false), fault)
    }
}

fn argon2<'a>(
    name: &str,
    first: &'a str,
    part: &mut impl FnMut() -> Result<&'a str, HashFault>,
) -> Result<Kind, HashFault> {
    // Without a version it is the first one.
    let (version, params) = match first.strip_prefix("v=") {
        Some(version) => (number(version)?, part()?),
        None => (0x10, first),
    };
    let [memory, passes, lanes] = named(params, ["m", "t", "p"])?;
    let work = u64::from(memory) * u64::from(passes);
    if u64::from(memory) > MOST_KIB || work > MOST_WORK_KIB || lanes > 16 {
        return Err(HashFault::TooCostly);
    }
    let unknown = |_| HashFault::Unknown;
    Ok(Kind::Argon2(
        name.parse().map_err(unknown)?,
        Version::try_from(version).map_err(unknown)?,
        Argon2Params::new(memory, passes, lanes, None).map_err(unknown)?,
    ))
}

fn scrypt(params: &str) -> Result<Kind, HashFault> {
    let [log, block, lanes] = named(params, ["ln", "r", "p"])?;
    let log = u8::try_from(log).ok().filter(|log| (1..=24).contains(log));
    let log = log.ok_or(HashFault::TooCostly)?;
    let memory = (1_u64 << log).saturating_mul(u64::from(block)) / 8;
    if memory > MOST_KIB || memory.saturating_mul(u64::from(lanes)) > MOST_WORK_KIB {
        return Err(HashFault::TooCostly);
    }
    let params = ScryptParams::new(log, block, lanes);
    params.map(Kind::Scrypt).map_err(|_| HashFault::Unknown)
}

fn pbkdf2(sha512: bool, params: &str) -> Result<Kind, HashFault> {
    let rounds = params.split(',').find_map(|param| param.strip_prefix("i="));
    // Some write the rounds alone.
    let rounds = number(rounds.unwrap_or(params))?;
    match rounds {
        1..=MOST_ROUNDS => Ok(Kind::Pbkdf2 { sha512, rounds }),
        0 => Err(HashFault::Unknown),
        _ => Err(HashFault::TooCostly),
    }
}

fn bcrypt(text: &str, cost: u32) -> Result<Hash, HashFault> {
    if text.len() != 60 || !text.is_ascii() || cost < 4 {
        return Err(HashFault::Unknown);
    }
    if cost > MOST_COST {
        return Err(HashFault::TooCostly);
    }
    Ok(Hash {
        kind: Kind::Bcrypt(text.to_owned()),
        salt: Vec::new(),
        digest: vec![1],
    })
}

/// The values of `name=value,..`, each named once.
fn named<const N: usize>(params: &str, names: [&str; N]) -> Result<[u32; N], HashFault> {
    let mut values = [None; N];
    for param in params.split(',') {
        let (name, value) = param.split_once('=').ok_or(HashFault::Unknown)?;
        let index = names.iter().position(|known| *known == name);
        let slot = index.and_then(|index| values.get_mut(index));
        *slot.ok_or(HashFault::Unknown)? = Some(number(value)?);
    }
    let mut found = [0; N];
    for (slot, value) in found.iter_mut().zip(values) {
        *slot = value.ok_or(HashFault::Unknown)?;
    }
    Ok(found)
}

fn number(text: &str) -> Result<u32, HashFault> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .then(|| text.parse().ok())
        .flatten()
        .ok_or(HashFault::Unknown)
}

/// Base 64 without padding; some write `.` for `+`.
fn bytes(text: &str) -> Result<Vec<u8>, HashFault> {
    STANDARD_NO_PAD
        .decode(text.replace('.', "+"))
        .map_err(|_| HashFault::Unknown)
}

#[cfg(test)]
#[path = "hash_tests.rs"]
mod tests;

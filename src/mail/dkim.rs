//! DKIM: reads private keys and signs messages. See [`crate::domain::dkim`] for what is signed.

use std::{fmt, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{
    error::KeyRejected,
    rand::SystemRandom,
    rsa,
    signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256},
};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};
use zeroize::Zeroizing;

use super::{
    Rendered,
    reply::failure,
    secret::{self, NamedBy},
};
use crate::{
    domain::{
        account::Secret,
        clock::Timestamp,
        delivery::{FailureKind, SendFailure, Stage},
        dkim::{Algorithm, DkimKey, Place, unsigned},
        entropy::{Entropy, random_bytes},
        id::AccountId,
        keyring::Keyring,
    },
    secret_files::{SecretFiles, Shape},
    store::{DkimKeys, StoreError},
};

/// How long the keys of an account are believed; another process may change them, or somebody a key's file.
const FRESH: Duration = Duration::from_secs(2);

/// Of how many accounts the keys are at hand.
const ACCOUNTS: u64 = 256;

/// The most bytes of a private key in PEM; 4,096 bits take 3,300.
const MOST_KEY: usize = 8192;

/// What a PKCS #8 file of an Ed25519 key begins with (RFC 8410, 7); the 32 bytes of the key follow.
const ED25519_HEAD: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// `rsaEncryption` without parameters (RFC 8017, A.1), as a `SubjectPublicKeyInfo` names it.
const RSA_NAME: [u8; 15] = [
    0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];

/// Why a private key is no good. Nothing of the key is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyError {
    /// No PEM, or of something else.
    #[error("must be a private key in PEM, PKCS #8 or PKCS #1, not encrypted")]
    NotPem,
    /// Another algorithm.
    #[error("must be an Ed25519 or RSA key")]
    Algorithm,
    /// RFC 8301, 3.2, asks for 2048; ring signs with up to 4096.
    #[error("must have 2,048 to 4,096 bits (RFC 8301, section 3.2)")]
    Size,
    /// Its numbers do not belong together.
    #[error("is damaged: its parts do not belong together")]
    Damaged,
}

/// A private key, ready to sign.
pub struct SigningKey(Pair);

enum Pair {
    Ed25519(Ed25519KeyPair),
    Rsa(Box<rsa::KeyPair>),
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.algorithm().name())
    }
}

impl SigningKey {
    /// Reads a key.
    pub fn from_pem(pem: &str) -> Result<Self, SigningKeyError> {
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| SigningKeyError::NotPem)?;
        match &key {
            PrivateKeyDer::Pkcs1(der) => Self::rsa(rsa::KeyPair::from_der(der.secret_pkcs1_der())),
            PrivateKeyDer::Pkcs8(der) => {
                let der = der.secret_pkcs8_der();
                // OpenSSL leaves the public key out.
                match Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
                    Ok(pair) => Ok(Self(Pair::Ed25519(pair))),
                    Err(_) => Self::rsa(rsa::KeyPair::from_pkcs8(der)),
                }
            }
            _ => Err(SigningKeyError::Algorithm),
        }
    }

    fn rsa(pair: Result<rsa::KeyPair, KeyRejected>) -> Result<Self, SigningKeyError> {
        let pair = pair.map_err(|error| match error.to_string().as_str() {
            "TooSmall" | "TooLarge" | "PrivateModulusLenNotMultipleOf512Bits" => SigningKeyError::Size,
            "WrongAlgorithm" => SigningKeyError::Algorithm,
            "InvalidEncoding" | "VersionNotSupported" => SigningKeyError::NotPem,
            _ => SigningKeyError::Damaged,
        })?;
        Ok(Self(Pair::Rsa(Box::new(pair))))
    }

    /// A new Ed25519 key in PEM.
    #[must_use]
    pub fn generate(entropy: &dyn Entropy) -> Zeroizing<String> {
        let seed: Zeroizing<[u8; 32]> = Zeroizing::new(random_bytes(entropy));
        let der = Zeroizing::new([ED25519_HEAD.as_slice(), seed.as_slice()].concat());
        let text = Zeroizing::new(STANDARD.encode(&*der));
        Zeroizing::new(format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            &*text
        ))
    }

    /// How it signs.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            Pair::Ed25519(_) => Algorithm::Ed25519,
            Pair::Rsa(_) => Algorithm::Rsa,
        }
    }

    /// The public key as [`DkimKey::public`] holds it.
    #[must_use]
    pub fn public(&self) -> Vec<u8> {
        match &self.0 {
            Pair::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Rsa(pair) => {
                // No unused bits, then the key.
                let bits = [&[0], pair.public().as_ref()].concat();
                der(0x30, &[RSA_NAME.as_slice(), &der(0x03, &bits)].concat())
            }
        }
    }

    fn sign(&self, data: &[u8]) -> Option<Vec<u8>> {
        match &self.0 {
            Pair::Ed25519(pair) => Some(pair.sign(data).as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                // The randomness blinds the computation; the signature is the same each time.
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), data, &mut signature)
                    .ok()?;
                Some(signature)
            }
        }
    }
}

/// A value of ASN.1 in DER (X.690, 8.1), of less than 64 KiB.
fn der(tag: u8, value: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut bytes = vec![tag];
    match (high, low) {
        (0, 0..=0x7f) => bytes.push(low),
        (0, _) => bytes.extend([0x81, low]),
        _ => bytes.extend([0x82, high, low]),
    }
    bytes.extend_from_slice(value);
    bytes
}

/// Reads a private key from where it lies; a sealed one was sealed for `place`.
pub async fn read_signing_key(
    place: &str,
    secret: &Secret,
    keyring: &Keyring,
    files: &Arc<SecretFiles>,
) -> Result<SigningKey, String> {
    let named_by = NamedBy::Account(files);
    let pem = secret::fetch(place, secret, keyring, named_by, MOST_KEY, Shape::Text).await?;
    SigningKey::from_pem(&pem).map_err(|error| format!("the key {error}"))
}

/// Signs mails with the keys of the account they go through.
pub struct Signer {
    keys: Arc<dyn DkimKeys>,
    keyring: Arc<Keyring>,
    files: Arc<SecretFiles>,
    ready: moka::future::Cache<AccountId, Arc<[(Place, SigningKey)]>>,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(..)")
    }
}

impl Signer {
    /// Over the store.
    #[must_use]
    pub fn new(keys: Arc<dyn DkimKeys>, keyring: Arc<Keyring>) -> Self {
        Self {
            keys,
            keyring,
            files: Arc::default(),
            ready: moka::future::Cache::builder()
                .max_capacity(ACCOUNTS)
                .time_to_live(FRESH)
                .build(),
        }
    }

    /// With the files that keys may lie in.
    #[must_use]
    pub fn with_files(mut self, files: Arc<SecretFiles>) -> Self {
        self.files = files;
        self
    }

    /// Looks again at the account's next mail: its keys were changed here.
    pub async fn forget(&self, account: AccountId) {
        self.ready.invalidate(&account).await;
    }

    /// Puts a signature above the message for each key that is enabled. A key that cannot be had fails the mail for now:
    /// unsigned it might be thrown away unseen.
    pub async fn sign(
        &self,
        account: AccountId,
        mut mail: Rendered,
        at: Timestamp,
    ) -> Result<Rendered, SendFailure> {
        let keys = self.ready.try_get_with(account, self.load(account)).await;
        let keys = keys.map_err(|error| refuse(&error))?;
        if keys.is_empty() {
            return Ok(mail);
        }
        // RSA takes 2 ms: not on the threads that answer calls.
        let slow = keys.iter().any(|(_, key)| key.algorithm() == Algorithm::Rsa);
        let message = std::mem::take(&mut mail.message);
        let work = move || signed(&keys, &message, at);
        let signed = if slow {
            tokio::task::spawn_blocking(work).await.ok().flatten()
        } else {
            work()
        };
        mail.message = signed.ok_or_else(|| refuse("the message cannot be signed with DKIM"))?;
        Ok(mail)
    }

    async fn load(&self, account: AccountId) -> Result<Arc<[(Place, SigningKey)]>, String> {
        let away = |_: StoreError| "the DKIM keys cannot be read: the store is away".to_owned();
        let keys = self.keys.dkim_keys(account).await.map_err(away)?;
        let mut ready = Vec::new();
        for DkimKey {
            id,
            place,
            secret,
            enabled,
            ..
        } in keys
        {
            if !enabled {
                continue;
            }
            let sealed_for = DkimKey::secret_place(&id);
            let key = read_signing_key(&sealed_for, &secret, &self.keyring, &self.files).await;
            let key = key.map_err(|why| format!("the DKIM key {} cannot be used: {why}", place.selector))?;
            ready.push((place, key));
        }
        Ok(ready.into())
    }
}

fn signed(keys: &[(Place, SigningKey)], message: &str, at: Timestamp) -> Option<String> {
    let mut signatures = String::new();
    for (place, key) in keys {
        let unsigned = unsigned(message, place, key.algorithm(), at)?;
        signatures.push_str(&unsigned.signed(&key.sign(&unsigned.data)?));
    }
    Some(signatures + message)
}

fn refuse(text: &str) -> SendFailure {
    failure(Stage::Render, FailureKind::Temporary, text)
}

#[cfg(test)]
#[path = "dkim_tests.rs"]
mod tests;

//! Signed assertions: JSON Web Tokens (RFC 7515, RFC 7523) under an RSA key or one on P-256.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    digest,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
    },
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::domain::oauth::Algorithm;

/// Why nothing was signed. Nothing of the key is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyError {
    /// Not a key.
    #[error(
        "the private key must be PEM, PKCS #8 (`openssl pkcs8 -topk8 -nodes`), or a service account's JSON file"
    )]
    Format,
    /// A key of another kind.
    #[error("the private key must be RSA of 2,048 to 8,192 bits, or EC on the curve P-256")]
    Kind,
    /// The key cannot sign so.
    #[error("the private key does not fit the signing algorithm")]
    Mismatch,
    /// ring gave up.
    #[error("the private key cannot sign")]
    Signing,
}

/// A private key, and what was found beside it.
pub(super) struct Key {
    pair: Pair,
    /// The certificate that stood beside it, in DER.
    certificate: Option<Vec<u8>>,
    /// The key's name in a service account's JSON file.
    pub(super) id: Option<String>,
    /// The service account that the JSON file is of.
    pub(super) account: Option<String>,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    P256(Box<EcdsaKeyPair>),
}

/// What a service account's JSON file says.
#[derive(serde::Deserialize)]
struct KeyFile {
    private_key: Zeroizing<String>,
    private_key_id: Option<String>,
    client_email: Option<String>,
}

impl Key {
    /// Reads a key from PEM, or from Google's JSON file of a service account.
    pub(super) fn parse(text: &str) -> Result<Self, KeyError> {
        if !text.trim_start().starts_with('{') {
            return Self::from_pem(text);
        }
        let file: KeyFile = serde_json::from_str(text).map_err(|_| KeyError::Format)?;
        Ok(Self {
            id: file.private_key_id,
            account: file.client_email,
            ..Self::from_pem(&file.private_key)?
        })
    }

    fn from_pem(text: &str) -> Result<Self, KeyError> {
        let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| KeyError::Format)?;
        let random = SystemRandom::new();
        let pair = match &key {
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()).ok().map(rsa),
            PrivateKeyDer::Pkcs8(der) => {
                let der = der.secret_pkcs8_der();
                let found = RsaKeyPair::from_pkcs8(der).ok().map(rsa);
                found.or_else(|| {
                    let found = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &random);
                    found.ok().map(|pair| Pair::P256(Box::new(pair)))
                })
            }
            _ => None,
        };
        let certificate = CertificateDer::pem_slice_iter(text.as_bytes()).next();
        Ok(Self {
            pair: pair.ok_or(KeyError::Kind)?,
            certificate: certificate.and_then(Result::ok).map(|der| der.to_vec()),
            id: None,
            account: None,
        })
    }

    /// Whether it is an RSA key.
    pub(super) fn is_rsa(&self) -> bool {
        matches!(self.pair, Pair::Rsa(_))
    }

    /// Signs claims. The header carries `kid` where there is one, and the certificate's thumbprint (`x5t#S256`) where a
    /// certificate stood beside the key.
    pub(super) fn sign(
        &self,
        algorithm: Algorithm,
        key_id: Option<&str>,
        claims: &Value,
    ) -> Result<Zeroizing<String>, KeyError> {
        let mut header = Map::new();
        header.insert("alg".into(), algorithm.name().into());
        header.insert("typ".into(), "JWT".into());
        if let Some(id) = key_id {
            header.insert("kid".into(), id.into());
        }
        if let Some(certificate) = &self.certificate {
            let thumbprint = digest::digest(&digest::SHA256, certificate);
            header.insert("x5t#S256".into(), URL_SAFE_NO_PAD.encode(thumbprint).into());
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!(header)), part(claims));
        let signature = self.signature(algorithm, signed.as_bytes())?;
        Ok(Zeroizing::new(format!(
            "{signed}.{}",
            URL_SAFE_NO_PAD.encode(signature)
        )))
    }

    fn signature(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let random = SystemRandom::new();
        let padding: &dyn ring::signature::RsaEncoding = match algorithm {
            Algorithm::Ps256 => &RSA_PSS_SHA256,
            Algorithm::Rs256 | Algorithm::Es256 => &RSA_PKCS1_SHA256,
        };
        match (&self.pair, algorithm) {
            (Pair::Rsa(pair), Algorithm::Rs256 | Algorithm::Ps256) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(padding, &random, message, &mut signature)
                    .map_err(|_| KeyError::Signing)?;
                Ok(signature)
            }
            (Pair::P256(pair), Algorithm::Es256) => {
                let signature = pair.sign(&random, message).map_err(|_| KeyError::Signing)?;
                Ok(signature.as_ref().to_vec())
            }
            _ => Err(KeyError::Mismatch),
        }
    }
}

fn rsa(pair: RsaKeyPair) -> Pair {
    Pair::Rsa(Box::new(pair))
}

#[cfg(test)]
#[path = "jwt_tests.rs"]
mod tests;

//! Client certificates: a certificate with its private key, shown to a mail server that asks for one.

use std::{io, sync::Arc};

use rustls::{
    AlertDescription, ClientConfig, Error, InconsistentKeys,
    client::Resumption,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::{CertifiedKey, SingleCertAndKey},
};

use super::secret::{self, NamedBy};
use crate::{
    domain::{
        account::{Account, Identity},
        id::AccountId,
        keyring::Keyring,
        oauth::MOST_SECRET,
    },
    secret_files::{SecretFiles, Shape},
};

/// Why a client certificate and its key are no good. Nothing of the key is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// No certificates.
    #[error("the client certificate is no certificate in PEM")]
    Certificate,
    /// Not a key.
    #[error("must be a private key in PEM without a passphrase: RSA, EC on P-256 or P-384, or Ed25519")]
    Key,
    /// The key of another certificate.
    #[error("is not the private key of `client_certificate`")]
    Mismatch,
}

/// Whether a private key is one, and that of the first certificate.
pub fn check_identity(certificate: &str, key: &str) -> Result<(), IdentityError> {
    certified(certificate, key).map(|_| ())
}

fn certified(certificate: &str, key: &str) -> Result<CertifiedKey, IdentityError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect();
    let chain = chain.map_err(|_| IdentityError::Certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| IdentityError::Key)?;
    let provider = rustls::crypto::ring::default_provider();
    CertifiedKey::from_der(chain, key, &provider).map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => IdentityError::Mismatch,
        Error::InvalidCertificate(_) | Error::NoCertificatesPresented => IdentityError::Certificate,
        _ => IdentityError::Key,
    })
}

/// The client's side of TLS, with a certificate to show. The key is fetched anew for each connection.
pub(super) async fn with_identity(
    config: &ClientConfig,
    account: &AccountId,
    identity: &Identity,
    keyring: &Keyring,
    files: &Arc<SecretFiles>,
) -> Result<Arc<ClientConfig>, String> {
    let place = Account::client_key_place(account);
    let key = secret::fetch(
        &place,
        &identity.key,
        keyring,
        NamedBy::Account(files),
        MOST_SECRET,
        Shape::Text,
    )
    .await;
    let key = key.map_err(|text| format!("client certificate: {text}"))?;
    let shown = certified(&identity.certificate, &key);
    let shown = shown.map_err(|error| format!("`client_key`: {error}"))?;
    let mut config = config.clone();
    config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(shown));
    // No session of somebody else is taken up again under this name.
    config.resumption = Resumption::default();
    Ok(Arc::new(config))
}

/// What a server meant that broke off TLS for the sake of the client's certificate; `None`: it was something else. By
/// TLS 1.3 it says so only after the handshake (RFC 8446, 4.4.2.4).
pub(super) fn said_of_certificate(error: &io::Error) -> Option<String> {
    let Some(Error::AlertReceived(alert)) = error.get_ref()?.downcast_ref::<Error>() else {
        return None;
    };
    match alert {
        AlertDescription::CertificateRequired => {
            Some("the server asks for a client certificate: set `client_certificate` and `client_key`".into())
        }
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::DecryptError
        | AlertDescription::AccessDenied => Some(format!(
            "the server does not accept the client certificate ({alert:?})"
        )),
        _ => None,
    }
}

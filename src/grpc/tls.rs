//! The server's certificate, and whose client certificates it believes.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring::default_provider,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject as _},
    },
    server::WebPkiClientVerifier,
};
use tokio_rustls::TlsAcceptor;

/// Where the certificates are, all in PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The server's certificate, then those up to the root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities whose client certificates are believed; `None`: no client certificates.
    pub client_ca: Option<PathBuf>,
}

/// Why the door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// A PEM file cannot be read.
    #[error("cannot read {path}: {source}")]
    Pem {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// A PEM file without what it should hold.
    #[error("{path} holds no certificate")]
    Empty {
        /// Which one.
        path: PathBuf,
    },
    /// Certificate and key do not go together, or an authority is no certificate.
    #[error("the TLS files cannot be used: {0}")]
    Tls(#[from] rustls::Error),
    /// The authorities for client certificates cannot be used.
    #[error("the authorities for client certificates cannot be used: {0}")]
    ClientCa(#[from] rustls::server::VerifierBuilderError),
    /// The descriptors of the protocol cannot be served.
    #[error("reflection cannot be set up: {0}")]
    Reflection(String),
}

/// What makes TLS of a connection: TLS 1.2 and 1.3, HTTP/2 by ALPN, client certificates optional.
pub(super) fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, DoorError> {
    let provider = Arc::new(default_provider());
    let certificates = certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|source| DoorError::Pem {
        path: files.key.clone(),
        source,
    })?;
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in self::certificates(path)? {
                roots.add(certificate)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(certificates, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, DoorError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.map_err(|source| DoorError::Pem {
        path: path.to_owned(),
        source,
    })?;
    if found.is_empty() {
        return Err(DoorError::Empty {
            path: path.to_owned(),
        });
    }
    Ok(found)
}

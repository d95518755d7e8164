//! TLS towards mail servers: whom we believe. One crypto provider, the system's certificate authorities, more by file.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, ClientConnection, ConfigBuilder, DigitallySignedStruct, ProtocolVersion, RootCertStore,
    SignatureScheme, WantsVerifier,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{
        CertificateDer, ServerName, UnixTime,
        pem::{self, PemObject as _},
    },
};
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::MailError;
use crate::domain::{
    account::Link,
    clock::Timestamp,
    delivery::{PeerCertificate, TlsReport},
    text::is_plain,
};

/// The client's side of TLS, with the system's roots and those of `extra`.
pub(super) fn client_config(extra: Option<&Path>) -> Result<Arc<ClientConfig>, MailError> {
    let mut roots = system_roots();
    if let Some(path) = extra {
        add_file(&mut roots, path).map_err(|reason| MailError::Roots {
            path: path.to_owned(),
            reason,
        })?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(MailError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The client's side of TLS for an account that believes in others than the service does; `None`: it does not.
pub(super) fn config_of(link: &Link) -> Option<Result<Arc<ClientConfig>, String>> {
    if link.any_certificate {
        return Some(builder().map(|builder| {
            let verifier = Arc::new(AnyCertificate(provider()));
            let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
            Arc::new(builder.with_no_client_auth())
        }));
    }
    let pem = link.authorities.as_ref()?;
    let mut roots = RootCertStore::empty();
    Some(
        add(&mut roots, CertificateDer::pem_slice_iter(pem.as_bytes())).and_then(|()| {
            let builder = builder()?.with_root_certificates(roots);
            Ok(Arc::new(builder.with_no_client_auth()))
        }),
    )
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, String> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())
}

/// Believes every certificate: for accounts whose administrator said yes to that. Whoever shows one must still hold its
/// key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What was agreed, and who the server says it is.
pub(super) fn report(connection: &ClientConnection) -> TlsReport {
    TlsReport {
        version: connection
            .protocol_version()
            .map(version_name)
            .unwrap_or_default(),
        cipher: connection
            .negotiated_cipher_suite()
            .and_then(|suite| suite.suite().as_str())
            .unwrap_or_default()
            .to_owned(),
        certificate: connection
            .peer_certificates()
            .and_then(<[_]>::first)
            .and_then(describe),
    }
}

fn describe(der: &CertificateDer<'_>) -> Option<PeerCertificate> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let moment = |seconds: i64| Timestamp::from_micros(seconds.saturating_mul(1_000_000));
    let digest = Sha256::digest(der);
    let fingerprint: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    Some(PeerCertificate {
        subject: said(&certificate.subject().to_string()),
        issuer: said(&certificate.issuer().to_string()),
        not_before: moment(certificate.validity().not_before.timestamp()),
        not_after: moment(certificate.validity().not_after.timestamp()),
        fingerprint: fingerprint.join(":"),
    })
}

/// What the server chose to call itself, bounded and in one line.
fn said(name: &str) -> String {
    name.chars()
        .filter(|&character| is_plain(character))
        .take(256)
        .collect()
}

/// A version's name as its standard writes it.
fn version_name(version: ProtocolVersion) -> String {
    match version {
        ProtocolVersion::TLSv1_2 => "TLSv1.2".into(),
        ProtocolVersion::TLSv1_3 => "TLSv1.3".into(),
        other => format!("{other:?}"),
    }
}

/// The system's, or Mozilla's list as it was when this was built where the system has none.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    let (added, ignored) = roots.add_parsable_certificates(native.certs);
    if added == 0 {
        tracing::info!(
            ignored,
            "the system has no certificate authorities: using the built-in list"
        );
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), String> {
    add(
        roots,
        CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?,
    )
}

fn add(
    roots: &mut RootCertStore,
    certificates: impl Iterator<Item = Result<CertificateDer<'static>, pem::Error>>,
) -> Result<(), String> {
    let mut found = 0;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
        found += 1;
    }
    if found == 0 {
        return Err("it holds no certificate".into());
    }
    Ok(())
}

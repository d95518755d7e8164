//! TLS towards mail servers: whom we believe. One crypto provider, the system's certificate authorities, more by file.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, ProtocolVersion, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use super::MailError;

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

/// A version's name as its standard writes it.
pub(super) fn version_name(version: ProtocolVersion) -> String {
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
    let mut found = 0;
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())? {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
        found += 1;
    }
    if found == 0 {
        return Err("it holds no certificate".into());
    }
    Ok(())
}

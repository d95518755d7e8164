//! The checks of an account's single texts.

use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use crate::domain::address::ascii_domain;

/// The longest PEM text of certificate authorities, in bytes.
const MOST_AUTHORITIES: usize = 64 * 1024;

/// Certificates in PEM, at least one, and nothing secret.
pub(in crate::domain) fn check_authorities(pem: &str) -> Result<String, &'static str> {
    if pem.len() > MOST_AUTHORITIES {
        return Err("is longer than 65,536 bytes");
    }
    if pem.contains("PRIVATE KEY") {
        return Err("holds a private key: only certificates belong here");
    }
    let mut certificates = CertificateDer::pem_slice_iter(pem.as_bytes()).peekable();
    if certificates.peek().is_none() || certificates.any(|certificate| certificate.is_err()) {
        return Err("must be certificates in PEM");
    }
    Ok(pem.to_owned())
}

/// Whether it is a name for an account.
pub(in crate::domain) fn is_account_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.trim() == name
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b" ._-".contains(&byte))
}

/// A host name in ASCII or an IP address.
pub(in crate::domain) fn check_host(host: &str) -> Result<String, &'static str> {
    if host.is_empty() {
        return Err("is required");
    }
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    if let Ok(address) = bare.parse::<std::net::IpAddr>() {
        return Ok(address.to_string());
    }
    // A name of one label, such as `localhost` or `relay`, is a host although no mail domain.
    let single = host.len() <= 63
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if single && !host.starts_with('-') && !host.ends_with('-') {
        return Ok(host.to_ascii_lowercase());
    }
    ascii_domain(host).map_err(|_| "must be a host name or an IP address, without port or scheme")
}

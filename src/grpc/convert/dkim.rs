//! DKIM keys. A private key is wrapped as soon as it is seen, and goes in only.

use zeroize::Zeroizing;

use super::{account::reference, moment};
use crate::{
    domain::{
        account::Secret,
        dkim::{Algorithm, DkimKey, Place},
        violation::Violations,
    },
    pb::v1 as pb,
    policy::{AccountRef, DkimDraft, DkimSource},
};

/// A key to write: the account, the key, and the version it was made from.
pub(in crate::grpc) fn set_dkim_key(
    request: pb::SetDkimKeyRequest,
) -> Result<(AccountRef, DkimDraft, Option<i64>), Violations> {
    use pb::dkim_key::Source;
    let mut faults = Violations::new();
    let account = faults.check("account", reference(&request.account));
    let key = faults
        .check("key", request.key.ok_or("is required"))
        .unwrap_or_default();
    let version = faults.check("key.etag", version(&key.etag));
    let source = match key.source {
        Some(Source::PrivateKey(pem)) => Some(DkimSource::Pem(Zeroizing::new(pem))),
        Some(Source::File(path)) => Some(DkimSource::Elsewhere(Secret::File(path))),
        Some(Source::Environment(name)) => Some(DkimSource::Elsewhere(Secret::Environment(name))),
        Some(Source::Generate(true)) => Some(DkimSource::Generate),
        None | Some(Source::Generate(false) | Source::Sealed(_)) => None,
    };
    let draft = DkimDraft {
        selector: key.selector,
        domain: key.domain,
        enabled: key.enabled,
        source,
    };
    match (account, version) {
        (Some(account), Some(version)) if faults.is_empty() => Ok((account, draft, version)),
        _ => Err(faults),
    }
}

/// A key to delete: the account, the selector, and which version of it.
pub(in crate::grpc) fn delete_dkim_key(
    request: &pb::DeleteDkimKeyRequest,
) -> Result<(AccountRef, String, Option<i64>), Violations> {
    let mut faults = Violations::new();
    let account = faults.check("account", reference(&request.account));
    let selector = faults.check("selector", Place::selector(&request.selector));
    let version = faults.check("etag", version(&request.etag));
    match (account, selector, version) {
        (Some(account), Some(selector), Some(version)) => Ok((account, selector, version)),
        _ => Err(faults),
    }
}

/// A key as administrators see it: all but the private key.
pub(in crate::grpc) fn dkim_key(key: DkimKey) -> pb::DkimKey {
    use pb::dkim_key::Source;
    let algorithm = match key.algorithm {
        Algorithm::Ed25519 => pb::DkimAlgorithm::Ed25519Sha256,
        Algorithm::Rsa => pb::DkimAlgorithm::RsaSha256,
    };
    pb::DkimKey {
        record_name: key.place.record_name(),
        record: key.record(),
        selector: key.place.selector,
        domain: key.place.domain,
        enabled: key.enabled,
        algorithm: algorithm.into(),
        updated_at: Some(moment(key.updated_at)),
        etag: format!("v{}", key.version),
        source: Some(match key.secret {
            Secret::Sealed(_) | Secret::Oauth(_) | Secret::Default => Source::Sealed(true),
            Secret::File(path) => Source::File(path),
            Secret::Environment(name) => Source::Environment(name),
        }),
    }
}

fn version(etag: &str) -> Result<Option<i64>, &'static str> {
    if etag.is_empty() {
        return Ok(None);
    }
    etag.strip_prefix('v')
        .and_then(|version| version.parse().ok())
        .map(Some)
        .ok_or("is not an etag of a DKIM key")
}

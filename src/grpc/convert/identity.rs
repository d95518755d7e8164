//! Client certificates of accounts. A private key is wrapped as soon as it is seen, and goes in only.

use zeroize::Zeroizing;

use super::account_secret::{read_secret, secret_of};
use crate::{
    domain::{
        account::{Identity, IdentityDraft, Secret},
        violation::Violations,
    },
    pb::v1::{self as pb, account_secret::Source},
};

/// A draft, and the key that came with it. Faults are noted for `field`, such as `account.client_key`.
pub(super) fn draft(
    certificate: String,
    key: Option<pb::AccountSecret>,
    field: &str,
    faults: &mut Violations,
) -> (IdentityDraft, Option<Zeroizing<String>>) {
    let (key, value) = match key.and_then(|key| key.source) {
        // PEM has line breaks; the office looks at the rest.
        Some(Source::Password(pem)) => (None, Some(Zeroizing::new(pem))),
        source => faults.check(field, read_secret(source)).unwrap_or_default(),
    };
    (IdentityDraft { certificate, key }, value)
}

/// Puts something in the place of a key that is sealed, or looked up, only later.
pub(super) fn stand_in(draft: &mut IdentityDraft, given: bool, saved: bool) {
    let kept = saved && !draft.certificate.is_empty();
    if draft.key.is_none() && (given || kept) {
        draft.key = Some(Secret::File(String::new()));
    }
}

/// The certificate, and where its key is.
pub(super) fn shown(identity: Option<Box<Identity>>) -> (String, Option<pb::AccountSecret>) {
    let Some(identity) = identity else {
        return (String::new(), None);
    };
    (identity.certificate, secret_of(identity.key).0)
}

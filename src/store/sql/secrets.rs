//! Secrets as two columns: what kind, and the sealed bytes, the path, the variable's name, the
//! settings of OAuth, or nothing where the service's default credentials count.

use super::{oauth_rows, rows::Columns};
use crate::{
    domain::{account::Secret, keyring::Sealed},
    store::StoreResult,
};

const SEALED: &str = "sealed";
const FILE: &str = "file";
const ENVIRONMENT: &str = "environment";
const OAUTH: &str = "oauth";
const DEFAULT: &str = "default";

/// What the columns `secret_kind` and `secret` hold.
pub(super) fn parts(secret: &Secret) -> (&'static str, Vec<u8>) {
    match secret {
        Secret::Sealed(sealed) => (SEALED, sealed.as_bytes().to_vec()),
        Secret::File(path) => (FILE, path.clone().into_bytes()),
        Secret::Environment(name) => (ENVIRONMENT, name.clone().into_bytes()),
        Secret::Oauth(oauth) => (OAUTH, oauth_rows::to_bytes(oauth)),
        Secret::Default => (DEFAULT, Vec::new()),
    }
}

/// The secret of a row that has one.
pub(super) fn secret(columns: &Columns<'_>) -> StoreResult<Secret> {
    named(columns, "secret_kind", "secret")
}

/// The same from columns of other names.
pub(super) fn named(columns: &Columns<'_>, kind: &str, secret: &str) -> StoreResult<Secret> {
    let bytes = columns.blob(secret)?;
    let text = |bytes| String::from_utf8(bytes).map_err(|_| columns.corrupt());
    Ok(match columns.text(kind)?.as_str() {
        SEALED => Secret::Sealed(Sealed::from_bytes(bytes)),
        FILE => Secret::File(text(bytes)?),
        ENVIRONMENT => Secret::Environment(text(bytes)?),
        OAUTH => Secret::Oauth(Box::new(columns.known(oauth_rows::from_bytes(&bytes))?)),
        DEFAULT => Secret::Default,
        _ => return Err(columns.corrupt()),
    })
}

//! Secrets as two columns: what kind, and the sealed bytes, the path or the variable's name.

use super::rows::Columns;
use crate::{
    domain::{account::Secret, keyring::Sealed},
    store::StoreResult,
};

const SEALED: &str = "sealed";
const FILE: &str = "file";
const ENVIRONMENT: &str = "environment";

/// What the columns `secret_kind` and `secret` hold.
pub(super) fn parts(secret: &Secret) -> (&'static str, &[u8]) {
    match secret {
        Secret::Sealed(sealed) => (SEALED, sealed.as_bytes()),
        Secret::File(path) => (FILE, path.as_bytes()),
        Secret::Environment(name) => (ENVIRONMENT, name.as_bytes()),
    }
}

/// The secret of a row that has one.
pub(super) fn secret(columns: &Columns<'_>) -> StoreResult<Secret> {
    let bytes = columns.blob("secret")?;
    let text = |bytes| String::from_utf8(bytes).map_err(|_| columns.corrupt());
    Ok(match columns.text("secret_kind")?.as_str() {
        SEALED => Secret::Sealed(Sealed::from_bytes(bytes)),
        FILE => Secret::File(text(bytes)?),
        ENVIRONMENT => Secret::Environment(text(bytes)?),
        _ => return Err(columns.corrupt()),
    })
}

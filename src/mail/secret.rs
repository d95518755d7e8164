//! An account's secret, fetched anew at each login: a file or variable that was changed counts at once.

use tokio::io::AsyncReadExt as _;
use zeroize::Zeroizing;

use crate::domain::{
    account::{Account, ENVIRONMENT_PREFIX, Secret},
    id::AccountId,
    keyring::Keyring,
};

/// The most bytes of a secret; longer files hold something else.
const MOST: usize = 4096;

/// The secret, or why there is none, in words that give nothing away.
pub(super) async fn fetch(
    id: &AccountId,
    secret: &Secret,
    keyring: &Keyring,
) -> Result<Zeroizing<String>, String> {
    fetch_from(&Account::secret_place(id), secret, keyring).await
}

/// The same of a secret that is sealed for this place.
pub(super) async fn fetch_from(
    place: &str,
    secret: &Secret,
    keyring: &Keyring,
) -> Result<Zeroizing<String>, String> {
    let bytes = match secret {
        Secret::Sealed(sealed) => {
            let opened = keyring.open(place, sealed);
            opened.map_err(|error| format!("the account's secret {error}"))?
        }
        Secret::File(path) => read(path).await?,
        Secret::Environment(name) if name.starts_with(ENVIRONMENT_PREFIX) => std::env::var(name)
            .map_err(|_| format!("the environment variable {name} is not set"))?
            .into_bytes(),
        Secret::Environment(_) => {
            return Err(format!(
                "secrets come from variables named {ENVIRONMENT_PREFIX}..."
            ));
        }
    };
    let bytes = Zeroizing::new(bytes);
    let text = str::from_utf8(&bytes).map_err(|_| "the account's secret is no text")?;
    Ok(Zeroizing::new(text.to_owned()))
}

async fn read(path: &str) -> Result<Vec<u8>, String> {
    let fault = |error: std::io::Error| format!("the account's secret file cannot be read: {}", error.kind());
    let file = tokio::fs::File::open(path).await.map_err(fault)?;
    let mut bytes = Vec::with_capacity(MOST + 1);
    let limit = u64::try_from(MOST + 1).unwrap_or(u64::MAX);
    file.take(limit).read_to_end(&mut bytes).await.map_err(fault)?;
    if bytes.len() > MOST {
        return Err(format!("the account's secret file is longer than {MOST} bytes"));
    }
    // Editors end a file with a line break; no password does.
    while matches!(bytes.last(), Some(b'\n' | b'\r')) {
        bytes.pop();
    }
    Ok(bytes)
}

//! An account's secret, fetched anew at each login: a file or variable that was changed counts at once.

use tokio::io::AsyncReadExt as _;
use zeroize::Zeroizing;

use crate::domain::{
    account::{ENVIRONMENT_PREFIX, Secret},
    keyring::Keyring,
};

/// The most bytes of a password; longer files hold something else.
pub(super) const MOST_PASSWORD: usize = 4096;

/// The secret that belongs in `place`, of `most` bytes, or why there is none, in words that give nothing away.
pub(super) async fn fetch(
    place: &str,
    secret: &Secret,
    keyring: &Keyring,
    most: usize,
) -> Result<Zeroizing<String>, String> {
    let bytes = match secret {
        Secret::Sealed(sealed) => {
            let opened = keyring.open(place, sealed);
            opened.map_err(|error| format!("the account's secret {error}"))?
        }
        Secret::File(path) => read(path, most).await?,
        Secret::Environment(name) if name.starts_with(ENVIRONMENT_PREFIX) => std::env::var(name)
            .map_err(|_| format!("the environment variable {name} is not set"))?
            .into_bytes(),
        Secret::Environment(_) => {
            return Err(format!(
                "secrets come from variables named {ENVIRONMENT_PREFIX}..."
            ));
        }
        Secret::Oauth(_) => return Err("the account has no password: it logs in by OAuth 2.0".into()),
        Secret::Default => return Err("the service was given no default credentials".into()),
    };
    let bytes = Zeroizing::new(bytes);
    let text = str::from_utf8(&bytes).map_err(|_| "the account's secret is no text")?;
    Ok(Zeroizing::new(text.to_owned()))
}

async fn read(path: &str, most: usize) -> Result<Vec<u8>, String> {
    let fault = |error: std::io::Error| format!("the account's secret file cannot be read: {}", error.kind());
    let file = tokio::fs::File::open(path).await.map_err(fault)?;
    let mut bytes = Vec::with_capacity(most + 1);
    let limit = u64::try_from(most + 1).unwrap_or(u64::MAX);
    file.take(limit).read_to_end(&mut bytes).await.map_err(fault)?;
    if bytes.len() > most {
        return Err(format!("the account's secret file is longer than {most} bytes"));
    }
    // Editors end a file with a line break; no password does.
    while matches!(bytes.last(), Some(b'\n' | b'\r')) {
        bytes.pop();
    }
    Ok(bytes)
}

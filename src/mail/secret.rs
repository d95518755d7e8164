//! An account's secret, fetched anew at each login: a file or variable that was changed counts at once.

use std::{path::Path, sync::Arc};

use zeroize::Zeroizing;

use crate::{
    domain::{
        account::{ENVIRONMENT_PREFIX, Secret},
        keyring::Keyring,
    },
    secret_files::{SecretFiles, Shape, read_named},
};

/// The most bytes of a password; longer files hold something else.
pub(super) const MOST_PASSWORD: usize = 4096;

/// The same whatever is wrong with a file, whether it is there or not: whoever may name files is not to look around with it.
/// The log says more.
const NO_SUCH_FILE: &str = "the account's secret file cannot be read: it must be a regular file, one line where it is a \
                            password, within `secrets.directories`, where no symbolic link leads out, and none that the \
                            configuration names itself; the service's log says what is wrong";

/// Who named a secret, and so where it may lie.
#[derive(Clone, Copy, Debug)]
pub(super) enum NamedBy<'a> {
    /// An administrator: within the directories for secrets.
    Account(&'a Arc<SecretFiles>),
    /// The configuration.
    Configuration,
}

/// The secret that belongs in `place`, of `most` bytes, or why there is none, in words that give nothing away.
pub(super) async fn fetch(
    place: &str,
    secret: &Secret,
    keyring: &Keyring,
    named_by: NamedBy<'_>,
    most: usize,
    shape: Shape,
) -> Result<Zeroizing<String>, String> {
    match secret {
        Secret::Sealed(sealed) => {
            let opened = keyring.open(place, sealed).map(Zeroizing::new);
            let opened = opened.map_err(|error| format!("the account's secret {error}"))?;
            let text = str::from_utf8(&opened).map_err(|_| "the account's secret is no text")?;
            Ok(Zeroizing::new(text.to_owned()))
        }
        Secret::File(path) => read(path, named_by, most, shape).await,
        Secret::Environment(name) if name.starts_with(ENVIRONMENT_PREFIX) => {
            let set = std::env::var(name).map(Zeroizing::new);
            let set = set.map_err(|_| format!("the environment variable {name} is not set"))?;
            if shape == Shape::Line && set.contains(['\r', '\n']) {
                return Err("the account's secret has more than one line".into());
            }
            Ok(set)
        }
        Secret::Environment(_) => Err(format!(
            "secrets come from variables named {ENVIRONMENT_PREFIX}..."
        )),
        Secret::Oauth(_) => Err("the account has no password: it logs in by OAuth 2.0".into()),
        Secret::Default => Err("the service was given no default credentials".into()),
    }
}

async fn read(
    path: &str,
    named_by: NamedBy<'_>,
    most: usize,
    shape: Shape,
) -> Result<Zeroizing<String>, String> {
    let named = path.to_owned();
    let work: Box<dyn FnOnce() -> _ + Send> = match named_by {
        NamedBy::Account(files) => {
            let files = Arc::clone(files);
            Box::new(move || files.read(Path::new(&named), most, shape))
        }
        NamedBy::Configuration => Box::new(move || read_named(Path::new(&named))),
    };
    // A file may be on a disk that is slow or gone.
    let done = tokio::task::spawn_blocking(work).await;
    match done {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(error)) => {
            tracing::warn!(secret.file = path, reason = %error, "a file with a secret was not read");
            Err(NO_SUCH_FILE.to_owned())
        }
        Err(_) => Err(NO_SUCH_FILE.to_owned()),
    }
}

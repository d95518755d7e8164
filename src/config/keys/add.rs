//! A further key at the end of the key file.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
    path::Path,
};

use zeroize::Zeroizing;

use super::{KeyFileError, parse, random_digits, read};
use crate::domain::{
    entropy::{Entropy, random_bytes},
    keyring::{KeyId, KeyringError},
};

/// Adds a random key as the newest; gives its name. The file is replaced in one move, by one of the same owner and mode:
/// whoever reads it meanwhile reads the old one or the new one whole.
pub fn add(path: &Path, entropy: &dyn Entropy) -> Result<KeyId, KeyFileError> {
    let failed = |action, source| KeyFileError::Io {
        path: path.to_owned(),
        action,
        source,
    };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory =
        File::open(directory.unwrap_or(Path::new("."))).map_err(|error| failed("locked", error))?;
    // Whoever adds a key at the same time waits: no line is lost.
    directory.lock().map_err(|error| failed("locked", error))?;
    let before = read(path)?;
    let known = parse(&before, path)?;
    // Above all others, so that names tell the order; and never a name that a key had which is gone.
    let number = |(id, _): &(KeyId, [u8; 32])| {
        let rest = id.as_str().strip_prefix('k')?;
        rest.split('-').next()?.parse::<u32>().ok()
    };
    let next = known
        .iter()
        .filter_map(number)
        .max()
        .unwrap_or_default()
        .saturating_add(1);
    let mark = u32::from_be_bytes(random_bytes(entropy));
    let id =
        KeyId::parse(&format!("k{next}-{mark:08x}")).map_err(|source: KeyringError| KeyFileError::Keys {
            path: path.to_owned(),
            source,
        })?;
    let end = if before.is_empty() || before.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    let digits = random_digits(entropy);
    let text = Zeroizing::new(format!("{}{end}{} {}\n", *before, id.as_str(), *digits));
    replace(path, &text).map_err(|error| failed("written", error))?;
    directory.sync_all().map_err(|error| failed("written", error))?;
    Ok(id)
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    // What somebody left who was interrupted.
    match fs::remove_file(&name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let owner = fs::metadata(path)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&name)?;
    file.set_permissions(fs::Permissions::from_mode(owner.mode() & 0o700))?;
    let mine = file.metadata()?;
    if (mine.uid(), mine.gid()) != (owner.uid(), owner.gid()) {
        fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&name, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::keys::load, system::SystemEntropy};

    #[test]
    fn the_new_key_is_the_last_line_and_the_others_stay() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        load(&path, true, &SystemEntropy).unwrap();
        let first = fs::read_to_string(&path).unwrap();
        let running = load(&path, false, &SystemEntropy).unwrap();
        fs::write(directory.path().join("keys.new"), "left by somebody").unwrap();
        let second = add(&path, &SystemEntropy).unwrap();
        let third = add(&path, &SystemEntropy).unwrap();
        assert!(second.as_str().starts_with("k2-") && third.as_str().starts_with("k3-"));
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(&first), "{text}");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let names = |ring: &crate::domain::keyring::Keyring| -> Vec<String> {
            ring.ids().iter().map(|id| id.as_str().to_owned()).collect()
        };
        assert_eq!(
            names(&load(&path, false, &SystemEntropy).unwrap()),
            ["k1", second.as_str(), third.as_str()]
        );
        assert_eq!((running.read_again(), names(&running).len()), (2, 3));
    }

    #[test]
    fn names_follow_the_highest_and_a_missing_line_end_is_mended() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        fs::write(&path, format!("old {}\nk7 {}", "0f".repeat(32), "1f".repeat(32))).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        let added = add(&path, &SystemEntropy).unwrap();
        assert!(added.as_str().starts_with("k8-"), "{added:?}");
        assert_eq!(load(&path, false, &SystemEntropy).unwrap().newest(), added);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o400);
    }
}

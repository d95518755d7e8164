//! The key file: one key a line, `NAME KEY`, oldest first. The newest, the last line, signs; older ones still verify.
//!
//! A key is 256 bits in 64 hexadecimal digits or in base64. Blank lines and lines that begin with `#` mean nothing. To
//! bring in a new key, add a line at the end, as [`add`] does. The first line stays: budgets are counted under it.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use zeroize::Zeroizing;

use crate::domain::{
    entropy::{Entropy, random_bytes},
    keyring::{KeyId, KeySource, Keyring, KeyringError},
};

mod add;

pub use add::add;

/// Why there are no keys. Never holds key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It is not there.
    #[error("the key file {} is missing; restore it from its copy", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// It cannot be read or written.
    #[error("the key file {} cannot be {action}: {source}", path.display())]
    Io {
        /// Where it is.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Others than its owner may read it.
    #[error("the key file {} has mode {mode:04o}, which lets others read it; run: chmod 600 {}", path.display(), path.display())]
    Open {
        /// Where it is.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A line is wrong.
    #[error("the key file {} {problem} in line {line}", path.display())]
    Line {
        /// Where it is.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// The whole is wrong.
    #[error("the key file {} {source}", path.display())]
    Keys {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: KeyringError,
    },
}

/// The key file of a service that runs: keys are added to it meanwhile.
struct KeyFile(PathBuf);

impl KeySource for KeyFile {
    fn keys(&self) -> Option<Vec<(KeyId, [u8; 32])>> {
        let read = read(&self.0).and_then(|text| parse(&text, &self.0));
        if let Err(error) = &read {
            tracing::warn!(%error, "the key file cannot be read again; the keys known before hold");
        }
        read.ok()
    }
}

/// Reads the key file. With `create`, one that is missing is made, with one random key and mode 0600. Keys that are added
/// to it later are found there.
pub fn load(path: &Path, create: bool, entropy: &dyn Entropy) -> Result<Keyring, KeyFileError> {
    if create && !path.exists() {
        self::create(path, entropy)?;
    }
    let keys = parse(&read(path)?, path)?;
    let ring = Keyring::new(keys).map_err(|source| KeyFileError::Keys {
        path: path.to_owned(),
        source,
    })?;
    Ok(ring.with_source(Box::new(KeyFile(path.to_owned()))))
}

/// Makes the key file, with one random key and mode 0600. One that is there stays as it is, and that is an error.
pub fn create(path: &Path, entropy: &dyn Entropy) -> Result<(), KeyFileError> {
    write_new(path, entropy).map_err(|source| KeyFileError::Io {
        path: path.to_owned(),
        action: "created",
        source,
    })
}

/// The text of a key file that only its owner may read.
fn read(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let failed = |action, source| KeyFileError::Io {
        path: path.to_owned(),
        action,
        source,
    };
    let mut file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(KeyFileError::Missing {
                path: path.to_owned(),
            });
        }
        Err(error) => return Err(failed("read", error)),
    };
    // Of the file that is open, not of the path: it could be another by now.
    let mode = file.metadata().map_err(|error| failed("read", error))?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Open {
            path: path.to_owned(),
            mode,
        });
    }
    let mut text = Zeroizing::new(String::new());
    io::Read::read_to_string(&mut file, &mut text).map_err(|error| failed("read", error))?;
    Ok(text)
}

fn write_new(path: &Path, entropy: &dyn Entropy) -> io::Result<()> {
    let text = Zeroizing::new(format!(
        "# The keys of mailfactor: codes are derived and secrets sealed under them. Keep this file secret and keep a\n\
         # copy apart from the database's: without it no pending code verifies and no saved password opens.\n\
         # One key a line, `name key`; the last line is used, the lines before it still verify.\n\
         k1 {}\n",
        *random_digits(entropy)
    ));
    // Never over a file that appeared in between, and readable by its owner from the first moment.
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    // The name must be as durable as the contents: the database soon holds what only this key opens.
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    fs::File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// A random key in hexadecimal.
fn random_digits(entropy: &dyn Entropy) -> Zeroizing<String> {
    let key = Zeroizing::new(random_bytes::<32>(entropy));
    let mut digits = Zeroizing::new(String::with_capacity(64));
    for byte in key.iter() {
        digits.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
        digits.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
    }
    digits
}

fn parse(text: &str, path: &Path) -> Result<Vec<(KeyId, [u8; 32])>, KeyFileError> {
    let mut keys = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let refuse = |problem: String| KeyFileError::Line {
            path: path.to_owned(),
            line: index + 1,
            problem,
        };
        let mut words = line.split_whitespace();
        let (Some(name), Some(key), None) = (words.next(), words.next(), words.next()) else {
            return Err(refuse("needs a name and a key, and nothing else,".to_owned()));
        };
        let id = KeyId::parse(name).map_err(|error| refuse(error.to_string()))?;
        let key = decode(key)
            .ok_or_else(|| refuse("needs 256 bits as 64 hexadecimal digits or in base64".to_owned()))?;
        keys.push((id, *key));
    }
    Ok(keys)
}

fn decode(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut key = Zeroizing::new([0; 32]);
    if text.len() == 64 {
        for (slot, pair) in key.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *slot = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
        }
        return Some(key);
    }
    [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD]
        .iter()
        .find_map(|engine| engine.decode(text).ok().map(Zeroizing::new))
        .filter(|bytes| bytes.len() == 32)
        .map(|bytes| {
            key.copy_from_slice(&bytes);
            key
        })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[derive(Debug)]
    struct Fixed;

    impl Entropy for Fixed {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(0xab);
        }
    }

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("k");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (directory, path)
    }

    #[test]
    fn makes_one_for_its_owner_alone_and_reads_it_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mailfactor.keys");
        assert!(matches!(
            load(&path, false, &Fixed),
            Err(KeyFileError::Missing { .. })
        ));
        assert_eq!(load(&path, true, &Fixed).unwrap().newest().as_str(), "k1");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(
            fs::read_to_string(&path)
                .unwrap()
                .ends_with(&format!("k1 {}\n", "ab".repeat(32)))
        );
        let before = fs::read(&path).unwrap();
        load(&path, true, &Fixed).unwrap();
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn the_last_line_is_the_newest() {
        let base64 = STANDARD.encode([1; 32]);
        let (_directory, path) = file(&format!("# old\na {}\n\nb {base64}\n", "0f".repeat(32)), 0o600);
        assert_eq!(load(&path, false, &Fixed).unwrap().newest().as_str(), "b");
    }

    #[test]
    fn refuses_a_file_that_others_may_read() {
        for mode in [0o640, 0o604, 0o660] {
            let (_directory, path) = file(&format!("a {}\n", "0f".repeat(32)), mode);
            assert!(matches!(
                load(&path, false, &Fixed),
                Err(KeyFileError::Open { .. })
            ));
        }
    }

    #[test]
    fn names_the_line_and_never_the_key() {
        let secret = "0123456789abcdef";
        for text in [
            format!("\na {secret}\n"),
            format!("\nA {secret}\n"),
            format!("\na {secret} c\n"),
            format!("#\n{secret}"),
        ] {
            let (_directory, path) = file(&text, 0o400);
            let error = load(&path, false, &Fixed).unwrap_err().to_string();
            assert!(error.contains("in line 2") && !error.contains(secret), "{error}");
        }
        let (_directory, path) = file("# none\n", 0o600);
        assert!(
            load(&path, false, &Fixed)
                .unwrap_err()
                .to_string()
                .ends_with("holds no key")
        );
    }
}

//! Files with secrets: which may be read as whose, and how. The one way in which this service reads a secret from a file.
//!
//! What an administrator names over gRPC, or somebody wrote into the database, is a wish: an account's secret goes to the
//! server that the account names, so a reference to the key file would hand the key to whoever runs that server. Two kinds of
//! files never mix: those that the configuration names (the key file, private keys of TLS, files of passwords and URLs) are
//! the process's own, and those within `secrets.directories` are the accounts'.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Component, Path, PathBuf},
};

use rustix::fs::{CWD, Mode, OFlags, openat};
use zeroize::{Zeroize as _, Zeroizing};

/// The longest path of a file with a secret.
const LONGEST_PATH: usize = 4096;

/// The most entries of the directories that are looked through for another name of a reserved file.
const MOST_ENTRIES: usize = 10_000;

/// The most bytes of a secret that the configuration names: a password or a URL.
const MOST_NAMED: usize = 16 * 1024;

/// What a file with a secret may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One line: what is sent as it is, such as a password.
    Line,
    /// Lines: what is parsed and never sent, such as a private key in PEM.
    Text,
}

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// Not there, or not to be read.
    #[error("{}", .0.kind())]
    Io(#[from] io::Error),
    /// Not within the directories for secrets, or led out of them by a symbolic link.
    #[error("it is not within `secrets.directories`, or a symbolic link leads out of them")]
    Outside,
    /// One that the configuration names itself.
    #[error("it is a file that the configuration names itself, by this name or another")]
    Reserved,
    /// A directory, a pipe, a device.
    #[error("it is no regular file")]
    NotAFile,
    /// Longer than any secret.
    #[error("it is longer than {0} bytes")]
    TooLong(usize),
    /// More than a line.
    #[error("it has more than one line, or a NUL")]
    Lines,
    /// Not UTF-8.
    #[error("it is no text in UTF-8")]
    NotText,
}

/// A file that is the process's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// The field of the configuration that names it.
    pub field: String,
    /// Where it is.
    pub path: PathBuf,
}

/// A reserved file that an account could name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mixed {
    /// The directory for secrets it is in, by its position.
    pub directory: usize,
    /// The field of the configuration that names the file.
    pub field: String,
    /// Whether it lies there; otherwise another name of it does.
    pub lies_there: bool,
}

/// The files that accounts, inboxes and DKIM keys may name.
#[derive(Clone, Debug, Default)]
pub struct SecretFiles {
    directories: Vec<PathBuf>,
    reserved: Vec<Reserved>,
}

/// What a file is, whatever it is called.
type FileId = (u64, u64);

impl SecretFiles {
    /// Those within these directories, and none of the reserved.
    #[must_use]
    pub fn new(directories: Vec<PathBuf>, reserved: Vec<Reserved>) -> Self {
        Self {
            directories,
            reserved,
        }
    }

    /// The directories that they lie in.
    #[must_use]
    pub fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// Whether a path may be named at all: absolute, without `..`, within a directory for secrets, and no reserved file as far
    /// as can be seen now. What counts is what [`Self::read`] finds later.
    #[must_use]
    pub fn may_name(&self, path: &Path) -> bool {
        let bytes = path.as_os_str().as_encoded_bytes();
        let within =
            |directory: &PathBuf| is_straight(directory) && path.starts_with(directory) && path != directory;
        is_straight(path)
            && bytes.len() <= LONGEST_PATH
            && !bytes.iter().any(u8::is_ascii_control)
            && self.directories.iter().any(within)
            && !fs::metadata(path).is_ok_and(|found| self.is_reserved(id(&found)))
    }

    /// The secret in a file, without the end of its line.
    ///
    /// Where the file really is counts, not what it is called: symbolic links are resolved first, then every step from the
    /// directory down is opened without following any. A link that is put in between meanwhile is an error, not a way out.
    pub fn read(&self, path: &Path, most: usize, shape: Shape) -> Result<Zeroizing<String>, SecretFileError> {
        if !self.may_name(path) {
            return Err(match fs::metadata(path) {
                Ok(found) if self.is_reserved(id(&found)) => SecretFileError::Reserved,
                _ => SecretFileError::Outside,
            });
        }
        let real = fs::canonicalize(path)?;
        let mut directories = self.directories.iter();
        let found = directories.find_map(|directory| {
            let directory = fs::canonicalize(directory).ok()?;
            let below = real.strip_prefix(&directory).ok()?.to_owned();
            Some((directory, below))
        });
        let (directory, below) = found.ok_or(SecretFileError::Outside)?;
        let file = open_below(&directory, &below)?;
        if self.is_reserved(id(&file.metadata()?)) {
            return Err(SecretFileError::Reserved);
        }
        contents(file, most, shape)
    }

    /// The reserved files that lie within a directory for secrets, or have another name there.
    #[must_use]
    pub fn mixed(&self) -> Vec<Mixed> {
        let mut mixed = Vec::new();
        for (position, directory) in self.directories.iter().enumerate() {
            let Ok(directory) = fs::canonicalize(directory) else {
                continue;
            };
            let found = ids_below(&directory);
            for Reserved { field, path } in &self.reserved {
                let lies_there = real(path).is_some_and(|path| path.starts_with(&directory));
                let known_there = fs::metadata(path).is_ok_and(|file| found.contains(&id(&file)));
                if lies_there || known_there {
                    mixed.push(Mixed {
                        directory: position,
                        field: field.clone(),
                        lies_there,
                    });
                }
            }
        }
        mixed
    }

    /// Looked at anew each time: files are replaced while the service runs.
    fn is_reserved(&self, file: FileId) -> bool {
        let mut reserved = self.reserved.iter();
        reserved.any(|reserved| fs::metadata(&reserved.path).is_ok_and(|known| id(&known) == file))
    }
}

/// The secret in a file that the configuration names: anywhere, but a regular file of one line.
pub fn read_named(path: &Path) -> Result<Zeroizing<String>, SecretFileError> {
    // Without waiting for whoever writes, where it is a pipe.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(CWD, path, flags, Mode::empty()).map_err(io::Error::from)?;
    contents(file.into(), MOST_NAMED, Shape::Line)
}

/// Opens a file by each step of its path, following no symbolic link.
fn open_below(directory: &Path, below: &Path) -> Result<File, SecretFileError> {
    let step = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::PATH;
    let mut at = openat(CWD, directory, step, Mode::empty()).map_err(io::Error::from)?;
    let mut parts = below.components().peekable();
    while let Some(Component::Normal(part)) = parts.next() {
        if parts.peek().is_none() {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = openat(&at, part, flags, Mode::empty()).map_err(io::Error::from)?;
            return Ok(file.into());
        }
        at = openat(&at, part, step, Mode::empty()).map_err(io::Error::from)?;
    }
    Err(SecretFileError::Outside)
}

fn contents(file: File, most: usize, shape: Shape) -> Result<Zeroizing<String>, SecretFileError> {
    if !file.metadata()?.is_file() {
        return Err(SecretFileError::NotAFile);
    }
    // Of its full size from the start: one that grows leaves copies behind.
    let limit = most.saturating_add(3);
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit));
    let end = u64::try_from(limit).unwrap_or(u64::MAX);
    file.take(end).read_to_end(&mut bytes)?;
    // Editors end a file with a line break; no password does.
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    if bytes.len() > most {
        return Err(SecretFileError::TooLong(most));
    }
    if shape == Shape::Line && bytes.iter().any(|byte| matches!(byte, 0 | b'\n' | b'\r')) {
        return Err(SecretFileError::Lines);
    }
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) => {
            error.into_bytes().zeroize();
            Err(SecretFileError::NotText)
        }
    }
}

/// Without `..`: what it begins with is where it ends up, but for links.
fn is_straight(path: &Path) -> bool {
    let mut parts = path.components();
    path.is_absolute() && parts.all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
}

/// Where a file is, or will be once it is made.
fn real(path: &Path) -> Option<PathBuf> {
    fs::canonicalize(path).ok().or_else(|| {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = fs::canonicalize(parent.unwrap_or(Path::new("."))).ok()?;
        Some(parent.join(path.file_name()?))
    })
}

fn id(file: &fs::Metadata) -> FileId {
    (file.dev(), file.ino())
}

/// What lies below a directory, and what links there lead to; no more of it than is looked through in a moment.
fn ids_below(directory: &Path) -> Vec<FileId> {
    let mut ids = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if ids.len() == MOST_ENTRIES {
                return ids;
            }
            if let Ok(found) = fs::metadata(entry.path()) {
                ids.push(id(&found));
            }
            // Directories themselves, not links to them: there is no going round in circles.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                waiting.push(entry.path());
            }
        }
    }
    ids
}

#[cfg(test)]
#[path = "secret_files_tests.rs"]
mod tests;

//! One server to a database file: an advisory lock on a file beside it, which the system lifts when the process ends.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::Path,
};

use super::BuildError;

/// The lock, held as long as this lives.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held, never read")] File);

impl Lock {
    /// Takes the lock of a database, or says who has it.
    pub(super) fn take(database: &Path) -> Result<Self, BuildError> {
        let mut name = database.as_os_str().to_owned();
        name.push(".lock");
        let path = Path::new(&name).display().to_string();
        let opened = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&name);
        let file = opened.map_err(|source| BuildError::LockFile {
            path: path.clone(),
            source,
        })?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(BuildError::Locked { path }),
            Err(TryLockError::Error(source)) => Err(BuildError::LockFile { path, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_held_by_one_and_free_after_it() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("a.db");
        let first = Lock::take(&database).unwrap();
        assert!(matches!(Lock::take(&database), Err(BuildError::Locked { .. })));
        drop(first);
        Lock::take(&database).unwrap();
    }
}

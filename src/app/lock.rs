//! One server to a database file: an advisory lock on a file beside it, which the system lifts when the process ends.

use std::{
    fs::{File, OpenOptions, Permissions, TryLockError},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use super::BuildError;

/// Nobody else can open it, and so nobody else can hold the lock and keep the service from starting.
const PRIVATE: u32 = 0o600;

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
            .mode(PRIVATE)
            .open(&name);
        let file = opened.map_err(|source| BuildError::LockFile {
            path: path.clone(),
            source,
        })?;
        match file.try_lock() {
            Ok(()) => {
                // One that an older version left is brought to the same; where it is somebody else's, the lock holds too.
                if let Err(error) = file.set_permissions(Permissions::from_mode(PRIVATE)) {
                    tracing::warn!(%error, path, "the lock file cannot be made private");
                }
                Ok(Self(file))
            }
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
        let path = directory.path().join("a.db.lock");
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let first = Lock::take(&database).unwrap();
        let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600, "one that was there is made private");
        assert!(matches!(Lock::take(&database), Err(BuildError::Locked { .. })));
        drop(first);
        std::fs::remove_file(&path).unwrap();
        Lock::take(&database).unwrap();
        assert_eq!(mode(), 0o600, "a new one is private");
    }
}

//! Users in a TOML file, read again whenever it changes.
//!
//! ```toml
//! [[user]]
//! name = "ann"                      # Required.
//! aliases = ["ann.example", "a.e"]  # Other names for the same user.
//! email = "ann@example.com"         # Or `emails = [..]`: the first usable one gets the mail.
//! display_name = "Ann Example"      # How mails address the user.
//! locale = "de-CH"                  # A BCP 47 tag.
//! ```
//!
//! What is wrong with an address, a display name or a language is told with its line and costs its user that address, name or
//! language alone. What is wrong with the file itself, or with who somebody is, leaves the whole file out.
//!
//! Names are compared exactly, once the space around them is gone and both are in lower case. A name or alias that two
//! entries claim is ambiguous. At most once a second a look-up asks whether the file is still the same (its inode,
//! length and times). A new one that cannot be read keeps the users of the old, is reported once and sets the gauge
//! `mailfactor_repository_stale`. Replace the file by renaming a new one over it: half a file may be valid.

use std::{
    fs::{File, Metadata},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    sync::{Mutex, MutexGuard},
    task::spawn_blocking,
    time::Instant,
};

use super::{Found, RepositoryError, UserName, UserRepository};
use crate::domain::address::{AddressError, LocalPart};

mod read;
mod users;

pub use read::FileError;
use users::Users;

/// How often it is asked whether the file has changed, at the most.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The largest file that is read: about half a million users.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// Users in a TOML file.
pub struct FileRepository {
    name: String,
    path: PathBuf,
    local_part: LocalPart,
    users: RwLock<Arc<Users>>,
    watch: Mutex<Watch>,
}

/// What is known of the file. Whoever holds it looks; everybody else goes on with the users there are.
struct Watch {
    seen: Seen,
    look_at: Instant,
}

/// The file as it was last seen: as long as it is the same, there is nothing to read and nothing to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Read, with or without success.
    Read(Stamp),
    /// Not to be read at all.
    Unreadable(io::ErrorKind),
}

/// What changes when a file does. The change time too: it tells of new permissions, and of a new time of change that
/// somebody set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileRepository {
    /// Reads the file. Fails where nothing could be looked up from it: later on, a broken file keeps the old users.
    pub fn open(name: String, path: PathBuf, local_part: LocalPart) -> Result<Self, FileError> {
        let (stamp, users) = load(&path, local_part)?;
        tell_of_load(&name, &path, &users);
        Ok(Self {
            users: RwLock::new(Arc::new(users)),
            watch: Mutex::new(Watch {
                seen: Seen::Read(stamp),
                look_at: Instant::now() + LOOK_AGAIN,
            }),
            name,
            path,
            local_part,
        })
    }

    /// The users, after a look at the file where one is due.
    async fn current(&self) -> Arc<Users> {
        if let Ok(watch) = self.watch.try_lock()
            && Instant::now() >= watch.look_at
        {
            self.look(watch).await;
        }
        Arc::clone(&self.users.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn look(&self, mut watch: MutexGuard<'_, Watch>) {
        watch.look_at = Instant::now() + LOOK_AGAIN;
        let (path, local_part, seen) = (self.path.clone(), self.local_part, watch.seen);
        // A disk may be slow and a file long: neither may hold up other calls.
        let Ok(looked) = spawn_blocking(move || look(&path, local_part, seen)).await else {
            return;
        };
        let (now_seen, failure) = match looked {
            Look::Same => return,
            Look::New(stamp, users) => {
                tell_of_load(&self.name, &self.path, &users);
                *self.users.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(users);
                (Seen::Read(stamp), None)
            }
            Look::Broken(stamp, error) => (Seen::Read(stamp), Some(error)),
            Look::Unreadable(kind, error) => (Seen::Unreadable(kind), Some(error)),
        };
        // Once for each change, not once a second.
        if let Some(error) = failure
            && now_seen != watch.seen
        {
            self.tell_of_failure(&error);
        }
        watch.seen = now_seen;
    }

    fn tell_of_failure(&self, error: &FileError) {
        let users = self.users.read().unwrap_or_else(PoisonError::into_inner).count();
        tracing::error!(
            repository = %self.name,
            error = error as &dyn std::error::Error,
            users,
            "the users file cannot be used: going on with the users read before"
        );
        stale(&self.name, true);
    }
}

#[async_trait]
impl UserRepository for FileRepository {
    fn name(&self) -> &str {
        &self.name
    }

    async fn find(&self, user: &UserName) -> Result<Found, RepositoryError> {
        let users = self.current().await;
        Ok(users.find(&self.name, user))
    }

    async fn unusable_addresses(&self, user: &UserName) -> Result<Vec<AddressError>, RepositoryError> {
        Ok(self.current().await.unusable_of(user))
    }

    fn flaws(&self) -> Vec<String> {
        self.users.read().unwrap_or_else(PoisonError::into_inner).flaws()
    }
}

/// What a look at the file found.
enum Look {
    Same,
    New(Stamp, Users),
    Broken(Stamp, FileError),
    Unreadable(io::ErrorKind, FileError),
}

fn look(path: &Path, local_part: LocalPart, seen: Seen) -> Look {
    // Taken before the reading: whatever changes during it is noticed by the next look.
    let stamp = std::fs::metadata(path).map(|found| Stamp::of(&found));
    if let Ok(stamp) = stamp
        && Seen::Read(stamp) == seen
    {
        return Look::Same;
    }
    match (load(path, local_part), stamp) {
        (Ok((stamp, users)), _) => Look::New(stamp, users),
        (Err(FileError::Unreadable { path, source }), _) => {
            Look::Unreadable(source.kind(), FileError::Unreadable { path, source })
        }
        (Err(error), Ok(stamp)) => Look::Broken(stamp, error),
        (Err(error), Err(source)) => Look::Unreadable(source.kind(), error),
    }
}

fn load(path: &Path, local_part: LocalPart) -> Result<(Stamp, Users), FileError> {
    let unreadable = |source| FileError::Unreadable {
        path: path.to_owned(),
        source,
    };
    // Asked before it is opened: opening a pipe would wait for whoever writes to it.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(FileError::NoFile {
            path: path.to_owned(),
        });
    }
    let file = File::open(path).map_err(unreadable)?;
    let stamp = Stamp::of(&file.metadata().map_err(unreadable)?);
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(FileError::TooLarge {
            path: path.to_owned(),
            most: MOST_BYTES,
        });
    }
    let users = read::parse(&bytes, path, local_part)?;
    Ok((stamp, users))
}

impl Stamp {
    fn of(file: &Metadata) -> Self {
        Self {
            inode: (file.dev(), file.ino()),
            length: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

fn tell_of_load(name: &str, path: &Path, users: &Users) {
    tracing::info!(repository = %name, path = %path.display(), users = users.count(), "users file read");
    for place in users.unusable().iter().take(20) {
        tracing::warn!(
            repository = %name,
            line = place.line,
            user = place.entry,
            address = place.address,
            "an address in the users file cannot be used: {}",
            place.error
        );
    }
    if users.unusable().len() > 20 {
        tracing::warn!(repository = %name, addresses = users.unusable().len(), "unusable addresses in all");
    }
    for place in users.dropped().iter().take(20) {
        tracing::warn!(
            repository = %name,
            line = place.line,
            user = place.entry,
            field = place.field,
            "a field in the users file is left out: {}",
            place.what
        );
    }
    if users.dropped().len() > 20 {
        tracing::warn!(repository = %name, fields = users.dropped().len(), "fields left out in all");
    }
    stale(name, false);
}

fn stale(name: &str, is_stale: bool) {
    metrics::gauge!("mailfactor_repository_stale", "repository" => name.to_owned()).set(if is_stale {
        1.0
    } else {
        0.0
    });
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;

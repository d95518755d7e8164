//! Sections `[store]`, `[keys]`, `[retention]` and `[audit]`: what is kept, where, for how long.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::reader::Reader;

/// Section `[store]`.
#[derive(Clone)]
pub struct Store {
    /// `sqlite:` and a path. May hold a password, one day: never logged.
    pub url: String,
    /// The path in it.
    pub file: PathBuf,
    /// Connections that read.
    pub readers: u32,
    /// How long a statement waits for another process's lock.
    pub busy_timeout: Duration,
    /// How long one operation may take.
    pub deadline: Duration,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

/// Sections `[retention]` and `[audit]`.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// How long challenges are kept after they expired.
    pub challenges: Duration,
    /// How long closed outbox entries are kept.
    pub outbox: Duration,
    /// How long audit events are kept.
    pub audit: Duration,
}

impl Store {
    pub(super) fn read(section: &Reader<'_>) -> Self {
        let url = section.secret("url", "sqlite:mailfactor.db");
        let file = match url.strip_prefix("sqlite:") {
            Some(path) => path.strip_prefix("//").unwrap_or(path),
            None => "",
        };
        if file.is_empty() || file.contains('?') || file == ":memory:" {
            section.fault("url", "must be \"sqlite:\" and the path of a file");
        } else if let Some(parent) = parent(Path::new(file)).filter(|parent| !parent.is_dir()) {
            section.fault(
                "url",
                format!(
                    "lies in {}, which is not a directory; create it first",
                    parent.display()
                ),
            );
        }
        let ms = Duration::from_millis;
        Self {
            file: PathBuf::from(file),
            url: format!("sqlite:{file}"),
            readers: section.number("readers", 1..=64),
            busy_timeout: section.duration("busy_timeout", ms(10)..=ms(2_000)),
            deadline: section.duration("deadline", ms(100)..=ms(2_400)),
        }
    }
}

/// The key file: the one that is set, or the one beside the database.
pub(super) fn key_file(section: &Reader<'_>, store: &Store) -> PathBuf {
    match section.text("file") {
        "" => store.file.with_extension("keys"),
        file => {
            let file = Path::new(file);
            if let Some(parent) = parent(file).filter(|parent| !parent.is_dir()) {
                section.fault(
                    "file",
                    format!("lies in {}, which is not a directory", parent.display()),
                );
            }
            file.to_owned()
        }
    }
}

impl Retention {
    pub(super) fn read(section: &Reader<'_>, audit: &Reader<'_>) -> Self {
        let bounds = || Duration::from_hours(1)..=Duration::from_hours(10 * 365 * 24);
        Self {
            challenges: section.duration("challenges", bounds()),
            outbox: section.duration("outbox", bounds()),
            audit: audit.duration(
                "keep",
                Duration::from_hours(24)..=Duration::from_hours(10 * 365 * 24),
            ),
        }
    }
}

/// The directory a path names, if it names one.
fn parent(path: &Path) -> Option<&Path> {
    path.parent().filter(|parent| !parent.as_os_str().is_empty())
}

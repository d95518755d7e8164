//! Sections `[store]`, `[keys]`, `[retention]` and `[audit]`: what is kept, where, for how long.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::reader::Reader;

pub use postgres::{Encryption, Host, Postgres};

mod postgres;

/// Section `[store]`.
#[derive(Clone, Debug)]
pub struct Store {
    /// Where it is.
    pub place: StorePlace,
    /// Connections that read a file.
    pub readers: u32,
    /// How long a statement waits for another process's lock on a file.
    pub busy_timeout: Duration,
    /// How long one operation may take.
    pub deadline: Duration,
}

/// Where the store is.
#[derive(Clone, Debug)]
pub enum StorePlace {
    /// In a file, for one instance.
    File(PathBuf),
    /// On a server, for any number of them.
    Postgres(Box<Postgres>),
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
        let server = ["postgres://", "postgresql://"];
        let place = if server.iter().any(|scheme| url.starts_with(scheme)) {
            Postgres::read(section, &section.section("postgres"), &url)
                .map(|postgres| StorePlace::Postgres(Box::new(postgres)))
        } else {
            Some(StorePlace::File(file(section, &url)))
        };
        let ms = Duration::from_millis;
        Self {
            // Where it is missing a fault says why.
            place: place.unwrap_or_else(|| StorePlace::File(PathBuf::new())),
            readers: section.number("readers", 1..=64),
            busy_timeout: section.duration("busy_timeout", ms(10)..=ms(2_000)),
            deadline: section.duration("deadline", ms(100)..=ms(2_400)),
        }
    }

    /// The file, where it is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match &self.place {
            StorePlace::File(file) => Some(file),
            StorePlace::Postgres(_) => None,
        }
    }

    /// Where it is, for people.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.place {
            StorePlace::File(file) => file.display().to_string(),
            StorePlace::Postgres(postgres) => postgres.name(),
        }
    }
}

/// The file of a URL.
fn file(section: &Reader<'_>, url: &str) -> PathBuf {
    let file = match url.strip_prefix("sqlite:") {
        Some(path) => path.strip_prefix("//").unwrap_or(path),
        None => "",
    };
    if file.is_empty() || file.contains('?') || file == ":memory:" {
        section.fault("url", postgres::WRONG);
    } else if let Some(parent) = parent(Path::new(file)).filter(|parent| !parent.is_dir()) {
        section.fault(
            "url",
            format!(
                "lies in {}, which is not a directory; create it first",
                parent.display()
            ),
        );
    }
    PathBuf::from(file)
}

/// The key file: the one that is set, or the one beside the database.
pub(super) fn key_file(section: &Reader<'_>, store: &Store) -> PathBuf {
    match (section.text("file"), store.file()) {
        ("", Some(database)) => database.with_extension("keys"),
        ("", None) => {
            let text = "is required with PostgreSQL: the same key file for every instance, made before the first start";
            section.fault("file", text);
            PathBuf::new()
        }
        (file, _) => {
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

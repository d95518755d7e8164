//! Reads a section's values, with bounds, and notes what is wrong under the field's path.
//!
//! Types were checked when the file was laid over the defaults, so a value that is missing here is a fault noted before:
//! readers then answer with anything of the type and go on, and the whole is refused in the end.

use std::{
    cell::RefCell,
    fmt::Display,
    fs,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::LazyLock,
    time::Duration,
};

use toml::{Table, Value};

use super::duration;
use crate::{domain::violation::Violations, secret_files::read_named};

/// A section being read.
pub(super) struct Reader<'a> {
    table: &'a Table,
    path: String,
    faults: &'a RefCell<Violations>,
}

impl<'a> Reader<'a> {
    /// Reads `table`, whose keys lie under `path`.
    pub(super) fn new(table: &'a Table, path: impl Into<String>, faults: &'a RefCell<Violations>) -> Self {
        Self {
            table,
            path: path.into(),
            faults,
        }
    }

    /// A table in this one; empty where there is none.
    pub(super) fn section(&self, key: &str) -> Self {
        static NONE: LazyLock<Table> = LazyLock::new(Table::new);
        let table = self.table.get(key).and_then(Value::as_table).unwrap_or(&NONE);
        Self::new(table, self.name(key), self.faults)
    }

    /// The full path of a key.
    pub(super) fn name(&self, key: &str) -> String {
        match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }

    /// Notes a fault.
    pub(super) fn fault(&self, key: &str, description: impl Display) {
        self.faults.borrow_mut().add(self.name(key), description);
    }

    /// Where the faults go.
    pub(super) fn faults(&self) -> &'a RefCell<Violations> {
        self.faults
    }

    /// Whether the key is there at all.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    pub(super) fn text(&self, key: &str) -> &'a str {
        self.table.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn flag(&self, key: &str) -> bool {
        self.table.get(key).and_then(Value::as_bool).unwrap_or_default()
    }

    pub(super) fn number<T>(&self, key: &str, bounds: RangeInclusive<T>) -> T
    where
        T: TryFrom<i64> + PartialOrd + Display + Copy,
    {
        let number = self.table.get(key).and_then(Value::as_integer);
        match number.map(T::try_from) {
            Some(Ok(number)) if bounds.contains(&number) => number,
            _ => {
                self.fault(
                    key,
                    format!("must be between {} and {}", bounds.start(), bounds.end()),
                );
                *bounds.start()
            }
        }
    }

    pub(super) fn duration(&self, key: &str, bounds: RangeInclusive<Duration>) -> Duration {
        let span = self.span(key);
        if let Some(span) = span.filter(|span| !bounds.contains(span)) {
            let (from, to) = (duration::write(*bounds.start()), duration::write(*bounds.end()));
            self.fault(
                key,
                format!("must be between {from} and {to}, not {}", duration::write(span)),
            );
        }
        span.unwrap_or_default()
    }

    /// A duration whose bounds are checked elsewhere.
    pub(super) fn span(&self, key: &str) -> Option<Duration> {
        self.parse(key, duration::parse)
    }

    /// A value that a function reads from a text.
    pub(super) fn parse<T, E: Display>(
        &self,
        key: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        read(self.text(key)).map_err(|error| self.fault(key, error)).ok()
    }

    /// The same where an empty text means none.
    pub(super) fn parse_some<T, E: Display>(
        &self,
        key: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        (!self.text(key).is_empty())
            .then(|| self.parse(key, read))
            .flatten()
    }

    /// A list of texts, each read by a function.
    pub(super) fn list<T, E: Display>(&self, key: &str, read: impl Fn(&str) -> Result<T, E>) -> Vec<T> {
        let items = self.table.get(key).and_then(Value::as_array);
        let mut list = Vec::new();
        for (index, item) in items.into_iter().flatten().enumerate() {
            let key = format!("{key}[{index}]");
            match item.as_str().map(&read) {
                Some(Ok(item)) => list.push(item),
                Some(Err(error)) => self.fault(&key, error),
                None => self.fault(&key, "must be a text in quotes"),
            }
        }
        list
    }

    /// The path of a file that must be there; empty: none.
    pub(super) fn file(&self, key: &str) -> Option<PathBuf> {
        self.parse_some(key, |text| readable(Path::new(text)))
    }

    /// A secret: by value under `key`, or from the file that `key_file` names. `default`: the value that counts as not
    /// set.
    pub(super) fn secret(&self, key: &str, default: &str) -> String {
        let file_key = format!("{key}_file");
        let value = self.text(key);
        if self.text(&file_key).is_empty() {
            return value.to_owned();
        }
        if value != default {
            self.fault(&file_key, format!("contradicts `{key}`: set only one of the two"));
        }
        self.parse(&file_key, |path| {
            let read = read_named(Path::new(path));
            read.map_err(|error| cannot_read(Path::new(path), &error))
        })
        .map(|text| text.to_string())
        .unwrap_or_default()
    }
}

/// A path, if a file can be read there.
fn readable(path: &Path) -> Result<PathBuf, String> {
    match fs::File::open(path).and_then(|file| file.metadata()) {
        Ok(metadata) if metadata.is_file() => Ok(path.to_owned()),
        Ok(_) => Err(format!("names {}, which is not a file", path.display())),
        Err(error) => Err(cannot_read(path, &error.kind())),
    }
}

fn cannot_read(path: &Path, error: &impl Display) -> String {
    format!("names {}, which cannot be read: {error}", path.display())
}

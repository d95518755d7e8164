//! The tables `[[repository]]` and section `[users]`: where users and their addresses live.

use std::{cell::RefCell, collections::BTreeSet, path::PathBuf, time::Duration};

use toml::{Table, Value};

use super::reader::Reader;
use crate::domain::{address::LocalPart, violation::Violations};

/// Every key a `[[repository]]` may have.
pub(super) const SHAPE: &str = r#"
name = ""
kind = ""
path = ""
url = ""
url_file = ""
query = ""
[columns]
id = "id"
email = "email"
display_name = ""
locale = ""
"#;

/// How users are looked up.
#[derive(Clone, Debug)]
pub struct Users {
    /// How long one look-up may take.
    pub lookup_deadline: Duration,
    /// Which local parts addresses may have.
    pub local_part: LocalPart,
    /// The repositories, in the order they are searched.
    pub repositories: Vec<Repository>,
}

/// One `[[repository]]`.
#[derive(Clone, Debug)]
pub struct Repository {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: RepositoryKind,
}

/// What a repository is.
#[derive(Clone)]
pub enum RepositoryKind {
    /// A TOML file.
    File {
        /// Where it is.
        path: PathBuf,
    },
    /// A database of the user's own.
    Sql {
        /// Which one. May hold a password: never logged.
        url: String,
        /// The query; `$1` is the user's name.
        query: String,
        /// What its columns mean.
        columns: Columns,
    },
}

impl std::fmt::Debug for RepositoryKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::File { .. } => "File",
            Self::Sql { .. } => "Sql",
        })
    }
}

/// The names of a query's columns.
#[derive(Clone, Debug)]
pub struct Columns {
    /// What names the user.
    pub id: String,
    /// The address.
    pub email: String,
    /// How to address the user, if there is such a column.
    pub display_name: Option<String>,
    /// The language, if there is such a column.
    pub locale: Option<String>,
}

impl Users {
    pub(super) fn read(root: &Table, section: &Reader<'_>) -> Self {
        let ms = Duration::from_millis;
        let empty = Vec::new();
        let tables = root.get("repository").and_then(Value::as_array).unwrap_or(&empty);
        let repositories: Vec<_> = tables
            .iter()
            .enumerate()
            .filter_map(|(index, item)| Repository::read(index, item.as_table()?, section.faults()))
            .collect();
        let mut names = BTreeSet::new();
        for (index, repository) in repositories.iter().enumerate() {
            if !names.insert(&repository.name) {
                let path = format!("repository[{index}].name");
                section.faults().borrow_mut().add(path, "is used twice");
            }
        }
        Self {
            lookup_deadline: section.duration("lookup_deadline", ms(100)..=ms(2_900)),
            local_part: if section.flag("smtputf8") {
                LocalPart::Utf8
            } else {
                LocalPart::Ascii
            },
            repositories,
        }
    }
}

impl Repository {
    fn read(index: usize, table: &Table, faults: &RefCell<Violations>) -> Option<Self> {
        let section = Reader::new(table, format!("repository[{index}]"), faults);
        let name = section.parse("name", name);
        let kind = match section.text("kind") {
            "file" => {
                refuse(&section, "file", &["url", "url_file", "query", "columns"]);
                section
                    .parse("path", required)
                    .and_then(|()| section.file("path"))
                    .map(|path| RepositoryKind::File { path })
            }
            "sql" => {
                refuse(&section, "sql", &["path"]);
                sql(&section)
            }
            _ => {
                section.fault("kind", "must be \"file\" or \"sql\"");
                None
            }
        };
        Some(Self {
            name: name?,
            kind: kind?,
        })
    }
}

fn sql(section: &Reader<'_>) -> Option<RepositoryKind> {
    let url = section.secret("url", "");
    if !url.starts_with("sqlite:") {
        section.fault("url", "must be \"sqlite:\" and the path of a file");
    }
    let query = section.parse("query", |text| match text {
        "" => Err("is required"),
        text => Ok(text.to_owned()),
    });
    let columns = section.section("columns");
    let named = |key: &str, default: &str| match columns.text(key) {
        "" => default.to_owned(),
        name => name.to_owned(),
    };
    let optional = |key: &str| Some(columns.text(key).to_owned()).filter(|name| !name.is_empty());
    Some(RepositoryKind::Sql {
        url,
        query: query?,
        columns: Columns {
            id: named("id", "id"),
            email: named("email", "email"),
            display_name: optional("display_name"),
            locale: optional("locale"),
        },
    })
}

fn refuse(section: &Reader<'_>, kind: &str, keys: &[&str]) {
    for key in keys {
        if section.has(key) {
            section.fault(key, format!("does not go with kind \"{kind}\""));
        }
    }
}

fn required(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        Err("is required")
    } else {
        Ok(())
    }
}

fn name(text: &str) -> Result<String, &'static str> {
    let fits = (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if fits {
        Ok(text.to_owned())
    } else {
        Err("is required: 1 to 64 of letters, digits, `.`, `_`, `-`")
    }
}

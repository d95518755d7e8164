//! The tables `[[repository]]` and section `[users]`: where users and their addresses live.

use std::{cell::RefCell, collections::BTreeSet, path::PathBuf, time::Duration};

use toml::{Table, Value};

mod ldap;

pub use ldap::{Ldap, LdapScope};

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
ca = ""
preset = ""
servers = []
start_tls = false
allow_plaintext = false
server_name = ""
bind_dn = ""
bind_password = ""
bind_password_file = ""
base = ""
scope = ""
filter = ""
groups = []
nested_groups = false
referral_hosts = []
decoy_dn = ""
domains = []
bare_names = true
strip_domain = false
[columns]
id = "id"
email = "email"
display_name = ""
locale = ""
password = ""
[attributes]
id = ""
emails = []
display_name = ""
locale = ""
groups = ""
"#;

/// The keys of each kind, beside those that all have.
const KEYS: [(&str, &[&str]); 3] = [
    ("file", &["path"]),
    ("sql", &["url", "url_file", "ca", "query", "columns"]),
    (
        "ldap",
        &[
            "preset",
            "servers",
            "start_tls",
            "allow_plaintext",
            "ca",
            "server_name",
            "bind_dn",
            "bind_password",
            "bind_password_file",
            "base",
            "scope",
            "filter",
            "attributes",
            "groups",
            "nested_groups",
            "referral_hosts",
            "decoy_dn",
        ],
    ),
];

/// How users are looked up.
#[derive(Clone, Debug)]
pub struct Users {
    /// How long one look-up may take.
    pub lookup_deadline: Duration,
    /// How long who was found is remembered.
    pub cache: Duration,
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
    /// The domains whose users it holds.
    pub domains: Vec<String>,
    /// Whether it is asked for names without a domain.
    pub bare_names: bool,
    /// Whether `ann@domain` is looked up as `ann`.
    pub strip_domain: bool,
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
        /// The authorities of its certificate; `None`: the public ones.
        authorities: Option<PathBuf>,
        /// The query; `$1` is the user's name.
        query: String,
        /// What its columns mean.
        columns: Columns,
    },
    /// An LDAP directory.
    Ldap(Box<Ldap>),
}

impl std::fmt::Debug for RepositoryKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::File { .. } => "File",
            Self::Sql { .. } => "Sql",
            Self::Ldap(_) => "Ldap",
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
    /// The hash of the password, if there is such a column.
    pub password: Option<String>,
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
            cache: section.duration("cache", Duration::ZERO..=Duration::from_mins(5)),
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
        let kind = section.text("kind");
        refuse_others(&section, kind);
        let kind = match kind {
            "file" => section
                .parse("path", required)
                .and_then(|()| section.file("path"))
                .map(|path| RepositoryKind::File { path }),
            "sql" => sql(&section),
            "ldap" => Ldap::read(&section).map(|ldap| RepositoryKind::Ldap(Box::new(ldap))),
            _ => {
                section.fault("kind", "must be \"file\", \"sql\" or \"ldap\"");
                None
            }
        };
        Some(Self {
            name: name?,
            kind: kind?,
            domains: section.list("domains", domain),
            bare_names: !section.has("bare_names") || section.flag("bare_names"),
            strip_domain: section.flag("strip_domain"),
        })
    }
}

fn sql(section: &Reader<'_>) -> Option<RepositoryKind> {
    let url = section.secret("url", "");
    let known = [
        "sqlite:",
        "postgres://",
        "postgresql://",
        "mysql://",
        "mariadb://",
    ];
    if !known.iter().any(|scheme| url.starts_with(scheme)) {
        section.fault(
            "url",
            "must be \"sqlite:PATH\", \"postgres://USER@HOST/DATABASE\" or \"mysql://USER@HOST/DATABASE\"",
        );
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
        authorities: section.file("ca"),
        query: query?,
        columns: Columns {
            id: named("id", "id"),
            email: named("email", "email"),
            display_name: optional("display_name"),
            locale: optional("locale"),
            password: optional("password"),
        },
    })
}

/// Refuses the keys that only other kinds have.
fn refuse_others(section: &Reader<'_>, kind: &str) {
    let Some((_, own)) = KEYS.iter().find(|(known, _)| *known == kind) else {
        return;
    };
    let others: BTreeSet<&str> = KEYS.iter().flat_map(|(_, keys)| keys.iter().copied()).collect();
    for key in others.iter().filter(|key| !own.contains(key) && section.has(key)) {
        section.fault(key, format!("does not go with kind \"{kind}\""));
    }
}

fn domain(text: &str) -> Result<String, &'static str> {
    let fits = (1..=255).contains(&text.len()) && !text.contains(['\\', '@']) && text.trim() == text;
    fits.then(|| text.to_owned())
        .ok_or("must be a domain as names have it, such as \"CORP\" or \"corp.example.com\"")
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

//! Section `[secrets]`: the files that accounts may name, apart from those that the configuration itself names.

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use super::{Config, RepositoryKind, reader::Reader};
use crate::{
    domain::violation::Violations,
    secret_files::{Reserved, SecretFiles},
};

/// Every key that ends so names a file with a password or a URL, wherever it stands.
const NAMES_A_SECRET: &str = "_file";

/// The files that accounts may name. A directory that also holds a file which the configuration itself names is a fault:
/// whoever may set up accounts could have it sent to a server of theirs.
pub(super) fn read(
    root: &Table,
    config: &Config,
    path: Option<&Path>,
    faults: &RefCell<Violations>,
) -> SecretFiles {
    let empty = Table::new();
    let table = root.get("secrets").and_then(Value::as_table).unwrap_or(&empty);
    let section = Reader::new(table, "secrets", faults);
    let files = SecretFiles::new(directories(&section), reserved(root, config, path));
    for mixed in files.mixed() {
        let (field, holds) = (
            &mixed.field,
            if mixed.lies_there { "" } else { "another name of " },
        );
        section.fault(
            &format!("directories[{}]", mixed.directory),
            format!(
                "holds {holds}the file that {field} names: an account could name it as its password and have it sent to any \
                 mail server; keep accounts' secrets in a directory of their own"
            ),
        );
    }
    files
}

fn directories(section: &Reader<'_>) -> Vec<PathBuf> {
    section.list("directories", |text| {
        let path = Path::new(text);
        if !path.is_absolute() {
            Err("must be an absolute path")
        } else if path.is_dir() {
            Ok(path.to_owned())
        } else {
            Err("is not a directory")
        }
    })
}

/// What is the process's own.
fn reserved(root: &Table, config: &Config, path: Option<&Path>) -> Vec<Reserved> {
    let mut reserved = Vec::new();
    collect(root, "", &mut reserved);
    let mut add = |field: &str, path: &Path| {
        if !path.as_os_str().is_empty() {
            reserved.push(Reserved {
                field: format!("`{field}`"),
                path: path.to_owned(),
            });
        }
    };
    add("keys.file", &config.key_file);
    if let Some(tls) = &config.server.tls {
        add("server.tls.key", &tls.key);
    }
    if let Some(database) = config.store.file() {
        add("store.url", database);
    }
    for (index, repository) in config.users.repositories.iter().enumerate() {
        match &repository.kind {
            RepositoryKind::File { path } => add(&format!("repository[{index}].path"), path),
            RepositoryKind::Sql { url, .. } => {
                let file = url.strip_prefix("sqlite:").unwrap_or_default();
                let file = file.strip_prefix("//").unwrap_or(file);
                add(&format!("repository[{index}].url"), Path::new(file));
            }
            RepositoryKind::Ldap(_) => {}
        }
    }
    if let Some(path) = path {
        reserved.push(Reserved {
            field: "the option --config".to_owned(),
            path: path.to_owned(),
        });
    }
    reserved
}

/// The files of passwords and URLs in a table and below it: those of settings to come as well.
fn collect(table: &Table, prefix: &str, reserved: &mut Vec<Reserved>) {
    for (key, value) in table {
        let name = if prefix.is_empty() {
            key.clone()
        } else {
            format!("{prefix}.{key}")
        };
        match value {
            Value::Table(table) => collect(table, &name, reserved),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    if let Value::Table(table) = item {
                        collect(table, &format!("{name}[{index}]"), reserved);
                    }
                }
            }
            Value::String(path) if key.ends_with(NAMES_A_SECRET) && !path.is_empty() => {
                reserved.push(Reserved {
                    field: format!("`{name}`"),
                    path: PathBuf::from(path),
                });
            }
            _ => {}
        }
    }
}

//! The configuration: read once, checked whole, before any port is bound.
//!
//! `default.toml` beside this file is the default and the manual. The user's file goes over it, the environment
//! (`MAILFACTOR__SECTION__KEY`) over both. Every fault is reported at once, with the path of its field; a fault never
//! repeats a value, which may be a secret.

use std::{cell::RefCell, fs, net::SocketAddr, path::Path, path::PathBuf};

use toml::{Table, Value};

use crate::{
    domain::{
        account::DefaultCredentials,
        otp_policy::Configured,
        violation::{Violation, Violations},
    },
    secret_files::SecretFiles,
};

mod default_credentials;
mod delivery;
mod duration;
mod environment;
pub mod keys;
mod merge;
mod policy;
mod reader;
mod repository;
mod secrets;
mod server;
mod store;

pub use delivery::{Delivery, Network, Timeouts};
pub use duration::{parse as parse_duration, write as write_duration};
pub use repository::{Columns, Ldap, LdapScope, Repository, RepositoryKind, Users};
pub use server::{Ending, Limits, Log, LogFormat, Server, Tls};
pub use store::{Encryption, Host, Postgres, Retention, Store, StorePlace};

/// The defaults, and what every key means.
pub const DEFAULT: &str = include_str!("default.toml");

/// The whole configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Section `[server]`.
    pub server: Server,
    /// Where metrics are served; `None`: nowhere.
    pub metrics: Option<SocketAddr>,
    /// Section `[log]`.
    pub log: Log,
    /// Section `[store]`.
    pub store: Store,
    /// The key file.
    pub key_file: PathBuf,
    /// Sections `[policy]` and `[events]`.
    pub policies: Configured,
    /// Section `[users]` and the tables `[[repository]]`.
    pub users: Users,
    /// Domains that the invented addresses of decoys are drawn from.
    pub decoy_domains: Vec<String>,
    /// Section `[delivery]`.
    pub delivery: Delivery,
    /// The files that accounts may name as secrets: section `[secrets]`, and what the configuration itself names.
    pub secret_files: SecretFiles,
    /// Section `[default_credentials]`.
    pub default_credentials: Option<DefaultCredentials>,
    /// Sections `[retention]` and `[audit]`.
    pub retention: Retention,
    /// Section `[shutdown]`.
    pub ending: Ending,
}

impl Config {
    /// Reads the defaults, the file over them and the environment over both; `Err` names every fault.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Violations> {
        Self::over_defaults(file.map(read).transpose()?, environment, file)
    }

    /// Reads a configuration from a text alone.
    pub fn parse(text: &str) -> Result<Self, Violations> {
        Self::over_defaults(Some(table(text, "the configuration")?), [], None)
    }

    fn over_defaults(
        file: Option<Table>,
        environment: impl IntoIterator<Item = (String, String)>,
        path: Option<&Path>,
    ) -> Result<Self, Violations> {
        let mut root = table(DEFAULT, "default.toml")?;
        let shapes = merge::Shapes {
            event: child(&root, "policy"),
            repository: table(repository::SHAPE, "repository")?,
        };
        root.insert("repository".to_owned(), Value::Array(Vec::new()));
        let mut faults = Violations::new();
        let known = root.clone();
        if let Some(over) = file {
            merge::merge(&mut root, over, &shapes, &mut faults);
        }
        let over = environment::table(environment, &known, &shapes.event, &mut faults);
        merge::merge(&mut root, over, &shapes, &mut faults);
        let faults = RefCell::new(faults);
        let mut config = Self::read(&root, &faults);
        config.secret_files = secrets::read(&root, &config, path, &faults);
        faults.into_inner().into_result().map(|()| config)
    }

    fn read(root: &Table, faults: &RefCell<Violations>) -> Self {
        let all = reader::Reader::new(root, "", faults);
        let section = |name: &str| all.section(name);
        let store = Store::read(&section("store"));
        let config = Self {
            server: Server::read(&section("server")),
            metrics: server::metrics(&section("metrics")),
            log: Log::read(&section("log")),
            key_file: store::key_file(&section("keys"), &store),
            store,
            policies: policy::read(root, faults),
            users: Users::read(root, &section("users")),
            decoy_domains: delivery::decoy_domains(&section("enumeration")),
            delivery: Delivery::read(&section("delivery")),
            secret_files: SecretFiles::default(),
            default_credentials: default_credentials::read(&section("default_credentials")),
            retention: Retention::read(&section("retention"), &section("audit")),
            ending: Ending::read(&section("shutdown")),
        };
        policy::check_repositories(&config.policies, &config.users, &mut faults.borrow_mut());
        config
    }
}

fn child(table: &Table, key: &str) -> Table {
    table
        .get(key)
        .and_then(Value::as_table)
        .cloned()
        .unwrap_or_default()
}

fn read(path: &Path) -> Result<Table, Violations> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| fault(&name, format!("cannot be read: {error}")))?;
    table(&text, &name)
}

fn table(text: &str, name: &str) -> Result<Table, Violations> {
    text.parse().map_err(|error: toml::de::Error| {
        // The message names what was expected; the rendered error would repeat the line, which may hold a secret.
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.map_or(1, |before| before.matches('\n').count() + 1);
        fault(name, format!("is not TOML, in line {line}: {}", error.message()))
    })
}

fn fault(field: &str, description: String) -> Violations {
    let field = field.to_owned();
    Violation { field, description }.into()
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;

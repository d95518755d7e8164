//! Section `[store.postgres]` and what the URL says: how to reach a PostgreSQL, and how long it may take.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use url::Url;
use zeroize::Zeroizing;

use crate::config::reader::Reader;

/// A database on a PostgreSQL server.
#[derive(Clone)]
pub struct Postgres {
    /// Where the server is.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// The role to log in as.
    pub user: String,
    /// Its password.
    pub password: Option<Zeroizing<String>>,
    /// The database.
    pub database: String,
    /// Whether the connection is encrypted.
    pub tls: Encryption,
    /// Connections of this instance at the most, apart from the one that listens.
    pub connections: u32,
    /// How long opening a connection may take.
    pub connect_timeout: Duration,
    /// How long to wait for a connection that is free.
    pub acquire_timeout: Duration,
    /// How long the server works on one statement.
    pub statement_timeout: Duration,
    /// How long a connection that is in doubt may take to show that it lives.
    pub ping_timeout: Duration,
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// Its name or address.
    Name(String),
    /// The directory of its socket.
    Socket(PathBuf),
}

/// Whether a connection is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// It is not.
    Plain,
    /// By TLS, to a server whose certificate is for its name and comes from a public authority or one of these.
    Verified(Option<PathBuf>),
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Postgres")
            .field("place", &self.name())
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

impl Postgres {
    /// Where the database is, for people: no user, no password.
    #[must_use]
    pub fn name(&self) -> String {
        let Self { port, database, .. } = self;
        match &self.host {
            Host::Name(host) if host.contains(':') => format!("postgres://[{host}]:{port}/{database}"),
            Host::Name(host) => format!("postgres://{host}:{port}/{database}"),
            Host::Socket(path) => format!("postgres:{database} at {}", path.display()),
        }
    }

    /// Reads the section, and the URL that is set under `url` in `store`.
    pub(super) fn read(store: &Reader<'_>, section: &Reader<'_>, url: &str) -> Option<Self> {
        let ms = Duration::from_millis;
        let (connections, short) = (section.number("connections", 2..=512), ms(50)..=ms(2_400));
        let connect_timeout = section.duration("connect_timeout", short.clone());
        let acquire_timeout = section.duration("acquire_timeout", short.clone());
        let statement_timeout = section.duration("statement_timeout", short.clone());
        let ping_timeout = section.duration("ping_timeout", short);
        let authorities = section.file("ca");
        let password = section.secret("password", "");
        let place = Url::parse(url).map_err(|_| WRONG).and_then(|url| parse(&url));
        let place = place.map_err(|fault| store.fault("url", fault)).ok()?;
        if place.password.is_some() && !password.is_empty() {
            section.fault(
                "password",
                "contradicts `store.url`: set the password in only one of the two",
            );
        }
        let password = Some(password).filter(|password| !password.is_empty());
        let tls = if place.encrypted {
            Encryption::Verified(authorities)
        } else {
            if authorities.is_some() {
                let text = "is of no use without TLS: add `?sslmode=verify-full` to `store.url`";
                section.fault("ca", text);
            }
            Encryption::Plain
        };
        Some(Self {
            host: place.host,
            port: place.port,
            user: place.user,
            password: place.password.or(password).map(Zeroizing::new),
            database: place.database,
            tls,
            connections,
            connect_timeout,
            acquire_timeout,
            statement_timeout,
            ping_timeout,
        })
    }
}

pub(super) const WRONG: &str =
    "must be \"sqlite:\" and the path of a file, or \"postgres://USER@HOST:PORT/DATABASE\"";

/// What a URL says.
struct Place {
    host: Host,
    port: u16,
    user: String,
    password: Option<String>,
    database: String,
    encrypted: bool,
}

/// Reads a URL. Faults never repeat what it says: it may hold a password.
fn parse(url: &Url) -> Result<Place, &'static str> {
    let user = decoded(url.username())?;
    let database = decoded(url.path().trim_start_matches('/'))?;
    if user.is_empty() || database.is_empty() || database.contains('/') {
        return Err("must name a user and a database: \"postgres://USER@HOST:PORT/DATABASE\"");
    }
    let mut host = decoded(url.host_str().unwrap_or_default())?;
    let mut mode = None;
    for (key, value) in url.query_pairs() {
        match &*key {
            "host" => host = value.into_owned(),
            "sslmode" => mode = Some(value.into_owned()),
            _ => return Err("has a parameter other than `host` and `sslmode`"),
        }
    }
    if host.is_empty() {
        return Err("must name a host, or the directory of a socket as `?host=/run/postgresql`");
    }
    let host = if host.starts_with('/') {
        Host::Socket(PathBuf::from(host))
    } else {
        Host::Name(host.trim_start_matches('[').trim_end_matches(']').to_owned())
    };
    let encrypted = match (mode.as_deref(), &host) {
        (None | Some("disable"), Host::Socket(_)) | (Some("disable"), _) => false,
        (None, Host::Name(name)) => !is_loopback(name),
        (Some("verify-full"), Host::Name(_)) => true,
        (Some("verify-full"), Host::Socket(_)) => return Err("cannot have TLS on a socket"),
        _ => {
            return Err(
                "must have the `sslmode` \"verify-full\" or \"disable\": others look encrypted and trust anybody",
            );
        }
    };
    Ok(Place {
        host,
        port: url.port().unwrap_or(5432),
        user,
        password: url.password().map(decoded).transpose()?,
        database,
        encrypted,
    })
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Text without percent signs. The rest is read as a query is, but for the signs that mean something only there.
fn decoded(text: &str) -> Result<String, &'static str> {
    let query = format!("x={}", text.replace('+', "%2B").replace('&', "%26"));
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.next().map(|(_, value)| value.into_owned()).ok_or(WRONG)
}

//! Where a database of users is, as its URL says, and how it is opened: read-only, with a bound for every statement.

use std::{fmt, path::Path, time::Duration};

use sqlx::{
    ConnectOptions as _, Executor as _, MySqlConnection, Row as _,
    mysql::{MySqlConnectOptions, MySqlSslMode},
    postgres::{PgConnectOptions, PgSslMode},
    sqlite::SqliteConnectOptions,
};
use url::Url;

/// What a URL may be.
const SHAPE: &str =
    "must be \"sqlite:PATH\", \"postgres://USER@HOST/DATABASE\" or \"mysql://USER@HOST/DATABASE\"";

/// A database, not connected yet.
#[derive(Clone)]
pub(super) enum Place {
    Sqlite(SqliteConnectOptions),
    Postgres(PgConnectOptions),
    MySql(MySqlConnectOptions),
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Place(..)")
    }
}

impl Place {
    /// Reads a URL. Faults never repeat what it says: it may hold a password.
    pub(super) fn parse(
        text: &str,
        authorities: Option<&Path>,
        limit: Duration,
    ) -> Result<Self, &'static str> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            return sqlite(path, limit).map(Self::Sqlite);
        }
        let url = Url::parse(text).map_err(|_| SHAPE)?;
        let server = ServerPlace::read(&url)?;
        match url.scheme() {
            "postgres" | "postgresql" => Ok(Self::Postgres(server.postgres(authorities, limit))),
            "mysql" | "mariadb" => Ok(Self::MySql(server.mysql(authorities))),
            _ => Err(SHAPE),
        }
    }
}

fn sqlite(path: &str, limit: Duration) -> Result<SqliteConnectOptions, &'static str> {
    if path.is_empty() || path.contains('?') || path.contains(":memory:") {
        return Err("must be `sqlite:PATH`");
    }
    Ok(SqliteConnectOptions::new()
        .filename(path.strip_prefix("//").unwrap_or(path))
        .read_only(true)
        .create_if_missing(false)
        .busy_timeout(limit)
        .disable_statement_logging())
}

/// What the URL of a server says.
struct ServerPlace {
    host: String,
    port: Option<u16>,
    user: String,
    password: String,
    database: String,
    encrypted: bool,
}

impl ServerPlace {
    fn read(url: &Url) -> Result<Self, &'static str> {
        let user = decoded(url.username())?;
        let database = decoded(url.path().trim_start_matches('/'))?;
        if user.is_empty() || database.is_empty() || database.contains('/') {
            return Err("must name a user and a database, as in \"postgres://USER@HOST/DATABASE\"");
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
        let host = host.trim_matches(['[', ']']).to_owned();
        let socket = host.starts_with('/');
        let encrypted = match mode.as_deref() {
            _ if host.is_empty() => return Err("must name a host, or a socket as `?host=/run/..`"),
            None => !socket && !is_loopback(&host),
            Some("disable") => false,
            Some("verify-full") if !socket => true,
            Some(_) => {
                return Err(
                    "must have the `sslmode` \"verify-full\" or \"disable\": others look encrypted and trust anybody",
                );
            }
        };
        Ok(Self {
            host,
            port: url.port(),
            user,
            password: url.password().map_or(Ok(String::new()), decoded)?,
            database,
            encrypted,
        })
    }

    fn postgres(&self, authorities: Option<&Path>, limit: Duration) -> PgConnectOptions {
        let options = PgConnectOptions::new_without_pgpass()
            .port(self.port.unwrap_or(5432))
            .username(&self.user)
            .password(&self.password)
            .database(&self.database)
            .application_name("mailfactor")
            .options([
                ("statement_timeout", limit.as_millis().max(1).to_string()),
                ("default_transaction_read_only", "on".to_owned()),
            ])
            .disable_statement_logging();
        let options = if self.host.starts_with('/') {
            options.socket(&self.host)
        } else {
            options.host(&self.host)
        };
        match (self.encrypted, authorities) {
            (false, _) => options.ssl_mode(PgSslMode::Disable),
            (true, None) => options.ssl_mode(PgSslMode::VerifyFull),
            (true, Some(file)) => options.ssl_mode(PgSslMode::VerifyFull).ssl_root_cert(file),
        }
    }

    fn mysql(&self, authorities: Option<&Path>) -> MySqlConnectOptions {
        let options = MySqlConnectOptions::new()
            .port(self.port.unwrap_or(3306))
            .username(&self.user)
            .password(&self.password)
            .database(&self.database)
            .disable_statement_logging();
        let options = if self.host.starts_with('/') {
            options.socket(&self.host)
        } else {
            options.host(&self.host)
        };
        match (self.encrypted, authorities) {
            (false, _) => options.ssl_mode(MySqlSslMode::Disabled),
            (true, None) => options.ssl_mode(MySqlSslMode::VerifyIdentity),
            (true, Some(file)) => options.ssl_mode(MySqlSslMode::VerifyIdentity).ssl_ca(file),
        }
    }
}

/// Makes a new connection to MySQL or MariaDB one that only reads, and bounds its statements. The two name that bound
/// differently, and count it in other units.
pub(super) async fn bound_mysql(
    connection: &mut MySqlConnection,
    limit: Duration,
) -> Result<(), sqlx::Error> {
    let row = connection.fetch_one("SELECT VERSION()").await?;
    let version: String = row.try_get_unchecked(0)?;
    let millis = limit.as_millis().max(1);
    let bound = if version.to_ascii_lowercase().contains("mariadb") {
        format!(
            "SET SESSION max_statement_time = {}.{:03}",
            millis / 1_000,
            millis % 1_000
        )
    } else {
        format!("SET SESSION max_execution_time = {millis}")
    };
    connection.execute(sqlx::AssertSqlSafe(bound)).await?;
    connection.execute("SET SESSION TRANSACTION READ ONLY").await?;
    Ok(())
}

fn is_loopback(host: &str) -> bool {
    let address: Option<std::net::IpAddr> = host.parse().ok();
    host == "localhost" || address.is_some_and(|address| address.is_loopback())
}

/// Text without percent signs. The rest is read as a query is, but for the signs that mean something only there.
fn decoded(text: &str) -> Result<String, &'static str> {
    let query = format!("x={}", text.replace('+', "%2B").replace('&', "%26"));
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.next().map(|(_, value)| value.into_owned()).ok_or(SHAPE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ServerPlace, &'static str> {
        ServerPlace::read(&Url::parse(text).unwrap())
    }

    #[test]
    fn a_server_off_loopback_must_prove_its_name() {
        for (url, encrypted) in [
            ("postgres://ann:p%40ss@db.example.com/users", true),
            ("postgres://ann@db.example.com/users?sslmode=disable", false),
            ("mysql://ann@127.0.0.1:3307/users", false),
            ("mysql://ann@[::1]/users?sslmode=verify-full", true),
            ("mariadb://ann@x/users?host=/run/mysqld/mysqld.sock", false),
        ] {
            assert_eq!(read(url).unwrap().encrypted, encrypted, "{url}");
        }
        assert_eq!(read("postgres://ann:p%40ss@db/users").unwrap().password, "p@ss");
        for url in [
            "postgres://db/users",
            "postgres://ann@db",
            "postgres://ann@db/users?sslmode=require",
            "postgres://ann@db/users?x=y",
        ] {
            assert!(read(url).is_err(), "{url}");
        }
        let parse = |url| Place::parse(url, None, Duration::from_secs(2));
        assert!(matches!(parse("mysql://ann@db/users"), Ok(Place::MySql(_))));
        assert!(parse("oracle://ann@db/users").is_err());
        let shown = format!("{:?}", parse("postgres://ann:canary@db/users"));
        assert!(!shown.contains("canary"), "{shown}");
    }
}

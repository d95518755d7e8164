//! How a PostgreSQL is reached, and what is asked of it when a connection is opened.

use std::{fmt, path::PathBuf, time::Duration};

use sqlx::{
    ConnectOptions as _,
    postgres::{PgConnectOptions, PgSslMode},
};
use zeroize::Zeroizing;

use super::dialect::STATEMENTS;

/// How to reach a PostgreSQL, and how long it may take.
#[derive(Clone)]
pub struct ServerSettings {
    /// The server's name or address, or the directory of its socket.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The role to log in as.
    pub user: String,
    /// Its password.
    pub password: Option<Zeroizing<String>>,
    /// The database.
    pub database: String,
    /// Whether to insist on TLS with a server that proves its name.
    pub encrypted: bool,
    /// Authorities to trust beside the public ones, a PEM file.
    pub authorities: Option<PathBuf>,
    /// Connections at the most.
    pub connections: u32,
    /// How long opening one may take.
    pub connect_timeout: Duration,
    /// How long to wait for one that is free.
    pub acquire_timeout: Duration,
    /// How long the server works on one statement.
    pub statement_timeout: Duration,
    /// How long one that is in doubt may take to show that it lives.
    pub ping_timeout: Duration,
    /// How long one operation may take in all.
    pub deadline: Duration,
}

impl fmt::Debug for ServerSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerSettings(..)")
    }
}

impl ServerSettings {
    /// The same for sqlx.
    pub(super) fn options(&self) -> PgConnectOptions {
        let millis = |span: Duration| span.as_millis().max(1).to_string();
        let options = PgConnectOptions::new_without_pgpass()
            .port(self.port)
            .username(&self.user)
            // Without one here, none from the environment either.
            .password(self.password.as_ref().map_or("", |password| password.as_str()))
            .database(&self.database)
            .application_name("mailfactor")
            .statement_cache_capacity(STATEMENTS)
            .options([
                ("statement_timeout", millis(self.statement_timeout)),
                // Whoever froze in the middle of a transaction holds no row for longer than this.
                ("idle_in_transaction_session_timeout", millis(2 * self.deadline)),
                // Once nobody is there any more, the server soon stops working for them.
                ("client_connection_check_interval", millis(self.deadline)),
                ("default_transaction_isolation", "read committed".to_owned()),
            ])
            .disable_statement_logging();
        let options = if self.host.starts_with('/') {
            options.socket(&self.host)
        } else {
            options.host(&self.host)
        };
        match (&self.authorities, self.encrypted) {
            (_, false) => options.ssl_mode(PgSslMode::Disable),
            (None, true) => options.ssl_mode(PgSslMode::VerifyFull),
            (Some(file), true) => options.ssl_mode(PgSslMode::VerifyFull).ssl_root_cert(file),
        }
    }
}

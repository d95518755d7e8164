//! A PostgreSQL of the harness's own, durable as by default: `fsync` and `synchronous_commit` are on.
//!
//! It runs beside the driver, as a database on another machine would not take the service's core. It refuses to be root,
//! so root starts it as its usual user.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::unistd::{Uid, User};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::{Outcome, machine};

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_mins(1);

/// Starts the server, and ends it when nobody holds the input any more, however the harness ended.
const GUARD: &str = r#"
    "$1" -D "$2" &
    cat >/dev/null
    kill -QUIT $!
    wait
"#;

/// A running server; it ends when it is dropped.
pub(crate) struct Postgres {
    guard: Child,
    address: SocketAddr,
    _directory: TempDir,
}

impl Postgres {
    /// Starts one with an empty database. `None`: it is not installed.
    pub(crate) async fn start(directory: &Path) -> Outcome<Option<Self>> {
        let Some(programs) = programs() else {
            return Ok(None);
        };
        let user = if Uid::effective().is_root() {
            User::from_name("postgres")?
        } else {
            None
        };
        let directory = tempfile::Builder::new()
            .prefix("postgres-")
            .tempdir_in(directory)?;
        let root = directory.path();
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        if let Some(user) = &user {
            chown(root, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        let run_as = |command: &mut Command| {
            if let Some(user) = &user {
                command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
            }
            command.current_dir(root);
        };
        let data = root.join("data");
        let mut initdb = Command::new(programs.join("initdb"));
        run_as(&mut initdb);
        initdb.args([
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C",
            "--auth=trust",
            "-D",
        ]);
        let made = initdb.arg(&data).stdin(Stdio::null()).output()?;
        if !made.status.success() {
            return Err(format!("initdb: {}", String::from_utf8_lossy(&made.stderr)).into());
        }
        fs::write(data.join("postgresql.auto.conf"), configuration(root, address))?;
        let log = File::create(root.join("log"))?;
        let mut server = Command::new("/bin/sh");
        run_as(&mut server);
        server
            .args(["-c", GUARD, "guard"])
            .arg(programs.join("postgres"))
            .arg(&data)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log);
        let server = Self {
            guard: machine::spawn_on(machine::CLIENT, &mut server)?,
            address,
            _directory: directory,
        };
        let mut connection = timeout(PATIENCE, server.connection())
            .await
            .map_err(|_| "PostgreSQL does not start")?;
        connection.execute("CREATE ROLE load LOGIN").await?;
        connection.execute("CREATE DATABASE load OWNER load").await?;
        connection.close().await?;
        Ok(Some(server))
    }

    /// Where the database is.
    pub(crate) fn url(&self) -> String {
        format!("postgres://load@{}/load", self.address)
    }

    async fn connection(&self) -> PgConnection {
        let url = format!("postgres://postgres@{}/postgres", self.address);
        loop {
            if let Ok(connection) = PgConnection::connect(&url).await {
                return connection;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

fn configuration(root: &Path, address: SocketAddr) -> String {
    format!(
        "listen_addresses = '{}'\nport = {}\nunix_socket_directories = '{}'\nfsync = on\nsynchronous_commit = on\n\
         shared_buffers = 256MB\nmax_connections = 100\n",
        address.ip(),
        address.port(),
        root.display()
    )
}

/// The newest of Debian's directories, or wherever the path has it.
fn programs() -> Option<PathBuf> {
    let debian = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let debian = debian.filter_map(|entry| {
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        Some((version, entry.path().join("bin")))
    });
    let newest = debian.max().map(|(_, programs)| programs);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = newest.into_iter().chain(std::env::split_paths(&path));
    places.into_iter().find(|place| place.join("initdb").is_file())
}

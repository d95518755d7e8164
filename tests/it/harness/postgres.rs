//! A real PostgreSQL of the tests' own: its files lie in a directory that goes when it goes, it listens on a free port of
//! 127.0.0.1 and on a socket in that directory, and a guard ends it even where the tests are killed.
//!
//! PostgreSQL refuses to run as root: it is started as the user `postgres`, or as nobody. The library's own tests use
//! this file too; what only faults need is in `postgres_faults`.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use nix::unistd::{Uid, User};

use super::installed;

/// Whose databases they are.
pub const ROLE: &str = "mailfactor";
/// What the role shows over TCP.
pub const PASSWORD: &str = "postgres-canary-7";

/// How often to look whether it has started, 10 ms apart: for a minute.
const LOOKS: u32 = 6_000;

/// A running PostgreSQL; it stops when it is dropped.
pub struct Postgres {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where everything of it lies, its socket too.
    pub(super) directory: PathBuf,
    /// The server process.
    pub(super) server: Mutex<Child>,
    programs: PathBuf,
    user: Option<User>,
    guard: Mutex<Child>,
    databases: AtomicU32,
}

/// A certificate and its key, in PEM.
pub struct Certificate<'a> {
    pub chain: &'a str,
    pub key: &'a str,
}

impl Postgres {
    /// Starts one, or says that the test skips.
    pub fn start() -> Option<Self> {
        Self::start_with(None)
    }

    /// One for every test of this process; or says that the test skips.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Postgres>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// The same with a certificate: it then takes connections with TLS, and without.
    pub fn start_with(certificate: Option<&Certificate<'_>>) -> Option<Self> {
        let initdb = installed::newest_below(Path::new("/usr/lib/postgresql"), "initdb")
            .or_else(|| installed::program("initdb"));
        let initdb = installed::require(initdb, "PostgreSQL")?;
        // Somebody may take the port between choosing and binding it.
        for _ in 0..3 {
            let started = Self::try_start(initdb.parent().unwrap(), certificate);
            if started.is_some() {
                return started;
            }
        }
        panic!("PostgreSQL did not start");
    }

    /// Makes an empty database.
    pub fn database(&self) -> String {
        let name = format!("db{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name} OWNER {ROLE}"));
        name
    }

    /// Where a database is, over TCP.
    pub fn url(&self, database: &str) -> String {
        url(self.address, database)
    }

    /// Runs a statement as the administrator, over the socket, and gives what it says.
    pub fn sql(&self, database: &str, statement: &str) -> String {
        let output = Command::new(self.programs.join("psql"))
            .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h"])
            .arg(&self.directory)
            .args(["-p", &self.address.port().to_string()])
            .args(["-d", database, "-c", statement])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{statement}: {said}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// What it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    fn try_start(programs: &Path, certificate: Option<&Certificate<'_>>) -> Option<Self> {
        let user = Uid::effective().is_root().then(|| {
            let known = ["postgres", "nobody"].map(|name| User::from_name(name).unwrap());
            known.into_iter().flatten().next().unwrap()
        });
        let directory = tempfile::Builder::new()
            .prefix("mailfactor-postgres-")
            .tempdir()
            .unwrap()
            .keep();
        // From here on the guard removes it.
        let guard = guard(&directory);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        own(&directory, user.as_ref());
        let mut command = Command::new(programs.join("initdb"));
        command
            .args([
                "--username=postgres",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            ])
            .args(["--auth-local=trust", "--auth-host=scram-sha-256", "-D"])
            .arg(directory.join("data"))
            .current_dir(&directory);
        run_as(&mut command, user.as_ref());
        let made = command.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "initdb: {said}");
        let mut configuration = configuration(&directory, port);
        if let Some(certificate) = certificate {
            for (name, text) in [("chain.pem", certificate.chain), ("key.pem", certificate.key)] {
                write(&directory.join(name), text, user.as_ref());
            }
            configuration.push_str("ssl = on\n");
        }
        write(
            &directory.join("data/postgresql.auto.conf"),
            &configuration,
            user.as_ref(),
        );
        let started = Self {
            address: port,
            server: Mutex::new(spawn(programs, &directory, user.as_ref())),
            directory,
            programs: programs.to_owned(),
            user,
            guard: Mutex::new(guard),
            databases: AtomicU32::new(0),
        };
        if !started.is_ready() {
            eprintln!("PostgreSQL does not start:\n{}", started.log());
            return None;
        }
        let role = format!("CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'");
        started.sql("postgres", &role);
        Some(started)
    }

    /// Starts it again after its process has ended.
    pub(super) fn spawn_again(&self) {
        *self.server.lock().unwrap() = spawn(&self.programs, &self.directory, self.user.as_ref());
        assert!(self.is_ready(), "PostgreSQL does not come back:\n{}", self.log());
    }

    /// Waits until it says in its own file that it is ready; `false`: it has ended instead.
    fn is_ready(&self) -> bool {
        let file = self.directory.join("data/postmaster.pid");
        for _ in 0..LOOKS {
            if self.server.lock().unwrap().try_wait().unwrap().is_some() {
                return false;
            }
            let text = fs::read_to_string(&file).unwrap_or_default();
            // The eighth line says how it is; the first whose file it is.
            let mut lines = text.lines().map(str::trim);
            let id = self.server.lock().unwrap().id().to_string();
            if lines.next() == Some(&id) && lines.nth(6) == Some("ready") {
                return true;
            }
            thread::sleep(Duration::from_millis(10));
        }
        false
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The guard ends the server, stopped or not, and removes the directory.
        let guard = self.guard.get_mut().unwrap();
        drop::<Option<ChildStdin>>(guard.stdin.take());
        let _ = self.server.get_mut().unwrap().wait();
        let _ = guard.wait();
    }
}

/// Where a database is that is reached at this address.
pub fn url(address: SocketAddr, database: &str) -> String {
    format!("postgres://{ROLE}:{PASSWORD}@{address}/{database}")
}

/// A process that waits until nobody holds its input any more, be it that the tests let go or that they were killed. It
/// then ends the server that is named in the server's own file, and removes the directory.
fn guard(directory: &Path) -> Child {
    const SCRIPT: &str = r#"
        cat >/dev/null
        if read -r id <"$1/data/postmaster.pid"; then
            kill -CONT "$id"; kill -QUIT "$id"
            for _ in $(seq 400); do kill -0 "$id" && test -e "$1/data/postmaster.pid" || break; sleep 0.05; done
        fi
        rm -rf -- "$1"
    "#;
    Command::new("/bin/sh")
        .args(["-c", SCRIPT, "guard"])
        .arg(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // What ends the tests from a terminal must not end it.
        .process_group(0)
        .spawn()
        .unwrap()
}

fn configuration(directory: &Path, address: SocketAddr) -> String {
    format!(
        "listen_addresses = '{}'
port = {}
unix_socket_directories = '{root}'
max_connections = 200
shared_buffers = 32MB
fsync = on
synchronous_commit = on
autovacuum = on
ssl_cert_file = '{root}/chain.pem'
ssl_key_file = '{root}/key.pem'
",
        Ipv4Addr::LOCALHOST,
        address.port(),
        root = directory.display(),
    )
}

fn spawn(programs: &Path, directory: &Path, user: Option<&User>) -> Child {
    let log = File::options()
        .create(true)
        .append(true)
        .open(directory.join("log"))
        .unwrap();
    let mut command = Command::new(programs.join("postgres"));
    run_as(&mut command, user);
    command
        .arg("-D")
        .arg(directory.join("data"))
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .process_group(0)
        .spawn()
        .unwrap()
}

fn run_as(command: &mut Command, user: Option<&User>) {
    if let Some(user) = user {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
}

fn write(file: &Path, text: &str, user: Option<&User>) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    own(file, user);
}

fn own(path: &Path, user: Option<&User>) {
    if let Some(user) = user {
        chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
    }
}

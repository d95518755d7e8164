//! A real MariaDB of the tests' own.

use std::{
    net::SocketAddr,
    process::{Command, Stdio},
    sync::OnceLock,
};

use super::{
    certs::{Authority, Kind},
    installed,
    private::{Private, free_port},
};

/// Who reads users.
pub const READER: &str = "reader";
/// With this password.
pub const PASSWORD: &str = "mariadb-canary-7";

/// A running MariaDB; it stops when it is dropped.
pub struct MariaDb {
    /// Where it listens, with TLS and without.
    pub address: SocketAddr,
    /// Where its certificate comes from.
    pub authority: Authority,
    private: Private,
}

impl MariaDb {
    /// One for every test of this process; or says that the test skips.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<MariaDb>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// Starts one, or says that the test skips.
    pub fn start() -> Option<Self> {
        installed::require(installed::program("mariadbd"), "MariaDB")?;
        // Somebody may take the port between choosing and binding it.
        for _ in 0..3 {
            if let Some(started) = Self::try_start() {
                return Some(started);
            }
        }
        panic!("MariaDB did not start");
    }

    /// Where a database is, over TCP.
    pub fn url(&self, database: &str) -> String {
        format!("mysql://{READER}:{PASSWORD}@{}/{database}", self.address)
    }

    /// Runs statements as the administrator, and gives what they say.
    pub fn sql(&self, database: &str, statements: &str) -> String {
        let output = self.client(database, statements).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{statements}: {said}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Ends it as a power cut would.
    pub fn kill(&self) {
        self.private.kill();
    }

    /// Freezes it, or lets it go on.
    pub fn freeze(&self, frozen: bool) {
        self.private.freeze(frozen);
    }

    fn client(&self, database: &str, statements: &str) -> Command {
        let mut command = Command::new(installed::program("mariadb").unwrap());
        command
            .args(["--no-defaults", "-BN", "-u", "root", "-S"])
            .arg(self.private.directory.join("socket"))
            .args(["-e", statements, database])
            .stdin(Stdio::null());
        command
    }

    fn try_start() -> Option<Self> {
        let private = Private::new("mariadb");
        let address = free_port();
        let authority = Authority::new();
        let issued = authority.issue(Kind::Good);
        let directory = private.directory.clone();
        let file = |name: &str, text: &str| std::fs::write(directory.join(name), text).unwrap();
        file("chain.pem", &issued.certificate);
        file("key.pem", &issued.key);
        let made = Command::new(installed::program("mariadb-install-db").unwrap())
            .args([
                "--no-defaults",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
            ])
            .args([who(), format!("--datadir={}", directory.join("data").display())])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "mariadb-install-db: {said}");
        let mut command = Command::new(installed::program("mariadbd").unwrap());
        command
            .args([
                "--no-defaults",
                "--bind-address=127.0.0.1",
                "--skip-log-bin",
                "--general-log",
                &who(),
            ])
            .args([
                format!("--port={}", address.port()),
                format!("--datadir={}", directory.join("data").display()),
                format!("--socket={}", directory.join("socket").display()),
                format!("--pid-file={}", directory.join("mariadb.pid").display()),
                format!("--general-log-file={}", directory.join("general.log").display()),
                format!("--ssl-cert={}", directory.join("chain.pem").display()),
                format!("--ssl-key={}", directory.join("key.pem").display()),
                "--innodb-buffer-pool-size=32M".to_owned(),
            ]);
        let started = Self {
            address,
            authority,
            private,
        };
        let ready = || {
            let asked = started.client("mysql", "SELECT 1").output();
            asked.is_ok_and(|output| output.status.success())
        };
        if !started.private.run(command, ready) {
            return None;
        }
        started.sql(
            "mysql",
            &format!("CREATE USER '{READER}'@'%' IDENTIFIED BY '{PASSWORD}'"),
        );
        Some(started)
    }

    /// The statements so far in which this stands.
    pub fn statements(&self, text: &str) -> usize {
        let log = std::fs::read(self.private.directory.join("general.log")).unwrap_or_default();
        String::from_utf8_lossy(&log)
            .lines()
            .filter(|line| line.contains("Execute") && line.contains(text))
            .count()
    }
}

/// MariaDB refuses to run as root unless it is told to.
fn who() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::effective());
    format!(
        "--user={}",
        user.ok().flatten().map_or("root".to_owned(), |user| user.name)
    )
}

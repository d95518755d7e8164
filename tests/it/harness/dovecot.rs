//! A real Dovecot of the test's own: its submission service takes mail from whoever shows an access token that the
//! authorization server's introspection knows, and hands it on to the test's own mail server.
//!
//! Dovecot must be started by root. Configuration, sockets and log lie in a directory that goes when it goes.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::{Pid, Uid, User},
};
use tempfile::TempDir;
use tokio::{io::AsyncReadExt as _, net::TcpStream, time::timeout};

use super::{
    certs::{Authority, Kind},
    clients,
};

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running Dovecot; it stops when it is dropped.
pub struct Dovecot {
    /// Where it speaks SMTP with STARTTLS.
    pub starttls: SocketAddr,
    /// The authority that its certificate comes from, PEM.
    pub ca: String,
    master: Child,
    directory: TempDir,
}

impl Dovecot {
    /// Starts it before this mail server, with tokens checked there; or says that the test skips.
    pub async fn start(authorization: SocketAddr, relay: SocketAddr) -> Option<Self> {
        let program = clients::program("dovecot").filter(|_| {
            let parts = ["auth", "submission", "submission-login"];
            let found = parts.map(|part| Path::new("/usr/lib/dovecot").join(part).is_file());
            found == [true; 3] && Uid::effective().is_root()
        });
        let program = clients::require(program, "Dovecot's submission service, started as root,")?;
        // Somebody may take a port between choosing and binding it.
        for _ in 0..3 {
            if let Some(started) = Self::try_start(&program, authorization, relay).await {
                return Some(started);
            }
        }
        panic!("Dovecot did not start");
    }

    /// What it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    async fn try_start(program: &PathBuf, authorization: SocketAddr, relay: SocketAddr) -> Option<Self> {
        let directory = tempfile::Builder::new()
            .prefix("mailfactor-dovecot-")
            .tempdir()
            .unwrap();
        let root = directory.path();
        // Its processes run as users of their own and must reach what is below.
        fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
        let nobody = User::from_name("nobody").unwrap().unwrap();
        for name in ["run", "state", "home"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        chown(
            root.join("home"),
            Some(nobody.uid.as_raw()),
            Some(nobody.gid.as_raw()),
        )
        .unwrap();
        let authority = Authority::new();
        let issued = authority.issue(Kind::Good);
        fs::write(root.join("certificate.pem"), issued.certificate).unwrap();
        fs::write(root.join("key.pem"), issued.key).unwrap();
        let starttls = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        fs::write(root.join("oauth2.conf"), oauth2_conf(authorization)).unwrap();
        fs::write(root.join("dovecot.conf"), dovecot_conf(root, starttls, relay)).unwrap();
        let mut master = Command::new(program)
            .arg("-F")
            .arg("-c")
            .arg(root.join("dovecot.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A group of its own, so that all its processes can be stopped by its id.
            .process_group(0)
            .spawn()
            .unwrap();
        let ready = timeout(PATIENCE, greeted(starttls, &mut master))
            .await
            .unwrap_or(false);
        let started = Self {
            starttls,
            ca: authority.pem().to_owned(),
            master,
            directory,
        };
        if !ready {
            eprintln!("Dovecot does not answer:\n{}", started.log());
        }
        ready.then_some(started)
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        // Only the group that was started here.
        let group = Pid::from_raw(i32::try_from(self.master.id()).unwrap());
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.master.wait();
    }
}

fn oauth2_conf(authorization: SocketAddr) -> String {
    format!(
        "introspection_url = http://introspector:introspector-secret-3@{authorization}/introspect
introspection_mode = post
force_introspection = yes
username_attribute = username
active_attribute = active
active_value = true
"
    )
}

fn dovecot_conf(root: &Path, starttls: SocketAddr, relay: SocketAddr) -> String {
    format!(
        "base_dir = {root}/run
state_dir = {root}/state
log_path = {root}/log
auth_verbose = yes
protocols = submission
listen = 127.0.0.1
hostname = mail.example.test
ssl = required
ssl_cert = <{root}/certificate.pem
ssl_key = <{root}/key.pem
auth_mechanisms = xoauth2 oauthbearer
auth_failure_delay = 0
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {root}/oauth2.conf
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={root}/home
}}
mail_location = maildir:{root}/home/mail
first_valid_uid = 1
submission_relay_host = {relay_host}
submission_relay_port = {relay_port}
submission_relay_ssl = no
service submission-login {{
  chroot =
  inet_listener submission {{
    port = {port}
  }}
  inet_listener submissions {{
    port = 0
  }}
}}
",
        root = root.display(),
        relay_host = relay.ip(),
        relay_port = relay.port(),
        port = starttls.port(),
    )
}

/// Whether the server has greeted; ends without it when the master has ended.
async fn greeted(address: SocketAddr, master: &mut Child) -> bool {
    while matches!(master.try_wait(), Ok(None)) {
        if let Ok(mut stream) = TcpStream::connect(address).await {
            let mut code = [0; 3];
            if stream.read_exact(&mut code).await.is_ok() {
                return &code == b"220";
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

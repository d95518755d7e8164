//! A real Dovecot of the test's own, with one mailbox read over IMAP and POP3: its configuration and maildir lie in a
//! directory that goes when it goes. It must be started by root.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tempfile::TempDir;
use tokio::{io::AsyncReadExt as _, net::TcpStream, time::timeout};

use super::{
    certs::{Authority, Kind},
    clients,
};

/// The user that may log in.
pub const USERNAME: &str = "bounces@example.org";
/// Its password: with what must be quoted in a line of IMAP.
pub const PASSWORD: &str = r#"inbox "password\1 ü"#;

const PATIENCE: Duration = Duration::from_secs(20);

/// The user and group `nobody` and `nogroup`, whom the maildir belongs to, as Postfix's does in its tests.
const NOBODY: (u32, u32) = (65534, 65534);

/// A running Dovecot; it stops when it is dropped.
pub struct Mailbox {
    pub imap: SocketAddr,
    pub imaps: SocketAddr,
    pub pop3: SocketAddr,
    pub pop3s: SocketAddr,
    /// Issued the server's certificate, which is for `localhost` and 127.0.0.1.
    pub authority: Authority,
    maildir: PathBuf,
    delivered: AtomicUsize,
    master: Child,
    directory: TempDir,
}

impl Mailbox {
    /// Starts it on an empty mailbox, or says that the test skips.
    pub async fn start() -> Option<Self> {
        Self::over(None).await
    }

    /// Starts it on somebody else's maildir.
    pub async fn over(maildir: Option<PathBuf>) -> Option<Self> {
        let dovecot = clients::program("dovecot").filter(|_| installed() && is_root());
        let dovecot = clients::require(dovecot, "Dovecot with IMAP and POP3, started as root,")?;
        // Somebody may take a port between choosing and binding it.
        for _ in 0..3 {
            if let Some(started) = Self::try_start(&dovecot, maildir.clone()).await {
                return Some(started);
            }
        }
        panic!("Dovecot did not start");
    }

    /// Puts a message into the mailbox, as a mail server would.
    pub fn deliver(&self, message: impl AsRef<[u8]>) {
        let number = self.delivered.fetch_add(1, Ordering::SeqCst);
        let name = format!("{:010}.{number:06}.test", 1_700_000_000 + number);
        let fresh = self.maildir.join("tmp").join(&name);
        fs::write(&fresh, message).unwrap();
        chown(&fresh, Some(NOBODY.0), Some(NOBODY.1)).unwrap();
        fs::rename(fresh, self.maildir.join("new").join(name)).unwrap();
    }

    /// How many messages there are.
    pub fn count(&self) -> usize {
        let count = |name: &str| fs::read_dir(self.maildir.join(name)).map_or(0, Iterator::count);
        count("new") + count("cur")
    }

    /// What Dovecot logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    async fn try_start(dovecot: &Path, maildir: Option<PathBuf>) -> Option<Self> {
        let directory = tempfile::Builder::new()
            .prefix("mailfactor-dovecot-")
            .tempdir()
            .unwrap();
        let root = directory.path();
        fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
        let maildir = maildir.unwrap_or_else(|| root.join("maildir"));
        for name in ["", "tmp", "new", "cur"] {
            let path = maildir.join(name);
            fs::create_dir_all(&path).unwrap();
            chown(&path, Some(NOBODY.0), Some(NOBODY.1)).unwrap();
        }
        let authority = Authority::new();
        let issued = authority.issue(Kind::Good);
        fs::write(root.join("certificate.pem"), issued.certificate).unwrap();
        fs::write(root.join("key.pem"), issued.key).unwrap();
        fs::write(root.join("users"), format!("{USERNAME}:{{PLAIN}}{PASSWORD}\n")).unwrap();
        let [imap, imaps, pop3, pop3s] = [free_port(), free_port(), free_port(), free_port()];
        let settings = settings(root, &maildir, [imap, imaps, pop3, pop3s]);
        fs::write(root.join("dovecot.conf"), settings).unwrap();
        let output = File::create(root.join("output")).unwrap();
        let mut master = Command::new(dovecot)
            .args(["-F", "-c"])
            .arg(root.join("dovecot.conf"))
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            // A group of its own, so that all its daemons can be stopped by its id.
            .process_group(0)
            .spawn()
            .unwrap();
        let ready = timeout(PATIENCE, greeted(imap, &mut master))
            .await
            .unwrap_or(false);
        let started = Self {
            imap,
            imaps,
            pop3,
            pop3s,
            authority,
            maildir,
            delivered: AtomicUsize::new(0),
            master,
            directory,
        };
        if !ready {
            let said = fs::read_to_string(started.directory.path().join("output")).unwrap_or_default();
            eprintln!("Dovecot does not answer:\n{said}\n{}", started.log());
        }
        ready.then_some(started)
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        // Only the group that was started here.
        let group = Pid::from_raw(i32::try_from(self.master.id()).unwrap());
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.master.wait();
    }
}

fn installed() -> bool {
    ["imap-login", "pop3-login"].iter().all(|name| {
        ["/usr/lib/dovecot", "/usr/libexec/dovecot"]
            .iter()
            .any(|directory| Path::new(directory).join(name).is_file())
    })
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn settings(root: &Path, maildir: &Path, [imap, imaps, pop3, pop3s]: [SocketAddr; 4]) -> String {
    format!(
        "protocols = imap pop3
listen = 127.0.0.1
base_dir = {root}/run
state_dir = {root}/state
log_path = {root}/log
ssl = yes
ssl_cert = <{root}/certificate.pem
ssl_key = <{root}/key.pem
auth_mechanisms = plain
auth_failure_delay = 0
passdb {{
  driver = passwd-file
  args = {root}/users
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={root} mail=maildir:{maildir}
}}
first_valid_gid = 1
service imap-login {{
  inet_listener imap {{
    port = {}
  }}
  inet_listener imaps {{
    port = {}
    ssl = yes
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {}
  }}
  inet_listener pop3s {{
    port = {}
    ssl = yes
  }}
}}
",
        imap.port(),
        imaps.port(),
        pop3.port(),
        pop3s.port(),
        root = root.display(),
        maildir = maildir.display(),
        uid = NOBODY.0,
        gid = NOBODY.1,
    )
}

/// Whether the server has greeted; ends without it when the master has ended.
async fn greeted(address: SocketAddr, master: &mut Child) -> bool {
    while matches!(master.try_wait(), Ok(None)) {
        if let Ok(mut stream) = TcpStream::connect(address).await {
            let mut code = [0; 4];
            if stream.read_exact(&mut code).await.is_ok() {
                return &code == b"* OK";
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

//! A real Postfix of the test's own: its configuration, queue and mailbox lie in a directory that goes when it goes.
//!
//! It listens on two free ports of 127.0.0.1, one with STARTTLS and one with TLS from the first byte, takes mail only
//! after AUTH, and delivers every recipient's mail into one maildir. Postfix's master must be started by root.

use std::{
    fs::{self, File},
    io::Write as _,
    net::{SocketAddr, TcpListener},
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use mailfactor::pb::v1 as pb;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::{io::AsyncReadExt as _, net::TcpStream, time::timeout};

use super::clients;

/// The user that may log in.
pub const USERNAME: &str = "sender";
/// Its password.
pub const PASSWORD: &str = "postfix-password-1";

/// The domain whose mail it takes and sends back.
pub const REFUSED: &str = "refused.example.com";

/// Postfix's realm; the user name may carry it after an `@`.
const REALM: &str = "mail.example.test";

/// How long it may take to start and to deliver.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running Postfix; it stops when it is dropped.
pub struct Postfix {
    /// Where it speaks SMTP with STARTTLS.
    pub starttls: SocketAddr,
    /// Where it speaks TLS from the first byte.
    pub tls: SocketAddr,
    /// The certificate to trust, PEM. The server's own is for `localhost` and 127.0.0.1.
    pub ca: PathBuf,
    master: Child,
    directory: TempDir,
}

impl Postfix {
    /// Starts it, or says that the test skips.
    pub async fn start() -> Option<Self> {
        let parts = clients::require(Parts::find(), "Postfix with SASL, started as root,")?;
        // Somebody may take a port between choosing and binding it.
        for _ in 0..3 {
            if let Some(started) = Self::try_start(&parts).await {
                return Some(started);
            }
        }
        panic!("Postfix did not start");
    }

    /// Waits until so many mails have arrived and gives them all, in order of arrival.
    pub async fn mails(&self, count: usize) -> Vec<String> {
        let inbox = self.directory.path().join("inbox/new");
        let arrived = timeout(PATIENCE, async {
            loop {
                let mails = read_maildir(&inbox);
                if mails.len() >= count {
                    return mails;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        arrived
            .await
            .unwrap_or_else(|_| panic!("{count} mails did not arrive; Postfix says:\n{}", self.log()))
    }

    /// The maildir that every recipient's mail is delivered to.
    pub fn inbox(&self) -> PathBuf {
        self.directory.path().join("inbox")
    }

    /// An account that sends through it, with STARTTLS.
    pub fn account(&self, sender: &str) -> pb::Account {
        pb::Account {
            name: "postfix".to_owned(),
            enabled: true,
            host: "localhost".to_owned(),
            port: i32::from(self.starttls.port()),
            security: pb::ConnectionSecurity::Starttls.into(),
            authentication: true,
            username: USERNAME.to_owned(),
            secret: Some(pb::AccountSecret {
                source: Some(pb::account_secret::Source::Password(PASSWORD.to_owned())),
            }),
            sender: sender.to_owned(),
            ..pb::Account::default()
        }
    }

    /// What Postfix logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("maillog")).unwrap_or_default()
    }

    async fn try_start(parts: &Parts) -> Option<Self> {
        let directory = tempfile::Builder::new()
            .prefix("mailfactor-postfix-")
            .tempdir()
            .unwrap();
        let root = directory.path();
        // Postfix's daemons run as its own user and must reach what is below.
        fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
        let (starttls, tls) = (free_port(), free_port());
        let ca = certificates(root);
        layout(root, parts);
        add_user(root, parts);
        fs::write(root.join("etc/main.cf"), main_cf(root, parts)).unwrap();
        fs::write(root.join("etc/master.cf"), master_cf(starttls, tls)).unwrap();
        let output = File::create(root.join("master.out")).unwrap();
        let mut master = Command::new(parts.daemons.join("master"))
            .args(["-d", "-c"])
            .arg(root.join("etc"))
            .env("MAIL_CONFIG", root.join("etc"))
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            // A group of its own, so that all its daemons can be stopped by its id.
            .process_group(0)
            .spawn()
            .unwrap();
        let ready = timeout(PATIENCE, greeted(starttls, &mut master))
            .await
            .unwrap_or(false);
        let started = Self {
            starttls,
            tls,
            ca,
            master,
            directory,
        };
        if !ready {
            let said = fs::read_to_string(started.directory.path().join("master.out")).unwrap_or_default();
            eprintln!("Postfix does not answer:\n{said}\n{}", started.log());
        }
        ready.then_some(started)
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        // Only the group that was started here. Its daemons keep nothing that the next test needs.
        let group = Pid::from_raw(i32::try_from(self.master.id()).unwrap());
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.master.wait();
    }
}

/// What must be installed.
struct Parts {
    daemons: PathBuf,
    saslpasswd2: PathBuf,
    postfix: (u32, u32),
    postdrop: u32,
    nobody: (u32, u32),
}

impl Parts {
    fn find() -> Option<Self> {
        let daemons = [
            "/usr/lib/postfix/sbin",
            "/usr/libexec/postfix",
            "/usr/lib/postfix",
        ]
        .map(PathBuf::from)
        .into_iter()
        .find(|directory| directory.join("master").is_file() && directory.join("smtpd").is_file())?;
        Some(Self {
            daemons,
            saslpasswd2: clients::program("saslpasswd2")?,
            postfix: account("postfix")?,
            postdrop: group("postdrop")?,
            nobody: account("nobody")?,
        })
        .filter(|_| nix_is_root())
    }
}

fn nix_is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

fn account(name: &str) -> Option<(u32, u32)> {
    let line = entry("/etc/passwd", name)?;
    Some((line.get(2)?.parse().ok()?, line.get(3)?.parse().ok()?))
}

fn group(name: &str) -> Option<u32> {
    entry("/etc/group", name)?.get(2)?.parse().ok()
}

fn entry(file: &str, name: &str) -> Option<Vec<String>> {
    let text = fs::read_to_string(file).ok()?;
    text.lines()
        .map(|line| line.split(':').map(str::to_owned).collect::<Vec<_>>())
        .find(|fields| fields.first().is_some_and(|first| first == name))
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Makes the directories as Postfix's own installation would.
fn layout(root: &Path, parts: &Parts) {
    let (user, _) = parts.postfix;
    for name in ["etc/sasl", "queue/pid"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    let queues = [
        "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "saved", "trace",
    ];
    for name in queues
        .iter()
        .map(|name| format!("queue/{name}"))
        .chain(["data".to_owned()])
    {
        make(&root.join(name), 0o700, Some(user), None);
    }
    make(&root.join("queue/private"), 0o700, Some(user), None);
    make(
        &root.join("queue/public"),
        0o710,
        Some(user),
        Some(parts.postdrop),
    );
    make(
        &root.join("queue/maildrop"),
        0o730,
        Some(user),
        Some(parts.postdrop),
    );
    make(
        &root.join("inbox"),
        0o700,
        Some(parts.nobody.0),
        Some(parts.nobody.1),
    );
}

fn make(directory: &Path, mode: u32, user: Option<u32>, group: Option<u32>) {
    fs::create_dir_all(directory).unwrap();
    fs::set_permissions(directory, fs::Permissions::from_mode(mode)).unwrap();
    chown(directory, user, group).unwrap();
}

/// A CA and a certificate for `localhost` and 127.0.0.1; gives the CA's file.
fn certificates(root: &Path) -> PathBuf {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_certificate = ca.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names)
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let file = root.join("ca.pem");
    fs::write(&file, ca_certificate.pem()).unwrap();
    fs::write(root.join("chain.pem"), key.serialize_pem() + &certificate.pem()).unwrap();
    file
}

/// Puts the user into a SASL database of its own.
fn add_user(root: &Path, parts: &Parts) {
    let database = root.join("etc/sasl/sasldb2");
    // Debian looks in the directory `sasl` beside main.cf, whatever main.cf says.
    let configuration = format!(
        "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN\nsasldb_path: {}\n",
        database.display()
    );
    fs::write(root.join("etc/sasl/smtpd.conf"), configuration).unwrap();
    let mut child = Command::new(&parts.saslpasswd2)
        .args(["-c", "-p", "-u", REALM, "-f"])
        .arg(&database)
        .arg(USERNAME)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(PASSWORD.as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success(), "saslpasswd2 failed");
    chown(&database, Some(parts.postfix.0), Some(parts.postfix.1)).unwrap();
}

fn main_cf(root: &Path, parts: &Parts) -> String {
    let (uid, gid) = parts.nobody;
    format!(
        "compatibility_level = 3.6
queue_directory = {root}/queue
data_directory = {root}/data
daemon_directory = {daemons}
maillog_file = {root}/maillog
maillog_file_prefixes = {root}
myhostname = {REALM}
mydestination =
mynetworks =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
smtpd_peername_lookup = no
transport_maps = inline:{{ {{ {REFUSED} = sendback: }} }}
virtual_mailbox_domains = static:all
virtual_mailbox_maps = static:inbox/
virtual_mailbox_base = {root}
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
smtpd_tls_chain_files = {root}/chain.pem
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
cyrus_sasl_config_path = {root}/etc/sasl
smtpd_sasl_local_domain = {REALM}
smtpd_client_restrictions = permit_sasl_authenticated, reject
smtpd_delay_reject = yes
smtpd_relay_restrictions = permit_sasl_authenticated, reject
",
        root = root.display(),
        daemons = parts.daemons.display(),
    )
}

fn master_cf(starttls: SocketAddr, tls: SocketAddr) -> String {
    format!(
        "{starttls} inet n - n - - smtpd
{tls} inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
error unix - - n - - error
sendback unix - n n - - pipe
  user=nobody argv=/bin/sh -c {{exit 67}}
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"
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

fn read_maildir(inbox: &Path) -> Vec<String> {
    let mut files: Vec<PathBuf> = fs::read_dir(inbox)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    files.sort();
    files
        .iter()
        .filter_map(|file| fs::read(file).ok())
        .map(|mail| String::from_utf8_lossy(&mail).into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    //! Postfix itself, spoken to by hand.
    use std::sync::Arc;

    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    };
    use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufStream};
    use tokio_rustls::{TlsConnector, client::TlsStream};

    use super::*;

    #[tokio::test]
    async fn takes_mail_under_tls_after_auth_only() {
        let Some(postfix) = Postfix::start().await else {
            return;
        };
        let mut plain = BufStream::new(TcpStream::connect(postfix.starttls).await.unwrap());
        reply(&mut plain).await;
        let features = say(&mut plain, "EHLO client.example.test").await;
        assert!(
            features.contains("STARTTLS") && !features.contains("AUTH"),
            "{features}"
        );
        let refused = say(&mut plain, "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>").await;
        assert!(refused.starts_with("250"), "{refused}");
        assert!(reply(&mut plain).await.starts_with("554"));
        say(&mut plain, "RSET").await;
        assert!(say(&mut plain, "STARTTLS").await.starts_with("220"));
        submit(
            &postfix,
            &mut BufStream::new(handshake(&postfix, plain.into_inner()).await),
        )
        .await;

        let stream = TcpStream::connect(postfix.tls).await.unwrap();
        let mut implicit = BufStream::new(handshake(&postfix, stream).await);
        reply(&mut implicit).await;
        submit(&postfix, &mut implicit).await;

        let mails = postfix.mails(2).await;
        assert!(
            mails.iter().all(|mail| mail.contains("Subject: Hello")),
            "{mails:?}"
        );
        assert!(
            mails
                .iter()
                .all(|mail| mail.contains("X-Original-To: somebody@example.com")),
            "{mails:?}"
        );
    }

    async fn submit<S: AsyncRead + AsyncWrite + Unpin>(postfix: &Postfix, stream: &mut BufStream<S>) {
        let features = say(stream, "EHLO client.example.test").await;
        assert!(
            features.contains("AUTH PLAIN LOGIN") || features.contains("AUTH LOGIN PLAIN"),
            "{features}"
        );
        for (password, code) in [("wrong", "535"), (PASSWORD, "235")] {
            let login = STANDARD.encode(format!("\0{USERNAME}\0{password}"));
            let answer = say(stream, &format!("AUTH PLAIN {login}")).await;
            assert!(answer.starts_with(code), "{answer}\n{}", postfix.log());
        }
        for (line, code) in [
            ("MAIL FROM:<service@example.org>", "250"),
            ("RCPT TO:<somebody@example.com>", "250"),
            ("DATA", "354"),
            ("Subject: Hello\r\n\r\nA text.\r\n.", "250"),
            ("QUIT", "221"),
        ] {
            let answer = say(stream, line).await;
            assert!(answer.starts_with(code), "{line}: {answer}\n{}", postfix.log());
        }
    }

    async fn handshake(postfix: &Postfix, stream: TcpStream) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(&postfix.ca).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .unwrap()
    }

    async fn say<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufStream<S>, line: &str) -> String {
        stream.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        reply(stream).await
    }

    async fn reply<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufStream<S>) -> String {
        let mut whole = String::new();
        loop {
            let mut line = String::new();
            timeout(PATIENCE, stream.read_line(&mut line))
                .await
                .unwrap()
                .unwrap();
            whole += &line;
            if line.as_bytes().get(3) != Some(&b'-') {
                return whole;
            }
        }
    }
}

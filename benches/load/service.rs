//! The service as an operator runs it: the release binary, a configuration file, a key file, a process of its own.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::Write as _,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use mailfactor::pb::v1::{
    self as pb, mail_outbox_client::MailOutboxClient, mail_sender_policy_client::MailSenderPolicyClient,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};
use tonic::{Request, transport::Channel};

use super::{
    Outcome,
    client::{channel, serves},
    machine::{self, Usage},
};

/// How long the service may take to start, to end, or to have all its mails out.
const PATIENCE: Duration = Duration::from_mins(2);

/// The service's key. It guards nothing here.
const KEY: &str = "load AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";

/// Where a service lives: configuration, keys, users, perhaps its database.
pub(crate) struct Home {
    directory: TempDir,
    binary: PathBuf,
}

impl Home {
    /// With so many users, `u0` and on, and the store at this URL; without one, in a file.
    pub(crate) fn new(binary: &Path, directory: &Path, url: Option<&str>, users: usize) -> Outcome<Self> {
        let directory = tempfile::Builder::new().prefix("load-").tempdir_in(directory)?;
        let home = Self {
            directory,
            binary: binary.to_owned(),
        };
        let mut key = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(home.path("mailfactor.keys"))?;
        key.write_all(KEY.as_bytes())?;
        let mut text = String::new();
        for number in 0..users {
            let (name, email) = (user(number), address(number));
            let _ = write!(text, "[[user]]\nname = \"{name}\"\nemail = \"{email}\"\n");
        }
        fs::write(home.path("users.toml"), text)?;
        fs::write(home.path("mailfactor.toml"), home.configuration(url))?;
        Ok(home)
    }

    /// Everything as by default, but for ports, places, and budgets that would end the load.
    fn configuration(&self, url: Option<&str>) -> String {
        let file = format!("sqlite:{}", self.path("mailfactor.db").display());
        let url = url.unwrap_or(&file);
        let keys = self.path("mailfactor.keys");
        let users = self.path("users.toml");
        let plenty = "burst = 1000000\nper_day = 1000000\n";
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[metrics]\nlisten = \"127.0.0.1:0\"\n[store]\nurl = \"{url}\"\n\
             [keys]\nfile = \"{}\"\n[delivery]\nhello_name = \"service.example.org\"\n\
             [policy.sends.user]\n{plenty}[policy.sends.address]\n{plenty}[policy.sends.caller]\nburst = 0\n\
             [[repository]]\nname = \"staff\"\nkind = \"file\"\npath = \"{}\"\n",
            keys.display(),
            users.display()
        )
    }

    /// A file of the home.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Adds a caller and gives its key.
    pub(crate) fn caller(&self, name: &str, role: &str) -> Outcome<String> {
        let mut command = self.command();
        command.args(["caller", "add", name, "--role", role]);
        let output = command.stderr(Stdio::piped()).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// Starts the service on its core and waits until it serves.
    pub(crate) async fn serve(&self) -> Outcome<Service> {
        let log = self.path("log");
        let mut command = self.command();
        command.arg("serve").stderr(File::create(&log)?);
        let began = Instant::now();
        let mut service = Service {
            child: machine::spawn_on(machine::SERVER, &mut command)?,
            address: ([127, 0, 0, 1], 0).into(),
            ready_after: Duration::ZERO,
        };
        let ready = timeout(PATIENCE, async {
            loop {
                if let Some(address) = bound(&log) {
                    service.address = address;
                    if serves(address).await {
                        return Outcome::Ok(());
                    }
                }
                if let Some(status) = service.child.try_wait()? {
                    let said = fs::read_to_string(&log).unwrap_or_default();
                    return Err(format!("the service ended with {status}:\n{said}").into());
                }
                sleep(Duration::from_millis(1)).await;
            }
        });
        ready.await.map_err(|_| "the service does not become ready")??;
        service.ready_after = began.elapsed();
        Ok(service)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .arg("--config")
            .arg(self.path("mailfactor.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command
    }
}

/// The name of a user.
pub(crate) fn user(number: usize) -> String {
    format!("u{number}")
}

/// The address of a user.
pub(crate) fn address(number: usize) -> String {
    format!("u{number}@load.example.com")
}

/// A running service; killed when it is dropped.
pub(crate) struct Service {
    child: Child,
    /// Where gRPC is.
    pub(crate) address: SocketAddr,
    /// From exec to health SERVING.
    pub(crate) ready_after: Duration,
}

impl Service {
    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has used so far.
    pub(crate) fn usage(&self) -> Outcome<Usage> {
        machine::usage(self.child.id())
    }

    /// An administrator's view of it.
    pub(crate) async fn office(&self, key: &str) -> Outcome<Office> {
        Ok(Office {
            channel: channel(self.address).await?,
            key: format!("Bearer {key}"),
        })
    }

    /// Ends it as an operator does, and waits for the end.
    pub(crate) async fn stop(mut self) -> Outcome<()> {
        kill(Pid::from_raw(self.child.id().try_into()?), Signal::SIGTERM)?;
        let ended = timeout(PATIENCE, async {
            while self.child.try_wait()?.is_none() {
                sleep(Duration::from_millis(5)).await;
            }
            Outcome::Ok(())
        });
        ended.await.map_err(|_| "the service does not end")?
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An administrator at work.
pub(crate) struct Office {
    channel: Channel,
    key: String,
}

impl Office {
    /// Sends all mail through this server.
    pub(crate) async fn mail_through(&self, server: SocketAddr) -> Outcome<()> {
        let account = pb::Account {
            name: "sink".to_owned(),
            enabled: true,
            host: server.ip().to_string(),
            port: server.port().into(),
            security: pb::ConnectionSecurity::None.into(),
            sender: "login@example.org".to_owned(),
            display_name: "Example Login".to_owned(),
            ..pb::Account::default()
        };
        let request = self.signed(pb::CreateAccountRequest {
            account: Some(account),
        })?;
        MailSenderPolicyClient::new(self.channel.clone())
            .create_account(request)
            .await?;
        Ok(())
    }

    /// Waits until no mail is owed any more.
    pub(crate) async fn all_mail_is_out(&self) -> Outcome<()> {
        let mut outbox = MailOutboxClient::new(self.channel.clone());
        let out = timeout(PATIENCE, async {
            loop {
                let request = self.signed(pb::ListEntriesRequest {
                    page_size: 1,
                    states: vec![
                        pb::DeliveryState::Queued.into(),
                        pb::DeliveryState::Deferred.into(),
                    ],
                    ..pb::ListEntriesRequest::default()
                })?;
                if outbox
                    .list_entries(request)
                    .await?
                    .into_inner()
                    .entries
                    .is_empty()
                {
                    return Outcome::Ok(());
                }
                sleep(Duration::from_millis(20)).await;
            }
        });
        out.await.map_err(|_| "mails are owed still")?
    }

    fn signed<T>(&self, message: T) -> Outcome<Request<T>> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.key.parse()?);
        Ok(request)
    }
}

/// Reads the port off the line that says that it serves.
fn bound(log: &Path) -> Option<SocketAddr> {
    let text = fs::read_to_string(log).ok()?;
    let line = text.lines().find(|line| line.contains(" serving"))?;
    let (_, rest) = line.split_once("grpc=")?;
    rest.split_whitespace().next()?.parse().ok()
}

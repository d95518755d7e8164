//! The service under test: in this process, on its own thread, or as the real binary that can be killed.
//!
//! ```ignore
//! let mut home = Home::new();
//! home.users(&[("ann", "ann@example.com")]);
//! let service = home.serve(Machine::real()).await;          // or home.spawn().await, the binary
//! let admin = service.client(&home.caller("ops", Role::Admin).await).await;
//! admin.mail_through(smtp.address).await;
//! ```

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

use mailfactor::{
    app::{
        self, Machine,
        local::{Local, NewCaller},
    },
    config::Config,
    domain::caller::{CertificateDigest, Role},
    lifecycle::Shutdown,
};
use tempfile::TempDir;
use tokio::{sync::oneshot, time::timeout};
use toml::{Table, Value};

use super::client::Client;

/// How long the service may take to start or to end. Its own deadline for the end is 25 s (promise R10).
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Where a service lives: its configuration, database, keys and users. It can be left and entered again, so that a
/// test restarts a service on what the one before left behind.
pub struct Home {
    directory: TempDir,
    settings: Table,
}

impl Home {
    /// An empty one: every port free, reflection on, users in a file, short waits.
    pub fn new() -> Self {
        let home = Self {
            directory: tempfile::Builder::new()
                .prefix("mailfactor-home-")
                .tempdir()
                .unwrap(),
            settings: Table::new(),
        };
        home.users(&[]);
        home.with("server.listen", "127.0.0.1:0")
            .with("server.reflection", true)
            .with("metrics.listen", "127.0.0.1:0")
            .with("log.format", "json")
            .with("delivery.poll", "100ms")
            // Nobody is left to move over.
            .with("shutdown.notice", "0s")
            // Tests change directories and look at once.
            .with("users.cache", "0s")
            .with("delivery.hello_name", "service.example.org")
            // Tests start many at once; those of the budget of callers set it.
            .with("policy.sends.caller.burst", 0)
            // Tests count connections, and make accounts that do not work.
            .with("delivery.tested_accounts_only", false)
    }

    /// An empty one whose store is the PostgreSQL database at this URL.
    pub fn on_server(url: &str) -> Self {
        let home = Self::new();
        let keys = home.path("mailfactor.keys");
        fs::write(&keys, format!("k1 {}\n", "0f".repeat(32))).unwrap();
        fs::set_permissions(&keys, fs::Permissions::from_mode(0o600)).unwrap();
        home.with("store.url", url)
            .with("keys.file", keys.display().to_string())
    }

    /// Another one with the same settings, and so on the same server, under the same keys and with the same users.
    pub fn beside(&self) -> Self {
        let mut home = Self::new();
        fs::copy(self.path("users.toml"), home.path("users.toml")).unwrap();
        home.settings = self.settings.clone();
        home
    }

    /// With a setting of `default.toml`, by its path: `("policy.resend.after", "5s")`.
    #[must_use]
    pub fn with(mut self, path: &str, value: impl Into<Value>) -> Self {
        self.set(path, value);
        self
    }

    /// Changes a setting; the next start reads it.
    pub fn set(&mut self, path: &str, value: impl Into<Value>) {
        let (sections, key) = path.rsplit_once('.').unwrap_or(("", path));
        let mut table = &mut self.settings;
        for section in sections.split('.').filter(|section| !section.is_empty()) {
            let entry = table
                .entry(section.to_owned())
                .or_insert_with(|| Value::Table(Table::new()));
            table = entry.as_table_mut().unwrap();
        }
        table.insert(key.to_owned(), value.into());
    }

    /// A repository that was set, by its place.
    pub fn repository(&self, index: usize) -> Value {
        self.settings["repository"][index].clone()
    }

    /// Replaces the users: names and addresses.
    pub fn users(&self, users: &[(&str, &str)]) {
        let entries = users.iter().map(|(name, email)| {
            let user = Table::from_iter([
                ("name".to_owned(), Value::from(*name)),
                ("email".to_owned(), Value::from(*email)),
            ]);
            Value::Table(user)
        });
        let file = Table::from_iter([("user".to_owned(), Value::Array(entries.collect()))]);
        self.users_text(&toml::to_string(&file).unwrap());
    }

    /// Replaces the users' file, whole or broken.
    pub fn users_text(&self, text: &str) {
        let fresh = self.path("users.new");
        fs::write(&fresh, text).unwrap();
        fs::rename(fresh, self.path("users.toml")).unwrap();
    }

    /// A file of the home.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Adds a caller to the database and gives its API key. The service may be running.
    pub async fn caller(&self, name: &str, role: Role) -> String {
        self.caller_who(name, role, None).await
    }

    /// The same, with its own word on whether it sees users.
    pub async fn caller_who(&self, name: &str, role: Role, see_users: Option<bool>) -> String {
        let local = Local::open(&self.config(), &Machine::real()).await.unwrap();
        let new = NewCaller {
            name: name.to_owned(),
            role,
            see_users,
            certificate: None,
        };
        let (_, key) = local.add_caller(new).await.unwrap();
        local.close().await;
        key.unwrap().reveal().to_string()
    }

    /// Adds a caller that is known by its client certificate, in DER.
    pub async fn certified_caller(&self, name: &str, role: Role, certificate: &[u8]) {
        let local = Local::open(&self.config(), &Machine::real()).await.unwrap();
        let new = NewCaller {
            name: name.to_owned(),
            role,
            see_users: None,
            certificate: Some(CertificateDigest::of(certificate)),
        };
        local.add_caller(new).await.unwrap();
        local.close().await;
    }

    /// Gives a caller another key.
    pub async fn rotate_caller(&self, name: &str) -> String {
        let local = Local::open(&self.config(), &Machine::real()).await.unwrap();
        let key = local.rotate_caller(name).await.unwrap();
        local.close().await;
        key.reveal().to_string()
    }

    /// Removes a caller.
    pub async fn remove_caller(&self, name: &str) {
        let local = Local::open(&self.config(), &Machine::real()).await.unwrap();
        local.remove_caller(name).await.unwrap();
        local.close().await;
    }

    /// Starts the service in this process. With TLS, whoever calls waits until it is ready.
    pub async fn serve(&self, machine: Machine) -> Service {
        Service::start(self.config(), machine).await
    }

    /// Writes the configuration file and gives its path.
    pub fn write(&self) -> PathBuf {
        let mut settings = self.settings.clone();
        let here = |name: &str| Value::from(self.path(name).display().to_string());
        let repository = Table::from_iter([
            ("name".to_owned(), Value::from("staff")),
            ("kind".to_owned(), Value::from("file")),
            ("path".to_owned(), here("users.toml")),
        ]);
        settings
            .entry("repository")
            .or_insert_with(|| Value::Array(vec![Value::Table(repository)]));
        let store = Table::from_iter([(
            "url".to_owned(),
            Value::from(format!("sqlite:{}", self.path("mailfactor.db").display())),
        )]);
        let entry = settings
            .entry("store")
            .or_insert_with(|| Value::Table(Table::new()));
        for (key, value) in store {
            entry.as_table_mut().unwrap().entry(key).or_insert(value);
        }
        let file = self.path("mailfactor.toml");
        fs::write(&file, toml::to_string(&settings).unwrap()).unwrap();
        file
    }

    fn config(&self) -> Config {
        let file = self.write();
        Config::load(Some(&file), []).unwrap_or_else(|faults| panic!("{faults:?}"))
    }
}

/// A service in this process, on a thread and a run-time of its own: a test that blocks does not stop it, and the end
/// of it can be waited for even where nothing may be awaited.
pub struct Service {
    /// Where gRPC is.
    pub grpc: SocketAddr,
    /// Where metrics are.
    pub metrics: SocketAddr,
    shutdown: Shutdown,
    ended: Option<mpsc::Receiver<()>>,
}

impl Service {
    async fn start(config: Config, machine: Machine) -> Self {
        let has_tls = config.server.tls.is_some();
        let shutdown = Shutdown::new();
        let (started, waiting) = oneshot::channel();
        let (end, ended) = mpsc::channel();
        let inner = shutdown.clone();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let app = app::build(config, machine).await.unwrap();
                let _ = started.send((app.grpc, app.metrics));
                app.run(inner).await.unwrap();
            });
            runtime.shutdown_timeout(Duration::from_secs(1));
            let _ = end.send(());
        });
        let bound = timeout(PATIENCE, waiting)
            .await
            .expect("the service does not start");
        let (grpc, metrics) = bound.expect("the service cannot be built: see the panic of its thread");
        let service = Self {
            grpc,
            metrics: metrics.unwrap(),
            shutdown,
            ended: Some(ended),
        };
        if !has_tls {
            Client::wait_until_serving(grpc, || {}).await;
        }
        service
    }

    /// As the holder of an API key.
    pub async fn client(&self, key: &str) -> Client {
        Client::connect(self.grpc, key).await
    }

    /// Tells it to end, without waiting: what SIGTERM does.
    pub fn begin_end(&self) {
        self.shutdown.soft().cancel();
    }

    /// Ends it and waits for the end; panics where it hangs or broke.
    pub async fn stop(mut self) {
        self.begin_end();
        let ended = self.ended.take().unwrap();
        let result = tokio::task::spawn_blocking(move || ended.recv_timeout(PATIENCE)).await;
        result.unwrap().expect("the service hangs or broke at its end");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.begin_end();
        // A test that failed already is not to fail of this as well.
        if let Some(ended) = self.ended.take().filter(|_| !thread::panicking()) {
            ended
                .recv_timeout(PATIENCE)
                .expect("the service hangs or broke at its end");
        }
    }
}

/// The text of a service's metrics page.
pub async fn metrics_page(address: SocketAddr) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut page = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut page))
        .await
        .unwrap()
        .unwrap();
    page
}

/// Whether any file below a directory contains one of these texts; gives the first such file.
pub fn find_in_files(directory: &Path, texts: &[&str]) -> Option<(PathBuf, String)> {
    fs::read_dir(directory)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .find_map(|path| {
            if path.is_dir() {
                return find_in_files(&path, texts);
            }
            let bytes = fs::read(&path).ok()?;
            texts
                .iter()
                .find(|text| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
                .map(|text| (path.clone(), (*text).to_owned()))
        })
}

//! The real binary, which can be killed and started again on the same home.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tokio::time::timeout;

use super::{
    client::Client,
    service::{Home, PATIENCE},
};

/// Counts starts, so that each has its own log.
static STARTS: AtomicU32 = AtomicU32::new(0);

/// A running server process; killed, by its id, when it is dropped.
pub struct Process {
    /// Where gRPC is.
    pub grpc: SocketAddr,
    /// Where metrics are.
    pub metrics: SocketAddr,
    child: Child,
    log: PathBuf,
}

impl Home {
    /// Starts the real binary on this home and waits until it is ready.
    pub async fn spawn(&self) -> Process {
        Process::start(self, &[]).await
    }

    /// As [`Self::spawn`], with environment variables.
    pub async fn spawn_with(&self, variables: &[(&str, &str)]) -> Process {
        Process::start(self, variables).await
    }
}

impl Home {
    /// Whether a process on this home, ready or not, has logged this.
    pub fn logged(&self, text: &str) -> bool {
        let files = fs::read_dir(self.path("")).unwrap();
        let mut logs = files.map(|file| file.unwrap().path()).filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with("log-")
        });
        logs.any(|log| read(&log).contains(text))
    }
}

impl Process {
    async fn start(home: &Home, variables: &[(&str, &str)]) -> Self {
        let log = home.path(&format!("log-{}.json", STARTS.fetch_add(1, Ordering::Relaxed)));
        let mut child = Command::new(env!("CARGO_BIN_EXE_mailfactor"))
            .arg("--config")
            .arg(home.write())
            .arg("serve")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let bound = timeout(PATIENCE, bound(&log, &mut child)).await;
        let (grpc, metrics) = bound.unwrap_or_else(|_| {
            // Nobody else would end it.
            let _ = child.kill();
            let _ = child.wait();
            panic!("the server does not start:\n{}", read(&log))
        });
        let mut process = Self {
            grpc,
            metrics,
            child,
            log,
        };
        Client::wait_until_serving(grpc, || process.assert_running()).await;
        process
    }

    /// As the holder of an API key.
    pub async fn client(&self, key: &str) -> Client {
        Client::connect(self.grpc, key).await
    }

    /// Its id.
    pub fn id(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// The file of its log.
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// Sends a signal to it.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.id()), signal).unwrap();
    }

    /// `kill -9`: the process is gone when this returns.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for the process to end by itself, no longer than the promise for that (R10) and some.
    pub async fn ended(&mut self) -> ExitStatus {
        let ended = timeout(PATIENCE, async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        ended
            .await
            .unwrap_or_else(|_| panic!("the process does not end:\n{}", self.log()))
    }

    /// Tells it to end and waits for that.
    pub async fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        let status = self.ended().await;
        assert!(status.success(), "{status}:\n{}", self.log());
    }

    /// What it logged.
    pub fn log(&self) -> String {
        read(&self.log)
    }

    /// How it ended, if it has.
    pub fn end(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    fn assert_running(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("the server ended with {status}:\n{}", self.log());
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads the ports off the line that says that it serves.
async fn bound(log: &Path, child: &mut Child) -> (SocketAddr, SocketAddr) {
    loop {
        let text = read(log);
        if let Some(found) = text.lines().find_map(ports) {
            return found;
        }
        if let Some(status) = child.try_wait().unwrap() {
            panic!("the server ended with {status}:\n{}", read(log));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn ports(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let line: Value = serde_json::from_str(line).ok()?;
    let fields = line.get("fields").unwrap_or(&line);
    let address = |name: &str| fields.get(name)?.as_str()?.parse().ok();
    (fields.get("message")?.as_str()? == "serving").then_some(())?;
    Some((address("grpc")?, address("metrics")?))
}

fn read(log: &Path) -> String {
    fs::read_to_string(log).unwrap_or_default()
}

//! A server of the tests' own: its files lie in a directory that goes when it goes, and a guard ends it even where the tests
//! are killed.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::Mutex,
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How often to look whether it has started, 10 ms apart: for a minute.
const LOOKS: u32 = 6_000;

/// A running server; it stops when it is dropped.
pub struct Private {
    /// Where everything of it lies.
    pub directory: PathBuf,
    server: Mutex<Option<Child>>,
    guard: Child,
}

impl Private {
    /// A directory, and the guard that removes it.
    pub fn new(name: &str) -> Self {
        let directory = tempfile::Builder::new()
            .prefix(&format!("mailfactor-{name}-"))
            .tempdir()
            .unwrap()
            .keep();
        Self {
            guard: guard(&directory),
            server: Mutex::new(None),
            directory,
        }
    }

    /// Starts the server and waits until `ready`; `false`: it has ended instead. What it says goes to the file `log`.
    pub fn run(&self, mut command: Command, ready: impl Fn() -> bool) -> bool {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.directory.join("log"))
            .unwrap();
        let child = command
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        fs::write(self.directory.join("server.pid"), child.id().to_string()).unwrap();
        let mut server = self.server.lock().unwrap();
        let child = server.insert(child);
        for _ in 0..LOOKS {
            if child.try_wait().unwrap().is_some() {
                eprintln!("the server has ended:\n{}", self.log());
                return false;
            }
            if ready() {
                return true;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("the server does not start:\n{}", self.log());
    }

    /// Ends it as a power cut would, and waits until it is gone.
    pub fn kill(&self) {
        if let Some(mut server) = self.server.lock().unwrap().take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }

    /// Freezes it, or lets it go on.
    pub fn freeze(&self, frozen: bool) {
        let signal = if frozen { Signal::SIGSTOP } else { Signal::SIGCONT };
        let id = self.server.lock().unwrap().as_ref().unwrap().id();
        kill(Pid::from_raw(i32::try_from(id).unwrap()), signal).unwrap();
        // Its threads stop one after another, some time after the signal was sent.
        let stopped = |status: &str| status.lines().any(|line| line.starts_with("State:\tT"));
        let all_stopped = || {
            let threads = fs::read_dir(format!("/proc/{id}/task")).unwrap().flatten();
            let mut states =
                threads.map(|thread| fs::read_to_string(thread.path().join("status")).unwrap_or_default());
            states.all(|status| stopped(&status))
        };
        for _ in 0..LOOKS {
            if !frozen || all_stopped() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("the server does not stop");
    }

    /// What it logged.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.directory.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        // The guard ends the server, stopped or not, and removes the directory.
        drop::<Option<ChildStdin>>(self.guard.stdin.take());
        if let Some(mut server) = self.server.get_mut().unwrap().take() {
            let _ = server.wait();
        }
        let _ = self.guard.wait();
    }
}

/// A free port of this machine's own network. Somebody may take it before it is bound: then the server ends, and is tried
/// again with another.
pub fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A process that waits until nobody holds its input any more, be it that the tests let go or that they were killed. It
/// then ends the server that is named in the directory, and removes the directory.
fn guard(directory: &Path) -> Child {
    const SCRIPT: &str = r#"
        cat >/dev/null
        if test -e "$1/server.pid"; then
            id=$(cat "$1/server.pid")
            kill -CONT "$id"; kill -KILL "$id"
            for _ in $(seq 100); do kill -0 "$id" || break; sleep 0.05; done
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

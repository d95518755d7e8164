//! What befalls a PostgreSQL: it is restarted, its backends are ended, it freezes.

use std::{fs, path::PathBuf};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::postgres::Postgres;

/// How a server is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Connections are ended, what is committed is written out.
    Fast,
    /// As in a crash: the next start recovers.
    Immediate,
}

impl Postgres {
    /// Stops it; it stays away until [`Self::start_again`].
    pub fn stop(&self, how: Stop) {
        let mut server = self.server.lock().unwrap();
        let id = Pid::from_raw(i32::try_from(server.id()).unwrap());
        let signal = match how {
            Stop::Fast => Signal::SIGINT,
            Stop::Immediate => Signal::SIGQUIT,
        };
        kill(id, signal).unwrap();
        server.wait().unwrap();
    }

    /// Starts it again, on the same port.
    pub fn start_again(&self) {
        self.spawn_again();
    }

    /// Ends every connection to a database.
    pub fn terminate_backends(&self, database: &str) {
        let statement =
            format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'");
        self.sql("postgres", &statement);
    }

    /// Freezes it, with all its processes: connections stay open and nothing answers.
    pub fn pause(&self) {
        // The one that makes others first.
        for id in self.processes() {
            let _ = kill(id, Signal::SIGSTOP);
        }
        for id in self.processes() {
            let _ = kill(id, Signal::SIGSTOP);
        }
    }

    /// The files that hold a database's tables and indexes, everything written out.
    pub fn files(&self, database: &str) -> Vec<PathBuf> {
        self.sql(database, "CHECKPOINT");
        let paths = self.sql(
            database,
            "SELECT pg_relation_filepath(oid) FROM pg_class WHERE relkind IN ('r', 't', 'i')",
        );
        let data = PathBuf::from(self.sql(database, "SHOW data_directory"));
        paths.lines().map(|path| data.join(path)).collect()
    }

    /// Lets it go on.
    pub fn resume(&self) {
        for id in self.processes() {
            let _ = kill(id, Signal::SIGCONT);
        }
    }

    /// The server's process, then those that it made.
    fn processes(&self) -> Vec<Pid> {
        let server = i32::try_from(self.server.lock().unwrap().id()).unwrap();
        let all = fs::read_dir("/proc").unwrap().flatten();
        let children = all.filter_map(|entry| {
            let id: i32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // After the name, which is in brackets: the state and the parent.
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?;
            (parent == server.to_string()).then_some(id)
        });
        [server].into_iter().chain(children).map(Pid::from_raw).collect()
    }
}

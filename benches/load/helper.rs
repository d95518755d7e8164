//! Other roles of this binary, each a process of its own, so that it shares neither run-time nor core with the driver.

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    thread,
};

use clap::ValueEnum;

use super::{
    Outcome,
    machine::{self, Usage},
};

/// What a process may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// A bare tonic server on a single-threaded run-time.
    EchoSingle,
    /// The same on a multi-threaded run-time.
    EchoMulti,
    /// The mail server.
    Sink,
    /// Bare commits: a directory and how many.
    Commit,
    /// A cache of challenges: how many.
    Pending,
    /// The sending path: a server, how many connections, how many mails.
    Mails,
    /// Claims in an outbox: a directory, how many rows of history, how many rounds.
    Claim,
}

/// A running helper; it ends when it is dropped, and with the driver however that ends.
pub(crate) struct Helper {
    child: Child,
    /// What it told when it was ready.
    said: Vec<String>,
}

impl Helper {
    /// Starts this binary in another role and waits until it is ready.
    pub(crate) fn start(role: Role, core: usize) -> Outcome<Self> {
        Self::run(role, core, &[])
    }

    /// Has another role measure something, and gives the numbers that it tells.
    pub(crate) fn ask(role: Role, core: usize, given: &[String]) -> Outcome<Vec<f64>> {
        let helper = Self::run(role, core, given)?;
        let numbers: Result<Vec<f64>, _> = helper.said.iter().map(|word| word.parse()).collect();
        let numbers = numbers?;
        if numbers.is_empty() {
            return Err(format!("{role:?} measured nothing").into());
        }
        Ok(numbers)
    }

    /// Starts a role, which tells a line when it is ready.
    fn run(role: Role, core: usize, given: &[String]) -> Outcome<Self> {
        let name = role.to_possible_value().ok_or("no such role")?;
        let mut command = Command::new(env::current_exe()?);
        command.args(["--role", name.get_name()]);
        command.args(given.iter().flat_map(|word| ["--given", word]));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut helper = Self {
            child: machine::spawn_on(core, &mut command)?,
            said: Vec::new(),
        };
        let mut line = String::new();
        let stdout = helper.child.stdout.take().ok_or("no standard output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        helper.said = line.split_whitespace().map(str::to_owned).collect();
        Ok(helper)
    }

    /// What it has used so far.
    pub(crate) fn usage(&self) -> Outcome<Usage> {
        machine::usage(self.child.id())
    }

    /// The address it told as its `number`th word.
    pub(crate) fn address(&self, number: usize) -> Outcome<SocketAddr> {
        let said = self.said.get(number).ok_or("a helper did not start")?;
        Ok(said.parse()?)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In a helper: ends this process when the one that started it is gone.
pub(crate) fn end_with_parent() {
    thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
}

//! The command line: one file per command.
//!
//! `serve`, `check`, `migrate`, `caller` and `user` read the configuration and work on this machine; `account`, `policy`,
//! `event`, `sending`, `outbox`, `audit`, `challenge` and `health` are clients and speak gRPC to a server, wherever it is. `demo` is both at once.
//! Results go to standard output, everything else to standard error.

use std::{ffi::OsString, path::PathBuf, process::ExitCode, time::Duration};

use clap::{CommandFactory as _, Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};

use crate::{
    app::Machine,
    config::Config,
    telemetry::{self, FILTER_VARIABLE},
};

mod account;
mod audit;
mod caller;
mod challenge;
mod check;
mod client;
mod completions;
mod demo;
mod event;
mod failure;
mod health;
mod inbox;
mod keys;
mod migrate;
mod out;
mod outbox;
mod policy;
mod repository;
mod secret;
mod sending;
mod serve;
mod show;
mod template;
mod user;

use failure::Failure;

/// What a command answers with.
type Outcome = Result<(), Failure>;

/// How long threads that are stuck in a system call may keep the process from ending.
const STUCK: Duration = Duration::from_millis(500);

/// The e-mail one-time-password factor that authentication servers call over gRPC.
#[derive(Debug, Parser)]
#[command(
    name = "mailfactor",
    version,
    after_help = "Try it:\n  mailfactor demo                  everything once, on this machine, with a mail catcher of its own\n\n\
                  Set it up:\n  mailfactor check                 reads the configuration and says what is missing\n  \
                  mailfactor caller add idp        makes the API key your authentication server calls with\n  \
                  mailfactor serve                 runs the service\n  mailfactor account add ...       tells it through which mail server to send\n\n\
                  Exit codes: 0 done, 1 failed, 2 wrong arguments, 78 wrong configuration (every fault is named)."
)]
struct Arguments {
    /// The configuration file; without one, the defaults.
    #[arg(long, short, global = true, env = "MAILFACTOR_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the service until SIGTERM or Ctrl-C.
    Serve,
    /// Shows the whole thing at work: service, mail, codes. Needs nothing, leaves nothing.
    Demo(demo::Demo),
    /// Reads the configuration and looks at keys, database and repositories; changes nothing.
    Check(check::Check),
    /// Brings the database up to date. `serve` does so by itself.
    Migrate,
    /// Asks a server whether it is well; for container probes.
    Health(health::Health),
    /// Who may call: adds, lists, rotates and removes callers. On this machine, on the database.
    #[command(subcommand)]
    Caller(caller::Command),
    /// The key file: adds a key and seals everything anew. On this machine, on the database.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Shows, locks and unlocks users. On this machine, on the database.
    #[command(subcommand)]
    User(user::Command),
    /// The mail accounts of a server. A client: see `--server` and `--api-key-file`.
    #[command(subcommand)]
    Account(Box<account::Command>),
    /// The one-time-password policy of a server. A client: see `--server` and `--api-key-file`.
    #[command(subcommand)]
    Policy(policy::Command),
    /// The events of a server that have policies of their own. A client: see `--server` and `--api-key-file`.
    #[command(subcommand)]
    Event(event::Command),
    /// The master switch of a server: whether any mail goes out. A client: see `--server` and `--api-key-file`.
    #[command(subcommand)]
    Sending(sending::Command),
    /// What mails say: shows, writes, tries and resets templates. A client: see `--server` and `--api-key-file`.
    #[command(subcommand)]
    Template(template::Command),
    /// The mails of a server. A client: see `--server` and `--api-key-file`.
    #[command(subcommand)]
    Outbox(outbox::Command),
    /// Who changed what on a server. A client: see `--server` and `--api-key-file`.
    #[command(subcommand)]
    Audit(audit::Command),
    /// The mailboxes that a server reads for bounces and read receipts. A client: see `--server` and `--api-key-file`.
    #[command(subcommand)]
    Inbox(Box<inbox::Command>),
    /// The repositories of users: shows what they know, forgets what is remembered. A client: see `--server` and
    /// `--api-key-file`.
    #[command(subcommand)]
    Repository(repository::Command),
    /// Starts and verifies challenges, to try things. A client: see `--server` and `--api-key-file`.
    #[command(subcommand)]
    Challenge(challenge::Command),
    /// Writes a script that lets a shell complete these commands.
    Completions(completions::Completions),
}

/// What commands that work on this machine need.
struct Here {
    config: Option<PathBuf>,
    environment: Vec<(String, String)>,
}

impl Here {
    /// The configuration, or every fault in it.
    fn load(&self) -> Result<Config, Failure> {
        let environment = self.environment.iter().cloned();
        Config::load(self.config.as_deref(), environment).map_err(Failure::Configuration)
    }

    fn variable(&self, name: &str) -> Option<&str> {
        let mut variables = self.environment.iter();
        variables
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// Starts logging; `usual` goes over the configured filter, and the variable over both.
    fn log(&self, config: &Config, usual: Option<&str>) -> Outcome {
        let filter = self.variable(FILTER_VARIABLE).or(usual);
        Ok(telemetry::log(&config.log, filter)?)
    }
}

/// Runs the command that the arguments name.
pub fn main(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help goes to standard output with code 0, mistakes to standard error with code 2.
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let environment = environment
        .into_iter()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let here = Here {
        config: arguments.config,
        environment,
    };
    let outcome = runtime().and_then(|runtime| {
        let outcome = runtime.block_on(run(arguments.command, &here));
        runtime.shutdown_timeout(STUCK);
        outcome
    });
    telemetry::flush();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// On one processor a single thread does it all: handing work between threads there costs a bare call a quarter of its time
/// (`docs/performance.md`). On more, a thread for each.
fn runtime() -> Result<Runtime, Failure> {
    let alone = std::thread::available_parallelism().is_ok_and(|processors| processors.get() == 1);
    let mut builder = if alone {
        Builder::new_current_thread()
    } else {
        Builder::new_multi_thread()
    };
    let built = builder.enable_all().build();
    built.map_err(|error| Failure::of(&error))
}

async fn run(command: Command, here: &Here) -> Outcome {
    let machine = Machine::real;
    match command {
        Command::Serve => serve::run(here, machine()).await,
        Command::Demo(demo) => Box::pin(demo.run(machine())).await,
        Command::Check(check) => check.run(here, machine()).await,
        Command::Migrate => migrate::run(here, machine()).await,
        Command::Health(health) => health.run().await,
        Command::Caller(command) => command.run(here, machine()).await,
        Command::Keys(command) => command.run(here, machine()).await,
        Command::User(command) => command.run(here, machine()).await,
        Command::Account(command) => command.run().await,
        Command::Policy(command) => command.run().await,
        Command::Event(command) => command.run().await,
        Command::Sending(command) => command.run().await,
        Command::Outbox(command) => command.run().await,
        Command::Inbox(command) => command.run().await,
        Command::Template(command) => command.run().await,
        Command::Audit(command) => command.run().await,
        Command::Repository(command) => command.run().await,
        Command::Challenge(command) => command.run().await,
        Command::Completions(completions) => {
            completions.run(&mut Arguments::command());
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_fit_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn no_secret_is_an_argument() {
        for line in [
            "inbox add x --password y",
            "account add x --password y",
            "account update x --password y",
        ] {
            let words = std::iter::once("mailfactor").chain(line.split(' '));
            assert!(Arguments::try_parse_from(words).is_err(), "{line}");
        }
    }
}

//! The command line.

use std::{error::Error, path::PathBuf, str::FromStr, time::Duration};

use clap::{Parser, ValueEnum};

use super::{Outcome, helper::Role};

/// Measures the service and, in the same run, what the machine could do.
#[derive(Debug, Parser)]
#[command(name = "load")]
pub(crate) struct Arguments {
    /// What to measure.
    #[arg(value_enum, default_value = "all")]
    what: What,
    /// The store that the service uses; both, unless one is named.
    #[arg(long, value_enum)]
    engine: Option<Engine>,
    /// Writes the results there as well.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Everything small, once: to see that it works, not to measure.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Calls in flight, instead of 1, 8, 32 and 128 one after the other.
    #[arg(long, value_name = "N", value_delimiter = ',')]
    in_flight: Vec<usize>,
    /// How often each figure is taken; the median counts.
    #[arg(long, value_name = "N")]
    repetitions: Option<usize>,
    /// How long each figure is measured, in milliseconds.
    #[arg(long, value_name = "MS")]
    window: Option<u64>,
    /// The service, instead of the one that was built with this harness.
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_mailfactor"))]
    pub(crate) binary: PathBuf,
    /// Where databases are made; on the disk that is to be measured.
    #[arg(long, value_name = "DIRECTORY", default_value = env!("CARGO_TARGET_TMPDIR"))]
    pub(crate) directory: PathBuf,
    /// The harness itself: what this process is to be for another one.
    #[arg(long, value_enum, hide = true)]
    pub(crate) role: Option<Role>,
    /// What that role is given.
    #[arg(long, hide = true)]
    given: Vec<String>,
    /// Passed by Cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// All of it.
    All,
    /// Verify, start and whole flows, beside the echo.
    Calls,
    /// Mails a second, beside Postfix's `smtp-source`.
    Mails,
    /// A mail server that is 50 ms away.
    Distance,
    /// Memory, and the time to readiness.
    Rest,
    /// Claims in an outbox with a long history.
    Claim,
}

/// Where the service keeps its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    /// A file, `synchronous=FULL`.
    Sqlite,
    /// A server of the harness's own, `synchronous_commit=on`.
    Postgres,
}

impl Engine {
    /// Its name in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

impl Arguments {
    /// Whether this is to be measured.
    pub(crate) fn does(&self, what: What) -> bool {
        self.what == What::All || self.what == what
    }

    /// What this process was given for its role.
    pub(crate) fn given<T: FromStr>(&self, number: usize) -> Outcome<T>
    where
        T::Err: Error + Send + Sync + 'static,
    {
        let word = self.given.get(number).ok_or("a role was given too little")?;
        Ok(word.parse()?)
    }

    /// The engines to measure.
    pub(crate) fn engines(&self) -> Vec<Engine> {
        self.engine
            .map_or_else(|| vec![Engine::Sqlite, Engine::Postgres], |engine| vec![engine])
    }

    /// The numbers of calls in flight.
    pub(crate) fn in_flight(&self) -> Vec<usize> {
        match (self.in_flight.is_empty(), self.quick) {
            (false, _) => self.in_flight.clone(),
            (true, false) => vec![1, 8, 32, 128],
            (true, true) => vec![1, 128],
        }
    }

    /// How often each figure is taken.
    pub(crate) fn repetitions(&self) -> usize {
        self.repetitions.unwrap_or(if self.quick { 1 } else { 3 }).max(1)
    }

    /// How long each figure is measured.
    pub(crate) fn window(&self) -> Duration {
        let usual = if self.quick { 250 } else { 2_000 };
        Duration::from_millis(self.window.unwrap_or(usual))
    }
}

//! The load harness: what the service does, beside what the machine could do, measured in the same run.
//!
//! ```text
//! cargo bench --bench load -- [WHAT] [--engine sqlite|postgres] [--json FILE] [--quick]
//! ```
//!
//! Two cores: the service has one, whoever loads it the other ([`machine`]). [`helper`] runs this same binary in other
//! roles, each a process of its own: a bare tonic server that does nothing ([`echo`], the ceiling of every call), a lean
//! mail server that tells the codes it is sent ([`sink`]), a bare transaction ([`commit`]), a cache full of challenges
//! ([`pending`]). [`service`] starts the release binary as an operator does, [`postgres`] a database server for it,
//! [`drive`] keeps so many calls in flight and takes the times.
//!
//! What is measured: [`calls`] (verify, start, flows; [`taken`] keeps the values), [`mails`] (the sending path against Postfix's `smtp-source`),
//! [`distance`] (a mail server far away), [`rest`] (memory, time to readiness), [`claim`] (claims in a long outbox).
//! [`report`] says it all once, with the bars; a shortfall is printed like anything else.

#![cfg(test)] // As Cargo sets it for benchmarks. Says to clippy that nothing here is part of the product.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a harness prints what it measures, and none of its figures has more digits than a float"
)]

mod arguments;
mod calls;
mod claim;
mod client;
mod commit;
mod distance;
mod drive;
mod echo;
mod helper;
mod machine;
mod mails;
mod pending;
mod postgres;
mod report;
mod rest;
mod service;
mod sink;
mod taken;
mod walks;

use std::{error::Error, path::PathBuf, process::ExitCode};

use clap::Parser as _;

use arguments::{Arguments, What};
use helper::Role;
use report::Report;

/// What anything here ends with.
type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.role {
        Some(role) => play(*role, &arguments),
        None => measure(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Another role of this binary, in a process that the harness started.
fn play(role: Role, arguments: &Arguments) -> Outcome<()> {
    helper::end_with_parent();
    let runtime = match role {
        Role::EchoMulti => tokio::runtime::Builder::new_multi_thread().enable_all().build()?,
        _ => single()?,
    };
    runtime.block_on(async {
        match role {
            Role::EchoSingle | Role::EchoMulti => echo::serve().await,
            Role::Sink => sink::serve().await,
            Role::Commit => {
                let place: String = arguments.given(0)?;
                commit::measure(&place, arguments.given(1)?).await
            }
            Role::Pending => pending::measure(arguments.given(0)?).await,
            Role::Mails => mails::send(arguments.given(0)?, arguments.given(1)?, arguments.given(2)?).await,
            Role::Claim => {
                let directory: PathBuf = arguments.given(0)?;
                claim::claims(&directory, arguments.given(1)?, arguments.given(2)?).await
            }
        }
    })
}

fn measure(arguments: &Arguments) -> Outcome<()> {
    machine::stay_on(machine::CLIENT)?;
    single()?.block_on(async {
        let mut report = Report::new(arguments);
        if arguments.does(What::Rest) {
            rest::measure(arguments, &mut report).await?;
        }
        if arguments.does(What::Calls) {
            calls::measure(arguments, &mut report).await?;
        }
        if arguments.does(What::Mails) {
            mails::measure(arguments, &mut report).await?;
        }
        if arguments.does(What::Distance) {
            distance::measure(arguments, &mut report).await?;
        }
        if arguments.does(What::Claim) {
            claim::measure(arguments, &mut report)?;
        }
        report.end(arguments)
    })
}

/// One thread, as its core is one.
fn single() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

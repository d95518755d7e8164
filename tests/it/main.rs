//! Black-box tests: real servers on ports the system gives, real clients, no sleeps.

#![cfg(test)] // Says to clippy that every function here belongs to tests.
#![expect(
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::format_push_string,
    reason = "tests say what they skip and measure, and build texts plainly"
)]

mod harness;

mod canary;
mod clients;
mod dial;
mod docs;
mod enumeration;
mod kill;
mod postfix;
mod render;
mod restart;
mod templates;
mod tls;
mod verify;
mod worker;

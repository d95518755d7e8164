//! mailfactor: the e-mail one-time-password factor that authentication servers call over gRPC.
//!
//! A request walks down one corridor and straight back:
//!
//! - **start**: [`grpc`] -> `factor/start` -> [`repository`] (the address) -> [`domain`] (policy, budgets, a new
//!   challenge) -> [`store`] (challenge, outbox row and budgets in one transaction) -> the answer.
//! - **deliver**: one step of `mail/worker`: claim with a lease, or take over the lease this instance got when it wrote
//!   the row -> render -> send, no database connection held -> settle.
//! - **verify**: [`grpc`] -> `factor/verify` -> [`domain`] compares, in constant time -> [`store`]: one conditional write
//!   counts the attempt and consumes the challenge -> the verdict.
//! - **stop**: a signal -> health says `NOT_SERVING` -> listeners stop, calls in flight finish, the worker ends its step
//!   -> the deadline -> exit.
//!
//! The rooms: [`domain`] is the rulebook, [`store`] the archive, [`repository`] the directory of users, [`mail`] the post
//! room, [`factor`] the desk, [`policy`] the office, [`grpc`] the door. [`config`] is read once, [`app`] is the plan that puts
//! the parts together, [`lifecycle`] ends them, [`telemetry`] tells of them, [`system`] is the machine's time and
//! randomness, [`cli`] the command line, [`secret_files`] reads files with secrets, [`failpoints`] what crash tests are built with, `sync` the locks whose interleavings
//! are tried out. `factor` and `mail` never see each other: the outbox is between them.
//! Who may use whom is a table in `tests/layering.rs`.

#[macro_use]
pub mod failpoints;

pub mod app;
pub mod cli;
pub mod config;
pub mod domain;
pub mod factor;
#[cfg(feature = "fuzzing")]
pub mod fuzz;
pub mod grpc;
pub mod lifecycle;
pub mod mail;
pub mod pb;
pub mod policy;
pub mod repository;
pub mod secret_files;
pub mod store;
mod sync;
pub mod system;
pub mod telemetry;

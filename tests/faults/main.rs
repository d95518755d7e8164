//! The fault suite: the real binary under load, killed, frozen, starved and cut off; afterwards every acknowledged call is
//! compared with the mails and the outbox.
//!
//! `fleet` runs the instances, `load` calls them and writes down in the `ledger` what was answered, `audit` compares. Each
//! scenario is a file: `instances` (killed, frozen), `rolling` (replaced one by one), `postgres` (the store restarted, cut off,
//! silent), `mail_server` (cut off at every stage), `machine` (out of file descriptors), `overload` (a flood), `steps` (ended
//! at each failpoint; only with `--features failpoints`).
//!
//! `MAILFACTOR_SEED=N` repeats a run's choices. `MAILFACTOR_SOAK=1` makes everything longer.

#![cfg(test)] // Says to clippy that every function here belongs to tests.
#![expect(
    clippy::print_stderr,
    clippy::format_push_string,
    reason = "tests say what they measure, and build texts plainly"
)]

#[expect(dead_code, reason = "shared with the black-box tests, which use the rest")]
#[path = "../it/harness/mod.rs"]
mod harness;

mod audit;
mod dice;
mod fleet;
mod instances;
mod ledger;
mod load;
mod machine;
mod mail_server;
mod overload;
mod postgres;
mod rolling;
mod steps;

//! Black-box tests: real servers on ports the system gives, real clients, no sleeps.

#![cfg(test)] // Says to clippy that every function here belongs to tests.

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
mod verify;
mod worker;

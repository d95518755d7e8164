//! Black-box tests: real servers on ports the system gives, real clients, no sleeps.

mod harness;

mod clients;
mod dial;
mod docs;
mod postfix;
mod render;
mod worker;

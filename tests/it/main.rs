//! Black-box tests: real servers on ports the system gives, real clients, no sleeps.

mod harness;

mod dial;
mod render;
mod worker;

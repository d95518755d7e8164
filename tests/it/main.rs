//! Black-box tests: real servers on ports the system gives, real clients, no sleeps.

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

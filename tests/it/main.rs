//! Black-box tests: real servers on ports the system gives, real clients, no sleeps.

#![cfg(test)] // Says to clippy that every function here belongs to tests.
#![expect(
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::format_push_string,
    clippy::unnecessary_wraps,
    clippy::similar_names,
    clippy::duration_suboptimal_units,
    clippy::unchecked_time_subtraction,
    clippy::from_iter_instead_of_collect,
    clippy::maybe_infinite_iter,
    reason = "tests say what they skip and measure, and build texts plainly"
)]

#[expect(dead_code, reason = "shared with the fault suite, which uses the rest")]
mod harness;

mod access;
mod accounts;
mod audit;
mod bound;
mod canary;
mod cancel;
mod cli;
mod client_certificate;
mod clients;
mod clock;
mod default_credentials;
mod dial;
mod directory;
mod dkim;
mod docs;
mod enumeration;
mod failover;
mod get;
mod hygiene;
mod inbox;
mod inbox_faults;
mod injection;
mod keys;
mod ldap;
mod ldap_faults;
mod names;
mod oauth;
mod oauth_faults;
mod outbox;
mod overload;
mod override_address;
mod password;
mod pipelining;
mod policy;
mod postfix;
mod postgres;
mod products;
mod protocol;
mod proven;
mod render;
mod repository;
mod requests;
mod resend;
mod restart;
mod revocation;
mod secret_files;
mod settings;
mod shares;
mod shutdown;
mod smtp_faults;
mod sql_users;
mod start;
mod store_faults;
mod templates;
mod tls;
mod verify;
mod watch;
mod worker;

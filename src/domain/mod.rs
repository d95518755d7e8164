//! The rulebook: values that cannot be wrong and decisions without I/O.
//!
//! Nothing here waits, reads a clock or opens a file. Time and randomness come in as arguments ([`clock`],
//! [`entropy`]), secrets as a [`keyring`]. Every other room may use this one; this one uses none.
//!
//! A challenge from start to end: an [`address`] is found and hidden by a [`mask`]; the [`otp_policy`] says how its
//! [`code`] looks and the [`budget`] whether it may be sent; the [`judgement`] says what the user's code is worth; the
//! [`delivery`] rules say when its [`message`] is tried again through which [`account`], and a
//! [`preset`] what is known of the mail service behind it. What comes back to an [`inbox`] is a [`report`].

pub mod account;
pub mod address;
pub mod asked;
pub mod audit;
pub mod backoff;
pub mod budget;
pub mod caller;
pub mod challenge;
pub mod client_address;
pub mod clock;
pub mod code;
mod code_spec;
pub mod csv;
pub mod delivery;
pub mod dkim;
pub mod entropy;
pub mod id;
pub mod inbox;
pub mod judgement;
pub mod keyring;
pub mod label;
pub mod locale;
pub mod mail_queue;
pub mod mask;
pub mod message;
pub mod oauth;
pub mod otp_policy;
pub mod override_address;
pub mod policy_draft;
pub mod preset;
pub mod report;
pub mod template;
pub mod text;
mod typed_code;
pub mod violation;
pub mod visitor;

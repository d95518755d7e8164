//! OAuth 2.0: access tokens for accounts that log in with them.
//!
//! [`Tokens`] keeps one token for each account, in memory alone, and lets one request at a time get the next; others wait
//! for the same one. [`grant`] asks for it: what the account's grant takes, as a [`form`], with assertions signed by
//! [`jwt`], over [`http`] to the token endpoint; [`answer`] reads what comes back. [`turn`] sees to it that a refresh token
//! is used by one instance at a time, and that the one which takes its place is kept before the next one asks.

mod answer;
mod form;
mod grant;
mod http;
mod jwt;
mod tokens;
mod turn;

pub(super) use grant::Grants;
pub(super) use tokens::{Held, Token, Tokens};

/// Whether a text is a private key that assertions can be signed with, or what is wrong with it.
pub fn check_private_key(text: &str) -> Result<(), String> {
    jwt::Key::parse(text)
        .map(|_| ())
        .map_err(|error| error.to_string())
}

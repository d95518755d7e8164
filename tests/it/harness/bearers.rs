//! Access tokens at the scripted mail server: it takes every one that it was not told to refuse, and remembers them all.

use std::sync::{Arc, Mutex};

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// What a refusal says first, in the challenge.
pub const CHALLENGE: &str = r#"{"status":"401","schemes":"bearer","scope":"https://mail.example.com/"}"#;

/// One login with a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The mechanism it was shown by.
    pub mechanism: String,
    /// The user name.
    pub user: String,
    /// The token.
    pub token: String,
}

/// The tokens a server was shown.
#[derive(Clone, Default)]
pub struct Bearers(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    shown: Vec<Shown>,
    refused: Vec<String>,
    none: bool,
}

impl Bearers {
    /// All logins so far, the refused ones included.
    pub fn shown(&self) -> Vec<Shown> {
        self.0.lock().unwrap().shown.clone()
    }

    /// The tokens of all logins so far.
    pub fn tokens(&self) -> Vec<String> {
        self.shown().into_iter().map(|shown| shown.token).collect()
    }

    /// Refuses from now on all that it was shown before.
    pub fn refuse_all_so_far(&self) {
        let mut state = self.0.lock().unwrap();
        state.refused = state.shown.iter().map(|shown| shown.token.clone()).collect();
    }

    /// Refuses every token from now on.
    pub fn refuse_all(&self) {
        self.0.lock().unwrap().none = true;
    }

    /// Judges an initial response.
    pub fn judge(&self, mechanism: &str, response: &str) -> bool {
        let text = String::from_utf8(STANDARD.decode(response).unwrap_or_default()).unwrap();
        let user = if mechanism == "XOAUTH2" {
            text.strip_prefix("user=")
        } else {
            text.strip_prefix("n,a=")
        };
        let user = user.and_then(|rest| rest.split(['\x01', ',']).next());
        let token = text.split("\x01auth=Bearer ").nth(1);
        let token = token.and_then(|rest| rest.strip_suffix("\x01\x01"));
        let (Some(user), Some(token)) = (user, token) else {
            return false;
        };
        let mut state = self.0.lock().unwrap();
        state.shown.push(Shown {
            mechanism: mechanism.to_owned(),
            user: user.to_owned(),
            token: token.to_owned(),
        });
        !state.none && !state.refused.iter().any(|refused| refused == token)
    }
}

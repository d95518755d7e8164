//! AUTH with an access token: XOAUTH2, as Google and Microsoft define it, and OAUTHBEARER (RFC 7628).
//!
//! A server that refuses a token may first send a challenge that says why, which wants an answer.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::{
    answer::Answer,
    journal::Journal,
    login::show,
    oauth::{Held, Token, Tokens},
    reply::{Hidden, failure},
    session::Session,
};
use crate::domain::{
    account::Account,
    delivery::{FailureKind, SendFailure, Stage},
    oauth::{Mechanism, Oauth},
};

/// What a token is shown with.
#[derive(Clone, Copy)]
pub(super) struct Bearer<'a> {
    /// Where tokens come from.
    pub(super) tokens: &'a Tokens,
    /// The account that logs in.
    pub(super) account: &'a Account,
    /// How it gets tokens.
    pub(super) oauth: &'a Oauth,
}

impl Bearer<'_> {
    /// Gets a token. `anew`: not the one at hand.
    pub(super) async fn token(self, anew: bool, journal: &mut Journal) -> Result<Held, SendFailure> {
        journal.begin(Stage::Token);
        let held = self.tokens.get(self.account, self.oauth, anew).await?;
        journal.passed(if held.is_new {
            "granted anew"
        } else {
            "granted before"
        });
        Ok(held)
    }

    /// Logs in. A token from before that the server refuses is replaced by a new one, once.
    pub(super) async fn log_in(
        self,
        session: &mut Session,
        held: Held,
        journal: &mut Journal,
    ) -> Result<(), SendFailure> {
        journal.begin(Stage::Auth);
        let mechanism = self.oauth.mechanism;
        let name = mechanism.name();
        if !session.offers().has_mechanism(name) {
            let text = format!("the server does not offer AUTH {name}");
            return Err(failure(Stage::Auth, FailureKind::Temporary, text));
        }
        let first = self.try_token(session, &held.token, journal).await;
        let refused = matches!(&first, Err(failure) if failure.is_rejection());
        if refused {
            self.tokens.refused(self.account, &held.token);
        }
        let reply = if refused && !held.is_new {
            let fresh = self.token(false, journal).await?;
            journal.begin(Stage::Auth);
            let again = self.try_token(session, &fresh.token, journal).await;
            if matches!(&again, Err(failure) if failure.is_rejection()) {
                self.tokens.refused(self.account, &fresh.token);
            }
            again?
        } else {
            first?
        };
        journal.passed(reply);
        Ok(())
    }

    async fn try_token(
        self,
        session: &mut Session,
        token: &Arc<Token>,
        journal: &Journal,
    ) -> Result<String, SendFailure> {
        let mechanism = self.oauth.mechanism;
        let login = self.account.settings.login.as_ref();
        let username = login.map_or("", |login| login.username.as_str());
        let message = match mechanism {
            Mechanism::Xoauth2 => xoauth2(username, &token.access),
            Mechanism::OauthBearer => {
                let server = &self.account.settings.server;
                oauth_bearer(username, &server.host, server.port, &token.access)
            }
        };
        let encoded = Zeroizing::new(STANDARD.encode(message.as_bytes()));
        let mut hidden = Hidden::default();
        hidden.add(encoded.as_str());
        hidden.add(token.access.as_str());
        let mut answer = show(session, mechanism.name(), &encoded, &hidden, journal).await?;
        if answer.code() == 334 {
            // The server says why it will refuse, and wants to hear that it was heard (RFC 7628, 3.2.3).
            let challenge = challenge(&answer);
            let heard = match mechanism {
                Mechanism::Xoauth2 => "\r\n",
                Mechanism::OauthBearer => "AQ==\r\n",
            };
            let said = session.authenticate(heard, &hidden, journal).await;
            answer = said.map_err(|refused| SendFailure {
                reply: hidden.clean(&format!("{} {challenge}", refused.reply)),
                ..refused
            })?;
        }
        hidden.completion(&answer, journal)
    }
}

fn xoauth2(username: &str, token: &str) -> Zeroizing<String> {
    Zeroizing::new(format!("user={username}\x01auth=Bearer {token}\x01\x01"))
}

fn oauth_bearer(username: &str, host: &str, port: u16, token: &str) -> Zeroizing<String> {
    // In a saslname `,` and `=` are written otherwise (RFC 5801, 4).
    let name = username.replace('=', "=3D").replace(',', "=2C");
    Zeroizing::new(format!(
        "n,a={name},\x01host={host}\x01port={port}\x01auth=Bearer {token}\x01\x01"
    ))
}

/// What a challenge says, decoded where it can be.
fn challenge(answer: &Answer) -> String {
    let text = answer.lines().concat();
    let decoded = STANDARD.decode(text.trim()).ok();
    decoded.map_or(text, |bytes| String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_those_of_the_standards() {
        // Google's example, and RFC 7628, 4.1.
        assert_eq!(
            *xoauth2("someuser@example.com", "ya29"),
            "user=someuser@example.com\x01auth=Bearer ya29\x01\x01"
        );
        assert_eq!(
            *oauth_bearer("a,b=c@example.com", "server.example.com", 587, "vF9"),
            "n,a=a=2Cb=3Dc@example.com,\x01host=server.example.com\x01port=587\x01auth=Bearer vF9\x01\x01"
        );
    }
}

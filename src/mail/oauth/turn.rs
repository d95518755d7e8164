//! Turns with a refresh token: one instance at a time uses it, and what takes its place is kept before the next one does.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use tokio::time::sleep;
use zeroize::Zeroizing;

use crate::{
    domain::{
        clock::Clock,
        entropy::Entropy,
        id::LeaseId,
        keyring::{Keyring, Sealed, Subject, SubjectKind},
    },
    mail::insist::insist,
    store::{REFRESH_TURN, RefreshTokens, RefreshTurn},
};

/// How soon to ask again for a turn that is somebody else's.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// What turns are taken with.
pub(super) struct Turns {
    pub(super) keyring: Arc<Keyring>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) store: Arc<dyn RefreshTokens>,
}

/// A turn: leave to use one refresh token.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    given: Subject,
    id: LeaseId,
    /// The token to use now.
    pub(super) token: Zeroizing<String>,
}

impl Turns {
    /// Waits for the turn to use a refresh token, as long as the caller does. `given` is the token an administrator gave
    /// for this client at this endpoint.
    pub(super) async fn take(&self, endpoint: &str, client: &str, given: &str) -> Result<Turn<'_>, String> {
        let subject = self
            .keyring
            .subject(SubjectKind::RefreshToken, &[endpoint, client, given]);
        let id = LeaseId::random(self.entropy.as_ref());
        let replaced = loop {
            match self.store.take_turn(subject, id).await {
                Ok(RefreshTurn::Yours(replaced)) => break replaced,
                Ok(RefreshTurn::Taken) => sleep(ASK_AGAIN).await,
                Err(error) => return Err(format!("the refresh token cannot be looked up: {error}")),
            }
        };
        let mut turn = Turn {
            turns: self,
            given: subject,
            id,
            token: Zeroizing::new(given.to_owned()),
        };
        if let Some(sealed) = replaced {
            let opened = self.keyring.open(&place(&subject), &sealed);
            match opened.map_err(|error| error.to_string()).and_then(text) {
                Ok(token) => turn.token = token,
                Err(error) => {
                    turn.end(None).await;
                    return Err(format!("the replaced refresh token {error}"));
                }
            }
        }
        Ok(turn)
    }
}

impl Turn<'_> {
    /// Ends it, keeping the token that takes the place of the one that was used. A store that is away is asked again for
    /// as long as the turn lasts: without that token the account would have to be consented to anew.
    pub(super) async fn end(self, replaced: Option<&str>) {
        let turns = self.turns;
        let seal = |token: &str| -> Sealed {
            let place = place(&self.given);
            turns
                .keyring
                .seal(&place, token.as_bytes(), turns.entropy.as_ref())
        };
        let sealed = replaced.filter(|token| *token != self.token.as_str()).map(seal);
        let clock = turns.clock.as_ref();
        let until = clock.now().plus(REFRESH_TURN);
        let ended = insist(
            || turns.store.end_turn(self.given, self.id, sealed.clone()),
            clock,
            until,
        );
        match ended.await {
            Ok(true) => {}
            Ok(false) => tracing::warn!("a refresh token's turn was over before its replacement came"),
            Err(error) => tracing::error!(error = %error, "a replaced refresh token could not be kept"),
        }
    }
}

/// Where the token that replaced another is sealed for.
fn place(given: &Subject) -> String {
    let name = URL_SAFE_NO_PAD.encode(given.as_bytes());
    format!("refresh-token/{name}")
}

fn text(bytes: Vec<u8>) -> Result<Zeroizing<String>, String> {
    let bytes = Zeroizing::new(bytes);
    let text = str::from_utf8(&bytes).map_err(|_| "is no text")?;
    Ok(Zeroizing::new(text.to_owned()))
}

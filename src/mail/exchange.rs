//! How every dialogue begins: greeting and EHLO (RFC 5321, 3.1 and 3.2), and STARTTLS (RFC 3207).
//!
//! Here nothing that came in plain outlives the handshake: who keeps what was read before it lets whoever sits in between
//! answer for the server. A byte too many ends the attempt.

use super::{
    answer::Answer,
    conversation::{Conversation, Trouble},
    guard::Stream,
    offers::Offers,
};

/// Why the exchange failed.
#[derive(Debug)]
pub(super) enum ExchangeError {
    /// The server said no, or not what was to be said.
    Refused(Answer),
    /// The server lacks what is needed, in words.
    Lacking(&'static str),
    /// The conversation went wrong.
    Trouble(Trouble),
}

impl From<Trouble> for ExchangeError {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

/// Hears the greeting.
pub(super) async fn be_greeted<S: Stream>(talk: &mut Conversation<S>) -> Result<(), ExchangeError> {
    expect(talk.hear().await?, 220).map(|_| ())
}

/// EHLO.
pub(super) async fn say_hello<S: Stream>(
    talk: &mut Conversation<S>,
    name: &str,
) -> Result<Offers, ExchangeError> {
    let answer = talk.ask(&format!("EHLO {name}\r\n")).await?;
    expect(answer, 250).map(|answer| Offers::of(&answer))
}

/// Brings a server to the point where TLS begins.
pub(super) async fn start_tls<S: Stream>(mut talk: Conversation<S>, name: &str) -> Result<S, ExchangeError> {
    be_greeted(&mut talk).await?;
    if !say_hello(&mut talk, name).await?.has("STARTTLS") {
        return Err(ExchangeError::Lacking("the server does not offer STARTTLS"));
    }
    expect(talk.ask("STARTTLS\r\n").await?, 220)?;
    Ok(talk.into_stream()?)
}

fn expect(answer: Answer, code: u16) -> Result<Answer, ExchangeError> {
    if answer.code() == code {
        Ok(answer)
    } else {
        Err(ExchangeError::Refused(answer))
    }
}

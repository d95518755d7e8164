//! One connection to a server of a directory: one request at a time, and the replies to it.
//!
//! Nothing here waits for a fixed time: whoever asks sets the deadline, and gives a connection up that missed one. What a
//! server may send is bounded, message by message and in number.

use std::io;

use futures_util::FutureExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{
    ber::Malformed,
    dial::Stream,
    message::{self, Entry, Outcome, Reply, Search},
};

/// The longest message that is read: an entry with some thousand addresses.
const MOST_BYTES: usize = 512 * 1024;

/// Bytes read at once at the least: most entries whole.
const CHUNK: usize = 4 * 1024;

/// Messages read in answer to one search.
const MOST_MESSAGES: usize = 64;

/// Why a server gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum LdapError {
    /// The connection could not be opened, or broke.
    #[error("the connection failed")]
    Connection(#[source] io::Error),
    /// TLS was not agreed upon, or the certificate is not to be trusted.
    #[error("TLS failed")]
    Tls(#[source] io::Error),
    /// The host is no name that a certificate could be for.
    #[error("the host is no name for a certificate")]
    ServerName,
    /// The server closed the connection.
    #[error("the server closed the connection")]
    Closed,
    /// Bytes came before TLS that nobody asked for.
    #[error("the server sent something before TLS")]
    EarlyBytes,
    /// Not LDAP.
    #[error(transparent)]
    Malformed(#[from] MalformedReply),
    /// More than anybody asked for.
    #[error("the server's reply is too long")]
    TooLong,
    /// Another answer than that to what was asked.
    #[error("the server answered something else than was asked")]
    OutOfTurn,
    /// The server refused the service's own name and password.
    #[error("the server refused the bind of `bind_dn` (result code {0})")]
    Bind(u32),
    /// It would not do it.
    #[error("the server refused (result code {0}, see RFC 4511, Appendix A)")]
    Refused(u32),
    /// What was asked for is on another server.
    #[error("the server refers to another one, which is not followed")]
    Referral(Vec<String>),
    /// No server answered in time.
    #[error("no answer in time")]
    Timeout,
}

/// The reply is no LDAP message.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the server's reply is no LDAP message")]
pub struct MalformedReply;

impl From<Malformed> for LdapError {
    fn from(_: Malformed) -> Self {
        Self::Malformed(MalformedReply)
    }
}

impl LdapError {
    /// Whether a fresh connection to the same server may do better: the server closed an idle one, or restarted.
    pub(super) fn is_broken_line(&self) -> bool {
        matches!(self, Self::Connection(_) | Self::Closed)
    }
}

/// What a search found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// The entries, as many as were asked for at the most.
    pub(super) entries: Vec<Entry>,
    /// Where there may be more.
    pub(super) elsewhere: Vec<String>,
}

/// An open connection.
pub(super) struct Connection<S = Box<dyn Stream>> {
    stream: S,
    received: Vec<u8>,
    last: u32,
}

impl<S: Stream> Connection<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            received: Vec::new(),
            last: 0,
        }
    }

    /// The stream, if nothing came that was not read.
    pub(super) fn into_stream(self) -> Option<S> {
        self.received.is_empty().then_some(self.stream)
    }

    /// Whether it seems fit to be asked again: nothing came since the last answer, no end either.
    pub(super) fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        self.received.is_empty() && self.stream.read(&mut byte).now_or_never().is_none()
    }

    /// Asks for TLS.
    pub(super) async fn start_tls(&mut self) -> Result<(), LdapError> {
        let id = self.send(message::start_tls).await?;
        match self.receive(id).await? {
            Reply::Extended(Outcome { code: 0, .. }) => Ok(()),
            Reply::Extended(refused) => Err(LdapError::Refused(refused.code)),
            _ => Err(LdapError::OutOfTurn),
        }
    }

    /// Binds with a name and a password; answers with the result code.
    pub(super) async fn bind(&mut self, name: &str, password: &str) -> Result<u32, LdapError> {
        let id = self.send(|id| message::bind(id, name, password)).await?;
        match self.receive(id).await? {
            Reply::Bound(outcome) => Ok(outcome.code),
            _ => Err(LdapError::OutOfTurn),
        }
    }

    /// Searches. More entries than were asked for, or than the server gives, are no error where there are two: that is
    /// all that anybody wants to know.
    pub(super) async fn search(&mut self, search: &Search<'_>) -> Result<Findings, LdapError> {
        const SIZE_LIMIT: u32 = 4;
        const REFERRAL: u32 = 10;
        let id = self.send(|id| message::search(id, search)).await?;
        let mut found = Findings::default();
        for _ in 0..MOST_MESSAGES {
            match self.receive(id).await? {
                Reply::Found(entry) => found.entries.push(entry),
                Reply::Elsewhere(addresses) => found.elsewhere.extend(addresses),
                Reply::Done(Outcome { code: 0, .. }) => return Ok(found),
                Reply::Done(Outcome { code: SIZE_LIMIT, .. }) if found.entries.len() > 1 => return Ok(found),
                Reply::Done(Outcome {
                    code: REFERRAL,
                    referrals,
                }) => return Err(LdapError::Referral(referrals)),
                Reply::Done(refused) => return Err(LdapError::Refused(refused.code)),
                _ => return Err(LdapError::OutOfTurn),
            }
        }
        Err(LdapError::TooLong)
    }

    /// Says farewell, if that can be done at once.
    pub(super) fn leave(mut self) {
        let farewell = message::unbind(self.last + 1);
        // Nobody waits for it: a server that does not take it now sees the connection close.
        let _ = self.stream.write_all(&farewell).now_or_never();
    }

    async fn send(&mut self, request: impl FnOnce(u32) -> Vec<u8>) -> Result<u32, LdapError> {
        self.last += 1;
        // Passwords pass through here: what held them is wiped.
        let bytes = zeroize::Zeroizing::new(request(self.last));
        self.stream.write_all(&bytes).await?;
        self.stream.flush().await?;
        Ok(self.last)
    }

    async fn receive(&mut self, id: u32) -> Result<Reply, LdapError> {
        loop {
            if let Some(length) = message::length(&self.received)? {
                if length > MOST_BYTES {
                    return Err(LdapError::TooLong);
                }
                if let Some(bytes) = self.received.get(..length) {
                    let (answers, reply) = message::reply(bytes)?;
                    self.received.drain(..length);
                    return match reply {
                        // A notice that the server leaves.
                        Reply::Unasked if answers == 0 => Err(LdapError::Closed),
                        reply if answers == id => Ok(reply),
                        _ => Err(LdapError::OutOfTurn),
                    };
                }
            }
            self.received.reserve(CHUNK);
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(LdapError::Closed);
            }
        }
    }
}

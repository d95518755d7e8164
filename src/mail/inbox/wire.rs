//! The wire to a server that answers in lines: every answer has a deadline and a number of bytes it may have.

use std::{io, time::Duration};

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, timeout_at},
};

use super::super::{guard::Stream, reply::said_of_loss};

/// The longest line. IMAP servers name all they can in one.
const LONGEST_LINE: usize = 64 * 1024;

/// Why a conversation went wrong.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The connection was lost or ran out of time.
    Lost(io::Error),
    /// The server said no, in these words.
    Refused(String),
    /// It said more than it may.
    TooLong,
    /// It said what makes no sense.
    Odd(&'static str),
}

impl Trouble {
    /// In words.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Lost(error) => said_of_loss(error),
            Self::Refused(text) if text.trim().is_empty() => "the server said no".to_owned(),
            Self::Refused(text) => text.clone(),
            Self::TooLong => "the server's answer is too long".to_owned(),
            Self::Odd(text) => (*text).to_owned(),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Lost(error)
    }
}

/// How long and how large an answer may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    /// From the first byte of the command to the last of the answer.
    pub(super) patience: Duration,
    /// All bytes of the answer.
    pub(super) bytes: usize,
}

/// A connection on which the server's next words are read.
#[derive(Debug)]
pub(super) struct Wire<S> {
    stream: S,
    held: BytesMut,
    until: Instant,
    left: usize,
}

impl<S: Stream> Wire<S> {
    /// The server speaks first.
    pub(super) fn new(stream: S, greeting: Allowance) -> Self {
        Self {
            stream,
            held: BytesMut::new(),
            until: Instant::now() + greeting.patience,
            left: greeting.bytes,
        }
    }

    /// Says something; the answer begins with the next byte that is read.
    pub(super) async fn send(&mut self, bytes: &[u8], allowance: Allowance) -> Result<(), Trouble> {
        self.until = Instant::now() + allowance.patience;
        self.left = allowance.bytes;
        let writing = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        timeout_at(self.until, writing).await.map_err(|_| late())??;
        Ok(())
    }

    /// The next line, without its end.
    pub(super) async fn line(&mut self) -> Result<Vec<u8>, Trouble> {
        let mut looked = 0;
        loop {
            let fresh = self.held.get(looked..).unwrap_or_default();
            if let Some(end) = fresh.iter().position(|byte| *byte == b'\n') {
                let mut line = self.held.split_to(looked + end + 1).to_vec();
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(line);
            }
            looked = self.held.len();
            if looked > LONGEST_LINE {
                return Err(Trouble::TooLong);
            }
            self.fill().await?;
        }
    }

    /// The next so many bytes.
    pub(super) async fn take(&mut self, count: usize) -> Result<Vec<u8>, Trouble> {
        if count > self.held.len().saturating_add(self.left) {
            return Err(Trouble::TooLong);
        }
        while self.held.len() < count {
            self.fill().await?;
        }
        Ok(self.held.split_to(count).to_vec())
    }

    /// The stream, if nothing was read beyond the last line: what came in plain is not believed after TLS has begun.
    pub(super) fn into_stream(self) -> Result<S, Trouble> {
        if self.held.is_empty() {
            Ok(self.stream)
        } else {
            Err(Trouble::Odd("the server spoke before its turn"))
        }
    }

    async fn fill(&mut self) -> Result<(), Trouble> {
        if self.left == 0 {
            return Err(Trouble::TooLong);
        }
        self.held.reserve(4096);
        let reading = self.stream.read_buf(&mut self.held);
        let count = timeout_at(self.until, reading).await.map_err(|_| late())??;
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        // What is beyond the allowance stays unread, unless it came in the same packet.
        self.left = self.left.saturating_sub(count);
        Ok(())
    }
}

fn late() -> Trouble {
    io::Error::from(io::ErrorKind::TimedOut).into()
}

/// A text of the server's, as far as it is one.
pub(super) fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    const SMALL: Allowance = Allowance {
        patience: Duration::from_secs(5),
        bytes: 8,
    };

    fn wire() -> (Wire<DuplexStream>, DuplexStream) {
        let (ours, theirs) = duplex(64 * 1024);
        (Wire::new(ours, SMALL), theirs)
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_or_dripping_server_ends_in_time() {
        let (mut wire, mut server) = wire();
        for _ in 0..4 {
            tokio::time::advance(Duration::from_secs(1)).await;
            server.write_all(b"x").await.unwrap();
        }
        assert!(
            matches!(wire.line().await, Err(Trouble::Lost(error)) if error.kind() == io::ErrorKind::TimedOut)
        );
    }

    #[tokio::test]
    async fn an_answer_has_as_many_bytes_as_it_may() {
        let (mut wire, mut server) = wire();
        server.write_all(b"a\r\nbc\n").await.unwrap();
        assert_eq!(wire.line().await.unwrap(), b"a");
        assert_eq!(wire.line().await.unwrap(), b"bc");
        assert!(matches!(wire.take(9).await, Err(Trouble::TooLong)));
        wire.send(b"next", SMALL).await.unwrap();
        server.write_all(&[b'x'; 9]).await.unwrap();
        assert!(matches!(wire.line().await, Err(Trouble::TooLong)));
    }

    #[tokio::test]
    async fn what_was_read_too_early_is_not_carried_on() {
        let (mut wire, mut server) = wire();
        server.write_all(b"+OK\r\nx").await.unwrap();
        assert_eq!(wire.line().await.unwrap(), b"+OK");
        assert!(matches!(wire.into_stream(), Err(Trouble::Odd(_))));
    }
}

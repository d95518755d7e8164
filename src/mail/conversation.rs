//! A conversation with a mail server: commands out, replies in, over a guarded stream.
//!
//! Lines may be said in one go, several commands in one write (RFC 2920), and their replies heard one by one. The server
//! speaks only when it was asked: what it says before its turn is believed by nobody.

use std::{io, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{
    answer::{Answer, Answers, BadAnswer},
    guard::{Gauge, Guard, Stream},
};

/// Why a conversation cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The connection was lost, or ran out of time.
    #[error("the connection was lost")]
    Lost(#[from] io::Error),
    /// The server makes no sense, or no end.
    #[error("{0}")]
    Odd(#[from] BadAnswer),
    /// The server answered what was not asked.
    #[error("the server spoke before its turn")]
    Early,
}

/// A conversation.
#[derive(Debug)]
pub(super) struct Conversation<S> {
    stream: Guard<S>,
    answers: Answers,
    patience: Duration,
}

impl<S: Stream> Conversation<S> {
    /// With a server that has `patience` for each reply, of `limit` bytes at the most.
    pub(super) fn new(stream: S, patience: Duration, limit: usize) -> Self {
        Self {
            stream: Guard::new(stream, patience),
            answers: Answers::new(limit),
            patience,
        }
    }

    /// What is seen of the stream from outside.
    pub(super) fn gauge(&self) -> &Arc<Gauge> {
        self.stream.gauge()
    }

    /// Says lines, in one write. The server has its patience to take them and to answer the first.
    pub(super) async fn say(&mut self, lines: &str) -> Result<(), Trouble> {
        self.say_within(lines, self.patience).await
    }

    /// The same with other patience.
    pub(super) async fn say_within(&mut self, lines: &str, patience: Duration) -> Result<(), Trouble> {
        if !self.answers.is_empty() {
            return Err(Trouble::Early);
        }
        self.stream.allow(patience);
        self.stream.write_all(lines.as_bytes()).await?;
        self.stream.flush().await?;
        Ok(())
    }

    /// The next reply, within the time that was given with the lines.
    pub(super) async fn hear(&mut self) -> Result<Answer, Trouble> {
        loop {
            if let Some(answer) = self.answers.take()? {
                return Ok(answer);
            }
            if self.stream.read_buf(self.answers.room()).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }

    /// The reply to the next of several commands: the server has its patience anew.
    pub(super) async fn hear_next(&mut self) -> Result<Answer, Trouble> {
        self.stream.allow(self.patience);
        self.hear().await
    }

    /// Says a line and hears the reply.
    pub(super) async fn ask(&mut self, line: &str) -> Result<Answer, Trouble> {
        self.say(line).await?;
        self.hear().await
    }

    /// Whether nothing was read that was not asked for.
    pub(super) fn is_in_turn(&self) -> bool {
        self.answers.is_empty()
    }

    /// Whether the server has kept silent and stayed, as far as is known here: this asks nobody and waits for nothing.
    pub(super) fn is_quiet(&mut self) -> bool {
        self.stream.allow(self.patience);
        self.is_in_turn() && self.stream.read_buf(self.answers.room()).now_or_never().is_none()
    }

    /// The stream, for TLS to begin on it: no byte that came in plain outlives this.
    pub(super) fn into_stream(self) -> Result<S, Trouble> {
        if self.is_in_turn() {
            Ok(self.stream.into_inner())
        } else {
            Err(Trouble::Early)
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{DuplexStream, duplex},
        time::Instant,
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn conversation(limit: usize) -> (Conversation<DuplexStream>, DuplexStream) {
        let (ours, theirs) = duplex(1024);
        (Conversation::new(ours, PATIENCE, limit), theirs)
    }

    #[tokio::test]
    async fn lines_go_out_at_once_and_replies_come_in_as_they_like() {
        let (mut ours, mut server) = conversation(64);
        ours.say("MAIL\r\nRCPT\r\nDATA\r\n").await.unwrap();
        let mut group = [0; 18];
        server.read_exact(&mut group).await.unwrap();
        server.write_all(b"250 a\r\n250 b\r\n35").await.unwrap();
        assert_eq!(ours.hear().await.unwrap().text(), "a");
        assert_eq!(ours.hear_next().await.unwrap().text(), "b");
        server.write_all(b"4 c\r\n").await.unwrap();
        assert_eq!(ours.hear_next().await.unwrap().code(), 354);
        assert!(ours.is_in_turn());
    }

    #[tokio::test]
    async fn nobody_believes_what_was_not_asked() {
        let (mut ours, mut server) = conversation(64);
        server.write_all(b"220 hello\r\n250 injected\r\n").await.unwrap();
        assert_eq!(ours.hear().await.unwrap().code(), 220);
        assert!(!ours.is_in_turn());
        assert!(matches!(ours.ask("EHLO a\r\n").await, Err(Trouble::Early)));
        assert!(matches!(ours.into_stream(), Err(Trouble::Early)));
    }

    #[tokio::test]
    async fn a_line_that_spoke_or_ended_is_not_quiet() {
        let (mut ours, mut server) = conversation(64);
        assert!(ours.is_quiet());
        server.write_all(b"4").await.unwrap();
        assert!(!ours.is_quiet());
        let (mut ours, server) = conversation(64);
        drop(server);
        assert!(!ours.is_quiet());
    }

    #[tokio::test(start_paused = true)]
    async fn each_reply_of_several_has_its_time_and_no_more() {
        let (mut ours, mut server) = conversation(64);
        ours.say("MAIL\r\nRCPT\r\n").await.unwrap();
        tokio::time::advance(Duration::from_secs(4)).await;
        server.write_all(b"250 a\r\n").await.unwrap();
        ours.hear().await.unwrap();
        let waiting = Instant::now();
        let late = ours.hear_next().await.unwrap_err();
        assert!(matches!(late, Trouble::Lost(error) if error.kind() == io::ErrorKind::TimedOut));
        assert!(waiting.elapsed() >= PATIENCE && waiting.elapsed() < PATIENCE * 2);
    }

    #[tokio::test]
    async fn an_endless_reply_ends_and_so_does_one_that_is_cut_off() {
        let (mut ours, mut server) = conversation(64);
        server.write_all(&[b'2'; 100]).await.unwrap();
        assert!(matches!(
            ours.hear().await,
            Err(Trouble::Odd(BadAnswer::TooLong(64)))
        ));
        let (mut ours, mut server) = conversation(64);
        server.write_all(b"250 hal").await.unwrap();
        drop(server);
        assert!(matches!(ours.hear().await, Err(Trouble::Lost(_))));
    }
}

//! The guard round a stream to a mail server: a deadline for each command and a bound on each reply.
//!
//! A command begins with the first byte written after a reply was read. From then on the server has the guard's
//! patience to take the command and answer it in full, however slowly it drips; the bytes of the answer are counted
//! until the next command. So lettre, which waits for ever and gathers a line of any length, does neither.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// What a guarded stream must be.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin + fmt::Debug {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin + fmt::Debug> Stream for S {}

/// What is seen of a guarded stream from outside while lettre holds it.
#[derive(Debug)]
pub(super) struct Gauge {
    /// Bytes that were handed to the network, or to TLS on the way there.
    written: AtomicU64,
    /// Milliseconds for a command that begins from now on.
    patience: AtomicU64,
}

impl Gauge {
    fn new(patience: Duration) -> Arc<Self> {
        let gauge = Self {
            written: AtomicU64::new(0),
            patience: AtomicU64::new(0),
        };
        gauge.set_patience(patience);
        Arc::new(gauge)
    }

    /// Bytes handed over so far.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Gives commands that begin from now on this long.
    pub(super) fn set_patience(&self, patience: Duration) {
        let millis = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        self.patience.store(millis, Ordering::Release);
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(self.patience.load(Ordering::Acquire))
    }
}

/// A guarded stream.
pub(super) struct Guard<S> {
    stream: S,
    peer: SocketAddr,
    gauge: Arc<Gauge>,
    /// Read before anything the server sends.
    head: &'static [u8],
    timer: Pin<Box<Sleep>>,
    /// Whether a reply was read since the last write: the next write begins a command.
    answered: bool,
    received: usize,
    limit: usize,
    line: Line,
}

impl<S: Stream> Guard<S> {
    /// Guards a stream whose server speaks first, within `patience`, in replies of `limit` bytes at the most.
    pub(super) fn new(stream: S, peer: SocketAddr, patience: Duration, limit: usize) -> Self {
        Self {
            stream,
            peer,
            gauge: Gauge::new(patience),
            head: b"",
            timer: Box::pin(sleep(patience)),
            answered: false,
            received: 0,
            limit,
            line: Line::default(),
        }
    }

    /// Has `head` read before anything the server sends. After STARTTLS no greeting comes, and lettre waits for one.
    pub(super) fn with_head(mut self, head: &'static [u8]) -> Self {
        self.head = head;
        self
    }

    /// The view from outside.
    pub(super) fn gauge(&self) -> Arc<Gauge> {
        Arc::clone(&self.gauge)
    }

    /// Takes the stream out again.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    fn check_time(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.timer.as_mut().poll(context).is_ready() {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the server did not answer in time",
            ));
        }
        Ok(())
    }

    fn check_reply(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.answered = true;
        self.received += bytes.len();
        if self.received > self.limit {
            let text = format!("the server's reply is longer than {} bytes", self.limit);
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        if bytes.iter().all(|byte| self.line.takes(*byte)) {
            Ok(())
        } else {
            let text = "the server's reply has a line of spaces";
            Err(io::Error::new(io::ErrorKind::InvalidData, text))
        }
    }
}

impl<S: Stream> AsyncRead for Guard<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.head.is_empty() {
            let (now, later) = this.head.split_at(this.head.len().min(buffer.remaining()));
            buffer.put_slice(now);
            this.head = later;
            this.answered = true;
            return Poll::Ready(Ok(()));
        }
        // Before the stream: one that always has another byte must not outrun the clock.
        this.check_time(context)?;
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Ready(Ok(())) => {
                let fresh = buffer.filled().get(before..).unwrap_or_default();
                let checked = this.check_reply(fresh);
                if checked.is_err() {
                    // An error means that nothing was read.
                    buffer.set_filled(before);
                }
                Poll::Ready(checked)
            }
            other => other,
        }
    }
}

impl<S: Stream> AsyncWrite for Guard<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.answered {
            this.answered = false;
            this.received = 0;
            this.line = Line::default();
            let patience = this.gauge.patience();
            this.timer.as_mut().reset(Instant::now() + patience);
        }
        this.check_time(context)?;
        let result = Pin::new(&mut this.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(count)) = &result {
            this.gauge.written.fetch_add(*count as u64, Ordering::AcqRel);
        }
        result
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check_time(context)?;
        Pin::new(&mut this.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check_time(context)?;
        Pin::new(&mut this.stream).poll_shutdown(context)
    }
}

impl<S: Stream> AsyncTokioStream for Guard<S> {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

impl<S> fmt::Debug for Guard<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guard({})", self.peer)
    }
}

/// The line of a reply that is being read. lettre panics at an EHLO reply with a line whose text is spaces alone.
#[derive(Default)]
struct Line(Vec<u8>);

impl Line {
    /// The reply code and the space or hyphen after it.
    const HEAD: usize = 4;

    fn takes(&mut self, byte: u8) -> bool {
        if byte != b'\n' {
            // The limit on the whole reply bounds the line.
            self.0.push(byte);
            return true;
        }
        let line = std::mem::take(&mut self.0);
        let text = line.strip_suffix(b"\r").unwrap_or(&line).get(Self::HEAD..);
        let text = str::from_utf8(text.unwrap_or_default()).unwrap_or_default();
        text.is_empty() || !text.trim().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    fn guarded(limit: usize) -> (Guard<DuplexStream>, DuplexStream) {
        let (ours, theirs) = duplex(64);
        let peer = SocketAddr::from(([127, 0, 0, 1], 25));
        (Guard::new(ours, peer, Duration::from_secs(5), limit), theirs)
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_ends_in_time() {
        let (mut guard, _server) = guarded(100);
        let error = guard.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_drip_does_not_buy_time_and_a_command_does() {
        let (mut guard, mut server) = guarded(100);
        for _ in 0..4 {
            tokio::time::advance(Duration::from_secs(1)).await;
            server.write_all(b"x").await.unwrap();
            guard.read_u8().await.unwrap();
        }
        tokio::time::advance(Duration::from_secs(2)).await;
        server.write_all(b"x").await.unwrap();
        assert_eq!(guard.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        guard.write_all(b"NOOP\r\n").await.unwrap();
        assert_eq!(guard.read_u8().await.unwrap(), b'x');
        assert_eq!(guard.gauge().written(), 6);
    }

    #[tokio::test]
    async fn a_reply_is_bounded_and_counted_anew_after_a_command() {
        let (mut guard, mut server) = guarded(8);
        let mut buffer = [0; 6];
        for _ in 0..3 {
            server.write_all(b"250 ok").await.unwrap();
            guard.read_exact(&mut buffer).await.unwrap();
            guard.write_all(b"x").await.unwrap();
        }
        server.write_all(b"250 endless").await.unwrap();
        let mut all = Vec::new();
        let error = guard.read_to_end(&mut all).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn lines_of_spaces_are_found() {
        let takes = |text: &str| {
            let mut line = Line::default();
            text.bytes().all(|byte| line.takes(byte))
        };
        for good in [
            "250 ok\r\n",
            "250-\r\n250 \r\n",
            "250-AUTH PLAIN \r\n",
            "250 \u{e9}\r\n",
        ] {
            assert!(takes(good), "{good:?}");
        }
        for bad in ["250- \u{a0}\r\n", "250 x\r\n250 \t\r\n", "250-\u{2003}\r\n"] {
            assert!(!takes(bad), "{bad:?}");
        }
    }
}

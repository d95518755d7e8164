//! The guard round a stream to a mail server: a deadline for all that is said and heard on it.
//!
//! From the moment it is given, the server has the guard's patience to take a command and answer it in full, however
//! slowly it drips. What is beyond that is an error, reading and writing alike.

use std::{
    fmt, io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// What a guarded stream must be.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin + fmt::Debug {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin + fmt::Debug> Stream for S {}

/// What is seen of a guarded stream from outside, even after an attempt on it was cut short.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    /// Bytes that were handed to the network, or to TLS on the way there.
    written: AtomicU64,
}

impl Gauge {
    /// Bytes handed over so far.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }
}

/// A guarded stream.
pub(super) struct Guard<S> {
    stream: S,
    gauge: Arc<Gauge>,
    timer: Pin<Box<Sleep>>,
}

impl<S: Stream> Guard<S> {
    /// Guards a stream whose server speaks first, within `patience`.
    pub(super) fn new(stream: S, patience: Duration) -> Self {
        Self {
            stream,
            gauge: Arc::default(),
            timer: Box::pin(sleep(patience)),
        }
    }

    /// Gives what is said and heard from now on so much time.
    pub(super) fn allow(&mut self, patience: Duration) {
        self.timer.as_mut().reset(Instant::now() + patience);
    }

    /// The view from outside.
    pub(super) fn gauge(&self) -> &Arc<Gauge> {
        &self.gauge
    }

    /// Takes the stream out again.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    fn check_time(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.timer.as_mut().poll(context).is_ready() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }
}

impl<S: Stream> AsyncRead for Guard<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Before the stream: one that always has another byte must not outrun the clock.
        this.check_time(context)?;
        Pin::new(&mut this.stream).poll_read(context, buffer)
    }
}

impl<S: Stream> AsyncWrite for Guard<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
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

impl<S> fmt::Debug for Guard<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard(..)")
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn guarded() -> (Guard<DuplexStream>, DuplexStream) {
        let (ours, theirs) = duplex(64);
        (Guard::new(ours, PATIENCE), theirs)
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_ends_in_time() {
        let (mut guard, _server) = guarded();
        let error = guard.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_takes_nothing_ends_in_time() {
        let (mut guard, _server) = guarded();
        let error = guard.write_all(&[0; 1000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(guard.gauge().written(), 64);
    }

    #[tokio::test(start_paused = true)]
    async fn a_drip_does_not_buy_time() {
        let (mut guard, mut server) = guarded();
        for _ in 0..4 {
            tokio::time::advance(Duration::from_secs(1)).await;
            server.write_all(b"x").await.unwrap();
            guard.read_u8().await.unwrap();
        }
        tokio::time::advance(Duration::from_secs(2)).await;
        server.write_all(b"x").await.unwrap();
        assert_eq!(guard.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        guard.allow(PATIENCE);
        guard.write_all(b"NOOP\r\n").await.unwrap();
        assert_eq!(guard.read_u8().await.unwrap(), b'x');
        assert_eq!(guard.gauge().written(), 6);
    }
}

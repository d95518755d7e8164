//! Connections: taken in, served, and brought to an end.
//!
//! Each is a task of ours in one set, and each of its streams a task on its tracker: at the end it is known what is still
//! at work, and a peer that says nothing cannot hold the process.

use std::{
    future::Future,
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hyper::{rt::Executor, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics::{counter, gauge};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    DoorSettings,
    accept::{self, Peer, Refused},
    porch::Porch,
};

/// Streams that were opened and reset before they were looked at: more than this many at once end the connection
/// (CVE-2023-44487, "rapid reset").
const MOST_RESETS: usize = 20;

/// Streams that we reset because the peer broke the rules, over the whole life of a connection. Not few: the rest of a
/// request that was refused while it was still on its way counts as well, and connections of callers live long. What h2
/// allows by itself.
const MOST_ERRORS: usize = 1024;

/// The largest window there is (RFC 9113, 6.9.1).
const MOST_WINDOW: u32 = (1 << 31) - 1;

/// How long an idle peer has to take its leave when the process ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long to wait when the process has no more file descriptors.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// Everybody who is connected.
pub(super) struct Connections {
    pub(super) listener: TcpListener,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) porch: Arc<Porch>,
    pub(super) settings: DoorSettings,
    pub(super) leave: CancellationToken,
}

impl Connections {
    /// Takes connections until it is time to leave, then waits for those there are.
    pub(super) async fn serve(self) {
        let places = self.settings.most_connections.min(Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(places));
        let conversation = Arc::new(Conversation {
            tls: self.tls,
            porch: self.porch,
            settings: self.settings,
            leave: self.leave,
        });
        let leave = &conversation.leave;
        let mut tasks = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = leave.cancelled() => break,
                Some(ended) = tasks.join_next() => {
                    report(ended);
                    continue;
                }
                accepted = self.listener.accept() => accepted,
            };
            match (accepted, Arc::clone(&places).try_acquire_owned()) {
                (Ok((stream, address)), Ok(place)) => {
                    let peer = Peer {
                        address,
                        certificate: None,
                    };
                    tasks.spawn(Arc::clone(&conversation).hold(stream, peer, place));
                }
                (Ok(_), Err(_)) => refused("full"),
                (Err(error), _) => pause(&error, leave).await,
            }
        }
        drop(self.listener);
        while let Some(ended) = tasks.join_next().await {
            report(ended);
        }
    }
}

/// What every connection shares.
struct Conversation {
    tls: Option<TlsAcceptor>,
    porch: Arc<Porch>,
    settings: DoorSettings,
    leave: CancellationToken,
}

impl Conversation {
    /// One connection from its first byte to its last.
    async fn hold(self: Arc<Self>, stream: TcpStream, mut peer: Peer, _place: OwnedSemaphorePermit) {
        // Answers are small and complete: waiting to fill a packet only delays them. A failure shows at the first read.
        let _ = stream.set_nodelay(true);
        let limit = self.settings.handshake_timeout;
        match &self.tls {
            None => {
                if let Some(stream) = self.greeted(peer, accept::preface(stream, limit)).await {
                    self.converse(stream, peer).await;
                }
            }
            Some(tls) => {
                let greeting = async {
                    let (stream, certificate) = accept::handshake(stream, tls, limit).await?;
                    Ok((accept::preface(stream, limit).await?, certificate))
                };
                if let Some((stream, certificate)) = self.greeted(peer, greeting).await {
                    peer.certificate = certificate;
                    self.converse(stream, peer).await;
                }
            }
        }
    }

    /// The outcome of a greeting, which at the end of the process has little time left.
    async fn greeted<T>(&self, peer: Peer, greeting: impl Future<Output = Result<T, Refused>>) -> Option<T> {
        let outcome = tokio::select! {
            outcome = greeting => outcome,
            () = async { self.leave.cancelled().await; sleep(FAREWELL).await } => Err(Refused::TooSlow),
        };
        outcome
            .inspect_err(|refused| {
                self::refused(refused.name());
                tracing::debug!(peer = %peer.address, reason = refused.name(), "connection refused");
            })
            .ok()
    }

    /// Serves HTTP/2 until the peer goes, has been idle for too long, or the process ends. Then: GOAWAY, and the streams that are open finish.
    async fn converse<S>(&self, stream: S, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let connections = gauge!("mailfactor_connections");
        connections.increment(1.0);
        let streams = Streams::default();
        // Where this future is dropped, so is all it serves.
        let _gone = streams.gone.clone().drop_guard();
        let porch = Arc::clone(&self.porch);
        let service = service_fn(move |request| {
            let porch = Arc::clone(&porch);
            // Boxed: hyper and the run-time move it several times.
            async move { Ok::<_, std::convert::Infallible>(Box::pin(porch.answer(request, &peer)).await) }
        });
        let mut connection = pin!(
            self.http2(streams.clone())
                .serve_connection(TokioIo::new(stream), service)
        );
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = self.leave.cancelled() => None,
            () = streams.idle(self.settings.most_idle) => None,
        };
        let ended = if let Some(ended) = ended {
            ended
        } else {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection.as_mut() => ended,
                // A peer that does not acknowledge the GOAWAY would hold the connection for ever.
                () = streams.quiet() => Ok(()),
            }
        };
        if let Err(error) = ended {
            tracing::debug!(peer = %peer.address, %error, "connection lost");
        }
        connections.decrement(1.0);
    }

    fn http2(&self, streams: Streams) -> http2::Builder<Streams> {
        let settings = &self.settings;
        // One message and its prefix fit into a stream's window; nobody has a use for more.
        let window = u32::try_from(settings.message_limit.saturating_add(1024)).unwrap_or(MOST_WINDOW);
        let window = window.min(MOST_WINDOW);
        let mut builder = http2::Builder::new(streams);
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(settings.most_streams)
            .max_header_list_size(settings.header_limit)
            .keep_alive_interval(settings.keepalive_interval)
            .keep_alive_timeout(settings.keepalive_timeout)
            .max_pending_accept_reset_streams(MOST_RESETS)
            .max_local_error_reset_streams(MOST_ERRORS)
            .initial_stream_window_size(window)
            .max_send_buf_size(256 * 1024)
            .auto_date_header(false);
        builder
    }
}

/// Runs the streams of one connection, and knows when there are none.
#[derive(Clone, Default)]
struct Streams {
    tasks: TaskTracker,
    begun: Arc<AtomicU64>,
    gone: CancellationToken,
}

impl Streams {
    /// Returns when for so long none was open and none has begun.
    async fn idle(&self, most: Duration) {
        loop {
            let before = self.begun.load(Ordering::Relaxed);
            let quiet = self.tasks.is_empty();
            sleep(most).await;
            if quiet && self.begun.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }

    /// Returns when no stream has been open for a while.
    async fn quiet(&self) {
        self.tasks.close();
        loop {
            self.tasks.wait().await;
            sleep(FAREWELL).await;
            if self.tasks.is_empty() {
                return;
            }
        }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        let gone = self.gone.clone();
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.tasks.spawn(async move {
            gone.run_until_cancelled_owned(stream).await;
        });
    }
}

fn refused(reason: &'static str) {
    counter!("mailfactor_connections_refused_total", "reason" => reason).increment(1);
}

/// After a failed accept: at once again, unless the process has run out of something.
async fn pause(error: &io::Error, leave: &CancellationToken) {
    let peer_went = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    );
    if !peer_went {
        tracing::error!(%error, "cannot accept connections");
        let _ = timeout(EXHAUSTED, leave.cancelled()).await;
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn idle_is_a_whole_span_without_a_stream() {
        let most = Duration::from_mins(15);
        let streams = Streams::default();
        let (end, open) = tokio::sync::oneshot::channel::<()>();
        streams.execute(async move { drop(open.await) });
        // An open stream, such as a watch, may last.
        assert!(timeout(most * 10, streams.idle(most)).await.is_err());
        end.send(()).unwrap();
        streams.tasks.close();
        streams.tasks.wait().await;
        assert!(timeout(most * 2, streams.idle(most)).await.is_ok());
    }
}

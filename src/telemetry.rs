//! What the process tells of itself: logs on standard error, metrics on a port of their own.
//!
//! Neither ever holds a code, a password, a key or a whole address. Our own code keeps to that; dependencies cannot be
//! trusted to, so whatever the filter says they never log below INFO: at DEBUG and TRACE some show frames, statements
//! and mails.

mod lines;

use std::{convert::Infallible, fmt, io, sync::OnceLock, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, Layer as _, filter::FilterFn, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::config::{Log, LogFormat};

/// The variable that goes over `log.filter`.
pub const FILTER_VARIABLE: &str = "MAILFACTOR_LOG";

/// Why there is no telemetry.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is none.
    #[error(
        "{FILTER_VARIABLE} is no filter; give a level or a list of target=level, such as \"mailfactor=debug\""
    )]
    Filter,
    /// Somebody else in this process logs already.
    #[error("logging was set up before")]
    Logging,
}

/// Starts logging to standard error, once in a process. `filter`, from [`FILTER_VARIABLE`], goes over the configured.
pub fn log(settings: &Log, filter: Option<&str>) -> Result<(), TelemetryError> {
    let filter =
        EnvFilter::try_new(filter.unwrap_or(&settings.filter)).map_err(|_| TelemetryError::Filter)?;
    let lines = tracing_subscriber::fmt::layer().with_writer(lines::standard_error());
    let lines = match settings.format {
        LogFormat::Human => lines
            .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
            .boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(FilterFn::new(is_safe))
        .with(filter)
        .with(lines)
        .try_init()
        .map_err(|_| TelemetryError::Logging)
}

/// Writes the last lines: before the process ends.
pub fn flush() {
    lines::flush();
}

/// Whether a line may be logged at all: ours at any level, a dependency's from INFO up, statements from WARN up.
fn is_safe(line: &Metadata<'_>) -> bool {
    let target = line.target();
    let ours = target == "mailfactor" || target.starts_with("mailfactor::");
    let bound = if target.starts_with("sqlx::query") {
        Level::WARN
    } else if ours {
        Level::TRACE
    } else {
        Level::INFO
    };
    *line.level() <= bound
}

/// The metrics of this process. The recorder is installed at the first call; later ones give the same.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics(..)")
    }
}

/// From a millisecond, an SQLite commit on a fast disk, to 20 s, the longest attempt to send.
const SECONDS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0,
];

/// Up to as many as share one commit.
const SHARED_WRITES: &str = "mailfactor_store_shared_writes";
const SHARES: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// A page is asked for, built and sent within this time.
const PAGE_TIME: Duration = Duration::from_secs(10);

/// Pages in work at once; further connections wait.
const PAGES: usize = 16;

/// How often old samples are folded, so that a process nobody scrapes does not grow.
const UPKEEP: Duration = Duration::from_secs(5);

impl Metrics {
    /// Installs the recorder, if it is not yet.
    #[must_use]
    pub fn install() -> Self {
        static INSTALLED: OnceLock<PrometheusHandle> = OnceLock::new();
        let handle = INSTALLED.get_or_init(|| {
            let builder = PrometheusBuilder::new();
            let builder = builder
                .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
                .and_then(|builder| {
                    builder.set_buckets_for_metric(Matcher::Full(SHARED_WRITES.to_owned()), &SHARES)
                })
                .unwrap_or_else(|_| PrometheusBuilder::new());
            let recorder = builder.build_recorder();
            let handle = recorder.handle();
            if metrics::set_global_recorder(recorder).is_err() {
                tracing::warn!("metrics are recorded by somebody else in this process");
            }
            describe();
            handle
        });
        Self(handle.clone())
    }

    /// The page as Prometheus reads it.
    #[must_use]
    pub fn page(&self) -> String {
        self.0.render()
    }

    /// Serves `/metrics` until the token is cancelled.
    pub async fn serve(self, listener: TcpListener, end: CancellationToken) {
        let mut pages = JoinSet::new();
        let mut upkeep = interval(UPKEEP);
        loop {
            tokio::select! {
                () = end.cancelled() => return,
                _ = upkeep.tick() => self.0.run_upkeep(),
                Some(_) = pages.join_next() => {}
                accepted = listener.accept(), if pages.len() < PAGES => match accepted {
                    Ok((stream, _)) => {
                        pages.spawn(timeout(PAGE_TIME, self.clone().answer(stream)));
                    }
                    // Out of file descriptors, most likely: wait for some to close.
                    Err(_) => sleep(Duration::from_millis(100)).await,
                },
            }
        }
    }

    async fn answer(self, stream: TcpStream) {
        let service = service_fn(move |request: Request<Incoming>| {
            let response = self.respond(request.method(), request.uri().path());
            async move { Ok::<_, Infallible>(response) }
        });
        let mut server = http1::Builder::new();
        server
            .timer(TokioTimer::new())
            .header_read_timeout(PAGE_TIME / 2)
            .keep_alive(false)
            .max_buf_size(16 * 1024);
        // A scraper that hangs up is its own business.
        let _ = server.serve_connection(TokioIo::new(stream), service).await;
    }

    fn respond(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let (status, body) = match (method, path) {
            (&Method::GET, "/metrics") => (StatusCode::OK, self.page()),
            (_, "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, String::new()),
            _ => (StatusCode::NOT_FOUND, String::new()),
        };
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            header::HeaderValue::from_static("text/plain; version=0.0.4"),
        );
        response
    }
}

/// Serves nothing and keeps the samples folded: for a service without a metrics port.
pub async fn keep_up(metrics: Metrics, end: CancellationToken) {
    let mut upkeep = interval(UPKEEP);
    while end.run_until_cancelled(upkeep.tick()).await.is_some() {
        metrics.0.run_upkeep();
    }
}

fn describe() {
    for (name, help) in COUNTERS {
        metrics::describe_counter!(name, help);
    }
    for (name, help) in GAUGES {
        metrics::describe_gauge!(name, help);
    }
    for (name, help) in HISTOGRAMS {
        metrics::describe_histogram!(name, metrics::Unit::Seconds, help);
    }
    metrics::describe_histogram!(
        SHARED_WRITES,
        "How many starts, verifications, leaves and settlements shared a commit."
    );
}

const COUNTERS: [(&str, &str); 10] = [
    ("mailfactor_rpcs_total", "Calls, by method and status code."),
    (
        "mailfactor_connections_refused_total",
        "Connections that were closed before a call.",
    ),
    (
        "mailfactor_challenges_total",
        "Challenges asked for, by what became of the request.",
    ),
    ("mailfactor_verifications_total", "Codes judged, by verdict."),
    (
        "mailfactor_mails_total",
        "Mails, by how far an attempt came and what became of it.",
    ),
    ("mailfactor_inbox_checks_total", "Checks of inboxes, by outcome"),
    (
        "mailfactor_inbox_reports_total",
        "What was told of mails after they were sent, by kind.",
    ),
    (
        "mailfactor_templates_broken_total",
        "Mails made of the built-in template because the one written for them broke.",
    ),
    (
        "mailfactor_oauth_tokens_total",
        "Access tokens asked for, by what became of the request.",
    ),
    (
        "mailfactor_repository_lookups_total",
        "Users looked up, by repository and outcome.",
    ),
];

const GAUGES: [(&str, &str); 5] = [
    ("mailfactor_outbox_waiting", "Mails not yet sent."),
    (
        "mailfactor_outbox_oldest_seconds",
        "Age of the oldest mail not yet sent.",
    ),
    ("mailfactor_connections", "Connections that are open."),
    (
        "mailfactor_breaker_open",
        "1 where an account is spared because it has been failing.",
    ),
    (
        "mailfactor_repository_stale",
        "1 where a users file is broken and older users are served.",
    ),
];

const HISTOGRAMS: [(&str, &str); 4] = [
    ("mailfactor_rpc_seconds", "How long calls took, by method."),
    (
        "mailfactor_store_operation_seconds",
        "How long the database took, by operation.",
    ),
    (
        "mailfactor_mail_attempt_seconds",
        "How long attempts to send took.",
    ),
    (
        "mailfactor_mail_accept_seconds",
        "From a mail's submission until a mail server took it.",
    ),
];

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn serves_metrics_and_nothing_else() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let end = CancellationToken::new();
        let mut server = JoinSet::new();
        let metrics = Metrics::install();
        metrics::counter!("mailfactor_telemetry_test_total").increment(3);
        server.spawn(metrics.serve(listener, end.clone()));
        let page = ask(address, "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(page.starts_with("HTTP/1.1 200"), "{page}");
        assert!(page.contains("mailfactor_telemetry_test_total 3"), "{page}");
        let other = ask(address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(other.starts_with("HTTP/1.1 404"), "{other}");
        let post = ask(
            address,
            "POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
        )
        .await;
        assert!(post.starts_with("HTTP/1.1 405"), "{post}");
        end.cancel();
        server.join_all().await;
    }

    /// Logs a line at every level under a target that is not ours, and ours, and says what came through.
    #[test]
    fn dependencies_never_log_below_info() {
        use std::sync::{Arc, Mutex};
        #[derive(Clone, Default)]
        struct Lines(Arc<Mutex<Vec<u8>>>);
        impl io::Write for Lines {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry()
            .with(FilterFn::new(is_safe))
            .with(EnvFilter::new("trace"))
            .with(layer);
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!(target: "h2::codec", "canary-1");
            tracing::info!(target: "sqlx::query", "canary-2");
            tracing::trace!(target: "mailfactorish", "canary-3");
            tracing::trace!(target: "mailfactor::mail", "ours");
            tracing::info!(target: "rustls", "loud");
        });
        let lines = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert!(!lines.contains("canary"), "{lines}");
        assert!(lines.contains("ours") && lines.contains("loud"), "{lines}");
    }
}

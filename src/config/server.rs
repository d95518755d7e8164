//! Sections `[server]`, `[metrics]`, `[log]` and `[shutdown]`: how the process faces the world.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::reader::Reader;

/// Section `[server]`.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where gRPC is served.
    pub listen: SocketAddr,
    /// Whether plain text is allowed off loopback.
    pub allow_plaintext: bool,
    /// Whether reflection is served.
    pub reflection: bool,
    /// The certificate; `None`: plain text.
    pub tls: Option<Tls>,
    /// Bounds.
    pub limits: Limits,
}

/// Section `[server.tls]`, where it is set.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// The CA of client certificates, PEM.
    pub client_ca: Option<PathBuf>,
}

/// Section `[server.limits]`.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Calls in work at once.
    pub requests: usize,
    /// Calls at once on one connection.
    pub streams: u32,
    /// The largest message, in bytes.
    pub message_bytes: usize,
    /// The largest set of headers, in bytes.
    pub header_bytes: u32,
    /// For the TLS handshake, and again for the HTTP/2 preface.
    pub handshake_timeout: Duration,
    /// After how much silence a connection is asked for a sign of life.
    pub keepalive: Duration,
}

/// Section `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
    /// What is logged, as in `RUST_LOG`. Checked when logging starts.
    pub filter: String,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Human,
    /// For machines: one JSON object a line.
    Json,
}

const ANYWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

impl Server {
    pub(super) fn read(section: &Reader<'_>) -> Self {
        let listen = section.parse("listen", address).unwrap_or(ANYWHERE);
        let allow_plaintext = section.flag("allow_plaintext");
        let tls = Tls::read(&section.section("tls"));
        if tls.is_none() && !allow_plaintext && !listen.ip().is_loopback() {
            section.fault(
                "listen",
                "is not loopback: set `server.tls`, or allow plain text with `server.allow_plaintext`",
            );
        }
        let second = Duration::from_secs(1);
        let limits = section.section("limits");
        Self {
            listen,
            allow_plaintext,
            reflection: section.flag("reflection"),
            tls,
            limits: Limits {
                connections: limits.number("connections", 1..=65_536),
                requests: limits.number("requests", 1..=65_536),
                streams: limits.number("streams", 1..=1_000),
                message_bytes: limits.number("message_bytes", 4_096..=1_048_576),
                header_bytes: limits.number("header_bytes", 4_096..=65_536),
                handshake_timeout: limits.duration("handshake_timeout", second..=60 * second),
                keepalive: limits.duration("keepalive", 5 * second..=3_600 * second),
            },
        }
    }
}

impl Tls {
    fn read(section: &Reader<'_>) -> Option<Self> {
        let certificate = section.file("certificate");
        let key = section.file("key");
        let client_ca = section.file("client_ca");
        let set = |key: &str| !section.text(key).is_empty();
        match (set("certificate"), set("key")) {
            (true, false) => section.fault("key", "is required with `server.tls.certificate`"),
            (false, true) => section.fault("certificate", "is required with `server.tls.key`"),
            (false, false) if set("client_ca") => {
                section.fault("client_ca", "needs `server.tls.certificate` and `server.tls.key`");
            }
            _ => {}
        }
        Some(Self {
            certificate: certificate?,
            key: key?,
            client_ca,
        })
    }
}

impl Log {
    pub(super) fn read(section: &Reader<'_>) -> Self {
        let format = section.parse("format", |text| match text {
            "human" => Ok(LogFormat::Human),
            "json" => Ok(LogFormat::Json),
            _ => Err("must be \"human\" or \"json\""),
        });
        let filter = section.parse("filter", |text| {
            tracing_subscriber::EnvFilter::try_new(text)
                .map(|_| text.to_owned())
                .map_err(
                    |_| "must be a level or a list of target=level, such as \"info\" or \"mailfactor=debug\"",
                )
        });
        Self {
            format: format.unwrap_or(LogFormat::Human),
            filter: filter.unwrap_or_default(),
        }
    }
}

/// Where metrics are served; `None`: nowhere.
pub(super) fn metrics(section: &Reader<'_>) -> Option<SocketAddr> {
    section.parse_some("listen", address)
}

/// Section `[shutdown]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// How long calls are still taken after health says that they will not be.
    pub notice: Duration,
    /// How long the end may take, the notice included.
    pub deadline: Duration,
}

impl Ending {
    pub(super) fn read(section: &Reader<'_>) -> Self {
        let deadline = section.duration("deadline", Duration::from_secs(1)..=Duration::from_secs(25));
        let notice = section.duration("notice", Duration::ZERO..=Duration::from_secs(5));
        // Where the deadline itself is at fault, nothing is known of the notice.
        if !deadline.is_zero() && notice > deadline / 2 {
            section.fault("notice", "must be at most half of shutdown.deadline");
        }
        Self { notice, deadline }
    }
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse()
        .map_err(|_| "must be an IP address and a port, such as \"127.0.0.1:50051\" or \"[::]:50051\"")
}

//! Sections `[delivery]` and `[enumeration]`: how mail goes out.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use super::reader::Reader;
use crate::domain::address::ascii_domain;

/// Section `[delivery]`.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The language where nobody knows better.
    pub default_locale: String,
    /// Whether subjects may show the code.
    pub code_in_subject: bool,
    /// How this machine names itself; `None`: by its host name.
    pub hello_name: Option<String>,
    /// What stands after the `@` of a Message-ID; `None`: the hello name.
    pub message_id_domain: Option<String>,
    /// Mails under way at once.
    pub concurrency: usize,
    /// Connections to each account's server.
    pub pool_size: usize,
    /// How long an idle one is kept.
    pub pool_idle: Duration,
    /// How often the outbox is looked at without news.
    pub poll: Duration,
    /// How long a caller waits for the mail server at the most.
    pub wait: Duration,
    /// How long a test message is tried.
    pub test_lifetime: Duration,
    /// The networks mail servers may be in; empty: all.
    pub egress: Vec<Network>,
    /// Whether accounts are enabled only with settings that passed the connection test.
    pub tested_accounts_only: bool,
    /// Further CA certificates, PEM.
    pub extra_ca: Option<PathBuf>,
    /// Times of one attempt.
    pub timeouts: Timeouts,
}

/// Section `[delivery.timeouts]`.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For TCP.
    pub connect: Duration,
    /// For TLS.
    pub tls: Duration,
    /// For each command.
    pub command: Duration,
    /// After the final dot.
    pub accept: Duration,
    /// For the whole.
    pub attempt: Duration,
}

/// A network: the addresses that share their first bits with this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// An address in it.
    pub address: IpAddr,
    /// How many bits are shared.
    pub prefix: u8,
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl Delivery {
    pub(super) fn read(section: &Reader<'_>) -> Self {
        let (ms, s) = (Duration::from_millis, Duration::from_secs);
        Self {
            default_locale: section.parse("default_locale", locale).unwrap_or_default(),
            code_in_subject: section.flag("code_in_subject"),
            hello_name: section.parse_some("hello_name", host),
            message_id_domain: section.parse_some("message_id_domain", ascii_domain),
            concurrency: section.number("concurrency", 1..=256),
            pool_size: section.number("pool_size", 1..=64),
            pool_idle: section.duration("pool_idle", s(1)..=s(300)),
            poll: section.duration("poll", ms(100)..=s(5)),
            wait: section.duration("wait", s(1)..=s(25)),
            test_lifetime: section.duration("test_lifetime", s(10)..=s(3_600)),
            egress: section.list("egress", network),
            tested_accounts_only: section.flag("tested_accounts_only"),
            extra_ca: section.file("extra_ca"),
            timeouts: Timeouts::read(&section.section("timeouts")),
        }
    }
}

impl Timeouts {
    fn read(section: &Reader<'_>) -> Self {
        let s = Duration::from_secs;
        let timeouts = Self {
            connect: section.duration("connect", s(1)..=s(20)),
            tls: section.duration("tls", s(1)..=s(20)),
            command: section.duration("command", s(1)..=s(20)),
            accept: section.duration("accept", s(1)..=s(24)),
            attempt: section.duration("attempt", s(1)..=s(24)),
        };
        for (key, span) in [("connect", timeouts.connect), ("tls", timeouts.tls)] {
            if span > timeouts.attempt {
                section.fault(key, "is longer than the whole attempt may take");
            }
        }
        timeouts
    }
}

/// The domains of users.
pub(super) fn decoy_domains(section: &Reader<'_>) -> Vec<String> {
    section.list("decoy_domains", ascii_domain)
}

/// A language tag (BCP 47): subtags of letters and digits, joined by hyphens.
fn locale(text: &str) -> Result<String, &'static str> {
    let mut subtags = text.split('-');
    let language = subtags.next().unwrap_or_default();
    let fits = (2..=8).contains(&language.len())
        && language.bytes().all(|byte| byte.is_ascii_alphabetic())
        && subtags
            .all(|tag| (1..=8).contains(&tag.len()) && tag.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    if fits && text.len() <= 35 {
        Ok(text.to_owned())
    } else {
        Err("must be a language tag, such as \"en\" or \"de-CH\"")
    }
}

fn host(text: &str) -> Result<String, &'static str> {
    if text == "localhost" {
        return Ok(text.to_owned());
    }
    ascii_domain(text).map_err(|_| "must be a full host name, such as \"mail.example.com\"")
}

fn network(text: &str) -> Result<Network, &'static str> {
    const FORM: &str = "must be a network such as \"10.0.0.0/8\" or \"2001:db8::/32\", or one address";
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| FORM)?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        Some(prefix) => prefix.parse().map_err(|_| FORM)?,
        None => most,
    };
    if prefix <= most {
        Ok(Network { address, prefix })
    } else {
        Err(FORM)
    }
}

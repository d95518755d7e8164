//! An inbox's fields as arguments.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::super::{Failure, account::fields::Security};
use crate::pb::v1 as pb;

/// How a mailbox is read.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Protocol {
    /// IMAP; port 993 with TLS, else 143, by default.
    Imap,
    /// POP3; port 995 with TLS, else 110, by default.
    Pop3,
}

/// What may be set.
#[derive(Debug, Args)]
pub(super) struct Fields {
    /// How the mailbox is read.
    #[arg(long, value_enum)]
    protocol: Option<Protocol>,
    /// The server: a host name or an IP address.
    #[arg(long)]
    host: Option<String>,
    /// The port; without it, the usual one.
    #[arg(long)]
    port: Option<u16>,
    /// How the connection is protected. The usual ports are those of the protocol.
    #[arg(long, value_enum)]
    security: Option<Security>,
    /// The user name at the server.
    #[arg(long)]
    username: Option<String>,
    /// Whether it is read by itself every interval.
    #[arg(long, value_name = "true|false")]
    automatic_check: Option<bool>,
    /// Whether messages stay on the server once they were read; with false every message that was read is deleted there.
    #[arg(long, value_name = "true|false")]
    keep_copy: Option<bool>,
    /// How many seconds after a check the next one comes; 0: the usual 60.
    #[arg(long, value_name = "SECONDS")]
    interval: Option<u32>,
    /// The name in the server's certificate, where it is not the host.
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// A PEM file with the only certificate authorities to believe.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Believes every certificate; needs --acknowledge-risks.
    #[arg(long, value_name = "true|false")]
    ignore_certificate_errors: Option<bool>,
    /// Says yes to a connection without encryption or to ignored certificate errors.
    #[arg(long)]
    acknowledge_risks: bool,
}

impl Fields {
    /// Sets what was given; says which fields that were.
    pub(super) fn apply(&self, inbox: &mut pb::Inbox) -> Result<Vec<&'static str>, Failure> {
        let mut paths = Vec::new();
        for (given, slot, path) in [
            (&self.host, &mut inbox.host, "host"),
            (&self.username, &mut inbox.username, "username"),
            (&self.server_name, &mut inbox.server_name, "server_name"),
        ] {
            if let Some(given) = given {
                slot.clone_from(given);
                paths.push(path);
            }
        }
        for (given, slot, path) in [
            (
                self.automatic_check,
                &mut inbox.automatic_check,
                "automatic_check",
            ),
            (
                self.ignore_certificate_errors,
                &mut inbox.ignore_certificate_errors,
                "ignore_certificate_errors",
            ),
        ] {
            if let Some(given) = given {
                *slot = given;
                paths.push(path);
            }
        }
        if self.keep_copy.is_some() {
            inbox.keep_copy = self.keep_copy;
            paths.push("keep_copy");
        }
        if let Some(seconds) = self.interval {
            let span = prost_types::Duration {
                seconds: seconds.into(),
                nanos: 0,
            };
            inbox.interval = Some(span).filter(|_| seconds > 0);
            paths.push("interval");
        }
        if let Some(path) = &self.ca_file {
            inbox.ca_certificates = std::fs::read_to_string(path)
                .map_err(|error| Failure::say(format!("{}: {error}", path.display())))?;
            paths.push("ca_certificates");
        }
        if let Some(port) = self.port {
            inbox.port = port.into();
            paths.push("port");
        }
        if let Some(protocol) = self.protocol {
            inbox.set_protocol(match protocol {
                Protocol::Imap => pb::InboxProtocol::Imap,
                Protocol::Pop3 => pb::InboxProtocol::Pop3,
            });
            paths.push("protocol");
        }
        if let Some(security) = self.security {
            inbox.set_security(security.into());
            paths.push("security");
        }
        inbox.acknowledge_risks = self.acknowledge_risks;
        Ok(paths)
    }
}

//! An account's fields as arguments, and where its secret comes from.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::super::{Failure, secret};
use crate::pb::v1::{self as pb, account_secret::Source};

/// How the connection is protected.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum Security {
    /// TLS from the first byte; port 465 by default.
    Tls,
    /// STARTTLS, required; port 587 by default.
    Starttls,
    /// None; port 25 by default.
    None,
}

impl From<Security> for pb::ConnectionSecurity {
    fn from(security: Security) -> Self {
        match security {
            Security::Tls => Self::ImplicitTls,
            Security::Starttls => Self::Starttls,
            Security::None => Self::None,
        }
    }
}

/// What may be set.
#[derive(Debug, Args)]
pub(super) struct Fields {
    /// The mail service, such as gmail: see `mailfactor account presets`. It says host, port and security.
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// The mail server: a host name or an IP address.
    #[arg(long)]
    host: Option<String>,
    /// The port; without it, the usual one.
    #[arg(long)]
    port: Option<u16>,
    /// How the connection is protected.
    #[arg(long, value_enum)]
    security: Option<Security>,
    /// The user name at the mail server; without it, nobody logs in.
    #[arg(long)]
    username: Option<String>,
    /// The address mail comes from.
    #[arg(long, value_name = "ADDRESS")]
    sender: Option<String>,
    /// The name shown beside it.
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// Where replies go.
    #[arg(long, value_name = "ADDRESS")]
    reply_to: Option<String>,
    /// The envelope sender, where bounces go.
    #[arg(long, value_name = "ADDRESS")]
    return_path: Option<String>,
    /// Whether mail programs are asked to confirm that a mail was read.
    #[arg(long, value_name = "true|false")]
    read_receipt: Option<bool>,
    /// Where those confirmations go; without it, to the sender.
    #[arg(long, value_name = "ADDRESS")]
    confirmation_address: Option<String>,
    /// Whether callers may not override Reply-To, Return-Path and confirmation address.
    #[arg(long, value_name = "true|false")]
    force_settings: Option<bool>,
    /// A footnote below each mail; an empty one takes it away.
    #[arg(long, value_name = "TEXT")]
    footnote: Option<String>,
    /// The name given in EHLO.
    #[arg(long, value_name = "NAME")]
    hello_name: Option<String>,
    /// The name in the server's certificate, where it is not the host.
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// A PEM file with the only certificate authorities to believe.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Believes every certificate; needs --acknowledge-risks.
    #[arg(long, value_name = "true|false")]
    ignore_certificate_errors: Option<bool>,
    /// The most seconds that any stage of a connection may take; 0: the service's own limits.
    #[arg(long, value_name = "SECONDS")]
    stage_timeout: Option<u32>,
    /// When it is tried after the default account: the lowest first.
    #[arg(long, value_name = "NUMBER")]
    order: Option<i32>,
    /// The most mails a minute through it; 0: what the preset says.
    #[arg(long, value_name = "NUMBER")]
    messages_per_minute: Option<i32>,
    /// The most mails a day; 0: what the preset says.
    #[arg(long, value_name = "NUMBER")]
    messages_per_day: Option<i32>,
    /// Says yes to a connection without encryption or to ignored certificate errors.
    #[arg(long)]
    acknowledge_risks: bool,
}

impl Fields {
    /// Sets what was given; says which fields that were.
    pub(super) fn apply(&self, account: &mut pb::Account) -> Result<Vec<&'static str>, Failure> {
        let mut paths = Vec::new();
        let mut text = |given: &Option<String>, slot: &mut String, path| {
            if let Some(given) = given {
                slot.clone_from(given);
                paths.push(path);
            }
        };
        text(&self.host, &mut account.host, "host");
        text(&self.sender, &mut account.sender, "sender");
        text(&self.display_name, &mut account.display_name, "display_name");
        text(&self.reply_to, &mut account.reply_to, "reply_to");
        text(&self.username, &mut account.username, "username");
        text(&self.preset, &mut account.preset, "preset");
        text(&self.return_path, &mut account.return_path, "return_path");
        text(
            &self.confirmation_address,
            &mut account.confirmation_address,
            "confirmation_address",
        );
        text(&self.footnote, &mut account.footnote, "footnote");
        text(&self.hello_name, &mut account.hello_name, "hello_name");
        text(&self.server_name, &mut account.server_name, "server_name");
        if let Some(footnote) = &self.footnote {
            account.footnote_enabled = !footnote.is_empty();
            paths.push("footnote_enabled");
        }
        let mut flag = |given: Option<bool>, slot: &mut bool, path| {
            if let Some(given) = given {
                *slot = given;
                paths.push(path);
            }
        };
        flag(self.read_receipt, &mut account.read_receipt, "read_receipt");
        flag(self.force_settings, &mut account.force_settings, "force_settings");
        flag(
            self.ignore_certificate_errors,
            &mut account.ignore_certificate_errors,
            "ignore_certificate_errors",
        );
        if let Some(path) = &self.ca_file {
            account.ca_certificates = std::fs::read_to_string(path)
                .map_err(|error| Failure::say(format!("{}: {error}", path.display())))?;
            paths.push("ca_certificates");
        }
        if let Some(seconds) = self.stage_timeout {
            let span = prost_types::Duration {
                seconds: seconds.into(),
                nanos: 0,
            };
            account.timeout = Some(span).filter(|_| seconds > 0);
            paths.push("timeout");
        }
        let mut number = |given: Option<i32>, slot: &mut i32, path| {
            if let Some(given) = given {
                *slot = given;
                paths.push(path);
            }
        };
        number(self.order, &mut account.order, "order");
        number(
            self.messages_per_minute,
            &mut account.messages_per_minute,
            "messages_per_minute",
        );
        number(
            self.messages_per_day,
            &mut account.messages_per_day,
            "messages_per_day",
        );
        account.acknowledge_risks = self.acknowledge_risks;
        if self.username.is_some() {
            account.authentication = true;
            paths.push("authentication");
        }
        if let Some(port) = self.port {
            account.port = port.into();
            paths.push("port");
        }
        if let Some(security) = self.security {
            account.set_security(security.into());
            paths.push("security");
        }
        Ok(paths)
    }
}

/// Where the secret comes from.
#[derive(Debug, Args)]
#[expect(clippy::struct_field_names, reason = "named as the options are")]
pub(in crate::cli) struct Secret {
    /// Reads the password from this file and sends it; `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["secret_file", "secret_environment"])]
    password_file: Option<PathBuf>,
    /// Has the server read the password from this file of its own, at each login.
    #[arg(long, value_name = "FILE", conflicts_with = "secret_environment")]
    secret_file: Option<String>,
    /// Has the server read the password from this variable of its own; it begins with `MAILFACTOR_SECRET_`.
    #[arg(long, value_name = "NAME")]
    secret_environment: Option<String>,
    /// Logs in with the user name and password of the server's own configuration; nothing is stored with the account.
    #[arg(long, conflicts_with_all = ["username", "password_file", "secret_file", "secret_environment"])]
    default_credentials: bool,
}

impl Secret {
    /// Whether any was given.
    pub(in crate::cli) fn is_given(&self) -> bool {
        self.password_file.is_some() || self.secret_file.is_some() || self.secret_environment.is_some()
    }

    /// Turns default credentials on, if that was asked for; says whether it was.
    pub(super) fn apply_default(&self, account: &mut pb::Account) -> bool {
        if self.default_credentials {
            account.authentication = true;
            account.default_credentials = true;
            account.username.clear();
        }
        self.default_credentials
    }

    /// The secret that was given, if one was.
    pub(in crate::cli) fn read(&self) -> Result<Option<pb::AccountSecret>, Failure> {
        let source = match (&self.password_file, &self.secret_file, &self.secret_environment) {
            (Some(path), ..) => Source::Password(secret::from_file(path)?.to_string()),
            (None, Some(path), _) => Source::File(path.clone()),
            (None, None, Some(name)) => Source::Environment(name.clone()),
            (None, None, None) => return Ok(None),
        };
        Ok(Some(pb::AccountSecret { source: Some(source) }))
    }

    /// The secret that was given, or the answer to a question.
    pub(in crate::cli) fn read_or_ask(&self, username: &str) -> Result<pb::AccountSecret, Failure> {
        if let Some(secret) = self.read()? {
            return Ok(secret);
        }
        let password = secret::ask(&format!("password of {username}: "))?;
        Ok(pb::AccountSecret {
            source: Some(Source::Password(password.to_string())),
        })
    }
}

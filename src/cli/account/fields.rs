//! An account's fields as arguments, and where its secret comes from.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::super::{Failure, secret};
use crate::pb::v1::{self as pb, account_secret::Source};

/// How the connection is protected.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Security {
    /// TLS from the first byte; port 465 by default.
    Tls,
    /// STARTTLS, required; port 587 by default.
    Starttls,
    /// None; port 25 by default.
    None,
}

/// What may be set.
#[derive(Debug, Args)]
pub(super) struct Fields {
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
}

impl Fields {
    /// Sets what was given; says which fields that were.
    pub(super) fn apply(&self, account: &mut pb::Account) -> Vec<&'static str> {
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
        if self.username.is_some() {
            account.authentication = true;
            paths.push("authentication");
        }
        if let Some(port) = self.port {
            account.port = port.into();
            paths.push("port");
        }
        if let Some(security) = self.security {
            account.set_security(match security {
                Security::Tls => pb::ConnectionSecurity::ImplicitTls,
                Security::Starttls => pb::ConnectionSecurity::Starttls,
                Security::None => pb::ConnectionSecurity::None,
            });
            paths.push("security");
        }
        paths
    }
}

/// Where the secret comes from.
#[derive(Debug, Args)]
#[expect(clippy::struct_field_names, reason = "named as the options are")]
pub(super) struct Secret {
    /// Reads the password from this file and sends it; `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["secret_file", "secret_environment"])]
    password_file: Option<PathBuf>,
    /// Has the server read the password from this file of its own, at each login.
    #[arg(long, value_name = "FILE", conflicts_with = "secret_environment")]
    secret_file: Option<String>,
    /// Has the server read the password from this variable of its own; it begins with `MAILFACTOR_SECRET_`.
    #[arg(long, value_name = "NAME")]
    secret_environment: Option<String>,
}

impl Secret {
    /// Whether any was given.
    pub(super) fn is_given(&self) -> bool {
        self.password_file.is_some() || self.secret_file.is_some() || self.secret_environment.is_some()
    }

    /// The secret that was given, if one was.
    pub(super) fn read(&self) -> Result<Option<pb::AccountSecret>, Failure> {
        let source = match (&self.password_file, &self.secret_file, &self.secret_environment) {
            (Some(path), ..) => Source::Password(secret::from_file(path)?.to_string()),
            (None, Some(path), _) => Source::File(path.clone()),
            (None, None, Some(name)) => Source::Environment(name.clone()),
            (None, None, None) => return Ok(None),
        };
        Ok(Some(pb::AccountSecret { source: Some(source) }))
    }

    /// The secret that was given, or the answer to a question.
    pub(super) fn read_or_ask(&self, username: &str) -> Result<pb::AccountSecret, Failure> {
        if let Some(secret) = self.read()? {
            return Ok(secret);
        }
        let password = secret::ask(&format!("password of {username}: "))?;
        Ok(pb::AccountSecret {
            source: Some(Source::Password(password.to_string())),
        })
    }
}

//! An account's client certificate as arguments.

use std::{fs, path::PathBuf};

use clap::Args;
use zeroize::Zeroizing;

use super::super::Failure;
use crate::pb::v1::{self as pb, account_secret::Source};

/// The certificate and where its key comes from.
#[derive(Debug, Args)]
pub(super) struct Identity {
    /// A PEM file with the certificate to show to a mail server that asks for one, and those between it and its authority.
    #[arg(long, value_name = "FILE")]
    smtp_certificate: Option<PathBuf>,
    /// Reads the certificate's private key from this PEM file and sends it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["smtp_key_secret_file", "smtp_key_secret_environment"])]
    smtp_key: Option<PathBuf>,
    /// Has the server read the private key from this file of its own, for each connection.
    #[arg(long, value_name = "FILE", conflicts_with = "smtp_key_secret_environment")]
    smtp_key_secret_file: Option<String>,
    /// Has the server read the private key from this variable of its own; it begins with `MAILFACTOR_SECRET_`.
    #[arg(long, value_name = "NAME")]
    smtp_key_secret_environment: Option<String>,
    /// Shows no client certificate any longer.
    #[arg(long, conflicts_with_all = ["smtp_certificate", "smtp_key", "smtp_key_secret_file", "smtp_key_secret_environment"])]
    no_smtp_certificate: bool,
}

impl Identity {
    /// Sets what was given; says which fields that were.
    pub(super) fn apply(&self, account: &mut pb::Account) -> Result<Vec<&'static str>, Failure> {
        let mut paths = Vec::new();
        if self.no_smtp_certificate {
            account.client_certificate.clear();
            account.client_key = None;
            return Ok(vec!["client_certificate", "client_key"]);
        }
        if let Some(path) = &self.smtp_certificate {
            account.client_certificate = read(path)?.to_string();
            paths.push("client_certificate");
        }
        let source = match (
            &self.smtp_key,
            &self.smtp_key_secret_file,
            &self.smtp_key_secret_environment,
        ) {
            (Some(path), ..) => Some(Source::Password(read(path)?.to_string())),
            (None, Some(path), _) => Some(Source::File(path.clone())),
            (None, None, Some(name)) => Some(Source::Environment(name.clone())),
            (None, None, None) => None,
        };
        if source.is_some() {
            account.client_key = Some(pb::AccountSecret { source });
            paths.push("client_key");
        }
        Ok(paths)
    }
}

fn read(path: &PathBuf) -> Result<Zeroizing<String>, Failure> {
    let text = fs::read_to_string(path).map(Zeroizing::new);
    text.map_err(|error| Failure::say(format!("{}: {error}", path.display())))
}

//! `account dkim`: the keys that sign the mails of an account.

use std::{fs, path::PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    super::{Failure, Outcome},
    ClientArguments, One, out,
};
use crate::{
    cli::client::Client,
    pb::v1::{self as pb, dkim_key::Source},
};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Lists the keys of an account, each with the DNS record that publishes it.
    List(One),
    /// Adds the key of a selector, or changes what is named of it. Publish its record, then enable it.
    #[command(
        after_help = "Examples:\n  mailfactor account dkim set work mf1 --generate\n  \
                      mailfactor account dkim set work mf1-rsa --key-file rsa-2048.pem\n  \
                      mailfactor account dkim set work mf1 --enabled true"
    )]
    Set(Set),
    /// Removes the key of a selector. Leave its record until the mails it signed have arrived.
    Remove(Remove),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Set {
    /// The account, by name or id.
    account: String,
    /// The selector, such as `mf1`.
    selector: String,
    /// The domain that signs. Without one: the sender's.
    #[arg(long)]
    domain: Option<String>,
    /// Whether it signs. A new key does not unless told to.
    #[arg(long, value_name = "true|false")]
    enabled: Option<bool>,
    /// Makes a new Ed25519 key on the server, where it stays.
    #[arg(long, conflicts_with_all = ["key_file", "secret_file", "secret_environment"])]
    generate: bool,
    /// Reads the private key, PEM, from this file and sends it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["secret_file", "secret_environment"])]
    key_file: Option<PathBuf>,
    /// Has the server read the private key from this file of its own.
    #[arg(long, value_name = "FILE", conflicts_with = "secret_environment")]
    secret_file: Option<String>,
    /// Has the server read the private key from this variable of its own; it begins with `MAILFACTOR_SECRET_`.
    #[arg(long, value_name = "NAME")]
    secret_environment: Option<String>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Remove {
    /// The account, by name or id.
    account: String,
    /// The selector.
    selector: String,
    #[command(flatten)]
    client: ClientArguments,
}

impl Command {
    pub(in crate::cli) async fn run(self) -> Outcome {
        match self {
            Self::List(one) => {
                let mut client = one.client.connect().await?;
                let keys = keys(&mut client, &one.account).await?;
                if one.json {
                    out::json(&keys.iter().map(value).collect());
                    return Ok(());
                }
                for (index, key) in keys.iter().enumerate() {
                    if index > 0 {
                        out::say("");
                    }
                    print(key);
                }
                if keys.is_empty() {
                    out::complain(format!(
                        "{} has no DKIM key: see `mailfactor account dkim set --help`",
                        one.account
                    ));
                }
                Ok(())
            }
            Self::Set(set) => set.run().await,
            Self::Remove(remove) => {
                let mut client = remove.client.connect().await?;
                let request = pb::DeleteDkimKeyRequest {
                    account: remove.account,
                    selector: remove.selector.clone(),
                    etag: String::new(),
                };
                client.policy.delete_dkim_key(request).await?;
                out::complain(format!("removed {}", remove.selector));
                Ok(())
            }
        }
    }
}

impl Set {
    async fn run(self) -> Outcome {
        let source = match (&self.key_file, self.secret_file, self.secret_environment) {
            (Some(path), ..) => {
                let pem = fs::read_to_string(path)
                    .map_err(|error| Failure::say(format!("{} cannot be read: {error}", path.display())))?;
                Some(Source::PrivateKey(pem))
            }
            (None, Some(path), _) => Some(Source::File(path)),
            (None, None, Some(name)) => Some(Source::Environment(name)),
            (None, None, None) => self.generate.then_some(Source::Generate(true)),
        };
        let mut client = self.client.connect().await?;
        let known = keys(&mut client, &self.account).await?;
        let known = known.into_iter().find(|key| key.selector == self.selector);
        // With its etag: what somebody else changed meanwhile is not overwritten.
        let known = known.unwrap_or_else(|| pb::DkimKey {
            selector: self.selector,
            ..pb::DkimKey::default()
        });
        let key = pb::DkimKey {
            domain: self.domain.unwrap_or(known.domain),
            enabled: self.enabled.unwrap_or(known.enabled),
            source,
            selector: known.selector,
            etag: known.etag,
            ..pb::DkimKey::default()
        };
        let request = pb::SetDkimKeyRequest {
            account: self.account.clone(),
            key: Some(key),
        };
        let answer = client.policy.set_dkim_key(request).await?.into_inner();
        let key = answer.key.unwrap_or_default();
        if self.json {
            out::json(&value(&key));
            return Ok(());
        }
        print(&key);
        if !key.enabled {
            out::complain(format!(
                "next: publish the record, then: mailfactor account dkim set {:?} {} --enabled true",
                self.account, key.selector
            ));
        }
        Ok(())
    }
}

/// The keys of an account.
pub(super) async fn keys(client: &mut Client, account: &str) -> Result<Vec<pb::DkimKey>, Failure> {
    let request = pb::ListDkimKeysRequest {
        account: account.to_owned(),
    };
    Ok(client.policy.list_dkim_keys(request).await?.into_inner().keys)
}

/// A key in a few words.
pub(super) fn brief(key: &pb::DkimKey) -> String {
    let state = if key.enabled { "signs" } else { "off" };
    format!("{} ({}, {state})", key.record_name, algorithm(key))
}

fn print(key: &pb::DkimKey) {
    out::pairs(&[
        ("selector", key.selector.clone()),
        ("domain", key.domain.clone()),
        ("signs", if key.enabled { "yes" } else { "no" }.to_owned()),
        ("algorithm", algorithm(key).to_owned()),
        ("private key", origin(key)),
        ("record", zone_line(key)),
    ]);
}

fn origin(key: &pb::DkimKey) -> String {
    match &key.source {
        Some(Source::File(path)) => format!("file {path}"),
        Some(Source::Environment(name)) => format!("environment {name}"),
        _ => "kept by the server".to_owned(),
    }
}

fn algorithm(key: &pb::DkimKey) -> &'static str {
    match key.algorithm() {
        pb::DkimAlgorithm::Ed25519Sha256 => "ed25519-sha256",
        pb::DkimAlgorithm::RsaSha256 => "rsa-sha256",
        pb::DkimAlgorithm::Unspecified => "unknown",
    }
}

/// The record as a zone file has it: its text in pieces of up to 255 characters (RFC 1035, 3.3).
fn zone_line(key: &pb::DkimKey) -> String {
    let mut pieces = Vec::new();
    let mut rest = key.record.as_str();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(rest.len().min(255)));
        pieces.push(format!("\"{piece}\""));
        rest = after;
    }
    format!("{}. IN TXT ( {} )", key.record_name, pieces.join(" "))
}

/// A key as JSON.
pub(super) fn value(key: &pb::DkimKey) -> Value {
    json!({
        "selector": key.selector,
        "domain": key.domain,
        "enabled": key.enabled,
        "algorithm": algorithm(key),
        "private_key": origin(key),
        "record_name": key.record_name,
        "record": key.record,
        "etag": key.etag,
    })
}

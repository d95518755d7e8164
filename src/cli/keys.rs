//! `keys`: the key file. On this machine, whether a server runs or not; a running one notices within seconds.

use clap::Subcommand;
use serde_json::json;

use super::{Failure, Here, Outcome, out};
use crate::{
    app::{
        Machine,
        keys::{self, KeysError, Resealed},
    },
    domain::keyring::KeyId,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Makes the key file, with one random key and for its owner alone, where there is none. For PostgreSQL, whose instances all
    /// get a copy of it; with SQLite the first start does it.
    Create,
    /// Adds a key to the key file and seals everything anew under it. The old keys stay: codes that are out still verify.
    #[command(
        after_help = "Interrupted, it leaves everything readable; `mailfactor keys reseal` goes on.\n\
                            Copy the key file afterwards, apart from the database's copies. Never remove its first line:\n\
                            budgets and locks are counted under it."
    )]
    Rotate {
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Seals everything anew under the newest key, without adding one.
    Reseal {
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Lists the names of the keys, never the keys.
    List {
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
}

impl Command {
    pub(super) async fn run(self, here: &Here, machine: Machine) -> Outcome {
        let config = here.load()?;
        here.log(&config, Some("warn"))?;
        match self {
            Self::Create => {
                let created = keys::create(&config, &machine)?;
                out::say(format!(
                    "{} holds the key {}",
                    config.key_file.display(),
                    created.as_str()
                ));
                Ok(())
            }
            Self::Rotate { json } => {
                let added = keys::add(&config, &machine)?;
                if !json {
                    out::complain(format!("added the key {}", added.as_str()));
                }
                let resealed = keys::reseal(&config, &machine).await?;
                told(&config, &machine, &resealed, json)
            }
            Self::Reseal { json } => {
                let resealed = keys::reseal(&config, &machine).await?;
                told(&config, &machine, &resealed, json)
            }
            Self::List { json } => {
                let names = keys::list(&config, &machine)?;
                let names: Vec<&str> = names.iter().map(KeyId::as_str).collect();
                if json {
                    out::json(&json!(names));
                } else {
                    let newest = names.len().saturating_sub(1);
                    let row = |(index, name): (usize, &&str)| {
                        let use_ = if index == newest { "seals" } else { "opens" };
                        vec![(*name).to_owned(), use_.to_owned()]
                    };
                    let rows: Vec<_> = names.iter().enumerate().map(row).collect();
                    out::table(&["key", "use"], &rows);
                }
                Ok(())
            }
        }
    }
}

fn told(config: &crate::config::Config, machine: &Machine, resealed: &Resealed, as_json: bool) -> Outcome {
    let names = keys::list(config, machine)?;
    let newest = names.last().map(KeyId::as_str).unwrap_or_default();
    if as_json {
        let Resealed { changed, lost } = resealed;
        out::json(&json!({ "newest": newest, "resealed": changed, "lost": lost }));
    } else {
        out::say(format!(
            "{} values were sealed anew under {newest}",
            resealed.changed
        ));
    }
    if resealed.lost == 0 {
        return Ok(());
    }
    Err(Failure::advise(
        format!(
            "{} values are opened by no key of the file and were left as they are",
            resealed.lost
        ),
        "put the missing key's line back, above the newest, and run `mailfactor keys reseal`",
    ))
}

impl From<KeysError> for Failure {
    fn from(error: KeysError) -> Self {
        match error {
            KeysError::Open(cause) => cause.into(),
            KeysError::File(_) | KeysError::Store(_) => Self::of(&error),
        }
    }
}

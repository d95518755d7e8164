//! `caller`: who may call. On this machine, on the database; a running server notices within seconds.

use clap::{
    Args, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use serde_json::{Value, json};

use super::{Here, Outcome, out, show};
use crate::{
    app::{
        Machine,
        local::{Local, NewCaller},
    },
    domain::caller::{ApiKey, Caller, CertificateDigest, Role},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Adds a caller and prints its API key, once.
    #[command(
        after_help = "Examples:\n  mailfactor caller add idp                          an authentication server\n  \
                            mailfactor caller add laptops --role endpoint      agents that learn nothing about users\n  \
                            mailfactor caller add ops --role admin             sets up accounts, reads the outbox\n  \
                            mailfactor caller add web --certificate \"$(openssl x509 -in web.pem -noout -fingerprint -sha256 | cut -d= -f2)\""
    )]
    Add(Add),
    /// Lists callers. Keys are never shown again.
    List {
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Gives a caller a new API key. The one before it works until the next rotation.
    Rotate {
        /// The caller.
        name: String,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Removes a caller and all its keys.
    Remove {
        /// The caller.
        name: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// Its name: 1 to 64 of letters, digits, `.`, `_`, `-`.
    name: String,
    /// What it may do.
    #[arg(long, default_value = "authenticator", value_parser = role())]
    role: Role,
    /// Whether it learns that a user is unknown. Usual for admin and authenticator, not for the others.
    #[arg(long, value_name = "true|false")]
    see_users: Option<bool>,
    /// The SHA-256 fingerprint of its client certificate, instead of an API key.
    #[arg(long, value_name = "FINGERPRINT", value_parser = fingerprint)]
    certificate: Option<CertificateDigest>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

impl Command {
    pub(super) async fn run(self, here: &Here, machine: Machine) -> Outcome {
        let config = here.load()?;
        here.log(&config, Some("warn"))?;
        let local = Local::open(&config, &machine).await?;
        let outcome = self.act(&local).await;
        local.close().await;
        outcome
    }

    async fn act(self, local: &Local) -> Outcome {
        match self {
            Self::Add(add) => add.act(local).await,
            Self::List { json } => {
                let callers = local.callers().await?;
                if json {
                    out::json(&callers.iter().map(value).collect());
                } else {
                    let headers = ["name", "role", "sees users", "proof", "added", "id"];
                    out::table(&headers, &callers.iter().map(row).collect::<Vec<_>>());
                }
                Ok(())
            }
            Self::Rotate { name, json } => {
                let key = local.rotate_caller(&name).await?;
                if json {
                    out::json(&json!({ "name": name, "api_key": *key.reveal() }));
                } else {
                    tell_key(&key);
                    out::complain("the key before it works until the next rotation");
                }
                Ok(())
            }
            Self::Remove { name } => {
                local.remove_caller(&name).await?;
                out::say(format_args!(
                    "removed {name}; a running server forgets it within seconds"
                ));
                Ok(())
            }
        }
    }
}

impl Add {
    async fn act(self, local: &Local) -> Outcome {
        let new = NewCaller {
            name: self.name,
            role: self.role,
            see_users: self.see_users,
            certificate: self.certificate,
        };
        let (caller, key) = local.add_caller(new).await?;
        if self.json {
            let mut value = value(&caller);
            if let (Some(key), Value::Object(fields)) = (&key, &mut value) {
                fields.insert("api_key".to_owned(), key.reveal().as_str().into());
            }
            out::json(&value);
            return Ok(());
        }
        match &key {
            Some(key) => {
                tell_key(key);
                out::complain(format!(
                    "{} is added. This is its API key: keep it, it is not shown again.",
                    caller.name
                ));
            }
            None => out::say(format_args!(
                "{} is added; it calls with its certificate",
                caller.name
            )),
        }
        Ok(())
    }
}

/// The key alone on standard output, so that a script can take it from there.
fn tell_key(key: &ApiKey) {
    out::say(key.reveal().as_str());
}

/// The names are known to clap, so that its help lists them and shells complete them.
fn role() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(Role::ALL.map(Role::name))
        .try_map(|name| Role::from_name(&name).ok_or("must be a role"))
}

fn fingerprint(text: &str) -> Result<CertificateDigest, String> {
    CertificateDigest::parse(text)
        .ok_or_else(|| "must be 64 hexadecimal digits, with or without colons".to_owned())
}

fn proof(caller: &Caller) -> String {
    match (&caller.certificate, caller.keys.len()) {
        (Some(_), _) => "certificate".to_owned(),
        (None, 1) => "1 key".to_owned(),
        (None, keys) => format!("{keys} keys"),
    }
}

fn row(caller: &Caller) -> Vec<String> {
    vec![
        caller.name.clone(),
        caller.role.name().to_owned(),
        if caller.see_users { "yes" } else { "no" }.to_owned(),
        proof(caller),
        show::moment(caller.created_at),
        caller.id.to_string(),
    ]
}

fn value(caller: &Caller) -> Value {
    json!({
        "id": caller.id.to_string(),
        "name": caller.name,
        "role": caller.role.name(),
        "see_users": caller.see_users,
        "keys": caller.keys.len(),
        "certificate": caller.certificate.map(|digest| digest.to_string()),
        "created_at": show::moment(caller.created_at),
    })
}

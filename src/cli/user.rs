//! `user`: what the budgets know of a user. On this machine, on the database.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Here, Outcome, out, show};
use crate::{
    app::{
        Machine,
        local::{Local, UserKey, UserState},
    },
    domain::budget::Lock,
};

#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  mailfactor user show ann\n  mailfactor user unlock ann --repository staff\n  mailfactor user unlock --repository corp --id 6f9619ff-8b86-d011-b42d-00c04fc964ff"
)]
pub(super) enum Command {
    /// Shows a user's wrong codes and passwords, and locks.
    Show {
        #[command(flatten)]
        user: User,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Lifts a user's locks and forgets the wrong codes and passwords.
    Unlock(User),
    /// Locks a user until unlocked: no code is sent, none verifies.
    Lock(User),
    /// Forgets the other addresses that a user has confirmed: codes go to the one on file alone, until one is confirmed
    /// again.
    ForgetAddresses(User),
}

#[derive(Debug, Args)]
pub(super) struct User {
    /// The name, as the repository knows it.
    #[arg(required_unless_present = "id", default_value = "", hide_default_value = true)]
    name: String,
    /// The repository to look in; without it, all of them in order.
    #[arg(long, value_name = "NAME")]
    repository: Option<String>,
    /// The user's identifier in the repository, as `user show` tells it, instead of the name. No repository is asked.
    #[arg(long, requires = "repository", conflicts_with = "name")]
    id: Option<String>,
}

impl User {
    fn key(&self) -> UserKey<'_> {
        let repository = self.repository.as_deref();
        match (repository, &self.id) {
            (Some(repository), Some(id)) => UserKey::Id(repository, id),
            _ => UserKey::Name(repository, &self.name),
        }
    }
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
            Self::Show { user, json } => {
                let state = local.user(user.key()).await?;
                print(user.key().as_str(), &state, json);
            }
            Self::Unlock(user) => {
                let name = user.key().as_str();
                if local.unlock_user(user.key()).await? {
                    out::say(format_args!("{name} is unlocked and starts afresh"));
                } else {
                    out::say(format_args!("{name} was not locked and had no wrong codes"));
                }
            }
            Self::Lock(user) => {
                local.lock_user(user.key()).await?;
                out::say(format_args!("{} is locked until unlocked", user.key().as_str()));
            }
            Self::ForgetAddresses(user) => {
                let forgotten = local.forget_confirmed(user.key());
                let forgotten = forgotten.await?;
                out::say(format_args!(
                    "{forgotten} confirmed address(es) of {} forgotten",
                    user.key().as_str()
                ));
            }
        }
        Ok(())
    }
}

fn print(name: &str, state: &UserState, json: bool) {
    let written = |lock: Option<Lock>| match lock {
        None => "none".to_owned(),
        Some(Lock::Until(moment)) => show::moment(moment),
        Some(Lock::ForGood) => "until unlocked".to_owned(),
    };
    let lock = written(state.lock);
    if json {
        out::json(&json!({
            "user": name,
            "id": state.id,
            "repository": state.repository,
            "masked_address": state.masked_address,
            "failures": state.failures,
            "wrong_passwords": state.wrong_passwords,
            "passwords_locked": state.password_lock.is_some(),
            "confirmed_addresses": state.confirmed,
            "locked": state.lock.is_some(),
            "locked_until": matches!(state.lock, Some(Lock::Until(_))).then_some(lock),
        }));
        return;
    }
    out::pairs(&[
        ("user", name.to_owned()),
        ("id", state.id.clone()),
        ("repository", state.repository.clone()),
        ("address", state.masked_address.clone()),
        ("wrong codes", state.failures.to_string()),
        ("wrong passwords", state.wrong_passwords.to_string()),
        ("passwords locked", written(state.password_lock)),
        ("other addresses", state.confirmed.to_string()),
        ("locked", lock),
    ]);
}

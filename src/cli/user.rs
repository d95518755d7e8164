//! `user`: what the budgets know of a user. On this machine, on the database.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Here, Outcome, out, show};
use crate::{
    app::{
        Machine,
        local::{Local, UserState},
    },
    domain::budget::Lock,
};

#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  mailfactor user show ann\n  mailfactor user unlock ann --repository staff"
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
    name: String,
    /// The repository to look in; without it, all of them in order.
    #[arg(long, value_name = "NAME")]
    repository: Option<String>,
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
                let state = local.user(user.repository.as_deref(), &user.name).await?;
                print(&user.name, &state, json);
            }
            Self::Unlock(user) => {
                let name = &user.name;
                if local.unlock_user(user.repository.as_deref(), name).await? {
                    out::say(format_args!("{name} is unlocked and starts afresh"));
                } else {
                    out::say(format_args!("{name} was not locked and had no wrong codes"));
                }
            }
            Self::Lock(user) => {
                local.lock_user(user.repository.as_deref(), &user.name).await?;
                out::say(format_args!("{} is locked until unlocked", user.name));
            }
            Self::ForgetAddresses(user) => {
                let forgotten = local.forget_confirmed(user.repository.as_deref(), &user.name);
                let forgotten = forgotten.await?;
                out::say(format_args!(
                    "{forgotten} confirmed address(es) of {} forgotten",
                    user.name
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
        ("repository", state.repository.clone()),
        ("address", state.masked_address.clone()),
        ("wrong codes", state.failures.to_string()),
        ("wrong passwords", state.wrong_passwords.to_string()),
        ("passwords locked", written(state.password_lock)),
        ("other addresses", state.confirmed.to_string()),
        ("locked", lock),
    ]);
}

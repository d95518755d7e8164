//! `policy`: the one-time-password policy of a server, the default one and those of events.

use clap::{Args, Subcommand};
use prost_types::FieldMask;

use super::{Failure, Outcome, client::ClientArguments, out, show};
use crate::pb::v1 as pb;

mod fields;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Shows the policy in force, and what of it is set at run time.
    Show(Show),
    /// Sets fields of a policy.
    #[command(
        after_help = "Examples:\n  mailfactor policy set code.length=8 lifetime.login=120s\n  \
                      mailfactor policy set --event payroll account=payroll repositories=staff,board\n  \
                      mailfactor policy set 'mask={local:2}****@{domain:1}****.{tld}'\n\n\
                      The fields are those that `mailfactor policy show` lists."
    )]
    Set(Set),
    /// Takes back what was set: the configuration holds again, and for an event the default.
    #[command(after_help = "Example:\n  mailfactor policy reset --event payroll sends.user attempts")]
    Reset(Reset),
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The event; without it, the default policy.
    #[arg(long, default_value = "", hide_default_value = true)]
    event: String,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Debug, Args)]
pub(super) struct Set {
    /// What to set: FIELD=VALUE.
    #[arg(required = true, value_name = "FIELD=VALUE")]
    fields: Vec<String>,
    /// The event; without it, the default policy.
    #[arg(long, default_value = "", hide_default_value = true)]
    event: String,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Debug, Args)]
pub(super) struct Reset {
    /// Which fields, or groups of them such as `sends.user`.
    #[arg(required_unless_present = "all", value_name = "FIELD")]
    fields: Vec<String>,
    /// All of them.
    #[arg(long, conflicts_with = "fields")]
    all: bool,
    /// The event; without it, the default policy.
    #[arg(long, default_value = "", hide_default_value = true)]
    event: String,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArguments,
}

impl Command {
    pub(super) async fn run(self) -> Outcome {
        match self {
            Self::Show(show) => {
                let mut client = show.client.connect().await?;
                let request = pb::GetOtpPolicyRequest { event: show.event };
                let answer = client.policy.get_otp_policy(request).await?.into_inner();
                print(&answer.policy.unwrap_or_default(), show.json);
            }
            Self::Set(set) => set.run().await?,
            Self::Reset(reset) => {
                let mut client = reset.client.connect().await?;
                let paths = if reset.all {
                    vec!["*".to_owned()]
                } else {
                    reset.fields
                };
                let request = pb::ResetOtpPolicyRequest {
                    event: reset.event,
                    reset_mask: Some(FieldMask { paths }),
                    etag: String::new(),
                };
                let answer = client.policy.reset_otp_policy(request).await?.into_inner();
                print(&answer.policy.unwrap_or_default(), reset.json);
            }
        }
        Ok(())
    }
}

impl Set {
    async fn run(self) -> Outcome {
        let mut policy = pb::OtpPolicy {
            event: self.event,
            ..pb::OtpPolicy::default()
        };
        let mut paths = Vec::new();
        for field in &self.fields {
            let (path, value) = field
                .split_once('=')
                .ok_or_else(|| Failure::advise(format!("`{field}` sets nothing"), "write FIELD=VALUE"))?;
            fields::set(&mut policy, path, value).map_err(|problem| {
                Failure::advise(format!("{path} {problem}"), "see `mailfactor policy show`")
            })?;
            paths.push(path.to_owned());
        }
        let mut client = self.client.connect().await?;
        let request = pb::UpdateOtpPolicyRequest {
            policy: Some(policy),
            update_mask: Some(FieldMask { paths }),
        };
        let answer = client.policy.update_otp_policy(request).await?.into_inner();
        print(&answer.policy.unwrap_or_default(), self.json);
        Ok(())
    }
}

fn print(policy: &pb::OtpPolicy, json: bool) {
    if json {
        out::json(&fields::json(policy));
        return;
    }
    let rows: Vec<Vec<String>> = fields::rows(policy)
        .into_iter()
        .map(|(path, value)| {
            let set = policy.overridden.iter().any(|set| set == path);
            vec![path.to_owned(), value, if set { "yes" } else { "" }.to_owned()]
        })
        .collect();
    out::table(&["field", "value", "set at run time"], &rows);
    if policy.updated_at.is_some() {
        out::say(format_args!("changed {}", show::time(policy.updated_at.as_ref())));
    }
}

pub(super) fn json(policy: &pb::OtpPolicy) -> serde_json::Value {
    fields::json(policy)
}

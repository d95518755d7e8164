//! `event`: the events of a server, each with a policy of its own.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Outcome, client::ClientArguments, out, policy};
use crate::pb::v1 as pb;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists events.
    List(List),
    /// Creates an event; its policy is the default until something is set.
    #[command(
        after_help = "Example:\n  mailfactor event create payroll\n  mailfactor policy set --event payroll code.length=8"
    )]
    Create(One),
    /// Removes an event with what was set for it.
    Remove(One),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Debug, Args)]
pub(super) struct One {
    /// Its name: 1 to 64 letters, digits, `.`, `_`, `-`.
    event: String,
    #[command(flatten)]
    client: ClientArguments,
}

impl Command {
    pub(super) async fn run(self) -> Outcome {
        match self {
            Self::List(list) => {
                let mut client = list.client.connect().await?;
                let answer = client.policy.list_events(pb::ListEventsRequest {}).await?;
                print(&answer.into_inner().events, list.json);
            }
            Self::Create(one) => {
                let mut client = one.client.connect().await?;
                let request = pb::CreateEventRequest {
                    event: one.event.clone(),
                };
                client.policy.create_event(request).await?;
                out::complain(format!(
                    "created {0}; next: mailfactor policy set --event {0} ...",
                    one.event
                ));
            }
            Self::Remove(one) => {
                let mut client = one.client.connect().await?;
                let request = pb::DeleteEventRequest {
                    event: one.event.clone(),
                    etag: String::new(),
                };
                client.policy.delete_event(request).await?;
                out::complain(format!("removed {}", one.event));
            }
        }
        Ok(())
    }
}

fn print(events: &[pb::Event], json: bool) {
    if json {
        let events = events.iter().map(|event| {
            json!({
                "name": event.name,
                "configured": event.configured,
                "policy": event.policy.as_ref().map(policy::json),
            })
        });
        out::json(&events.collect());
        return;
    }
    let rows: Vec<Vec<String>> = events
        .iter()
        .map(|event| {
            let from = if event.configured {
                "configuration"
            } else {
                "run time"
            };
            let set = event.policy.as_ref().map(|policy| policy.overridden.join(" "));
            vec![event.name.clone(), from.to_owned(), set.unwrap_or_default()]
        })
        .collect();
    out::table(&["event", "from", "set at run time"], &rows);
}

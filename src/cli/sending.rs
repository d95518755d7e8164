//! `sending`: the master switch of a server.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Outcome, client::ClientArguments, out, show};
use crate::pb::v1 as pb;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Shows whether mail goes out, and who said so.
    Show(Arguments),
    /// Lets mail go out.
    On(Arguments),
    /// Lets no mail go out: starts are refused, mails already owed wait and expire.
    Off(Arguments),
}

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArguments,
}

impl Command {
    pub(super) async fn run(self) -> Outcome {
        let (arguments, enabled) = match self {
            Self::Show(arguments) => (arguments, None),
            Self::On(arguments) => (arguments, Some(true)),
            Self::Off(arguments) => (arguments, Some(false)),
        };
        let mut client = arguments.client.connect().await?;
        let sending = match enabled {
            None => {
                let answer = client.policy.get_sending(pb::GetSendingRequest {}).await?;
                answer.into_inner().sending
            }
            Some(enabled) => {
                let answer = client
                    .policy
                    .set_sending(pb::SetSendingRequest {
                        enabled: Some(enabled),
                    })
                    .await?;
                answer.into_inner().sending
            }
        };
        let sending = sending.unwrap_or_default();
        let changed = show::time(sending.changed_at.as_ref());
        if arguments.json {
            out::json(&json!({
                "enabled": sending.enabled,
                "changed_by": sending.changed_by,
                "changed_at": changed,
            }));
        } else {
            let state = if sending.enabled { "on" } else { "off" };
            out::pairs(&[
                ("sending", state.to_owned()),
                ("switched by", sending.changed_by),
                ("switched", changed),
            ]);
        }
        Ok(())
    }
}

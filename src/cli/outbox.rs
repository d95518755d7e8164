//! `mailfactor outbox`: what mail this service owes or owed.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    client::{ServerArgs, refused},
    out::{CliResult, Out, moment},
};
use crate::pb::v1 as pb;

/// `mailfactor outbox ...`
#[derive(Args, Debug)]
pub struct OutboxArgs {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// List mails, newest first
    #[command(after_help = "Example:\n  mailfactor outbox list --state deferred --state failed")]
    List {
        /// Only mails in this state; may be given several times
        #[arg(long, value_enum)]
        state: Vec<State>,
        /// Only mails last tried through the account of this name
        #[arg(long, value_name = "NAME")]
        account: Option<String>,
        /// How many at most
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
    },
    /// Show one mail with every attempt to send it
    Show {
        /// The entry, as `outbox list` names it
        entry: String,
    },
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum State {
    Queued,
    Sent,
    Deferred,
    Failed,
    Bounced,
    Expired,
    Withdrawn,
}

impl State {
    fn proto(self) -> pb::DeliveryState {
        match self {
            Self::Queued => pb::DeliveryState::Queued,
            Self::Sent => pb::DeliveryState::Sent,
            Self::Deferred => pb::DeliveryState::Deferred,
            Self::Failed => pb::DeliveryState::Failed,
            Self::Bounced => pb::DeliveryState::Bounced,
            Self::Expired => pb::DeliveryState::Expired,
            Self::Withdrawn => pb::DeliveryState::Withdrawn,
        }
    }
}

impl OutboxArgs {
    /// Runs the command.
    pub async fn run(self, out: Out) -> CliResult {
        let mut client = pb::mail_outbox_client::MailOutboxClient::new(self.server.connect().await?);
        match self.command {
            Command::List {
                state,
                account,
                limit,
            } => {
                let states: Vec<i32> = state.into_iter().map(|state| state.proto().into()).collect();
                let mut entries = Vec::new();
                let mut page_token = String::new();
                let limit = usize::try_from(limit).unwrap_or(usize::MAX);
                loop {
                    let size = (limit - entries.len()).min(500);
                    let request = pb::ListEntriesRequest {
                        page_size: i32::try_from(size).unwrap_or(500),
                        page_token,
                        states: states.clone(),
                        account: account.clone().unwrap_or_default(),
                        ..pb::ListEntriesRequest::default()
                    };
                    let page = client.list_entries(request).await.map_err(refused)?.into_inner();
                    entries.extend(page.entries);
                    page_token = page.next_page_token;
                    if page_token.is_empty() || entries.len() >= limit {
                        break;
                    }
                }
                show_list(out, &entries);
            }
            Command::Show { entry } => {
                let request = pb::GetEntryRequest { entry_id: entry };
                let found = client.get_entry(request).await.map_err(refused)?.into_inner();
                show_entry(out, &found.entry.unwrap_or_default(), &found.attempts);
            }
        }
        Ok(())
    }
}

fn show_list(out: Out, entries: &[pb::OutboxEntry]) {
    let value: Value = entries.iter().map(entry_json).collect();
    out.value(&value, |out| {
        let rows: Vec<[String; 6]> = entries
            .iter()
            .map(|entry| {
                [
                    entry.entry_id.clone(),
                    moment(entry.submitted_at.as_ref()),
                    state_name(entry.state).to_owned(),
                    entry.masked_recipient.clone(),
                    entry.attempts.to_string(),
                    entry.last_error.clone(),
                ]
            })
            .collect();
        out.table(
            ["ENTRY", "SUBMITTED", "STATE", "RECIPIENT", "TRIES", "LAST ERROR"],
            &rows,
        );
    });
}

fn show_entry(out: Out, entry: &pb::OutboxEntry, attempts: &[pb::Attempt]) {
    let mut value = entry_json(entry);
    if let Some(fields) = value.as_object_mut() {
        fields.insert("attempts".into(), attempts.iter().map(attempt_json).collect());
    }
    out.value(&value, |out| {
        out.fields(&[
            ("entry", entry.entry_id.clone()),
            ("state", state_name(entry.state).to_owned()),
            ("recipient", entry.masked_recipient.clone()),
            ("subject", entry.subject.clone()),
            ("account", entry.account.clone()),
            ("submitted", moment(entry.submitted_at.as_ref())),
            ("sent", moment(entry.sent_at.as_ref())),
            ("expires", moment(entry.expires_at.as_ref())),
            ("next try", moment(entry.next_attempt_at.as_ref())),
            ("message id", entry.message_id.clone()),
            ("last error", entry.last_error.clone()),
        ]);
        let rows: Vec<[String; 6]> = attempts
            .iter()
            .map(|attempt| {
                [
                    attempt.number.to_string(),
                    moment(attempt.started_at.as_ref()),
                    attempt.account.clone(),
                    stage_name(attempt.stage),
                    state_name(attempt.outcome).to_owned(),
                    attempt.reply.clone(),
                ]
            })
            .collect();
        if !rows.is_empty() {
            out.line("");
            out.table(["TRY", "STARTED", "ACCOUNT", "STAGE", "OUTCOME", "REPLY"], &rows);
        }
    });
}

/// An entry as scripts read it.
#[must_use]
pub fn entry_json(entry: &pb::OutboxEntry) -> Value {
    json!({
        "entry_id": entry.entry_id,
        "state": state_name(entry.state),
        "masked_recipient": entry.masked_recipient,
        "subject": entry.subject,
        "account": entry.account,
        "attempt_count": entry.attempts,
        "last_error": entry.last_error,
        "message_id": entry.message_id,
        "submitted_at": moment(entry.submitted_at.as_ref()),
        "sent_at": moment(entry.sent_at.as_ref()),
        "expires_at": moment(entry.expires_at.as_ref()),
        "next_attempt_at": moment(entry.next_attempt_at.as_ref()),
    })
}

fn attempt_json(attempt: &pb::Attempt) -> Value {
    json!({
        "number": attempt.number,
        "started_at": moment(attempt.started_at.as_ref()),
        "account": attempt.account,
        "stage": stage_name(attempt.stage),
        "reply_code": attempt.reply_code,
        "reply": attempt.reply,
        "outcome": state_name(attempt.outcome),
    })
}

/// The name of a delivery state.
#[must_use]
pub fn state_name(state: i32) -> &'static str {
    match pb::DeliveryState::try_from(state).unwrap_or_default() {
        pb::DeliveryState::Unspecified => "unknown",
        pb::DeliveryState::Queued => "queued",
        pb::DeliveryState::Sent => "sent",
        pb::DeliveryState::Deferred => "deferred",
        pb::DeliveryState::Failed => "failed",
        pb::DeliveryState::Bounced => "bounced",
        pb::DeliveryState::Expired => "expired",
        pb::DeliveryState::Withdrawn => "withdrawn",
        pb::DeliveryState::Withheld => "withheld",
    }
}

/// The name of a stage.
#[must_use]
pub fn stage_name(stage: i32) -> String {
    let stage = pb::Stage::try_from(stage).unwrap_or_default();
    stage
        .as_str_name()
        .trim_start_matches("STAGE_")
        .to_ascii_lowercase()
}

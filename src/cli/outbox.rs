//! `outbox`: the mails of a server.

mod export;
mod filters;
mod watch;

use clap::{Args, Subcommand};
use serde_json::json;

use self::filters::Filters;
use super::{Outcome, client::ClientArguments, out, show};
use crate::pb::v1 as pb;

/// The most entries a page may have.
const PAGE: u32 = 500;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists mails, newest first.
    #[command(
        after_help = "Examples:\n  mailfactor outbox list\n  mailfactor outbox list --state failed --state deferred --json"
    )]
    List(List),
    /// Shows one mail with every attempt to send it.
    Show(Show),
    /// Writes mails as CSV.
    #[command(
        after_help = "Example:\n  mailfactor outbox export --from 2026-01-01 --until 2026-02-01 --output january.csv"
    )]
    Export(export::Export),
    /// Follows the outbox until Ctrl-C: a line for each mail whenever it changes.
    #[command(
        after_help = "Examples:\n  mailfactor outbox watch\n  mailfactor outbox watch --state failed --state deferred --recent 20 --json"
    )]
    Watch(watch::Watch),
    /// Tries a failed mail again, while its code lives.
    #[command(after_help = "Example:\n  mailfactor outbox requeue 5vQ2Jx0v0u2bqUn5mXf0Wg")]
    Requeue(Show),
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    filters: Filters,
    /// The first submitted first.
    #[arg(long)]
    oldest_first: bool,
    /// How many at the most.
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The entry.
    #[arg(allow_hyphen_values = true)]
    entry: String,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArguments,
}

impl Command {
    pub(super) async fn run(self) -> Outcome {
        match self {
            Self::List(list) => list.run().await,
            Self::Show(show) => show.run().await,
            Self::Export(export) => export.run().await,
            Self::Watch(watch) => watch.run().await,
            Self::Requeue(requeue) => requeue.requeue().await,
        }
    }
}

impl List {
    async fn run(self) -> Outcome {
        let mut client = self.client.connect().await?;
        let mut entries = Vec::new();
        let mut page_token = String::new();
        loop {
            let missing = self
                .limit
                .saturating_sub(u32::try_from(entries.len()).unwrap_or(u32::MAX));
            if missing == 0 {
                break;
            }
            let request = pb::ListEntriesRequest {
                page_size: i32::try_from(missing.min(PAGE)).unwrap_or_default(),
                page_token,
                order: if self.oldest_first {
                    pb::EntryOrder::OldestFirst.into()
                } else {
                    pb::EntryOrder::NewestFirst.into()
                },
                ..self.filters.request()
            };
            let page = client.outbox.list_entries(request).await?.into_inner();
            entries.extend(page.entries);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        if self.json {
            out::json(&entries.iter().map(show::entry).collect());
            return Ok(());
        }
        let rows: Vec<_> = entries.iter().map(row).collect();
        let headers = [
            "submitted",
            "sent",
            "state",
            "type",
            "sender",
            "recipient",
            "subject",
            "attempts",
            "account",
            "last error",
            "entry",
        ];
        out::table(&headers, &rows);
        Ok(())
    }
}

impl Show {
    async fn requeue(self) -> Outcome {
        let mut client = self.client.connect().await?;
        let request = pb::RequeueEntryRequest { entry_id: self.entry };
        let answer = client.outbox.requeue_entry(request).await?.into_inner();
        let entry = answer.entry.unwrap_or_default();
        if self.json {
            out::json(&show::entry(&entry));
        } else {
            out::pairs(&show::entry_pairs(&entry));
        }
        Ok(())
    }

    async fn run(self) -> Outcome {
        let mut client = self.client.connect().await?;
        let request = pb::GetEntryRequest { entry_id: self.entry };
        let answer = client.outbox.get_entry(request).await?.into_inner();
        let entry = answer.entry.unwrap_or_default();
        if self.json {
            let attempts: Vec<_> = answer.attempts.iter().map(show::attempt).collect();
            let reports: Vec<_> = answer.reports.iter().map(show::report).collect();
            out::json(&json!({ "entry": show::entry(&entry), "attempts": attempts, "reports": reports }));
            return Ok(());
        }
        out::pairs(&show::entry_pairs(&entry));
        if !answer.attempts.is_empty() {
            out::say("");
            let rows: Vec<_> = answer.attempts.iter().map(attempt_row).collect();
            out::table(
                &["no.", "began", "took", "account", "stage", "outcome", "reply"],
                &rows,
            );
        }
        if !answer.reports.is_empty() {
            out::say("");
            let rows: Vec<_> = answer.reports.iter().map(report_row).collect();
            out::table(&["told at", "told", "status", "text"], &rows);
        }
        Ok(())
    }
}

fn row(entry: &pb::OutboxEntry) -> Vec<String> {
    vec![
        show::time(entry.submitted_at.as_ref()),
        show::time(entry.sent_at.as_ref()),
        show::word(entry.state().as_str_name(), "DELIVERY_STATE_"),
        show::word(entry.kind().as_str_name(), "MAIL_KIND_"),
        entry.sender.clone(),
        entry.masked_recipient.clone(),
        entry.subject.clone(),
        entry.attempts.to_string(),
        entry.account.clone(),
        entry.last_error.clone(),
        entry.entry_id.clone(),
    ]
}

fn report_row(report: &pb::DeliveryReport) -> Vec<String> {
    vec![
        show::time(report.received_at.as_ref()),
        show::word(report.kind().as_str_name(), "REPORT_KIND_"),
        report.status.clone(),
        report.text.clone(),
    ]
}

fn attempt_row(attempt: &pb::Attempt) -> Vec<String> {
    vec![
        attempt.number.to_string(),
        show::time(attempt.started_at.as_ref()),
        format!("{} ms", show::milliseconds(attempt.duration.as_ref())),
        attempt.account.clone(),
        show::word(attempt.stage().as_str_name(), "STAGE_"),
        show::word(attempt.outcome().as_str_name(), "DELIVERY_STATE_"),
        attempt.reply.clone(),
    ]
}

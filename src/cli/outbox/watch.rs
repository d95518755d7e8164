//! `outbox watch`: what happens, line by line.

use clap::Args;
use serde_json::json;

use super::{
    super::{Failure, Outcome, client::ClientArguments, out, show},
    filters::Filters,
};
use crate::pb::v1::{self as pb, watch_entries_response::News};

#[derive(Debug, Args)]
pub(in crate::cli) struct Watch {
    #[command(flatten)]
    filters: Filters,
    /// So many of the newest mails first, 0 to 500.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(i32).range(0..=500))]
    recent: i32,
    /// Prints JSON, one object a line: an entry, `live` or `missed`.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArguments,
}

impl Watch {
    pub(super) async fn run(self) -> Outcome {
        let interrupted = tokio::signal::ctrl_c();
        tokio::select! {
            outcome = self.follow() => outcome,
            heard = interrupted => heard.map_err(|error| Failure::of(&error)),
        }
    }

    async fn follow(&self) -> Outcome {
        let mut client = self.client.connect_stream().await?;
        let request = pb::WatchEntriesRequest {
            entries: Some(self.filters.request()),
            recent: self.recent,
        };
        let mut news = client.outbox.watch_entries(request).await?.into_inner();
        if !self.json {
            out::say(line(
                "CHANGED",
                "STATE",
                "TYPE",
                "TRIES",
                "ACCOUNT",
                "RECIPIENT",
                "SUBJECT OR LAST ERROR",
            ));
        }
        while let Some(answer) = news.message().await? {
            match answer.news {
                Some(news) if self.json => out::json_line(&value(&news)),
                Some(news) => tell(&news),
                None => {}
            }
        }
        Ok(())
    }
}

fn tell(news: &News) {
    match news {
        News::Entry(entry) => {
            let state = show::word(entry.state().as_str_name(), "DELIVERY_STATE_");
            out::say(line(
                &show::time(entry.updated_at.as_ref()),
                &state,
                &show::word(entry.kind().as_str_name(), "MAIL_KIND_"),
                &entry.attempts.to_string(),
                &entry.account,
                &entry.masked_recipient,
                if entry.last_error.is_empty() {
                    &entry.subject
                } else {
                    &entry.last_error
                },
            ));
        }
        News::Live(live) => out::complain(format!(
            "following since {}; Ctrl-C ends",
            show::time(live.since.as_ref())
        )),
        News::Missed(missed) => out::complain(format!(
            "missed what happened from {0} to {1}; next: mailfactor outbox list --from {0}",
            show::time(missed.from.as_ref()),
            show::time(missed.until.as_ref())
        )),
    }
}

/// Columns wide enough for what usually stands in them: nobody knows what is still to come.
fn line(
    changed: &str,
    state: &str,
    kind: &str,
    tries: &str,
    account: &str,
    recipient: &str,
    text: &str,
) -> String {
    let line = format!("{changed:20}  {state:9}  {kind:4}  {tries:>5}  {account:16}  {recipient:24}  {text}");
    line.trim_end().to_owned()
}

fn value(news: &News) -> serde_json::Value {
    match news {
        News::Entry(entry) => json!({ "entry": show::entry(entry) }),
        News::Live(live) => json!({ "live": { "since": show::time(live.since.as_ref()) } }),
        News::Missed(missed) => json!({ "missed": {
            "from": show::time(missed.from.as_ref()),
            "until": show::time(missed.until.as_ref()),
        }}),
    }
}

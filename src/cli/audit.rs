//! `audit`: who changed what on a server.

use clap::{Args, Subcommand};
use prost_types::Timestamp;
use serde_json::{Map, Value, json};

use super::{Outcome, client::ClientArguments, out, show};
use crate::pb::v1 as pb;

/// The most events a page may have.
const PAGE: u32 = 500;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists what was done, the last first.
    #[command(
        after_help = "Examples:\n  mailfactor audit list\n  mailfactor audit list --action account --from 2026-01-01\n  \
                      mailfactor audit list --actor ops --object relay --json"
    )]
    List(List),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only this action, such as `account.update`; or `account`, for all on accounts.
    #[arg(long, default_value = "", hide_default_value = true)]
    action: String,
    /// Only what was done to the object of this identifier or name.
    #[arg(long, default_value = "", hide_default_value = true)]
    object: String,
    /// Only what was done by the caller, or the user of the machine, of this identifier or name.
    #[arg(long, default_value = "", hide_default_value = true)]
    actor: String,
    /// Done at or after this moment (UTC), such as 2026-01-31 or 2026-01-31T08:30:00Z.
    #[arg(long, value_parser = show::parse_moment, value_name = "WHEN")]
    from: Option<Timestamp>,
    /// Done before this moment (UTC).
    #[arg(long, value_parser = show::parse_moment, value_name = "WHEN")]
    until: Option<Timestamp>,
    /// How many at the most.
    #[arg(long, default_value_t = 50)]
    limit: u32,
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
        }
    }
}

impl List {
    async fn run(self) -> Outcome {
        let mut client = self.client.connect().await?;
        let mut events = Vec::new();
        let mut page_token = String::new();
        loop {
            let missing = self
                .limit
                .saturating_sub(u32::try_from(events.len()).unwrap_or(u32::MAX));
            if missing == 0 {
                break;
            }
            let request = pb::ListAuditEventsRequest {
                page_size: i32::try_from(missing.min(PAGE)).unwrap_or_default(),
                page_token,
                action: self.action.clone(),
                object: self.object.clone(),
                actor: self.actor.clone(),
                from: self.from,
                until: self.until,
            };
            let page = client.audit.list_audit_events(request).await?.into_inner();
            events.extend(page.events);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        if self.json {
            out::json(&events.iter().map(value).collect());
        } else {
            let rows: Vec<_> = events.iter().map(row).collect();
            out::table(&["when", "who", "from", "did", "to", "changed"], &rows);
        }
        Ok(())
    }
}

fn row(event: &pb::AuditEvent) -> Vec<String> {
    let who = match event.actor_kind() {
        pb::ActorKind::Local => format!("{} (uid {})", event.actor_name, event.actor_id),
        pb::ActorKind::Caller | pb::ActorKind::Unspecified => event.actor_name.clone(),
    };
    vec![
        show::time(event.at.as_ref()),
        who,
        event.peer.clone(),
        event.action.clone(),
        event.object_name.clone(),
        changes(&event.before, &event.after),
    ]
}

/// What differs, in one line: `port 25 -> 587`.
fn changes(before: &str, after: &str) -> String {
    const MOST: usize = 200;
    let (before, after) = (fields(before), fields(after));
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    let told = names.into_iter().map(|name| {
        let now = after.get(name).map_or("nothing".to_owned(), Value::to_string);
        match before.get(name) {
            Some(was) => format!("{name} {was} -> {now}"),
            None => format!("{name} {now}"),
        }
    });
    let mut line = told.collect::<Vec<_>>().join(", ");
    if line.len() > MOST {
        line.truncate(line.floor_char_boundary(MOST));
        line.push_str("... (see --json)");
    }
    line
}

fn fields(json: &str) -> Map<String, Value> {
    serde_json::from_str(json).unwrap_or_default()
}

fn value(event: &pb::AuditEvent) -> Value {
    json!({
        "audit_id": event.audit_id,
        "at": show::time(event.at.as_ref()),
        "action": event.action,
        "actor_kind": event.actor_kind().as_str_name(),
        "actor_id": event.actor_id,
        "actor_name": event.actor_name,
        "peer": event.peer,
        "request_id": event.request_id,
        "object_id": event.object_id,
        "object_name": event.object_name,
        "before": fields(&event.before),
        "after": fields(&event.after),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_in_one_line() {
        let before = r#"{"port":25,"reply_to":"a@example.com"}"#;
        let after = r#"{"port":587,"secret":"set"}"#;
        assert_eq!(
            changes(before, after),
            r#"port 25 -> 587, reply_to "a@example.com" -> nothing, secret "set""#
        );
        let long = format!(r#"{{"text":"{}"}}"#, "ä".repeat(300));
        assert!(changes("{}", &long).ends_with("... (see --json)"));
    }
}

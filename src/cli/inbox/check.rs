//! `inbox check`.

use serde_json::json;

use super::{
    super::{Failure, Outcome, out, show},
    One,
};
use crate::pb::v1 as pb;

pub(super) async fn run(one: One) -> Outcome {
    let mut client = one.client.connect().await?;
    let request = pb::CheckInboxRequest {
        inbox: one.inbox.clone(),
    };
    let answer = client.inbox.check_inbox(request).await?.into_inner();
    if one.json {
        let matched = |matched: &pb::MatchedReport| {
            json!({
                "entry_id": matched.entry_id,
                "report": matched.report.as_ref().map(show::report),
            })
        };
        out::json(&json!({
            "succeeded": answer.succeeded,
            "error": answer.error,
            "messages_read": answer.messages_read,
            "messages_skipped": answer.messages_skipped,
            "messages_deleted": answer.messages_deleted,
            "matched": answer.matched.iter().map(matched).collect::<Vec<_>>(),
            "more": answer.more,
        }));
    } else {
        let counts = [
            (answer.messages_read, "read"),
            (answer.messages_skipped, "skipped"),
            (answer.messages_deleted, "deleted"),
        ];
        let counts = counts
            .iter()
            .filter(|(number, word)| *number > 0 || *word == "read");
        let counts: Vec<String> = counts.map(|(number, word)| format!("{number} {word}")).collect();
        out::say(counts.join(", "));
        if !answer.matched.is_empty() {
            let rows: Vec<_> = answer.matched.iter().map(row).collect();
            out::table(&["entry", "told", "status", "text"], &rows);
        }
        if answer.more {
            out::complain("there is more to read: check again");
        }
    }
    if answer.succeeded {
        return Ok(());
    }
    if one.json {
        return Err(Failure::Told);
    }
    Err(Failure::advise(
        answer.error,
        format!("mailfactor inbox test {:?}", one.inbox),
    ))
}

fn row(matched: &pb::MatchedReport) -> Vec<String> {
    let mut cells = vec![matched.entry_id.clone()];
    cells.extend(matched.report.iter().flat_map(|report| {
        [
            show::word(report.kind().as_str_name(), "REPORT_KIND_"),
            report.status.clone(),
            report.text.clone(),
        ]
    }));
    cells
}

//! The outbox report as CSV.

use crate::{
    domain::{clock::Timestamp, csv::line},
    policy::{Entry, MailKind},
};

/// The line of headings.
pub(in crate::grpc) fn csv_headings() -> String {
    line([
        "submitted",
        "sent",
        "account",
        "sender",
        "recipient",
        "subject",
        "type",
        "status",
        "attempts",
        "error",
        "expires",
        "entry",
    ])
}

/// A line for each entry.
pub(in crate::grpc) fn csv(entries: &[Entry]) -> String {
    entries.iter().map(row).collect()
}

fn row(entry: &Entry) -> String {
    let kind = match entry.kind {
        MailKind::Code => "code",
        MailKind::Test => "test",
    };
    line([
        moment(entry.submitted_at).as_str(),
        &entry.sent_at.map(moment).unwrap_or_default(),
        &entry.account,
        &entry.sender,
        &entry.masked_recipient,
        &entry.subject,
        kind,
        entry.state.name(),
        &entry.attempts.to_string(),
        &entry.last_error,
        &moment(entry.expires_at),
        &entry.id.to_string(),
    ])
}

fn moment(moment: Timestamp) -> String {
    super::moment(moment).to_string()
}

//! What a message tells of one of our mails, if it tells anything.

use super::{
    super::{answer::status_class, reply::Hidden},
    mime::Entity,
};
use crate::domain::{id::EntryId, message::entry_of, report::ReportKind};

/// What a message tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// The entry whose mail it is about.
    pub(super) entry: EntryId,
    /// Its Message-ID, in angle brackets.
    pub(super) message_id: String,
    /// What is told.
    pub(super) told: Told,
}

/// What is told of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) kind: ReportKind,
    /// Such as `5.1.1` or `550`; may be empty.
    pub(super) status: String,
    /// One bounded line without addresses; may be empty.
    pub(super) text: String,
}

/// Reads a message: a delivery status notification (RFC 3464), a disposition notification (RFC 8098), or a plain bounce.
pub(super) fn examine(raw: &[u8]) -> Option<Finding> {
    let message = Entity::new(raw);
    if message.kind() == "multipart/report" {
        report(&message)
    } else {
        plain_bounce(&message)
    }
}

fn report(message: &Entity<'_>) -> Option<Finding> {
    let (mut told, mut original, mut envelope) = (None, None, None);
    for part in message.parts() {
        let content = part.content();
        match part.kind().as_str() {
            "message/delivery-status" | "message/global-delivery-status" => {
                told = delivery_status(&content);
                // Our ENVID is the Message-ID (RFC 3464, 2.2.1): it is there even where nothing of the mail came back.
                let fields = Entity::new(&content);
                envelope = fields.header("Original-Envelope-Id").and_then(|id| named(&id));
            }
            "message/disposition-notification" | "message/global-disposition-notification" => {
                let fields = Entity::new(&content);
                told = disposition(&fields);
                original = fields.header("Original-Message-ID").and_then(|id| named(&id));
            }
            "message/rfc822" | "text/rfc822-headers" | "message/global" | "message/global-headers"
                if original.is_none() =>
            {
                let returned = Entity::new(&content);
                original = returned.header("Message-ID").and_then(|id| named(&id));
            }
            _ => {}
        }
    }
    let (entry, message_id) = original.or(envelope)?;
    Some(Finding {
        entry,
        message_id,
        told: told?,
    })
}

/// The worst that is told of any recipient; a mail of ours has one, whom lists and forwards may have multiplied.
fn delivery_status(content: &[u8]) -> Option<Told> {
    let mut worst = None;
    let text = String::from_utf8_lossy(content).replace("\r\n", "\n");
    // RFC 3464, 2.1: groups of fields with empty lines between them.
    for group in text.split("\n\n").take(64) {
        let group = format!("{}\n\n", group.trim_start_matches('\n'));
        let fields = Entity::new(group.as_bytes());
        let kind = match fields
            .header("Action")
            .map(|action| action.to_ascii_lowercase())
            .as_deref()
        {
            Some("failed") => ReportKind::Bounced,
            Some("delayed") if worst.is_none() => ReportKind::Delayed,
            _ => continue,
        };
        let status = fields.header("Status").unwrap_or_default();
        let diagnostic = fields.header("Diagnostic-Code").unwrap_or_default();
        let diagnostic = diagnostic.split_once(';').map_or("", |(_, said)| said);
        worst = Some(Told {
            kind,
            status: status
                .split_whitespace()
                .find(|word| is_status(word))
                .unwrap_or_default()
                .to_owned(),
            text: shown(diagnostic),
        });
        if kind == ReportKind::Bounced {
            break;
        }
    }
    worst
}

/// `displayed` alone is worth a note: what else becomes of a mail on its reader's side is nobody's business here.
fn disposition(fields: &Entity<'_>) -> Option<Told> {
    let value = fields.header("Disposition")?;
    let (_, kind) = value.split_once(';')?;
    let kind = kind.trim().split('/').next().unwrap_or_default();
    kind.eq_ignore_ascii_case("displayed").then(|| Told {
        kind: ReportKind::Read,
        status: String::new(),
        text: String::new(),
    })
}

/// A bounce in a form of its own: from a mail system, with the mail or its headers somewhere inside.
fn plain_bounce(message: &Entity<'_>) -> Option<Finding> {
    let from = message.header("From").unwrap_or_default().to_ascii_lowercase();
    let from_system = message.header("Return-Path").is_some_and(|path| path == "<>")
        || message.header("X-Failed-Recipients").is_some()
        || ["mailer-daemon", "postmaster"]
            .iter()
            .any(|name| from.contains(name));
    if !from_system {
        return None;
    }
    let mut text = message.content();
    for part in message.parts() {
        text.extend_from_slice(b"\n");
        text.extend(part.content());
    }
    let text = String::from_utf8_lossy(&text);
    let mut status = String::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let header = line.split_at_checked("message-id:".len());
        let value = header.filter(|(name, _)| name.eq_ignore_ascii_case("message-id:"));
        if let Some((_, value)) = value {
            // A long value stands in the line below.
            let value = if value.trim().is_empty() {
                lines.next()
            } else {
                Some(value)
            };
            if let Some((entry, message_id)) = value.and_then(named) {
                let subject = message.header("Subject").unwrap_or_default().to_ascii_lowercase();
                let delayed = ["delay", "warning"].iter().any(|word| subject.contains(word));
                let kind = if delayed {
                    ReportKind::Delayed
                } else {
                    ReportKind::Bounced
                };
                let text = String::new();
                return Some(Finding {
                    entry,
                    message_id,
                    told: Told { kind, status, text },
                });
            }
        } else if status.is_empty() {
            let words = line.split(|c: char| !(c.is_ascii_digit() || c == '.'));
            let mut words = words.map(|word| word.trim_matches('.'));
            if let Some(word) = words.find(|word| is_status(word)) {
                word.clone_into(&mut status);
            }
        }
    }
    None
}

/// The entry and the Message-ID that a header's value names.
fn named(value: &str) -> Option<(EntryId, String)> {
    let bare = value.trim().trim_start_matches('<').trim_end_matches('>');
    if bare.len() > 512 {
        return None;
    }
    Some((entry_of(bare)?, format!("<{bare}>")))
}

/// Whether it is an enhanced status code (RFC 3463, 2) of a failure.
fn is_status(word: &str) -> bool {
    matches!(status_class(word), Some(4 | 5))
}

/// What a server said, fit to be kept: without addresses, and without numbers that could be codes.
fn shown(text: &str) -> String {
    let words = text.split_whitespace().map(|word| {
        let mut digits = 0;
        let long_number = word.chars().any(|character| {
            digits = if character.is_ascii_digit() { digits + 1 } else { 0 };
            digits >= 6
        });
        if word.contains('@') || long_number {
            "[...]"
        } else {
            word
        }
    });
    Hidden::default().clean(&words.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
#[path = "examine_tests.rs"]
mod tests;

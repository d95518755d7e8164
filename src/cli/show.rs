//! The protocol's messages for people and for scripts. JSON uses the protocol's field names and enum names.

use prost_types::{Duration, Timestamp};
use serde_json::{Value, json};

use crate::{domain::clock, pb::v1 as pb};

/// A moment in UTC, to the second.
pub(super) fn moment(moment: clock::Timestamp) -> String {
    let micros = moment.as_micros();
    rfc3339(micros.div_euclid(1_000_000))
}

/// The same of the protocol's; empty where it is absent.
pub(super) fn time(moment: Option<&Timestamp>) -> String {
    moment.map(|moment| rfc3339(moment.seconds)).unwrap_or_default()
}

fn rfc3339(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .map(|moment| moment.to_string())
        .unwrap_or_default()
}

/// Reads a moment that somebody typed.
pub(super) fn parse_moment(text: &str) -> Result<Timestamp, String> {
    text.parse()
        .map_err(|_| "must be a moment such as 2026-01-31 or 2026-01-31T08:30:00Z".to_owned())
}

pub(super) fn time_value(moment: Option<&Timestamp>) -> Value {
    moment.map_or(Value::Null, |moment| rfc3339(moment.seconds).into())
}

/// A length of time in milliseconds.
pub(super) fn milliseconds(span: Option<&Duration>) -> i64 {
    span.map(|span| span.seconds * 1_000 + i64::from(span.nanos) / 1_000_000)
        .unwrap_or_default()
}

/// An enum's name without its prefix, in lower case: `DELIVERY_STATE_SENT` is `sent`.
pub(super) fn word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_lowercase()
}

/// A challenge for people.
pub(super) fn challenge_pairs(challenge: &pb::Challenge) -> Vec<(&'static str, String)> {
    vec![
        ("challenge", challenge.challenge_id.clone()),
        ("reference", challenge.reference.clone()),
        ("state", word(challenge.state().as_str_name(), "CHALLENGE_STATE_")),
        ("purpose", word(challenge.purpose().as_str_name(), "PURPOSE_")),
        ("sent to", challenge.masked_recipient.clone()),
        (
            "delivery",
            word(challenge.delivery().as_str_name(), "DELIVERY_STATE_"),
        ),
        (
            "code",
            format!(
                "no. {}, {} of {}",
                challenge.code_number, challenge.code_length, challenge.code_alphabet
            ),
        ),
        ("attempts left", challenge.attempts_left.to_string()),
        ("event", challenge.event.clone()),
        ("endpoint", challenge.endpoint.clone()),
        ("expires", time(challenge.expires_at.as_ref())),
        ("resend from", time(challenge.resend_at.as_ref())),
        ("verified", time(challenge.verified_at.as_ref())),
    ]
}

/// A challenge for scripts.
pub(super) fn challenge(challenge: &pb::Challenge) -> Value {
    json!({
        "challenge_id": challenge.challenge_id,
        "reference": challenge.reference,
        "purpose": challenge.purpose().as_str_name(),
        "state": challenge.state().as_str_name(),
        "masked_recipient": challenge.masked_recipient,
        "code_number": challenge.code_number,
        "code_length": challenge.code_length,
        "code_alphabet": challenge.code_alphabet,
        "created_at": time_value(challenge.created_at.as_ref()),
        "expires_at": time_value(challenge.expires_at.as_ref()),
        "resend_at": time_value(challenge.resend_at.as_ref()),
        "attempts_left": challenge.attempts_left,
        "verified_at": time_value(challenge.verified_at.as_ref()),
        "delivery": challenge.delivery().as_str_name(),
        "event": challenge.event,
        "endpoint": challenge.endpoint,
    })
}

/// A verdict for scripts.
pub(super) fn verdict(answer: &pb::VerifyCodeResponse) -> Value {
    json!({
        "result": answer.result().as_str_name(),
        "attempts_left": answer.attempts_left,
        "verified_at": time_value(answer.verified_at.as_ref()),
        "locked_until": time_value(answer.locked_until.as_ref()),
        "must_change": answer.must_change,
        "must_change_by": time_value(answer.must_change_by.as_ref()),
        "purpose": answer.purpose().as_str_name(),
        "event": answer.event,
        "repository": answer.repository,
        "subject": answer.subject,
        "mismatched_fields": answer.mismatched_fields,
    })
}

/// A report on a mail for scripts.
pub(super) fn report(report: &pb::DeliveryReport) -> Value {
    json!({
        "kind": report.kind().as_str_name(),
        "status": report.status,
        "text": report.text,
        "received_at": time_value(report.received_at.as_ref()),
    })
}

/// How an account's connection is protected, as on the command line.
pub(super) fn security(account: &pb::Account) -> &'static str {
    security_word(account.security())
}

/// The same of a port.
pub(super) fn security_word(security: pb::ConnectionSecurity) -> &'static str {
    match security {
        pb::ConnectionSecurity::ImplicitTls => "tls",
        pb::ConnectionSecurity::Starttls => "starttls",
        pb::ConnectionSecurity::None => "none",
        pb::ConnectionSecurity::Unspecified => "",
    }
}

/// Where a secret is, in words.
pub(super) fn secret(secret: Option<&pb::AccountSecret>) -> String {
    use pb::account_secret::Source;
    match secret.and_then(|secret| secret.source.as_ref()) {
        Some(Source::File(path)) => format!("file {path}"),
        Some(Source::Environment(name)) => format!("environment {name}"),
        Some(Source::Sealed(_) | Source::Password(_)) => "set".to_owned(),
        None => String::new(),
    }
}

/// How an account does, in words.
pub(super) fn standing(account: &pb::Account) -> String {
    let Some(standing) = &account.standing else {
        return String::new();
    };
    let state = match standing.state() {
        pb::AccountState::Unspecified => return String::new(),
        pb::AccountState::Working => "working".to_owned(),
        pb::AccountState::Resting => format!("failing, tried again at {}", time(standing.until.as_ref())),
        pb::AccountState::Spent => format!("at its limit until {}", time(standing.until.as_ref())),
    };
    match standing.last_failure.as_str() {
        "" => state,
        failure => {
            let failed_at = word(standing.failed_stage().as_str_name(), "STAGE_");
            format!("{state}; at {failed_at}: {failure}")
        }
    }
}

fn at_most(number: i32) -> String {
    if number == 0 {
        String::new()
    } else {
        format!("{number} at the most")
    }
}

/// As whom an account logs in.
pub(super) fn login(account: &pb::Account) -> String {
    if account.default_credentials {
        "default credentials".to_owned()
    } else {
        account.username.clone()
    }
}

/// An account for people.
pub(super) fn account_pairs(account: &pb::Account) -> Vec<(&'static str, String)> {
    let yes = |flag: bool| if flag { "yes" } else { "no" }.to_owned();
    vec![
        ("account", account.name.clone()),
        ("id", account.account_id.clone()),
        ("enabled", yes(account.enabled)),
        ("default", yes(account.is_default)),
        ("server", format!("{}:{}", account.host, account.port)),
        ("security", security(account).to_owned()),
        ("login", login(account)),
        ("secret", secret(account.secret.as_ref())),
        ("OAuth 2.0", super::account::oauth::line(account.oauth.as_ref())),
        ("sender", account.sender.clone()),
        ("shown as", account.display_name.clone()),
        ("replies to", account.reply_to.clone()),
        ("bounces to", account.return_path.clone()),
        ("read receipts", {
            let to = match account.confirmation_address.as_str() {
                "" => &account.sender,
                address => address,
            };
            if account.read_receipt {
                to.to_owned()
            } else {
                String::new()
            }
        }),
        ("preset", account.preset.clone()),
        ("order", account.order.to_string()),
        ("state", standing(account)),
        ("mails a minute", at_most(account.messages_per_minute)),
        ("mails a day", at_most(account.messages_per_day)),
        ("says EHLO as", account.hello_name.clone()),
        ("certificate for", account.server_name.clone()),
        ("client key", secret(account.client_key.as_ref())),
        ("tested", {
            let at = time(account.tested_at.as_ref());
            if at.is_empty() {
                "not as it is".to_owned()
            } else {
                at
            }
        }),
        ("changed", time(account.updated_at.as_ref())),
    ]
}

/// An account for scripts.
pub(super) fn account(account: &pb::Account) -> Value {
    json!({
        "account_id": account.account_id,
        "name": account.name,
        "enabled": account.enabled,
        "is_default": account.is_default,
        "host": account.host,
        "port": account.port,
        "security": account.security().as_str_name(),
        "authentication": account.authentication,
        "username": account.username,
        "default_credentials": account.default_credentials,
        "secret": secret(account.secret.as_ref()),
        "oauth": super::account::oauth::value(account.oauth.as_ref()),
        "sender": account.sender,
        "display_name": account.display_name,
        "reply_to": account.reply_to,
        "preset": account.preset,
        "order": account.order,
        "return_path": account.return_path,
        "read_receipt": account.read_receipt,
        "confirmation_address": account.confirmation_address,
        "force_settings": account.force_settings,
        "footnote_enabled": account.footnote_enabled,
        "footnote": account.footnote,
        "hello_name": account.hello_name,
        "server_name": account.server_name,
        "ca_certificates": account.ca_certificates,
        "ignore_certificate_errors": account.ignore_certificate_errors,
        "client_certificate": account.client_certificate,
        "client_key": secret(account.client_key.as_ref()),
        "messages_per_minute": account.messages_per_minute,
        "messages_per_day": account.messages_per_day,
        "standing": account.standing.as_ref().map(|standing| json!({
            "state": standing.state().as_str_name(),
            "until": time_value(standing.until.as_ref()),
            "last_failure": standing.last_failure,
        })),
        "timeout_ms": milliseconds(account.timeout.as_ref()),
        "warnings": account.warnings,
        "tested_at": time_value(account.tested_at.as_ref()),
        "created_at": time_value(account.created_at.as_ref()),
        "updated_at": time_value(account.updated_at.as_ref()),
        "etag": account.etag,
    })
}

/// An outbox entry for people.
pub(super) fn entry_pairs(entry: &pb::OutboxEntry) -> Vec<(&'static str, String)> {
    vec![
        ("entry", entry.entry_id.clone()),
        ("kind", word(entry.kind().as_str_name(), "MAIL_KIND_")),
        ("state", word(entry.state().as_str_name(), "DELIVERY_STATE_")),
        ("sender", entry.sender.clone()),
        ("recipient", entry.masked_recipient.clone()),
        ("subject", entry.subject.clone()),
        ("account", entry.account.clone()),
        ("attempts", entry.attempts.to_string()),
        ("last error", entry.last_error.clone()),
        ("submitted", time(entry.submitted_at.as_ref())),
        ("sent", time(entry.sent_at.as_ref())),
        ("next attempt", time(entry.next_attempt_at.as_ref())),
        ("expires", time(entry.expires_at.as_ref())),
        ("changed", time(entry.updated_at.as_ref())),
        ("message id", entry.message_id.clone()),
    ]
}

/// An outbox entry for scripts.
pub(super) fn entry(entry: &pb::OutboxEntry) -> Value {
    json!({
        "entry_id": entry.entry_id,
        "kind": entry.kind().as_str_name(),
        "state": entry.state().as_str_name(),
        "submitted_at": time_value(entry.submitted_at.as_ref()),
        "sent_at": time_value(entry.sent_at.as_ref()),
        "expires_at": time_value(entry.expires_at.as_ref()),
        "next_attempt_at": time_value(entry.next_attempt_at.as_ref()),
        "masked_recipient": entry.masked_recipient,
        "subject": entry.subject,
        "account": entry.account,
        "attempts": entry.attempts,
        "last_error": entry.last_error,
        "message_id": entry.message_id,
        "sender": entry.sender,
        "updated_at": time_value(entry.updated_at.as_ref()),
    })
}

/// An attempt for scripts.
pub(super) fn attempt(attempt: &pb::Attempt) -> Value {
    json!({
        "number": attempt.number,
        "started_at": time_value(attempt.started_at.as_ref()),
        "duration_ms": milliseconds(attempt.duration.as_ref()),
        "account": attempt.account,
        "stage": attempt.stage().as_str_name(),
        "reply": attempt.reply,
        "reply_code": attempt.reply_code,
        "outcome": attempt.outcome().as_str_name(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_dates_or_dates_with_a_time() {
        assert_eq!(
            parse_moment("2026-01-31").unwrap(),
            parse_moment("2026-01-31T00:00:00Z").unwrap()
        );
        assert_eq!(parse_moment("1970-01-01T00:00:01Z").unwrap().seconds, 1);
        assert!(parse_moment("yesterday").is_err());
    }
}

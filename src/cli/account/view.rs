//! Accounts and their tests, as people and scripts read them.

use serde_json::{Value, json};

use crate::{
    cli::{
        out::{CliError, CliResult, Out, moment},
        outbox::{entry_json, stage_name, state_name},
    },
    pb::v1 as pb,
};

pub(super) fn show_list(out: Out, accounts: &[pb::Account]) {
    let value: Value = accounts.iter().map(account_json).collect();
    out.value(&value, |out| {
        if accounts.is_empty() {
            out.line("no accounts yet: see `mailfactor account add --help`");
            return;
        }
        let mark = |yes: bool, word: &str| if yes { word.to_owned() } else { String::new() };
        let rows: Vec<[String; 6]> = accounts
            .iter()
            .map(|account| {
                [
                    account.name.clone(),
                    mark(account.is_default, "default"),
                    if account.enabled {
                        "on".into()
                    } else {
                        "off".into()
                    },
                    format!("{}:{}", account.host, account.port),
                    security_name(account.security).to_owned(),
                    account.sender.clone(),
                ]
            })
            .collect();
        out.table(
            ["NAME", "DEFAULT", "STATE", "SERVER", "SECURITY", "SENDER"],
            &rows,
        );
    });
}

pub(super) fn show(out: Out, account: &pb::Account) {
    out.value(&account_json(account), |out| {
        out.fields(&[
            ("name", account.name.clone()),
            ("id", account.account_id.clone()),
            (
                "state",
                if account.enabled {
                    "on".into()
                } else {
                    "off".into()
                },
            ),
            (
                "default",
                if account.is_default {
                    "yes".into()
                } else {
                    "no".into()
                },
            ),
            ("server", format!("{}:{}", account.host, account.port)),
            ("security", security_name(account.security).to_owned()),
            ("username", account.username.clone()),
            ("secret", secret_words(account)),
            ("sender", account.sender.clone()),
            ("display name", account.display_name.clone()),
            ("reply to", account.reply_to.clone()),
            ("changed", moment(account.updated_at.as_ref())),
        ]);
    });
}

pub(super) fn show_test(out: Out, report: &pb::TestConnectionResponse) -> CliResult {
    let stages: Value = report
        .stages
        .iter()
        .map(
            |stage| json!({ "stage": stage_name(stage.stage), "passed": stage.passed, "reply": stage.reply }),
        )
        .collect();
    let value = json!({
        "succeeded": report.succeeded,
        "summary": report.summary,
        "tls_version": report.tls_version,
        "stages": stages,
    });
    out.value(&value, |out| {
        for stage in &report.stages {
            let mark = if stage.passed { "ok  " } else { "FAIL" };
            out.line(
                format_args!("{mark} {:8} {}", stage_name(stage.stage), stage.reply)
                    .to_string()
                    .trim_end(),
            );
        }
        out.line(&report.summary);
    });
    if report.succeeded {
        Ok(())
    } else {
        Err(CliError::new("the connection test failed"))
    }
}

pub(super) fn show_sent(out: Out, entry: &pb::OutboxEntry) -> CliResult {
    out.value(&entry_json(entry), |out| {
        out.line(format_args!(
            "{} to {}",
            state_name(entry.state),
            entry.masked_recipient
        ));
    });
    if entry.state == i32::from(pb::DeliveryState::Sent) {
        return Ok(());
    }
    let reason = if entry.last_error.is_empty() {
        "no answer yet"
    } else {
        &entry.last_error
    };
    let hint = format!("`mailfactor outbox show {}` tells every attempt", entry.entry_id);
    Err(CliError::new(format!("not sent: {reason}")).hint(hint))
}

fn account_json(account: &pb::Account) -> Value {
    json!({
        "account_id": account.account_id,
        "name": account.name,
        "enabled": account.enabled,
        "is_default": account.is_default,
        "host": account.host,
        "port": account.port,
        "security": security_name(account.security),
        "authentication": account.authentication,
        "username": account.username,
        "secret": secret_words(account),
        "sender": account.sender,
        "display_name": account.display_name,
        "reply_to": account.reply_to,
        "created_at": moment(account.created_at.as_ref()),
        "updated_at": moment(account.updated_at.as_ref()),
        "etag": account.etag,
    })
}

fn security_name(security: i32) -> &'static str {
    match pb::ConnectionSecurity::try_from(security).unwrap_or_default() {
        pb::ConnectionSecurity::Unspecified => "unknown",
        pb::ConnectionSecurity::ImplicitTls => "tls",
        pb::ConnectionSecurity::Starttls => "starttls",
        pb::ConnectionSecurity::None => "none",
    }
}

fn secret_words(account: &pb::Account) -> String {
    use pb::account_secret::Source;
    match account.secret.as_ref().and_then(|secret| secret.source.as_ref()) {
        None => String::new(),
        Some(Source::Password(_) | Source::Sealed(_)) => "sealed".into(),
        Some(Source::File(path)) => format!("file {path}"),
        Some(Source::Environment(name)) => format!("environment {name}"),
    }
}

//! Inboxes, their tests and checks. A password is wrapped as soon as it is seen, and goes in only.

use super::{account, account_secret, count, moment, reply, span};
use crate::{
    domain::{
        account::Secret,
        delivery::ConnectionReport,
        id::InboxId,
        inbox::{Inbox, InboxDraft, InboxStanding, Protocol},
        report::{Report, ReportKind},
        text::require_line,
        violation::Violations,
    },
    pb::v1 as pb,
    policy::{CheckReport, InboxInput, InboxRef, InboxTarget, Matched, UPDATABLE_INBOX},
};

/// An inbox to create.
pub(in crate::grpc) fn create_inbox(request: pb::CreateInboxRequest) -> Result<InboxInput, Violations> {
    let mut faults = Violations::new();
    let input = whole(request.inbox, "inbox", &mut faults);
    input.filter(|_| faults.is_empty()).ok_or(faults)
}

/// A checked update of an inbox.
#[derive(Debug)]
pub(in crate::grpc) struct InboxUpdate {
    /// Which inbox.
    pub(in crate::grpc) id: InboxId,
    /// The new values.
    pub(in crate::grpc) input: InboxInput,
    /// Which of them count; empty: all.
    pub(in crate::grpc) mask: Vec<String>,
    /// The version it was made from.
    pub(in crate::grpc) version: Option<i64>,
}

/// An inbox to change. Values outside the mask are not looked at; those inside it are checked with what is saved.
pub(in crate::grpc) fn update_inbox(request: pb::UpdateInboxRequest) -> Result<InboxUpdate, Violations> {
    let mut faults = Violations::new();
    let inbox = faults
        .check("inbox", request.inbox.ok_or("is required"))
        .unwrap_or_default();
    let id = faults.check("inbox.inbox_id", super::field::id(&inbox.inbox_id));
    let version = faults.check("inbox.etag", account::parse_etag(&inbox.etag));
    let mask = request.update_mask.unwrap_or_default().paths;
    for (index, path) in mask.iter().enumerate() {
        if !UPDATABLE_INBOX.contains(&path.as_str()) {
            let field = format!("update_mask.paths[{index}]");
            let path = account::shown(path);
            faults.add(field, format_args!("{path} is not a field that can be changed"));
        }
    }
    let input = input(inbox, "inbox.", &mask, &mut faults);
    match (id, version) {
        (Some(id), Some(version)) if faults.is_empty() => Ok(InboxUpdate {
            id,
            input,
            mask,
            version,
        }),
        _ => Err(faults),
    }
}

/// An inbox to delete, and which version of it.
pub(in crate::grpc) fn delete_inbox(
    request: &pb::DeleteInboxRequest,
) -> Result<(InboxRef, Option<i64>), Violations> {
    let mut faults = Violations::new();
    let inbox = faults.check("inbox", reference(&request.inbox));
    let version = faults.check("etag", account::parse_etag(&request.etag));
    inbox.zip(version).ok_or(faults)
}

/// An inbox that a request names, by id or by name.
pub(in crate::grpc) fn named_inbox(text: &str) -> Result<InboxRef, Violations> {
    let mut faults = Violations::new();
    let inbox = faults.check("inbox", reference(text));
    inbox.ok_or(faults)
}

/// What to test.
pub(in crate::grpc) fn test_inbox(request: pb::TestInboxRequest) -> Result<InboxTarget, Violations> {
    use pb::test_inbox_request::Target;
    let mut faults = Violations::new();
    let target = match request.target {
        None => {
            faults.add("target", "is required: `inbox` or `settings`");
            None
        }
        Some(Target::Inbox(text)) => faults.check("inbox", reference(&text)).map(InboxTarget::Saved),
        Some(Target::Settings(mut settings)) => {
            if settings.name.is_empty() {
                // A name is only for keeping settings, and these are not kept.
                "unsaved".clone_into(&mut settings.name);
            }
            let secret_of = match settings.inbox_id.as_str() {
                "" => None,
                id => faults.check("settings.inbox_id", super::field::id(id)),
            };
            whole(Some(settings), "settings", &mut faults).map(|input| InboxTarget::Unsaved {
                input: Box::new(input),
                secret_of,
            })
        }
    };
    target.filter(|_| faults.is_empty()).ok_or(faults)
}

/// An inbox as administrators see it: all but its secret.
pub(in crate::grpc) fn inbox(inbox: Inbox) -> pb::Inbox {
    let settings = inbox.settings;
    let warnings = settings.risks().into_iter().map(|risk| risk.text().to_owned());
    let protocol = match settings.protocol {
        Protocol::Imap => pb::InboxProtocol::Imap,
        Protocol::Pop3 => pb::InboxProtocol::Pop3,
    };
    let by_itself = settings.enabled && settings.automatic_check;
    pb::Inbox {
        inbox_id: inbox.id.to_string(),
        warnings: warnings.collect(),
        name: settings.name,
        enabled: settings.enabled,
        automatic_check: settings.automatic_check,
        keep_copy: Some(settings.keep_copy),
        interval: Some(span(settings.interval)),
        protocol: protocol.into(),
        host: settings.server.host,
        port: settings.server.port.into(),
        security: super::preset::security(settings.server.security).into(),
        username: settings.login.username,
        secret: account_secret::secret_of(settings.login.secret).0,
        server_name: settings.link.server_name.unwrap_or_default(),
        ca_certificates: settings.link.authorities.unwrap_or_default(),
        ignore_certificate_errors: settings.link.any_certificate,
        acknowledge_risks: false,
        status: Some(status(inbox.standing, by_itself)),
        created_at: Some(moment(inbox.created_at)),
        updated_at: Some(moment(inbox.updated_at)),
        etag: format!("v{}", inbox.version),
    }
}

/// What a test found.
pub(in crate::grpc) fn inbox_test_report(report: ConnectionReport) -> pb::TestInboxResponse {
    let found = super::report(report);
    pb::TestInboxResponse {
        succeeded: found.succeeded,
        summary: found.summary,
        stages: found.stages,
        tls_version: found.tls_version,
        tls_cipher: found.tls_cipher,
        peer_certificate: found.peer_certificate,
    }
}

/// How a check went.
pub(in crate::grpc) fn check_report(report: CheckReport) -> pb::CheckInboxResponse {
    pb::CheckInboxResponse {
        succeeded: report.error.is_none(),
        error: reply(report.error.unwrap_or_default()),
        messages_read: count(report.read),
        messages_skipped: count(report.skipped),
        messages_deleted: count(report.deleted),
        matched: report.matched.into_iter().map(matched).collect(),
        more: report.more,
    }
}

/// What was told of a mail.
pub(in crate::grpc) fn delivery_report(report: Report) -> pb::DeliveryReport {
    let kind = match report.kind {
        ReportKind::Bounced => pb::ReportKind::Bounced,
        ReportKind::Delayed => pb::ReportKind::Delayed,
        ReportKind::Read => pb::ReportKind::Read,
    };
    pb::DeliveryReport {
        kind: kind.into(),
        status: report.status,
        text: reply(report.text),
        received_at: Some(moment(report.received_at)),
    }
}

fn matched(matched: Matched) -> pb::MatchedReport {
    pb::MatchedReport {
        entry_id: matched.entry.to_string(),
        report: Some(delivery_report(matched.report)),
    }
}

fn status(standing: InboxStanding, by_itself: bool) -> pb::InboxStatus {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    pb::InboxStatus {
        checking: standing.checking,
        last_check_at: standing.last_check_at.map(moment),
        last_success_at: standing.last_success_at.map(moment),
        last_error: reply(standing.last_error),
        failures: count(standing.failures),
        next_check_at: by_itself.then(|| moment(standing.next_check_at)),
        messages_read: number(standing.messages_read),
        reports_matched: number(standing.reports_matched),
    }
}

/// An inbox that must be complete. Checked as the office will check it, so that its faults are told with the rest.
fn whole(inbox: Option<pb::Inbox>, prefix: &str, faults: &mut Violations) -> Option<InboxInput> {
    let inbox = faults.check(prefix, inbox.ok_or("is required"))?;
    let saved = !inbox.inbox_id.is_empty();
    let prefix = format!("{prefix}.");
    let input = input(inbox, &prefix, &[], faults);
    let mut draft = input.draft.clone();
    if draft.secret.is_none() && (saved || input.password.is_some()) {
        // Stands for the secret that is sealed, or looked up, only later.
        draft.secret = Some(Secret::File(String::new()));
    }
    if let Err(more) = draft.check(&prefix) {
        for fault in more.as_slice() {
            if !faults.as_slice().iter().any(|known| known.field == fault.field) {
                faults.add(&fault.field, &fault.description);
            }
        }
    }
    Some(input)
}

/// Reads an inbox's name or identifier.
fn reference(text: &str) -> Result<InboxRef, String> {
    require_line(text, 64).map_err(|error| error.to_string())?;
    Ok(match text.parse() {
        Ok(id) => InboxRef::Id(id),
        Err(_) => InboxRef::Name(text.to_owned()),
    })
}

/// The draft of an inbox. Fields outside `mask` raise no faults; an empty mask is all fields.
fn input(inbox: pb::Inbox, prefix: &str, mask: &[String], faults: &mut Violations) -> InboxInput {
    let counts = |name: &str| mask.is_empty() || mask.iter().any(|path| path == name);
    let mut field = |name: &str, fault: String| {
        if counts(name) {
            faults.add(format!("{prefix}{name}"), fault);
        }
    };
    let security = account::security(inbox.security).unwrap_or_else(|fault| {
        field("security", fault.to_owned());
        None
    });
    let protocol = protocol(inbox.protocol).unwrap_or_else(|fault| {
        field("protocol", fault.to_owned());
        None
    });
    let interval = inbox
        .interval
        .map(account::duration)
        .transpose()
        .unwrap_or_else(|fault| {
            field("interval", fault.to_owned());
            None
        });
    let secret = inbox.secret.and_then(|secret| secret.source);
    let (secret, password) = account_secret::read_secret(secret).unwrap_or_else(|fault| {
        field("secret", fault);
        (None, None)
    });
    InboxInput {
        draft: InboxDraft {
            name: inbox.name,
            enabled: inbox.enabled,
            automatic_check: inbox.automatic_check,
            keep_copy: inbox.keep_copy.unwrap_or(true),
            interval,
            protocol,
            host: inbox.host,
            port: inbox.port,
            security,
            username: inbox.username,
            secret,
            server_name: inbox.server_name,
            ca_certificates: inbox.ca_certificates,
            ignore_certificate_errors: inbox.ignore_certificate_errors,
            acknowledge_risks: inbox.acknowledge_risks,
            known_risks: Vec::new(),
        },
        keep_copy: inbox.keep_copy,
        password,
    }
}

/// Unspecified is left to the check of the whole inbox.
fn protocol(number: i32) -> Result<Option<Protocol>, &'static str> {
    match pb::InboxProtocol::try_from(number) {
        Ok(pb::InboxProtocol::Unspecified) => Ok(None),
        Ok(pb::InboxProtocol::Imap) => Ok(Some(Protocol::Imap)),
        Ok(pb::InboxProtocol::Pop3) => Ok(Some(Protocol::Pop3)),
        Err(_) => Err("is not a protocol of inboxes"),
    }
}

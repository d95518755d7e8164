//! Tests of accounts, and what the delivery of a mail looks like.

use super::{account, moment, reply, span};
use crate::{
    domain::{
        address::{EmailAddress, LocalPart},
        delivery::{ConnectionReport, DeliveryState, PeerCertificate, Stage},
        text::{check_line, check_lines},
        violation::Violations,
    },
    pb::v1 as pb,
    policy::{TestMessage, TestTarget},
};

/// A connection test: what to test, and the recipient to offer.
pub(in crate::grpc) fn test_connection(
    request: pb::TestConnectionRequest,
    rules: LocalPart,
) -> Result<(TestTarget, String), Violations> {
    use pb::test_connection_request::Target;
    let mut faults = Violations::new();
    let target = match request.target {
        None => {
            faults.add("target", "is required: `account` or `settings`");
            None
        }
        Some(Target::Account(text)) => faults
            .check("account", account::reference(&text))
            .map(TestTarget::Saved),
        Some(Target::Settings(mut settings)) => {
            if settings.name.is_empty() {
                // A name is only for keeping settings, and these are not kept.
                "unsaved".clone_into(&mut settings.name);
            }
            let secret_of = match settings.account_id.as_str() {
                "" => None,
                id => faults.check("settings.account_id", super::field::id(id)),
            };
            account::whole(Some(settings), "settings", rules, &mut faults).map(|input| TestTarget::Unsaved {
                input: Box::new(input),
                secret_of,
            })
        }
    };
    if !request.recipient.is_empty() {
        faults.check("recipient", EmailAddress::parse(&request.recipient, rules));
    }
    match target {
        Some(target) if faults.is_empty() => Ok((target, request.recipient)),
        _ => Err(faults),
    }
}

/// A test message.
pub(in crate::grpc) fn test_message(
    request: pb::SendTestMessageRequest,
    rules: LocalPart,
) -> Result<TestMessage, Violations> {
    let mut faults = Violations::new();
    let account = match request.account.as_str() {
        "" => None,
        text => faults.check("account", account::reference(text)),
    };
    faults.check("recipient", EmailAddress::parse(&request.recipient, rules));
    faults.check("subject", check_line(&request.subject, 200));
    // Forms end their lines with CR LF.
    let text = request.text.replace("\r\n", "\n");
    faults.check("text", check_lines(&text, 10_000));
    faults.into_result()?;
    Ok(TestMessage {
        account,
        recipient: request.recipient,
        subject: request.subject,
        text,
        wait: request.wait_for_mail_server,
    })
}

/// The sentence of a test that passed.
const CONNECTED: &str = "Connected successfully";

/// The sentence of one that failed.
pub(in crate::grpc) const NOT_CONNECTED: &str =
    "Test connection failed. Please review email account information entered.";

/// What a connection test found.
pub(in crate::grpc) fn report(report: ConnectionReport) -> pb::TestConnectionResponse {
    let succeeded = report.succeeded();
    let summary = if succeeded { CONNECTED } else { NOT_CONNECTED };
    let stages = report.stages.into_iter().map(|found| pb::TestStage {
        stage: stage(found.stage).into(),
        passed: found.passed,
        reply: reply(found.reply),
        duration: Some(span(found.duration)),
    });
    let (version, cipher, certificate) = report
        .tls
        .map_or_else(Default::default, |tls| (tls.version, tls.cipher, tls.certificate));
    pb::TestConnectionResponse {
        succeeded,
        summary: summary.to_owned(),
        stages: stages.collect(),
        tls_version: version,
        tls_cipher: cipher,
        peer_certificate: certificate.map(peer),
    }
}

fn peer(certificate: PeerCertificate) -> pb::PeerCertificate {
    pb::PeerCertificate {
        subject: certificate.subject,
        issuer: certificate.issuer,
        not_before: Some(moment(certificate.not_before)),
        not_after: Some(moment(certificate.not_after)),
        fingerprint: certificate.fingerprint,
    }
}

/// How far a mail has come.
pub(super) fn state(state: DeliveryState) -> pb::DeliveryState {
    match state {
        DeliveryState::Queued => pb::DeliveryState::Queued,
        DeliveryState::Sent => pb::DeliveryState::Sent,
        DeliveryState::Deferred => pb::DeliveryState::Deferred,
        DeliveryState::Failed => pb::DeliveryState::Failed,
        DeliveryState::Bounced => pb::DeliveryState::Bounced,
        DeliveryState::Expired => pb::DeliveryState::Expired,
        DeliveryState::Withdrawn => pb::DeliveryState::Withdrawn,
    }
}

/// The state that a filter names.
pub(super) fn filtered_state(number: i32) -> Result<DeliveryState, &'static str> {
    match pb::DeliveryState::try_from(number) {
        Ok(pb::DeliveryState::Queued) => Ok(DeliveryState::Queued),
        Ok(pb::DeliveryState::Sent) => Ok(DeliveryState::Sent),
        Ok(pb::DeliveryState::Deferred) => Ok(DeliveryState::Deferred),
        Ok(pb::DeliveryState::Failed) => Ok(DeliveryState::Failed),
        Ok(pb::DeliveryState::Bounced) => Ok(DeliveryState::Bounced),
        Ok(pb::DeliveryState::Expired) => Ok(DeliveryState::Expired),
        Ok(pb::DeliveryState::Withdrawn) => Ok(DeliveryState::Withdrawn),
        Ok(pb::DeliveryState::Unspecified | pb::DeliveryState::Withheld) | Err(_) => {
            Err("is not a state that entries have")
        }
    }
}

/// A step of a submission.
pub(super) fn stage(stage: Stage) -> pb::Stage {
    match stage {
        Stage::Render => pb::Stage::Render,
        Stage::Token => pb::Stage::Token,
        Stage::Resolve => pb::Stage::Resolve,
        Stage::Connect => pb::Stage::Connect,
        Stage::Tls => pb::Stage::Tls,
        Stage::Ehlo => pb::Stage::Ehlo,
        Stage::Auth => pb::Stage::Auth,
        Stage::Mail => pb::Stage::Mail,
        Stage::Rcpt => pb::Stage::Rcpt,
        Stage::Data => pb::Stage::Data,
        Stage::Accept => pb::Stage::Accept,
        Stage::Reset => pb::Stage::Reset,
        Stage::Select => pb::Stage::Select,
    }
}

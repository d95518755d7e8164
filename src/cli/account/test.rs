//! `account test` and `account send-test`.

use clap::Args;
use serde_json::json;

use super::super::{Failure, Outcome, client::ClientArguments, out, show};
use crate::pb::v1 as pb;

#[derive(Debug, Args)]
pub(in crate::cli) struct Test {
    /// The account, by name or id.
    account: String,
    /// The recipient offered to the mail server; without it, the sender.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ADDRESS")]
    recipient: String,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct SendTest {
    /// Where to send it.
    recipient: String,
    /// The account; without it, the default.
    #[arg(long, default_value = "", hide_default_value = true)]
    account: String,
    /// The subject.
    #[arg(long, default_value = "", hide_default_value = true)]
    subject: String,
    /// The text.
    #[arg(long, default_value = "", hide_default_value = true)]
    text: String,
    /// Does not wait for the mail server.
    #[arg(long)]
    no_wait: bool,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArguments,
}

impl Test {
    pub(in crate::cli) async fn run(self) -> Outcome {
        let request = pb::TestConnectionRequest {
            target: Some(pb::test_connection_request::Target::Account(self.account)),
            recipient: self.recipient,
        };
        let mut client = self.client.connect().await?;
        let answer = client.policy.test_connection(request).await?.into_inner();
        tell(&answer, self.json)
    }
}

impl SendTest {
    pub(in crate::cli) async fn run(self) -> Outcome {
        let request = pb::SendTestMessageRequest {
            account: self.account,
            recipient: self.recipient,
            subject: self.subject,
            text: self.text,
            wait_for_mail_server: !self.no_wait,
        };
        let mut client = self.client.connect().await?;
        let answer = client.policy.send_test_message(request).await?.into_inner();
        let entry = answer.entry.unwrap_or_default();
        if self.json {
            out::json(&show::entry(&entry));
        } else {
            out::pairs(&show::entry_pairs(&entry));
        }
        if self.no_wait || entry.state() == pb::DeliveryState::Sent {
            Ok(())
        } else {
            Err(Failure::advise(
                "the mail server has not taken it",
                format!("mailfactor outbox show {}", entry.entry_id),
            ))
        }
    }
}

/// Tells what a test found; one that failed fails the command.
pub(in crate::cli) fn tell(answer: &pb::TestConnectionResponse, json: bool) -> Outcome {
    if json {
        let stage = |stage: &pb::TestStage| {
            json!({
                "stage": stage.stage().as_str_name(),
                "passed": stage.passed,
                "reply": stage.reply,
                "duration_ms": show::milliseconds(stage.duration.as_ref()),
            })
        };
        out::json(&json!({
            "succeeded": answer.succeeded,
            "summary": answer.summary,
            "tls_version": answer.tls_version,
            "tls_cipher": answer.tls_cipher,
            "peer_certificate": answer.peer_certificate.as_ref().map(certificate),
            "stages": answer.stages.iter().map(stage).collect::<Vec<_>>(),
        }));
    } else {
        let rows: Vec<_> = answer.stages.iter().map(row).collect();
        out::table(&["stage", "", "took", "reply"], &rows);
        if let Some(peer) = &answer.peer_certificate {
            out::say("");
            out::pairs(&[
                ("TLS", format!("{} {}", answer.tls_version, answer.tls_cipher)),
                ("certificate", peer.subject.clone()),
                ("issuer", peer.issuer.clone()),
                ("good until", show::time(peer.not_after.as_ref())),
                ("SHA-256", peer.fingerprint.clone()),
            ]);
        }
        out::say("");
        out::say(&answer.summary);
    }
    if answer.succeeded {
        Ok(())
    } else {
        Err(Failure::Told)
    }
}

/// Says what became of the test that saving an account took.
pub(super) fn told(test: Option<&pb::TestConnectionResponse>, account: &pb::Account) -> Outcome {
    let Some(test) = test else {
        if account.tested_at.is_none() {
            out::complain(format!("next: mailfactor account test {:?}", account.name));
        }
        return Ok(());
    };
    if test.succeeded {
        out::complain(&test.summary);
        return Ok(());
    }
    let what = test.stages.last().map_or_else(String::new, |last| {
        let stage = show::word(last.stage().as_str_name(), "STAGE_");
        format!("\n  {stage}: {}", last.reply)
    });
    Err(Failure::advise(
        format!("{}{what}\nthe account was kept, disabled", test.summary),
        format!(
            "mend it with `mailfactor account update {:?} ... --enabled true`, which tests it again",
            account.name
        ),
    ))
}

fn certificate(peer: &pb::PeerCertificate) -> serde_json::Value {
    json!({
        "subject": peer.subject,
        "issuer": peer.issuer,
        "not_before": show::time(peer.not_before.as_ref()),
        "not_after": show::time(peer.not_after.as_ref()),
        "fingerprint": peer.fingerprint,
    })
}

fn row(stage: &pb::TestStage) -> Vec<String> {
    vec![
        show::word(stage.stage().as_str_name(), "STAGE_"),
        if stage.passed { "ok" } else { "FAILED" }.to_owned(),
        format!("{} ms", show::milliseconds(stage.duration.as_ref())),
        stage.reply.clone(),
    ]
}

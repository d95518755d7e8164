//! The outbox over the real service: what is listed, and what is tried again.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use mailfactor::{
    app::Machine,
    domain::caller::Role,
    pb::v1::{self as pb, watch_entries_response::News},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tonic::{Code, Streaming};
use tonic_types::StatusExt as _;

use crate::harness::{
    client::Client,
    in_time,
    service::{Home, Service},
    smtp::{Act, At, SmtpServer},
};

async fn house(server: &SmtpServer) -> (Home, Service, Client) {
    let home = Home::new();
    home.users(&[("ann", "ann@example.com"), ("bob", "bob@example.net")]);
    let service = home.serve(Machine::real()).await;
    let admin = service.client(&home.caller("ops", Role::Admin).await).await;
    admin.mail_through(server.address).await;
    (home, service, admin)
}

async fn list(client: &Client, request: pb::ListEntriesRequest) -> Vec<pb::OutboxEntry> {
    let answer = client.outbox.clone().list_entries(request).await.unwrap();
    answer.into_inner().entries
}

fn ids(entries: &[pb::OutboxEntry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.entry_id.as_str()).collect()
}

async fn send(admin: &Client, user: &str, state: pb::DeliveryState) -> pb::Challenge {
    let challenge = admin.start(user).await.unwrap();
    admin.wait_until(&challenge.challenge_id, state).await;
    challenge
}

#[tokio::test]
async fn the_report_finds_mails_by_recipient_text_kind_and_order() {
    let server = SmtpServer::plain().await;
    let (_home, _service, admin) = house(&server).await;
    send(&admin, "ann", pb::DeliveryState::Sent).await;
    send(&admin, "bob", pb::DeliveryState::Sent).await;
    let test = pb::SendTestMessageRequest {
        recipient: "Ann@Example.com".to_owned(),
        subject: "Quarterly check".to_owned(),
        wait_for_mail_server: true,
        ..pb::SendTestMessageRequest::default()
    };
    admin.policy.clone().send_test_message(test).await.unwrap();
    let all = list(&admin, pb::ListEntriesRequest::default()).await;
    let [test, to_bob, to_ann] = ids(&all)[..] else {
        panic!("three mails were sent: {all:?}")
    };
    let by = |recipient: &str, text: &str| pb::ListEntriesRequest {
        recipient: recipient.to_owned(),
        text: text.to_owned(),
        ..pb::ListEntriesRequest::default()
    };
    assert_eq!(
        ids(&list(&admin, by("ann@example.com", "")).await),
        [test, to_ann]
    );
    assert_eq!(ids(&list(&admin, by("B*****@", "")).await), [to_bob]);
    assert_eq!(ids(&list(&admin, by("", "QUARTERLY")).await), [test]);
    assert!(list(&admin, by("eve@example.com", "")).await.is_empty());
    let tests = pb::ListEntriesRequest {
        kind: pb::MailKind::Test.into(),
        ..pb::ListEntriesRequest::default()
    };
    assert_eq!(ids(&list(&admin, tests).await), [test]);
    let request = pb::ListEntriesRequest {
        order: pb::EntryOrder::OldestFirst.into(),
        ..pb::ListEntriesRequest::default()
    };
    let oldest = admin
        .outbox
        .clone()
        .list_entries(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(ids(&oldest.entries), [to_ann, to_bob, test]);
    for entry in &all {
        assert_eq!(entry.sender, "login@example.org");
        assert!(entry.sent_at.is_some() && entry.updated_at.is_some());
        assert!(!format!("{entry:?}").contains("ann@"), "{entry:?}");
    }
}

#[tokio::test]
async fn the_export_is_csv_that_runs_nothing() {
    let server = SmtpServer::plain().await;
    let (_home, _service, admin) = house(&server).await;
    let test = pb::SendTestMessageRequest {
        recipient: "ann@example.com".to_owned(),
        subject: "=HYPERLINK(\"http://evil.example\",1)".to_owned(),
        wait_for_mail_server: true,
        ..pb::SendTestMessageRequest::default()
    };
    admin.policy.clone().send_test_message(test).await.unwrap();
    send(&admin, "bob", pb::DeliveryState::Sent).await;
    let export = async |entries: pb::ListEntriesRequest| {
        let request = pb::ExportEntriesRequest {
            entries: Some(pb::ListEntriesRequest {
                order: pb::EntryOrder::OldestFirst.into(),
                ..entries
            }),
        };
        let mut chunks = admin
            .outbox
            .clone()
            .export_entries(request)
            .await
            .unwrap()
            .into_inner();
        let mut text = Vec::new();
        while let Some(chunk) = chunks.message().await.unwrap() {
            text.extend(chunk.csv);
        }
        String::from_utf8(text).unwrap()
    };
    let all = export(pb::ListEntriesRequest::default()).await;
    let lines: Vec<&str> = all.split_terminator("\r\n").collect();
    assert_eq!(lines.len(), 3, "{all}");
    assert!(
        lines[0].starts_with("submitted,sent,account,sender,recipient,subject,type,status,"),
        "{all}"
    );
    assert!(
        lines[1].contains(",\"'=HYPERLINK(\"\"http://evil.example\"\",1)\",test,sent,"),
        "{all}"
    );
    assert!(
        lines[2].contains("b*****@e*****.net") && lines[2].contains(",code,sent,"),
        "{all}"
    );
    let tests = pb::ListEntriesRequest {
        kind: pb::MailKind::Test.into(),
        ..pb::ListEntriesRequest::default()
    };
    assert_eq!(export(tests).await, format!("{}\r\n{}\r\n", lines[0], lines[1]));
}

#[tokio::test]
async fn a_failed_mail_is_requeued_while_its_code_lives() {
    let server = SmtpServer::plain().await;
    let (home, service, admin) = house(&server).await;
    server.times(1, At::Rcpt, Act::Reply("550 5.1.1 no such mailbox"));
    let challenge = send(&admin, "ann", pb::DeliveryState::Failed).await;
    let entry = list(&admin, pb::ListEntriesRequest::default()).await.remove(0);
    let requeue = async |client: &Client, entry_id: &str| {
        let request = pb::RequeueEntryRequest {
            entry_id: entry_id.to_owned(),
        };
        client.outbox.clone().requeue_entry(request).await
    };
    let auditor = service.client(&home.caller("eye", Role::Auditor).await).await;
    let refused = requeue(&auditor, &entry.entry_id).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let due = requeue(&admin, &entry.entry_id)
        .await
        .unwrap()
        .into_inner()
        .entry
        .unwrap();
    assert!(due.next_attempt_at.is_some(), "{due:?}");
    admin
        .wait_until(&challenge.challenge_id, pb::DeliveryState::Sent)
        .await;
    let again = requeue(&admin, &entry.entry_id).await.unwrap_err();
    assert_eq!(again.code(), Code::FailedPrecondition);
    let mails = in_time(server.wait_for_mails(1)).await;
    let text = &mails[0].data;
    assert!(text.contains(&entry.message_id), "the same Message-ID: {text}");
}

async fn follow(client: &Client, request: pb::WatchEntriesRequest) -> Streaming<pb::WatchEntriesResponse> {
    let news = client.outbox.clone().watch_entries(request).await;
    news.unwrap().into_inner()
}

async fn told(news: &mut Streaming<pb::WatchEntriesResponse>) -> News {
    let news = in_time(news.message()).await.unwrap().expect("more news");
    news.news.unwrap()
}

async fn told_entry(news: &mut Streaming<pb::WatchEntriesResponse>) -> pb::OutboxEntry {
    match told(news).await {
        News::Entry(entry) => entry,
        other => panic!("no entry: {other:?}"),
    }
}

#[tokio::test]
async fn the_outbox_is_followed_from_what_stands_to_the_end_of_the_service() {
    let server = SmtpServer::plain().await;
    let (home, service, admin) = house(&server).await;
    send(&admin, "ann", pb::DeliveryState::Sent).await;
    let eye = service.client(&home.caller("eye", Role::Auditor).await).await;
    let recent = |recent, states: &[pb::DeliveryState]| pb::WatchEntriesRequest {
        entries: Some(pb::ListEntriesRequest {
            states: states.iter().map(|state| i32::from(*state)).collect(),
            ..pb::ListEntriesRequest::default()
        }),
        recent,
    };
    let mut all = follow(&eye, recent(5, &[])).await;
    let to_ann = told_entry(&mut all).await;
    assert_eq!(to_ann.state(), pb::DeliveryState::Sent);
    assert!(matches!(told(&mut all).await, News::Live(_)));
    let mut failures = follow(&eye, recent(0, &[pb::DeliveryState::Failed])).await;
    assert!(matches!(told(&mut failures).await, News::Live(_)));
    // A mail that is under way for a while is told as it is accepted and again as it ends.
    server.times(1, At::Rcpt, Act::Delay(Duration::from_secs(1)));
    server.times(1, At::Data, Act::Reply("554 5.7.1 not for us"));
    let challenge = send(&admin, "bob", pb::DeliveryState::Failed).await;
    let queued = told_entry(&mut all).await;
    assert_eq!(queued.state(), pb::DeliveryState::Queued);
    assert_eq!(queued.masked_recipient, challenge.masked_recipient);
    let failed = told_entry(&mut all).await;
    assert_eq!(
        (failed.entry_id.as_str(), failed.state(), failed.attempts),
        (queued.entry_id.as_str(), pb::DeliveryState::Failed, 1)
    );
    // Who asked for failures is told of nothing else.
    assert_eq!(told_entry(&mut failures).await, failed);
    let wrong = eye
        .outbox
        .clone()
        .watch_entries(recent(501, &[]))
        .await
        .unwrap_err();
    let faults = wrong.get_details_bad_request().unwrap().field_violations;
    assert_eq!(
        (wrong.code(), faults[0].field.as_str()),
        (Code::InvalidArgument, "recent")
    );
    service.begin_end();
    for mut news in [all, failures] {
        let ended = in_time(news.message()).await.unwrap_err();
        let reason = ended.get_details_error_info().unwrap().reason;
        assert_eq!(
            (ended.code(), reason.as_str()),
            (Code::Unavailable, "SHUTTING_DOWN")
        );
    }
}

#[tokio::test]
async fn the_command_follows_until_it_is_interrupted() {
    let server = SmtpServer::plain().await;
    let (home, service, admin) = house(&server).await;
    send(&admin, "ann", pb::DeliveryState::Sent).await;
    let key = home.caller("eye", Role::Auditor).await;
    for json in [true, false] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mailfactor"));
        command
            .args(["outbox", "watch", "--recent", "1", "--server"])
            .arg(format!("http://{}", service.grpc))
            .env("MAILFACTOR_API_KEY", &key)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        if json {
            command.arg("--json");
        }
        let followed = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn().unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            // Interrupted once it has told what stood before it came.
            let (first, second) = (lines.next().unwrap().unwrap(), lines.next().unwrap().unwrap());
            kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
            (first, second, child.wait().unwrap())
        });
        let (first, second, status) = in_time(followed).await.unwrap();
        assert_eq!(status.code(), Some(0));
        if json {
            let (entry, live): (Value, Value) = (
                serde_json::from_str(&first).unwrap(),
                serde_json::from_str(&second).unwrap(),
            );
            assert_eq!(entry["entry"]["state"], "DELIVERY_STATE_SENT");
            assert!(live["live"]["since"].is_string());
        } else {
            assert!(first.starts_with("CHANGED"), "{first}");
            assert!(
                second.contains("  sent ") && second.contains("a*****@e*****.com"),
                "{second}"
            );
        }
    }
}

//! Inboxes: what comes back from real mail servers, read over IMAP and POP3 from a real Dovecot, and servers that
//! misbehave.

use std::time::Duration;

use mailfactor::{app::Machine, domain::caller::Role, pb::v1 as pb};
use tonic::Code;

use crate::harness::{
    client::Client,
    command::mailfactor,
    in_time,
    mailbox::{Mailbox, PASSWORD, USERNAME},
    postfix::{self, Postfix},
    scene::{Scene, header, refused, start, waiting},
    service::{Home, find_in_files, metrics_page},
};

use pb::{ConnectionSecurity as Security, DeliveryState, InboxProtocol as Protocol, ReportKind, Stage};

/// The four ways in.
const WAYS: [(Protocol, Security); 4] = [
    (Protocol::Imap, Security::ImplicitTls),
    (Protocol::Imap, Security::Starttls),
    (Protocol::Pop3, Security::ImplicitTls),
    (Protocol::Pop3, Security::Starttls),
];

pub(crate) fn password(text: &str) -> Option<pb::AccountSecret> {
    Some(pb::AccountSecret {
        source: Some(pb::account_secret::Source::Password(text.to_owned())),
    })
}

fn inbox(mailbox: &Mailbox, (protocol, security): (Protocol, Security)) -> pb::Inbox {
    let address = match (protocol, security) {
        (Protocol::Imap, Security::ImplicitTls) => mailbox.imaps,
        (Protocol::Imap, _) => mailbox.imap,
        (_, Security::ImplicitTls) => mailbox.pop3s,
        _ => mailbox.pop3,
    };
    pb::Inbox {
        name: format!("inbox {}", address.port()),
        enabled: true,
        protocol: protocol.into(),
        host: "localhost".to_owned(),
        port: address.port().into(),
        security: security.into(),
        username: USERNAME.to_owned(),
        secret: password(PASSWORD),
        ca_certificates: mailbox.authority.pem().to_owned(),
        ..pb::Inbox::default()
    }
}

async fn create(admin: &Client, inbox: pb::Inbox) -> Result<pb::Inbox, tonic::Status> {
    let request = pb::CreateInboxRequest { inbox: Some(inbox) };
    let answer = admin.inbox.clone().create_inbox(request).await?;
    Ok(answer.into_inner().inbox.unwrap())
}

pub(crate) async fn test(admin: &Client, inbox: pb::Inbox) -> pb::TestInboxResponse {
    let request = pb::TestInboxRequest {
        target: Some(pb::test_inbox_request::Target::Settings(inbox)),
    };
    admin
        .inbox
        .clone()
        .test_inbox(request)
        .await
        .unwrap()
        .into_inner()
}

async fn check(admin: &Client, inbox: &pb::Inbox) -> pb::CheckInboxResponse {
    let request = pb::CheckInboxRequest {
        inbox: inbox.name.clone(),
    };
    admin
        .inbox
        .clone()
        .check_inbox(request)
        .await
        .unwrap()
        .into_inner()
}

async fn get(admin: &Client, inbox: &pb::Inbox) -> pb::Inbox {
    let request = pb::GetInboxRequest {
        inbox: inbox.inbox_id.clone(),
    };
    let answer = admin.inbox.clone().get_inbox(request).await.unwrap();
    answer.into_inner().inbox.unwrap()
}

async fn entries(admin: &Client) -> Vec<pb::OutboxEntry> {
    let request = pb::ListEntriesRequest::default();
    admin
        .outbox
        .clone()
        .list_entries(request)
        .await
        .unwrap()
        .into_inner()
        .entries
}

async fn entry(admin: &Client, id: &str) -> pb::GetEntryResponse {
    let request = pb::GetEntryRequest {
        entry_id: id.to_owned(),
    };
    admin
        .outbox
        .clone()
        .get_entry(request)
        .await
        .unwrap()
        .into_inner()
}

/// A notification that the mail of this Message-ID failed.
fn failed(message_id: &str) -> String {
    format!(
        "Return-Path: <>\r\nFrom: MAILER-DAEMON@mx.example.com\r\nSubject: Undelivered\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\r\n\r\n--b\r\n\r\nSorry.\r\n\
         --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.com\r\n\r\n\
         Final-Recipient: rfc822; ann@example.com\r\nAction: failed\r\nStatus: 5.2.2\r\n\
         Diagnostic-Code: smtp; 552 5.2.2 <ann@example.com> is full\r\n\r\n--b\r\nContent-Type: text/rfc822-headers\r\n\r\n\
         Message-ID: {message_id}\r\n.leading dot\r\n--b--\r\n"
    )
}

fn read(message_id: &str) -> String {
    format!(
        "From: ann@example.com\r\nContent-Type: multipart/report; report-type=disposition-notification; boundary=b\r\n\r\n\
         --b\r\n\r\nRead.\r\n--b\r\nContent-Type: message/disposition-notification\r\n\r\n\
         Final-Recipient: rfc822;ann@example.com\r\nOriginal-Message-ID: {message_id}\r\n\
         Disposition: manual-action/MDN-sent-manually; displayed\r\n\r\n--b--\r\n"
    )
}

/// A mail to ann that was taken: its challenge and its Message-ID.
async fn sent(scene: &Scene) -> (pb::Challenge, String) {
    let before = scene.mails(0).await.len();
    let challenge = start(&scene.idp, waiting("ann")).await.unwrap();
    let mails = scene.mails(before + 1).await;
    (challenge, header(mails.last().unwrap(), "Message-ID").unwrap())
}

#[tokio::test]
async fn a_mail_that_postfix_sends_back_is_bounced() {
    let Some(postfix) = Postfix::start().await else {
        return;
    };
    let Some(mailbox) = Mailbox::over(Some(postfix.inbox())).await else {
        return;
    };
    let home = Home::new().with("delivery.extra_ca", postfix.ca.display().to_string());
    home.users(&[("ann", &format!("ann@{}", postfix::REFUSED))]);
    let (admin, idp) = (
        home.caller("ops", Role::Admin).await,
        home.caller("idp", Role::Authenticator).await,
    );
    let service = home.serve(Machine::real()).await;
    let (admin, idp) = (service.client(&admin).await, service.client(&idp).await);
    let account = postfix.account("login@example.org");
    admin.create_account(account).await;
    let challenge = start(&idp, waiting("ann")).await.unwrap();
    assert_eq!(challenge.delivery(), DeliveryState::Sent);
    // The genuine notification, in the sender's own mailbox. It is read without anybody asking.
    let mails = postfix.mails(1).await;
    let made = pb::Inbox {
        automatic_check: true,
        ..inbox(&mailbox, WAYS[0])
    };
    let made = create(&admin, made).await.unwrap();
    idp.wait_until(&challenge.challenge_id, DeliveryState::Bounced)
        .await;
    let listed = entries(&admin).await;
    assert_eq!((listed.len(), listed[0].state()), (1, DeliveryState::Bounced));
    assert!(
        listed[0].last_error.starts_with("bounced: 5.1.1 "),
        "{}",
        listed[0].last_error
    );
    let reports = entry(&admin, &listed[0].entry_id).await.reports;
    assert_eq!((reports.len(), reports[0].kind()), (1, ReportKind::Bounced));
    assert_eq!(reports[0].status, "5.1.1");
    // What is told is noted before the check ends.
    let status = in_time(async {
        loop {
            let status = get(&admin, &made).await.status.unwrap();
            if status.messages_read > 0 {
                return status;
            }
        }
    })
    .await;
    assert!(status.next_check_at.is_some() && status.last_error.is_empty());
    assert_eq!((status.messages_read, status.reports_matched), (1, 1));
    // The headers came back, and the envelope's name, which is the Message-ID; the code did not.
    let message_id = &listed[0].message_id;
    let bare = message_id.trim_matches(['<', '>']);
    let (status, returned) = mails[0].split_once("Content-Type: text/rfc822-headers").unwrap();
    assert!(
        status.contains(&format!("Original-Envelope-Id: {bare}")),
        "{status}"
    );
    assert!(returned.contains(bare), "{returned}");
    let is_code = |line: &str| line.len() == 6 && line.bytes().all(|byte| byte.is_ascii_digit());
    assert!(!returned.lines().any(|line| is_code(line.trim())), "{returned}");
    // Nothing else changed: whoever has the code all the same may use it.
    let verdict = idp.verify(&challenge.challenge_id, "000000").await.unwrap();
    assert_eq!(verdict.result(), pb::VerifyResult::WrongCode);
    let page = metrics_page(service.metrics).await;
    for line in [
        "mailfactor_inbox_reports_total{kind=\"bounced\"} ",
        "mailfactor_inbox_checks_total{outcome=\"ok\"} ",
    ] {
        assert!(page.contains(line), "{page}");
    }
    service.stop().await;
}

#[tokio::test]
async fn every_way_in_is_tested_and_read_once() {
    let Some(mailbox) = Mailbox::start().await else {
        return;
    };
    let scene = Scene::set().await;
    for way in WAYS {
        let tested = test(&scene.admin, inbox(&mailbox, way)).await;
        let stages: Vec<Stage> = tested.stages.iter().map(pb::TestStage::stage).collect();
        let expected = [
            Stage::Resolve,
            Stage::Connect,
            Stage::Tls,
            Stage::Ehlo,
            Stage::Auth,
            Stage::Select,
        ];
        assert!(
            tested.succeeded && tested.stages.iter().all(|stage| stage.passed),
            "{tested:?}"
        );
        assert_eq!(stages, expected);
        assert_eq!(
            (tested.summary.as_str(), tested.tls_version.as_str()),
            ("Connected successfully", "TLSv1.3")
        );
        assert!(tested.peer_certificate.is_some() && !tested.stages[3].reply.is_empty());
        for keep_copy in [true, false] {
            scene.clock.advance(Duration::from_secs(3600));
            let (challenge, id) = sent(&scene).await;
            let there = mailbox.count();
            for message in ["Subject: hello\r\n\r\nhello\r\n", &read(&id), &failed(&id)] {
                mailbox.deliver(message);
            }
            let made = create(
                &scene.admin,
                pb::Inbox {
                    keep_copy: Some(keep_copy),
                    ..inbox(&mailbox, way)
                },
            );
            let made = made.await.unwrap();
            let first = check(&scene.admin, &made).await;
            assert!(first.succeeded, "{first:?}\n{}", mailbox.log());
            let kinds: Vec<ReportKind> = first
                .matched
                .iter()
                .map(|m| m.report.as_ref().unwrap().kind())
                .collect();
            assert_eq!(
                kinds[kinds.len() - 2..],
                [ReportKind::Read, ReportKind::Bounced],
                "{way:?}"
            );
            let text = &first.matched.last().unwrap().report.as_ref().unwrap().text;
            assert_eq!(text, "552 5.2.2 [...] is full");
            let again = check(&scene.admin, &made).await;
            assert_eq!((again.messages_read, again.matched.len()), (0, 0));
            let expected = if keep_copy { there + 3 } else { 0 };
            assert_eq!(mailbox.count(), expected, "{way:?} {keep_copy}");
            if !keep_copy {
                assert_eq!(first.messages_deleted, first.messages_read);
            }
            let state = scene.idp.get(&challenge.challenge_id).await.unwrap().delivery();
            assert_eq!(state, DeliveryState::Bounced);
            // What comes later is read, and only that.
            mailbox.deliver(read(&id));
            let later = check(&scene.admin, &made).await;
            assert_eq!((later.messages_read, later.matched.len()), (1, 1));
            delete(&scene.admin, &made).await;
        }
    }
    scene.end().await;
}

async fn delete(admin: &Client, inbox: &pb::Inbox) {
    let request = pb::DeleteInboxRequest {
        inbox: inbox.inbox_id.clone(),
        etag: String::new(),
    };
    admin.inbox.clone().delete_inbox(request).await.unwrap();
}

#[tokio::test]
async fn garbage_and_huge_messages_are_passed_over() {
    let Some(mailbox) = Mailbox::start().await else {
        return;
    };
    let scene = Scene::set().await;
    let (_, id) = sent(&scene).await;
    let foreign = failed("<0123456789abcdef0123456789abcdef@service.example.org>");
    let huge = failed(&id) + &"x".repeat(300 * 1024);
    let nested = "Content-Type: message/rfc822\r\n\r\n".repeat(8_000);
    let messages: [&[u8]; 6] = [
        b"\0\xff\x80 no mail at all",
        huge.as_bytes(),
        nested.as_bytes(),
        foreign.as_bytes(),
        b"",
        &failed(&id).into_bytes(),
    ];
    for message in messages {
        mailbox.deliver(message);
    }
    for way in [WAYS[0], WAYS[2]] {
        let made = pb::Inbox {
            keep_copy: Some(way.0 == Protocol::Imap),
            ..inbox(&mailbox, way)
        };
        let made = create(&scene.admin, made).await.unwrap();
        let found = check(&scene.admin, &made).await;
        assert!(found.succeeded, "{found:?}\n{}", mailbox.log());
        assert_eq!((found.messages_read, found.messages_skipped), (5, 1));
        assert_eq!(found.matched.len(), 1);
        let again = check(&scene.admin, &made).await;
        assert_eq!((again.messages_read, again.messages_skipped), (0, 0));
    }
    // What could not be read is not deleted.
    assert_eq!(mailbox.count(), 1);
    scene.end().await;
}

#[tokio::test]
async fn wrong_passwords_and_certificates_are_told_and_nothing_more() {
    let Some(mailbox) = Mailbox::start().await else {
        return;
    };
    let scene = Scene::set().await;
    for way in WAYS {
        let wrong = pb::Inbox {
            secret: password("wrong-password-77"),
            ..inbox(&mailbox, way)
        };
        let tested = test(&scene.admin, wrong.clone()).await;
        let last = tested.stages.last().unwrap();
        assert_eq!(
            (tested.succeeded, last.stage(), last.passed),
            (false, Stage::Auth, false)
        );
        assert!(
            !last.reply.is_empty() && !last.reply.contains("wrong-password"),
            "{last:?}"
        );
        let made = create(&scene.admin, wrong).await.unwrap();
        let found = check(&scene.admin, &made).await;
        assert!(
            !found.succeeded && found.error.starts_with("logging in failed: "),
            "{found:?}"
        );
        let status = get(&scene.admin, &made).await.status.unwrap();
        assert_eq!((status.failures, status.last_error), (1, found.error));
        delete(&scene.admin, &made).await;
        let stranger = pb::Inbox {
            ca_certificates: String::new(),
            ..inbox(&mailbox, way)
        };
        let tested = test(&scene.admin, stranger.clone()).await;
        let last = tested.stages.last().unwrap();
        assert_eq!(
            (tested.succeeded, last.stage()),
            (false, Stage::Tls),
            "{tested:?}"
        );
        let believing = pb::Inbox {
            ignore_certificate_errors: true,
            ..stranger
        };
        let status = create(&scene.admin, believing.clone()).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        let known = pb::Inbox {
            acknowledge_risks: true,
            ..believing
        };
        assert!(test(&scene.admin, known.clone()).await.succeeded);
        let made = create(&scene.admin, known).await.unwrap();
        assert_eq!(made.warnings.len(), 1);
        delete(&scene.admin, &made).await;
    }
    let other_name = pb::Inbox {
        server_name: "mail.example.org".to_owned(),
        ..inbox(&mailbox, WAYS[0])
    };
    assert!(!test(&scene.admin, other_name).await.succeeded);
    // Neither passwords nor addresses are in what the service keeps.
    let found = find_in_files(
        scene.home.path("").as_path(),
        &[PASSWORD, "wrong-password", "ann@example.com>"],
    );
    assert!(
        found.is_none() || found.as_ref().unwrap().0.ends_with("users.toml"),
        "{found:?}"
    );
    scene.end().await;
}

#[tokio::test]
async fn every_fault_of_an_inbox_is_named() {
    let scene = Scene::set().await;
    let bad = create(&scene.admin, pb::Inbox::default()).await.unwrap_err();
    let details = tonic_types::StatusExt::get_details_bad_request(&bad).unwrap();
    let fields: Vec<String> = details
        .field_violations
        .into_iter()
        .map(|fault| fault.field)
        .collect();
    let expected = ["name", "protocol", "host", "security", "username", "secret"];
    assert_eq!(fields, expected.map(|field| format!("inbox.{field}")));
    scene.end().await;
}

#[tokio::test]
async fn inboxes_are_kept_by_the_rules_of_accounts() {
    let scene = Scene::set().await;
    let auditor = scene.caller("audit", Role::Auditor).await;
    let good = pb::Inbox {
        name: "bounces".to_owned(),
        enabled: false,
        protocol: Protocol::Imap.into(),
        host: "imap.example.com".to_owned(),
        security: Security::ImplicitTls.into(),
        username: "bounces".to_owned(),
        secret: password("canary-secret-1"),
        ..pb::Inbox::default()
    };
    assert_eq!(
        refused(create(&auditor, good.clone()).await),
        (Code::PermissionDenied, "ROLE_MISSING".into())
    );
    let made = create(&scene.admin, good.clone()).await.unwrap();
    assert_eq!(
        (made.port, made.keep_copy, made.interval.unwrap().seconds),
        (993, Some(true), 60)
    );
    assert!(made.secret.as_ref().unwrap().source == Some(pb::account_secret::Source::Sealed(true)));
    assert_eq!(
        refused(create(&scene.admin, good).await),
        (Code::AlreadyExists, "INBOX_NAME_TAKEN".into())
    );
    let update = |inbox: pb::Inbox, paths: &[&str]| {
        let request = pb::UpdateInboxRequest {
            inbox: Some(inbox),
            update_mask: Some(prost_types::FieldMask {
                paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            }),
        };
        let mut client = scene.admin.inbox.clone();
        async move {
            client
                .update_inbox(request)
                .await
                .map(|answer| answer.into_inner().inbox.unwrap())
        }
    };
    let changed = pb::Inbox {
        port: 1993,
        name: "ignored".to_owned(),
        ..made.clone()
    };
    let second = update(changed.clone(), &["port"]).await.unwrap();
    assert_eq!(
        (second.port, second.name.as_str(), second.etag.as_str()),
        (1993, "bounces", "v2")
    );
    assert_eq!(
        refused(update(changed, &["port"]).await),
        (Code::Aborted, "ETAG_STALE".into())
    );
    // All fields but the secret and what was not said of copies.
    let whole = pb::Inbox {
        secret: None,
        keep_copy: None,
        automatic_check: true,
        ..second.clone()
    };
    let third = update(whole, &[]).await.unwrap();
    assert!(third.automatic_check && third.keep_copy() && third.secret.is_some());
    let moved = pb::Inbox {
        host: "imap.example.net".to_owned(),
        secret: None,
        ..third.clone()
    };
    assert_eq!(refused(update(moved, &["host"]).await).0, Code::InvalidArgument);
    assert_eq!(refused(update(third, &["status"]).await).0, Code::InvalidArgument);
    let listed = auditor
        .inbox
        .clone()
        .list_inboxes(pb::ListInboxesRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(listed.inboxes.len(), 1);
    let request = pb::CheckInboxRequest {
        inbox: "bounces".to_owned(),
    };
    let disabled = scene.admin.inbox.clone().check_inbox(request).await;
    assert_eq!(
        refused(disabled),
        (Code::FailedPrecondition, "INBOX_DISABLED".into())
    );
    delete(&scene.admin, &made).await;
    let request = pb::GetInboxRequest {
        inbox: "bounces".to_owned(),
    };
    let gone = scene.admin.inbox.clone().get_inbox(request).await;
    assert_eq!(refused(gone), (Code::NotFound, "INBOX_UNKNOWN".into()));
    let found = find_in_files(scene.home.path("").as_path(), &["canary-secret-1"]);
    assert_eq!(found, None);
    scene.end().await;
}

#[tokio::test]
async fn the_command_line_sets_inboxes_up_and_reads_them() {
    let Some(mailbox) = Mailbox::start().await else {
        return;
    };
    let scene = Scene::set().await;
    let key = scene.home.caller("cli", Role::Admin).await;
    let server = format!("http://{}", scene.service.grpc);
    let variables = [
        ("MAILFACTOR_SERVER", server.as_str()),
        ("MAILFACTOR_API_KEY", key.as_str()),
    ];
    let run = |line: String, input: &'static str| async move { mailfactor(&line, &variables, input).await };
    let authority = mailbox.authority.path().display();
    let line = format!(
        "inbox add bounces --protocol pop3 --host localhost --port {} --security tls --username {USERNAME} \
         --ca-file {authority} --password-file -",
        mailbox.pop3s.port()
    );
    let shown = run(line, PASSWORD).await.done();
    assert!(
        shown.contains("pop3") && shown.contains("on request") && !shown.contains(PASSWORD),
        "{shown}"
    );
    let tested = run("inbox test bounces".to_owned(), "").await.done();
    assert!(
        tested.contains("select") && tested.contains("Connected successfully"),
        "{tested}"
    );
    let (_, id) = sent(&scene).await;
    mailbox.deliver(failed(&id));
    let checked = run("inbox check bounces".to_owned(), "").await.done();
    assert!(
        checked.contains("1 read") && checked.contains("bounced"),
        "{checked}"
    );
    let again = run("inbox check bounces --json".to_owned(), "").await.json();
    assert_eq!(again["messages_read"], 0);
    let entry = entries(&scene.admin).await.remove(0).entry_id;
    let told = run(format!("outbox show {entry}"), "").await.done();
    assert!(told.contains("552 5.2.2 [...] is full"), "{told}");
    let told = run(format!("outbox show {entry} --json"), "").await.json();
    assert_eq!(told["reports"][0]["kind"], "REPORT_KIND_BOUNCED");
    let updated = run(
        "inbox update bounces --interval 300 --keep-copy false --json".to_owned(),
        "",
    )
    .await;
    let updated = updated.json();
    assert_eq!(
        (&updated["interval_seconds"], &updated["keep_copy"]),
        (&300.into(), &false.into())
    );
    let listed = run("inbox list".to_owned(), "").await.done();
    assert!(
        listed.contains("bounces") && listed.contains(USERNAME),
        "{listed}"
    );
    let shown = run("inbox show bounces --json".to_owned(), "").await.json();
    assert_eq!(shown["status"]["reports_matched"], 1);
    run("inbox update bounces --enabled false".to_owned(), "")
        .await
        .done();
    let refused = run("inbox check bounces".to_owned(), "").await.failed(1);
    assert!(
        refused.contains("INBOX_DISABLED") && refused.contains("next: "),
        "{refused}"
    );
    run("inbox remove bounces".to_owned(), "").await.done();
    let gone = run("inbox show bounces".to_owned(), "").await.failed(1);
    assert!(gone.contains("mailfactor inbox list"), "{gone}");
    scene.end().await;
}

//! Whatever is written into an account's texts: refused with the field's name, or encoded; parsed back, the mail has
//! exactly the headers it should have. And an account's secret comes out nowhere.

use std::collections::BTreeSet;

use mail_parser::{HeaderName, MessageParser};
use mailfactor::{app::Machine, domain::caller::Role, pb::v1 as pb};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::harness::{
    client::Client,
    command::mailfactor,
    letter,
    service::{Home, find_in_files, metrics_page},
    smtp::{Captured, Options, SmtpServer},
};

/// The headers of every mail, no more and no less; Reply-To and the receipt where the account names them.
const HEADERS: [&str; 12] = [
    "Auto-Submitted",
    "Content-Language",
    "Content-Type",
    "Date",
    "Disposition-Notification-To",
    "From",
    "MIME-Version",
    "Message-ID",
    "Reply-To",
    "Subject",
    "To",
    "X-Auto-Response-Suppress",
];

fn account(smtp: &SmtpServer) -> pb::Account {
    pb::Account {
        name: "main".into(),
        enabled: true,
        host: "127.0.0.1".into(),
        port: smtp.address.port().into(),
        security: pb::ConnectionSecurity::None.into(),
        sender: "login@example.org".into(),
        display_name: "Example".into(),
        reply_to: "help@example.org".into(),
        return_path: "bounces@example.org".into(),
        confirmation_address: "read@example.org".into(),
        read_receipt: true,
        footnote_enabled: true,
        footnote: "Example Ltd".into(),
        hello_name: "mail.example.org".into(),
        ..pb::Account::default()
    }
}

type Slot = fn(&mut pb::Account) -> &mut String;

/// Every text field of an account, the secret apart.
const FIELDS: [(&str, Slot); 13] = [
    ("name", |account| &mut account.name),
    ("host", |account| &mut account.host),
    ("username", |account| &mut account.username),
    ("sender", |account| &mut account.sender),
    ("display_name", |account| &mut account.display_name),
    ("reply_to", |account| &mut account.reply_to),
    ("preset", |account| &mut account.preset),
    ("return_path", |account| &mut account.return_path),
    ("confirmation_address", |account| {
        &mut account.confirmation_address
    }),
    ("footnote", |account| &mut account.footnote),
    ("hello_name", |account| &mut account.hello_name),
    ("server_name", |account| &mut account.server_name),
    ("ca_certificates", |account| &mut account.ca_certificates),
];

async fn create(client: &Client, account: pb::Account) -> Result<pb::Account, Status> {
    let request = pb::CreateAccountRequest {
        account: Some(account),
    };
    let answer = client.policy.clone().create_account(request).await?;
    Ok(answer.into_inner().account.unwrap())
}

fn faulty(status: &Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = status.get_details_bad_request().unwrap();
    let fields = details.field_violations.into_iter().map(|fault| fault.field);
    fields.collect()
}

#[tokio::test]
async fn what_would_break_a_header_is_refused_by_the_name_of_its_field() {
    let home = Home::new();
    let service = home.serve(Machine::real()).await;
    let client = service.client(&home.caller("ops", Role::Admin).await).await;
    let smtp = SmtpServer::plain().await;
    let bad = [
        "a\r\nBcc: evil@example.com",
        "a\nBcc: evil@example.com",
        "a\rBcc: evil@example.com",
        "a\0b",
        "a\u{85}b",
        "a\u{2028}b",
        "a\u{202e}moc.live",
        "a\u{2066}b",
        "a\u{200f}b",
        "a\u{7f}b",
        &"x".repeat(10_000),
    ];
    for (field, slot) in FIELDS {
        for text in bad {
            // A footnote has lines of its own.
            if field == "footnote" && (text.starts_with("a\nB") || text.starts_with("a\r\n")) {
                continue;
            }
            let mut account = account(&smtp);
            account.authentication = true;
            account.username = "user".into();
            account.secret = Some(pb::AccountSecret {
                source: Some(pb::account_secret::Source::Password("hunter2".into())),
            });
            *slot(&mut account) = text.into();
            let status = create(&client, account.clone()).await.unwrap_err();
            assert_eq!(faulty(&status), [format!("account.{field}")], "{text:?}");
            // Nothing of what was sent comes back.
            assert!(!format!("{status:?}").contains("evil@"), "{field}");
            // An update is no way round.
            account.account_id = "AAAAAAAAAAAAAAAAAAAAAA".into();
            let request = pb::TestConnectionRequest {
                target: Some(pb::test_connection_request::Target::Settings(account)),
                recipient: String::new(),
            };
            let status = client.policy.clone().test_connection(request).await.unwrap_err();
            assert!(faulty(&status).contains(&format!("settings.{field}")), "{text:?}");
        }
    }
    let list = client
        .policy
        .clone()
        .list_accounts(pb::ListAccountsRequest {})
        .await;
    assert!(list.unwrap().into_inner().accounts.is_empty());
    assert_eq!(smtp.connections(), 0);
}

#[tokio::test]
async fn a_display_name_that_reads_as_another_is_refused() {
    let home = Home::new();
    let service = home.serve(Machine::real()).await;
    let client = service.client(&home.caller("ops", Role::Admin).await).await;
    let smtp = SmtpServer::plain().await;
    let bad = pb::Account {
        display_name: "=?utf-8?q?Bcc:_evil=40example.com?=".into(),
        ..account(&smtp)
    };
    let status = create(&client, bad).await.unwrap_err();
    assert_eq!(faulty(&status), ["account.display_name"]);
}

#[tokio::test]
async fn what_only_looks_like_a_header_is_encoded() {
    let home = Home::new();
    home.users(&[("ann", "ann@example.com")]);
    let service = home.serve(Machine::real()).await;
    let client = service.client(&home.caller("ops", Role::Admin).await).await;
    let smtp = SmtpServer::plain().await;
    let saved = create(&client, account(&smtp)).await.unwrap();
    let long = "ü".repeat(128);
    let names = [
        "Bcc: evil@example.com",
        "\"evil\" <evil@example.com>,",
        "evil@example.com",
        "=?utf-8?q?Bcc:_evil=40example.com?=",
        "=?utf-8?b?DQpCY2M6IGV2aWxAZXhhbXBsZS5jb20=?=",
        "a; b, c: <d> (e) \\ \"f\"",
        "{{ otp }} {% raw %}",
        &long,
    ];
    for (sent, name) in names.into_iter().enumerate() {
        // What looks encoded is refused there, and encoded once more in a subject.
        let shown = if name.contains("=?") { "Example" } else { name };
        let request = pb::UpdateAccountRequest {
            account: Some(pb::Account {
                display_name: shown.into(),
                footnote: format!("Bcc: evil@example.com\n\n.\r\n{name}\n<script>alert(1)</script>"),
                ..saved.clone()
            })
            .map(|account| pb::Account {
                etag: String::new(),
                ..account
            }),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["display_name".into(), "footnote".into()],
            }),
        };
        client.policy.clone().update_account(request).await.unwrap();
        let message = pb::SendTestMessageRequest {
            account: "main".into(),
            recipient: "ann@example.com".into(),
            subject: name.into(),
            text: format!("Bcc: evil@example.com\n.\n{name}"),
            wait_for_mail_server: true,
        };
        client.policy.clone().send_test_message(message).await.unwrap();
        let mails = smtp.wait_for_mails(sent + 1).await;
        whole(&mails[sent], name, shown);
    }
}

/// Exactly the expected headers, one of each, and what was written in its place.
fn whole(mail: &Captured, name: &str, shown: &str) {
    let parsed = MessageParser::default().parse(mail.data.as_bytes()).unwrap();
    let mut seen = BTreeSet::new();
    for header in parsed.headers() {
        let header = header.name().to_owned();
        let known = HEADERS.iter().any(|known| known.eq_ignore_ascii_case(&header));
        assert!(known, "{header} in\n{}", mail.data);
        assert!(
            seen.insert(header.to_ascii_lowercase()),
            "{header} twice in\n{}",
            mail.data
        );
    }
    assert!(mail.sender.contains("<bounces@example.org>"), "{}", mail.sender);
    assert_eq!(letter::recipient(mail), "ann@example.com");
    let from = parsed.from().unwrap();
    let from = from.as_list().unwrap();
    assert_eq!(from.len(), 1, "{}", mail.data);
    assert_eq!(from[0].address(), Some("login@example.org"));
    assert_eq!(from[0].name(), Some(shown), "{}", mail.data);
    assert_eq!(parsed.subject(), Some(name), "{}", mail.data);
    let address = |header: HeaderName<'_>| {
        let list = parsed.header(header).unwrap().as_address().unwrap();
        list.first().unwrap().address().unwrap().to_owned()
    };
    assert_eq!(address(HeaderName::ReplyTo), "help@example.org");
    assert_eq!(address(HeaderName::To), "ann@example.com");
    let html = parsed.body_html(0).unwrap();
    assert!(!html.contains("<script>"), "{html}");
    let text = parsed.body_text(0).unwrap();
    assert!(
        text.contains("Bcc: evil@example.com") && text.contains(name),
        "{text}"
    );
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one way out after the other")]
async fn a_secret_goes_in_and_comes_out_nowhere() {
    const SECRET: &str = "canary-zq81-of-the-account";
    const WRONG: &str = "canary-zq82-that-is-wrong";
    let home = Home::new();
    home.users(&[("ann", "ann@example.com")]);
    let smtp = SmtpServer::start(Options {
        login: Some(("PLAIN LOGIN", "submitter", SECRET)),
        ..Options::default()
    })
    .await;
    let process = home.spawn_with(&[("MAILFACTOR_LOG", "trace")]).await;
    let key = home.caller("ops", Role::Admin).await;
    let client = process.client(&key).await;
    let with = |secret: &str| pb::Account {
        authentication: true,
        username: "submitter".into(),
        secret: Some(pb::AccountSecret {
            source: Some(pb::account_secret::Source::Password(secret.into())),
        }),
        ..account(&smtp)
    };
    let mut answers = Vec::new();
    let saved = create(&client, with(SECRET)).await.unwrap();
    let source = saved.secret.clone().unwrap().source;
    assert_eq!(source, Some(pb::account_secret::Source::Sealed(true)));
    answers.push(format!("{saved:?}"));
    // Refusals: the name is taken, a fault beside it, a stale etag, a secret that is no good.
    answers.push(format!("{:?}", create(&client, with(SECRET)).await.unwrap_err()));
    let faults = [
        pb::Account {
            port: 70_000,
            ..with(SECRET)
        },
        with(&format!("{SECRET}\n")),
        with(&SECRET.repeat(100)),
    ];
    for faulty in faults {
        answers.push(format!("{:?}", create(&client, faulty).await.unwrap_err()));
    }
    for (etag, secret) in [("v0", SECRET), ("", WRONG)] {
        let request = pb::UpdateAccountRequest {
            account: Some(pb::Account {
                account_id: saved.account_id.clone(),
                etag: etag.into(),
                ..with(secret)
            }),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["secret".into()],
            }),
        };
        answers.push(format!(
            "{:?}",
            client.policy.clone().update_account(request).await
        ));
    }
    // The server refuses the login and repeats what it heard; so may a test of settings.
    for settings in [with(SECRET), with(WRONG)] {
        let request = pb::TestConnectionRequest {
            target: Some(pb::test_connection_request::Target::Settings(settings)),
            recipient: String::new(),
        };
        answers.push(format!(
            "{:?}",
            client.policy.clone().test_connection(request).await
        ));
    }
    let message = pb::SendTestMessageRequest {
        recipient: "ann@example.com".into(),
        wait_for_mail_server: true,
        ..pb::SendTestMessageRequest::default()
    };
    answers.push(format!(
        "{:?}",
        client.policy.clone().send_test_message(message).await
    ));
    let list = client
        .policy
        .clone()
        .list_accounts(pb::ListAccountsRequest {})
        .await;
    answers.push(format!("{list:?}"));
    let mut outbox = client.outbox.clone();
    let entries = outbox.list_entries(pb::ListEntriesRequest::default());
    for entry in entries.await.unwrap().into_inner().entries {
        let request = pb::GetEntryRequest {
            entry_id: entry.entry_id.clone(),
        };
        answers.push(format!("{:?}", client.outbox.clone().get_entry(request).await));
    }
    let server = format!("http://{}", process.grpc);
    let variables = [
        ("MAILFACTOR_SERVER", server.as_str()),
        ("MAILFACTOR_API_KEY", &key),
    ];
    for words in [
        "account list --json",
        "account show main --json",
        "account show main",
        "account test main --json",
        "outbox export",
        "outbox list --json",
    ] {
        let ran = mailfactor(words, &variables, "").await;
        answers.push(format!("{ran:?}"));
    }
    answers.push(metrics_page(process.metrics).await);
    answers.push(process.log());
    for (number, answer) in answers.iter().enumerate() {
        for canary in [SECRET, WRONG] {
            assert!(!answer.contains(canary), "{number}: {answer}");
        }
    }
    process.stop().await;
    // Nor in the database, its journal or any other file of the service.
    let found = find_in_files(home.path("mailfactor.db").parent().unwrap(), &[SECRET, WRONG]);
    assert_eq!(found, None);
}

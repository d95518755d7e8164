//! What an account says, seen where it counts: on the wire, in the mail, in the answer of a test.

use std::time::Duration;

use mail_parser::MessageParser;
use mailfactor::{
    app::Machine,
    domain::{account::Security, caller::Role},
    pb::v1 as pb,
};
use tonic::Code;

use crate::harness::{
    certs::{Authority, Kind},
    client::Client,
    letter,
    scene::{refused, start},
    service::{Home, Service},
    smtp::{Act, At, Options, SmtpServer},
};

async fn office(home: &Home) -> (Service, Client) {
    let service = home.serve(Machine::real()).await;
    let client = service.client(&home.caller("ops", Role::Admin).await).await;
    (service, client)
}

fn account(server: &SmtpServer, security: pb::ConnectionSecurity) -> pb::Account {
    pb::Account {
        name: format!("to-{}", server.address.port()),
        enabled: true,
        host: "127.0.0.1".into(),
        port: server.address.port().into(),
        security: security.into(),
        sender: "login@example.org".into(),
        ..pb::Account::default()
    }
}

async fn test(client: &Client, settings: pb::Account) -> pb::TestConnectionResponse {
    let request = pb::TestConnectionRequest {
        target: Some(pb::test_connection_request::Target::Settings(settings)),
        recipient: String::new(),
    };
    let answer = client.policy.clone().test_connection(request).await;
    answer.unwrap().into_inner()
}

#[tokio::test]
async fn sender_fields_are_on_the_wire_and_in_the_mail() {
    let home = Home::new();
    home.users(&[("ann", "ann@example.com")]);
    let (_service, client) = office(&home).await;
    let smtp = SmtpServer::plain().await;
    let saved = client
        .create_account(pb::Account {
            display_name: "Example Login".into(),
            reply_to: "help@example.org".into(),
            return_path: "bounces@example.net".into(),
            read_receipt: true,
            confirmation_address: "read@example.org".into(),
            force_settings: true,
            footnote_enabled: true,
            footnote: "Example <Ltd>\r\nMain Street 1".into(),
            hello_name: "mail.example.net".into(),
            order: 7,
            ..account(&smtp, pb::ConnectionSecurity::None)
        })
        .await;
    assert_eq!((saved.preset.as_str(), saved.order), ("other", 7));
    assert!(saved.force_settings && saved.warnings.is_empty());
    client.start("ann").await.unwrap();
    let mails = smtp.wait_for_mails(1).await;
    assert!(
        mails[0].sender.contains("<bounces@example.net>"),
        "{}",
        mails[0].sender
    );
    assert_eq!(smtp.hellos(), ["mail.example.net"]);
    let data = &mails[0].data;
    let header = |name: &str| {
        let found: Vec<&str> = data
            .split("\r\n")
            .take_while(|line| !line.is_empty())
            .filter_map(|line| line.strip_prefix(name))
            .collect();
        assert_eq!(found.len(), 1, "{name} in\n{data}");
        found[0].trim().to_owned()
    };
    assert_eq!(header("Disposition-Notification-To:"), "read@example.org");
    assert_eq!(header("Reply-To:"), "help@example.org");
    assert!(header("From:").contains("login@example.org"));
    let parsed = MessageParser::default().parse(data.as_bytes()).unwrap();
    let text = parsed.body_text(0).unwrap().replace("\r\n", "\n");
    assert!(
        text.trim_end().ends_with("-- \nExample <Ltd>\nMain Street 1"),
        "{text}"
    );
    let html = parsed.body_html(0).unwrap();
    assert!(html.contains("Example &lt;Ltd&gt;<br>"), "{html}");
    letter::code(data);
}

#[tokio::test]
async fn a_footnote_and_receipts_that_are_off_leave_nothing() {
    let home = Home::new();
    home.users(&[("ann", "ann@example.com")]);
    let (_service, client) = office(&home).await;
    let smtp = SmtpServer::plain().await;
    client
        .create_account(pb::Account {
            footnote: "Example Ltd".into(),
            confirmation_address: "read@example.org".into(),
            ..account(&smtp, pb::ConnectionSecurity::None)
        })
        .await;
    client.start("ann").await.unwrap();
    let mails = smtp.wait_for_mails(1).await;
    assert!(!mails[0].data.contains("Disposition-Notification-To"));
    assert!(!mails[0].data.contains("Example Ltd"));
    assert!(mails[0].sender.contains("<login@example.org>"));
    assert_eq!(smtp.hellos(), ["service.example.org"]);
}

#[tokio::test]
async fn certificates_are_believed_as_the_account_says() {
    let home = Home::new();
    let (_service, client) = office(&home).await;
    let authority = Authority::new();
    let smtp = SmtpServer::start(Options {
        security: Security::ImplicitTls,
        tls: Some(authority.server(Kind::WrongName)),
        ..Options::default()
    })
    .await;
    let plain = account(&smtp, pb::ConnectionSecurity::ImplicitTls);
    let told = pb::Account {
        ca_certificates: authority.pem().to_owned(),
        server_name: "mail.example.org".into(),
        ..plain.clone()
    };
    let report = test(&client, told.clone()).await;
    assert!(report.succeeded, "{report:?}");
    assert!(report.tls_cipher.starts_with("TLS"), "{report:?}");
    let peer = report.peer_certificate.unwrap();
    assert_eq!(peer.fingerprint.len(), 32 * 3 - 1, "{peer:?}");
    assert!(peer.not_after.unwrap().seconds > peer.not_before.unwrap().seconds);
    for wrong in [
        plain.clone(),
        pb::Account {
            server_name: String::new(),
            ..told.clone()
        },
        pb::Account {
            ca_certificates: Authority::new().pem().to_owned(),
            ..told
        },
    ] {
        let report = test(&client, wrong).await;
        assert!(!report.succeeded);
        assert_eq!(report.stages.last().unwrap().stage(), pb::Stage::Tls);
    }
    let blind = pb::Account {
        ignore_certificate_errors: true,
        ..plain
    };
    let request = pb::CreateAccountRequest {
        account: Some(blind.clone()),
    };
    let refused = client.policy.clone().create_account(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let saved = client
        .create_account(pb::Account {
            acknowledge_risks: true,
            ..blind
        })
        .await;
    assert_eq!(saved.warnings.len(), 1, "{:?}", saved.warnings);
    let request = pb::TestConnectionRequest {
        target: Some(pb::test_connection_request::Target::Account(saved.name)),
        recipient: String::new(),
    };
    let report = client.policy.clone().test_connection(request).await.unwrap();
    assert!(report.into_inner().succeeded);
}

#[tokio::test]
async fn an_account_may_be_less_patient_than_the_service() {
    let home = Home::new();
    let (_service, client) = office(&home).await;
    let smtp = SmtpServer::plain().await;
    smtp.on(At::Greeting, Act::Silence);
    let report = test(
        &client,
        pb::Account {
            timeout: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
            ..account(&smtp, pb::ConnectionSecurity::None)
        },
    )
    .await;
    let last = report.stages.last().unwrap();
    assert_eq!(last.stage(), pb::Stage::Ehlo);
    let took = Duration::try_from(last.duration.unwrap()).unwrap();
    assert!(
        took < Duration::from_secs(5),
        "the service itself waits for 5 s: {took:?}"
    );
}

#[tokio::test]
async fn presets_say_the_server_and_refuse_another() {
    let home = Home::new();
    let (_service, client) = office(&home).await;
    let answer = client
        .policy
        .clone()
        .list_presets(pb::ListPresetsRequest {})
        .await;
    let presets = answer.unwrap().into_inner().presets;
    assert_eq!(presets.len(), 15);
    assert_eq!(presets.last().unwrap().name, "other");
    let gmail = pb::Account {
        name: "gmail".into(),
        preset: "gmail".into(),
        authentication: true,
        username: "ann@gmail.com".into(),
        secret: Some(pb::AccountSecret {
            source: Some(pb::account_secret::Source::Password("app password".into())),
        }),
        sender: "ann@gmail.com".into(),
        ..pb::Account::default()
    };
    let saved = client.create_account(gmail.clone()).await;
    assert_eq!((saved.host.as_str(), saved.port), ("smtp.gmail.com", 465));
    let request = pb::CreateAccountRequest {
        account: Some(pb::Account {
            name: "mine".into(),
            host: "smtp.example.org".into(),
            ..gmail
        }),
    };
    let refused = client.policy.clone().create_account(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn an_endpoint_does_not_say_where_answers_go() {
    let home = Home::new();
    home.users(&[("ann", "ann@example.com")]);
    let (service, client) = office(&home).await;
    let smtp = SmtpServer::plain().await;
    client
        .create_account(account(&smtp, pb::ConnectionSecurity::None))
        .await;
    let laptop = service.client(&home.caller("laptop", Role::Endpoint).await).await;
    for user in ["ann", "nobody"] {
        let request = pb::StartChallengeRequest {
            user: user.into(),
            reply_to: "eve@example.net".into(),
            ..pb::StartChallengeRequest::default()
        };
        let refusal = start(&laptop, request).await;
        assert_eq!(
            refused(refusal),
            (Code::PermissionDenied, "OVERRIDE_NOT_ALLOWED".to_owned())
        );
    }
    let request = pb::StartChallengeRequest {
        user: "ann".into(),
        return_path: "a\r\nRCPT TO:<eve@example.net>".into(),
        ..pb::StartChallengeRequest::default()
    };
    let status = start(&client, request).await.unwrap_err();
    let details = tonic_types::StatusExt::get_details_bad_request(&status).unwrap();
    assert_eq!(details.field_violations[0].field, "return_path");
}

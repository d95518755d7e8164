//! OAuth 2.0 against a real authorization server and a real mail server that asks it about each token.

use std::{path::Path, sync::Arc, time::Duration};

use mailfactor::{
    app::Machine,
    domain::{
        account::{Account, AccountSettings, Link, Login, Secret, Security, Sender, Server, Volume},
        address::{EmailAddress, LocalPart},
        caller::Role,
        clock::{Clock, Timestamp},
        id::AccountId,
        oauth::{GrantKind, OauthDraft},
        preset::Preset,
    },
    mail::{MailSettings, Transports},
    pb::v1::{self as pb, oauth_secret::Source},
    secret_files::SecretFiles,
    store::sql::{SqlSettings, SqlStore},
    system::SystemEntropy,
};

use crate::harness::{
    bearers::Bearers,
    certs::Authority,
    client::Client,
    dovecot::Dovecot,
    keyring,
    oauth::{BASIC_SECRET, MAILBOX, OauthServer, POST_SECRET, REFRESH_TOKEN},
    service::{Home, Service, find_in_files},
    smtp::{Options, SmtpServer},
};

/// A secret, given itself.
fn value(text: impl Into<String>) -> Option<pb::OauthSecret> {
    let source = Some(Source::Value(text.into()));
    Some(pb::OauthSecret { source })
}

/// Client credentials of a client that shows a secret.
fn secret_client(endpoint: String, client: &str, secret: &str) -> pb::Oauth {
    pb::Oauth {
        token_endpoint: endpoint,
        client_id: client.to_owned(),
        client_secret: value(secret),
        ..pb::Oauth::default()
    }
}

/// An account at this mail server that logs in so.
fn account(name: &str, smtp: std::net::SocketAddr, oauth: pb::Oauth) -> pb::Account {
    pb::Account {
        name: name.to_owned(),
        enabled: true,
        host: smtp.ip().to_string(),
        port: smtp.port().into(),
        security: pb::ConnectionSecurity::None.into(),
        authentication: true,
        username: MAILBOX.to_owned(),
        sender: MAILBOX.to_owned(),
        oauth: Some(oauth),
        ..pb::Account::default()
    }
}

async fn test(client: &Client, account: &str) -> pb::TestConnectionResponse {
    let request = pb::TestConnectionRequest {
        target: Some(pb::test_connection_request::Target::Account(account.to_owned())),
        recipient: String::new(),
    };
    client
        .policy
        .clone()
        .test_connection(request)
        .await
        .unwrap()
        .into_inner()
}

async fn test_unsaved(client: &Client, account: pb::Account) -> pb::TestConnectionResponse {
    let request = pb::TestConnectionRequest {
        target: Some(pb::test_connection_request::Target::Settings(account)),
        recipient: String::new(),
    };
    client
        .policy
        .clone()
        .test_connection(request)
        .await
        .unwrap()
        .into_inner()
}

async fn admin(home: &Home) -> (Service, Client) {
    let service = home.serve(Machine::real()).await;
    let key = home.caller("ops", Role::Admin).await;
    let admin = service.client(&key).await;
    (service, admin)
}

/// The secret that is shown of an account's settings.
fn shown(secret: Option<&pb::OauthSecret>) -> Option<&Source> {
    secret.and_then(|secret| secret.source.as_ref())
}

fn failed_at(report: &pb::TestConnectionResponse) -> (pb::Stage, &str) {
    assert!(!report.succeeded, "{report:?}");
    let last = report.stages.last().unwrap();
    (last.stage(), &last.reply)
}

#[tokio::test]
async fn every_grant_sends_mail_through_a_server_that_checks_the_token() {
    let Some(server) = OauthServer::start().await else {
        return;
    };
    let sink = SmtpServer::plain().await;
    let Some(dovecot) = Dovecot::start(server.address, sink.address).await else {
        return;
    };
    let home = Home::new();
    let (service, admin) = admin(&home).await;
    let with_key = |client: &str, key: &str| pb::Oauth {
        token_endpoint: server.endpoint(),
        client_id: client.to_owned(),
        private_key: value(server.key(key)),
        ..pb::Oauth::default()
    };
    let ways = [
        ("post", secret_client(server.endpoint(), "post", POST_SECRET)),
        (
            "basic",
            pb::Oauth {
                client_authentication: pb::OauthClientAuthentication::SecretBasic.into(),
                scopes: vec!["smtp".into(), "https://mail.example.com/.default".into()],
                mechanism: pb::OauthMechanism::Oauthbearer.into(),
                ..secret_client(server.endpoint(), "basic", BASIC_SECRET)
            },
        ),
        ("rsa", with_key("rsa", "rsa.pem")),
        ("ec", with_key("ec", "ec.pem")),
        (
            // As at Microsoft: the certificate's thumbprint in the header, PS256.
            "certificate",
            pb::Oauth {
                signing_algorithm: pb::OauthSigningAlgorithm::Ps256.into(),
                ..with_key("certificate", "certificate.pem")
            },
        ),
        (
            "refresh",
            pb::Oauth {
                token_endpoint: server.endpoint(),
                grant: pb::OauthGrant::RefreshToken.into(),
                client_id: "public".into(),
                refresh_token: value(REFRESH_TOKEN),
                ..pb::Oauth::default()
            },
        ),
        (
            // As at Google: the JSON file says who it is.
            "service",
            pb::Oauth {
                grant: pb::OauthGrant::ServiceAccount.into(),
                ..with_key("", "service.json")
            },
        ),
    ];
    for (number, (name, oauth)) in (1..).zip(ways) {
        admin
            .create_account(pb::Account {
                security: pb::ConnectionSecurity::Starttls.into(),
                ca_certificates: dovecot.ca.clone(),
                ..account(name, dovecot.starttls, oauth)
            })
            .await;
        let report = test(&admin, name).await;
        assert!(report.succeeded, "{name}: {report:?}\n{}", dovecot.log());
        let first = &report.stages[0];
        assert_eq!((first.stage(), first.passed), (pb::Stage::Token, true));
        assert!(first.duration.is_some());
        let request = pb::SendTestMessageRequest {
            account: name.to_owned(),
            recipient: "somebody@example.org".into(),
            wait_for_mail_server: true,
            ..pb::SendTestMessageRequest::default()
        };
        let sent = admin.policy.clone().send_test_message(request).await.unwrap();
        let entry = sent.into_inner().entry.unwrap();
        assert_eq!(entry.state(), pb::DeliveryState::Sent, "{name}: {entry:?}");
        assert_eq!(
            sink.wait_for_mails(number).await[number - 1].recipient,
            "<somebody@example.org>"
        );
    }
    let asked = server.asked().await;
    let basic = asked.iter().filter(|request| request["basic"] == true);
    let scopes: Vec<_> = basic.map(|request| request["scope"].clone()).collect();
    // The test got a token of its own, and the mail used it.
    assert_eq!(scopes, ["smtp https://mail.example.com/.default"]);
    assert!(asked.iter().all(|request| request["status"] == 200), "{asked:?}");
    assert_eq!(asked.len(), 7);
    assert!(dovecot.log().contains("method=OAUTHBEARER"), "{}", dovecot.log());
    service.stop().await;
}

#[tokio::test]
async fn a_revoked_token_is_replaced_and_no_mail_is_lost() {
    let Some(server) = OauthServer::start().await else {
        return;
    };
    let sink = SmtpServer::plain().await;
    let Some(dovecot) = Dovecot::start(server.address, sink.address).await else {
        return;
    };
    let idle = Duration::from_secs(1);
    let home = Home::new().with("delivery.pool_idle", "1s");
    let (service, admin) = admin(&home).await;
    admin
        .create_account(pb::Account {
            security: pb::ConnectionSecurity::Starttls.into(),
            ca_certificates: dovecot.ca.clone(),
            ..account(
                "main",
                dovecot.starttls,
                secret_client(server.endpoint(), "post", POST_SECRET),
            )
        })
        .await;
    for number in 1..=2 {
        let request = pb::SendTestMessageRequest {
            recipient: "somebody@example.org".into(),
            wait_for_mail_server: true,
            ..pb::SendTestMessageRequest::default()
        };
        let sent = admin.policy.clone().send_test_message(request).await.unwrap();
        let entry = sent.into_inner().entry.unwrap();
        assert_eq!(entry.state(), pb::DeliveryState::Sent, "{entry:?}");
        assert_eq!((entry.attempts, server.asked().await.len()), (1, number));
        server.revoke().await;
        // A connection that has waited for as long is not used again: the next mail logs in.
        tokio::time::sleep(idle).await;
    }
    assert!(dovecot.log().contains("token is not valid"), "{}", dovecot.log());
    service.stop().await;
}

#[tokio::test]
async fn a_token_endpoint_is_believed_only_with_a_known_certificate() {
    let authority = Authority::new();
    let Some(server) = OauthServer::start_with_tls(&authority).await else {
        return;
    };
    let bearers = Bearers::default();
    let smtp = SmtpServer::start(Options {
        bearers: Some(bearers.clone()),
        ..Options::default()
    })
    .await;
    let mut home = Home::new();
    let oauth = secret_client(server.endpoint(), "post", POST_SECRET);
    let account = account("main", smtp.address, oauth);
    let (service, client) = admin(&home).await;
    let report = test_unsaved(&client, account.clone()).await;
    let (stage, reply) = failed_at(&report);
    assert_eq!(stage, pb::Stage::Token);
    assert!(reply.contains("the token endpoint: tls:"), "{reply}");
    assert_eq!(smtp.connections(), 0);
    service.stop().await;
    home.set("delivery.extra_ca", authority.path().display().to_string());
    let service = home.serve(Machine::real()).await;
    let client = service.client(&home.rotate_caller("ops").await).await;
    let report = test_unsaved(&client, account).await;
    assert!(report.succeeded, "{report:?}");
    assert_eq!(bearers.shown()[0].user, MAILBOX);
    service.stop().await;
}

#[tokio::test]
async fn a_refused_client_is_told_why_and_without_its_secret() {
    let Some(server) = OauthServer::start().await else {
        return;
    };
    let smtp = SmtpServer::plain().await;
    let home = Home::new();
    let (service, admin) = admin(&home).await;
    let oauth = secret_client(server.endpoint(), "post", "wrong-canary-secret");
    let saved = admin.create_account(account("main", smtp.address, oauth)).await;
    let report = test(&admin, "main").await;
    let (stage, reply) = failed_at(&report);
    assert_eq!(stage, pb::Stage::Token);
    assert!(reply.starts_with("invalid_client: "), "{reply}");
    assert!(reply.ends_with("(HTTP 401)"), "{reply}");
    // Nothing of the secret comes back or lies about in clear, and what is not given again is kept.
    assert!(!format!("{report:?}{saved:?}").contains("canary"));
    let oauth = saved.oauth.clone().unwrap();
    assert_eq!(shown(oauth.client_secret.as_ref()), Some(&Source::Sealed(true)));
    assert_eq!(find_in_files(&home.path(""), &["wrong-canary-secret"]), None);
    let request = pb::UpdateAccountRequest {
        account: Some(pb::Account {
            oauth: Some(pb::Oauth {
                client_secret: value(POST_SECRET),
                ..oauth.clone()
            }),
            ..saved.clone()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["oauth".into()],
        }),
    };
    let changed = admin
        .policy
        .clone()
        .update_account(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(changed.account.unwrap().oauth.unwrap(), oauth);
    let report = test(&admin, "main").await;
    // The token is granted now; this mail server takes none.
    assert_eq!(failed_at(&report).0, pb::Stage::Auth);
    service.stop().await;
}

#[tokio::test]
async fn replaced_refresh_tokens_are_kept_through_restarts_and_unsaved_tests() {
    let Some(server) = OauthServer::start().await else {
        return;
    };
    let bearers = Bearers::default();
    let smtp = SmtpServer::start(Options {
        bearers: Some(bearers.clone()),
        ..Options::default()
    })
    .await;
    let home = Home::new();
    let oauth = pb::Oauth {
        token_endpoint: server.endpoint(),
        grant: pb::OauthGrant::RefreshToken.into(),
        client_id: "public".into(),
        refresh_token: value(REFRESH_TOKEN),
        ..pb::Oauth::default()
    };
    let account = account("main", smtp.address, oauth);
    let (service, client) = admin(&home).await;
    // Each of these uses up a refresh token; the server revokes them all when it sees one twice.
    assert!(test_unsaved(&client, account.clone()).await.succeeded);
    client.create_account(account).await;
    assert!(test(&client, "main").await.succeeded);
    service.stop().await;
    let service = home.serve(Machine::real()).await;
    let client = service.client(&home.rotate_caller("ops").await).await;
    for _ in 0..2 {
        let report = test(&client, "main").await;
        assert!(report.succeeded, "{report:?}");
    }
    service.stop().await;
    let mut secrets = bearers.tokens();
    assert_eq!(secrets.len(), 4);
    secrets.push(REFRESH_TOKEN.to_owned());
    let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
    assert_eq!(find_in_files(&home.path(""), &secrets), None);
}

#[derive(Debug)]
struct RealClock;

impl Clock for RealClock {
    fn now(&self) -> Timestamp {
        Machine::real().clock.now()
    }
}

/// One of several instances on a store.
fn instance(store: &SqlStore, secrets: &Path) -> Transports {
    Transports::new(
        MailSettings {
            secret_files: Arc::new(SecretFiles::new(vec![secrets.to_owned()], Vec::new())),
            ..MailSettings::default()
        },
        Arc::new(keyring()),
        Arc::new(RealClock),
        Arc::new(SystemEntropy),
        Arc::new(store.clone()),
    )
    .unwrap()
}

#[tokio::test]
async fn two_instances_never_use_the_same_refresh_token() {
    let Some(server) = OauthServer::start().await else {
        return;
    };
    let smtp = SmtpServer::start(Options {
        bearers: Some(Bearers::default()),
        ..Options::default()
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", directory.path().join("store.db").display());
    let clock: Arc<dyn Clock> = Arc::new(RealClock);
    let store = SqlStore::connect(&SqlSettings::new(url), clock.clone())
        .await
        .unwrap();
    store.migrate().await.unwrap();
    let file = secret_file(&directory.path().join("token"), REFRESH_TOKEN);
    let draft = OauthDraft {
        token_endpoint: server.endpoint(),
        grant: GrantKind::RefreshToken,
        client_id: "public".into(),
        refresh_token: Some(Secret::File(file)),
        ..OauthDraft::default()
    };
    let sender = EmailAddress::parse(MAILBOX, LocalPart::Ascii).unwrap();
    let account = Account {
        id: AccountId::from_bytes([1; 16]),
        is_default: true,
        settings: AccountSettings {
            name: "main".into(),
            enabled: true,
            order: 0,
            preset: Preset::OTHER,
            server: Server {
                host: "127.0.0.1".into(),
                port: smtp.address.port(),
                security: Security::Plain,
            },
            link: Link::default(),
            login: Some(Login {
                username: MAILBOX.into(),
                secret: Secret::Oauth(Box::new(draft.check("").unwrap())),
            }),
            sender: Sender::new(sender.clone()),
            volume: Volume::default(),
        },
        created_at: clock.now(),
        updated_at: clock.now(),
        version: 1,
        proof: None,
    };
    let instances = [1, 2].map(|_| instance(&store, directory.path()));
    for _ in 0..3 {
        let (one, other) = tokio::join!(
            instances[0].test(&account, &sender),
            instances[1].test(&account, &sender)
        );
        assert!(one.succeeded() && other.succeeded(), "{one:?} {other:?}");
    }
    let asked = server.asked().await;
    assert_eq!(asked.len(), 6);
    assert!(asked.iter().all(|request| request["status"] == 200), "{asked:?}");
}

fn secret_file(path: &Path, text: &str) -> String {
    std::fs::write(path, format!("{text}\n")).unwrap();
    path.display().to_string()
}

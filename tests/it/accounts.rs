//! Mail accounts: kept, changed, tested and used.

use std::{fs, time::Duration};

use mailfactor::{
    domain::account::Security,
    pb::v1::{
        self as pb, ConnectionSecurity, DeliveryState, MailKind, Stage, account_secret::Source,
        test_connection_request::Target,
    },
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::harness::{
    certs::{Authority, Kind},
    client::Client,
    letter,
    scene::{Scene, header, refused, start, text, waiting},
    service::{Home, find_in_files},
    smtp::{Act, At, Options, SmtpServer},
};

const PASSWORD: &str = "correct horse 7 battery";

/// An account at this server, without a login.
fn account(name: &str, server: &SmtpServer) -> pb::Account {
    pb::Account {
        name: name.to_owned(),
        enabled: true,
        host: server.address.ip().to_string(),
        port: server.address.port().into(),
        security: ConnectionSecurity::None.into(),
        sender: "login@example.org".to_owned(),
        ..pb::Account::default()
    }
}

fn secret(source: Source) -> Option<pb::AccountSecret> {
    Some(pb::AccountSecret { source: Some(source) })
}

fn password() -> Option<pb::AccountSecret> {
    secret(Source::Password(PASSWORD.to_owned()))
}

async fn create(client: &Client, account: pb::Account) -> Result<pb::Account, Status> {
    let request = pb::CreateAccountRequest {
        account: Some(account),
    };
    let answer = client.policy.clone().create_account(request).await?;
    Ok(answer.into_inner().account.unwrap())
}

async fn get(client: &Client, account: &str) -> Result<pb::Account, Status> {
    let request = pb::GetAccountRequest {
        account: account.to_owned(),
    };
    let answer = client.policy.clone().get_account(request).await?;
    Ok(answer.into_inner().account.unwrap())
}

async fn update(client: &Client, account: pb::Account, paths: &[&str]) -> Result<pb::Account, Status> {
    let request = pb::UpdateAccountRequest {
        account: Some(account),
        update_mask: Some(prost_types::FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }),
    };
    let answer = client.policy.clone().update_account(request).await?;
    Ok(answer.into_inner().account.unwrap())
}

async fn delete(client: &Client, account: &str, etag: &str) -> Result<(), Status> {
    let request = pb::DeleteAccountRequest {
        account: account.to_owned(),
        etag: etag.to_owned(),
    };
    client.policy.clone().delete_account(request).await.map(|_| ())
}

async fn make_default(client: &Client, account: &str) -> Result<pb::Account, Status> {
    let request = pb::SetDefaultAccountRequest {
        account: account.to_owned(),
    };
    let answer = client.policy.clone().set_default_account(request).await?;
    Ok(answer.into_inner().account.unwrap())
}

async fn names(client: &Client) -> Vec<(String, bool)> {
    let answer = client
        .policy
        .clone()
        .list_accounts(pb::ListAccountsRequest {})
        .await;
    let accounts = answer.unwrap().into_inner().accounts;
    accounts
        .into_iter()
        .map(|account| (account.name, account.is_default))
        .collect()
}

async fn test(
    client: &Client,
    target: Target,
    recipient: &str,
) -> Result<pb::TestConnectionResponse, Status> {
    let request = pb::TestConnectionRequest {
        target: Some(target),
        recipient: recipient.to_owned(),
    };
    Ok(client.policy.clone().test_connection(request).await?.into_inner())
}

fn fields<T: std::fmt::Debug>(result: Result<T, Status>) -> Vec<String> {
    let status = result.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let bad = status.get_details_bad_request().unwrap().field_violations;
    bad.into_iter().map(|fault| fault.field).collect()
}

#[tokio::test]
async fn an_account_is_created_read_listed_changed_and_deleted() {
    let scene = Scene::set().await;
    let admin = &scene.admin;
    let given = pb::Account {
        name: "work".to_owned(),
        enabled: true,
        host: "SMTP.example.com".to_owned(),
        security: ConnectionSecurity::Starttls.into(),
        authentication: true,
        username: "mailer".to_owned(),
        secret: password(),
        sender: "login@example.org".to_owned(),
        display_name: "Example Login".to_owned(),
        reply_to: "help@example.org".to_owned(),
        // All of these are the service's to say.
        is_default: true,
        account_id: "AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        etag: "v9".to_owned(),
        ..pb::Account::default()
    };
    let saved = create(admin, given.clone()).await.unwrap();
    assert_eq!(saved.account_id.len(), 22);
    assert_ne!(saved.account_id, given.account_id);
    let expected = pb::Account {
        account_id: saved.account_id.clone(),
        is_default: false,
        host: "smtp.example.com".to_owned(),
        port: 587,
        secret: secret(Source::Sealed(true)),
        created_at: saved.created_at,
        updated_at: saved.created_at,
        etag: saved.etag.clone(),
        preset: "other".to_owned(),
        standing: Some(pb::AccountStanding {
            state: pb::AccountState::Working.into(),
            ..pb::AccountStanding::default()
        }),
        ..given.clone()
    };
    assert_eq!(saved, expected);
    assert!(saved.created_at.is_some() && !saved.etag.is_empty());
    assert_eq!(get(admin, "work").await.unwrap(), saved);
    assert_eq!(get(admin, &saved.account_id).await.unwrap(), saved);
    assert_eq!(
        refused(create(admin, given).await),
        (Code::AlreadyExists, "ACCOUNT_NAME_TAKEN".to_owned())
    );

    // Only what the mask names is changed.
    scene.clock.advance(Duration::from_secs(60));
    let wanted = pb::Account {
        account_id: saved.account_id.clone(),
        etag: saved.etag.clone(),
        host: "relay.example.com".to_owned(),
        port: 2_525,
        reply_to: "help@example.org".to_owned(),
        ..pb::Account::default()
    };
    let changed = update(admin, wanted.clone(), &["port", "reply_to"])
        .await
        .unwrap();
    let expected = pb::Account {
        port: 2_525,
        reply_to: "help@example.org".to_owned(),
        updated_at: changed.updated_at,
        etag: changed.etag.clone(),
        ..saved.clone()
    };
    assert_eq!(changed, expected);
    assert_ne!(changed.updated_at, saved.updated_at);
    assert_ne!(changed.etag, saved.etag);
    // What was read before the change does not overwrite it.
    let stale = (Code::Aborted, "ETAG_STALE".to_owned());
    assert_eq!(refused(update(admin, wanted, &["port"]).await), stale);
    assert_eq!(refused(delete(admin, "work", &saved.etag).await), stale);
    // Without a mask all is changed, and the secret stays where none is given.
    let whole = pb::Account {
        reply_to: String::new(),
        ..changed.clone()
    };
    let whole = update(admin, whole, &[]).await.unwrap();
    assert_eq!((whole.reply_to.as_str(), &whole.secret), ("", &changed.secret));
    assert_eq!(names(admin).await.len(), 2);
    delete(admin, "work", "").await.unwrap();
    let gone = (Code::NotFound, "ACCOUNT_UNKNOWN".to_owned());
    assert_eq!(refused(get(admin, "work").await), gone);
    assert_eq!(refused(delete(admin, "work", "").await), gone);
    assert_eq!(find_in_files(&scene.home.path(""), &[PASSWORD]), None);
    scene.end().await;
}

#[tokio::test]
async fn what_is_changed_exists_and_fits_what_stays() {
    let scene = Scene::set().await;
    let admin = &scene.admin;
    let given = pb::Account {
        authentication: true,
        username: "mailer".to_owned(),
        secret: password(),
        ..account("work", &scene.smtp)
    };
    let whole = create(admin, given).await.unwrap();
    let unknown = pb::Account {
        account_id: "AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        ..whole.clone()
    };
    assert_eq!(
        refused(update(admin, unknown, &["port"]).await),
        (Code::NotFound, "ACCOUNT_UNKNOWN".to_owned())
    );
    for path in [
        "is_default",
        "etag",
        "account_id",
        "secret.password",
        "no_such",
        "",
    ] {
        assert_eq!(
            fields(update(admin, whole.clone(), &["host", path]).await),
            ["update_mask.paths[1]"],
            "{path}"
        );
    }
    // What is changed must fit what stays.
    let without = pb::Account {
        authentication: false,
        ..whole.clone()
    };
    let without = update(admin, without, &["authentication", "username", "secret"])
        .await
        .unwrap();
    assert_eq!((without.username.as_str(), without.secret), ("", None));
    let again = pb::Account {
        authentication: true,
        etag: String::new(),
        ..whole.clone()
    };
    assert_eq!(
        fields(update(admin, again, &["authentication"]).await),
        ["account.username", "account.secret"]
    );
    scene.end().await;
}

#[tokio::test]
async fn one_account_is_the_default_as_long_as_there_is_one() {
    let scene = Scene::set().await;
    let admin = &scene.admin;
    let first = names(admin).await.remove(0).0;
    let other = SmtpServer::plain().await;
    create(admin, account("b", &other)).await.unwrap();
    let disabled = pb::Account {
        enabled: false,
        ..account("a", &other)
    };
    let disabled = create(admin, disabled).await.unwrap();
    assert_eq!(
        names(admin).await,
        [
            ("a".to_owned(), false),
            ("b".to_owned(), false),
            (first.clone(), true)
        ]
    );
    let is_default = (Code::FailedPrecondition, "ACCOUNT_IS_DEFAULT".to_owned());
    assert_eq!(refused(delete(admin, &first, "").await), is_default);
    let off = pb::Account {
        enabled: false,
        ..get(admin, &first).await.unwrap()
    };
    assert_eq!(refused(update(admin, off, &["enabled"]).await), is_default);
    let is_disabled = (Code::FailedPrecondition, "ACCOUNT_DISABLED".to_owned());
    assert_eq!(refused(make_default(admin, "a").await), is_disabled);
    assert_eq!(
        refused(make_default(admin, "nobody").await),
        (Code::NotFound, "ACCOUNT_UNKNOWN".to_owned())
    );
    // Mail goes where the default is, from then on.
    start(&scene.idp, waiting("ann")).await.unwrap();
    assert!(make_default(admin, "b").await.unwrap().is_default);
    assert!(
        make_default(admin, "b").await.unwrap().is_default,
        "once more is OK"
    );
    start(&scene.idp, waiting("bo")).await.unwrap();
    assert_eq!(scene.mails(1).await.len(), 1);
    assert_eq!(
        letter::recipient(&other.wait_for_mails(1).await[0]),
        "bo@example.com"
    );
    delete(admin, &first, "").await.unwrap();
    delete(admin, &disabled.account_id, &disabled.etag).await.unwrap();
    delete(admin, "b", "").await.unwrap();
    assert_eq!(names(admin).await, []);
    // The next one is the first again.
    assert!(create(admin, account("c", &other)).await.unwrap().is_default);
    scene.end().await;
}

/// A server that takes only this login.
fn guarded(mechanisms: &'static str) -> Options {
    Options {
        login: Some((mechanisms, "mailer", PASSWORD)),
        ..Options::default()
    }
}

#[tokio::test]
async fn every_kind_of_secret_logs_in_by_every_mechanism() {
    // A variable of this process: set from outside, it cannot be in a test that shares the process with others.
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    let home = Home::new().with(
        "secrets.directories",
        vec![directory.path().display().to_string()],
    );
    home.users(&[("ann", "ann@example.com"), ("bo", "bo@example.com")]);
    let scene = Scene::at(home).await;
    for mechanisms in ["PLAIN LOGIN", "LOGIN", "PLAIN"] {
        for source in [
            Source::Password(PASSWORD.to_owned()),
            Source::File(file.display().to_string()),
        ] {
            let server = SmtpServer::start(guarded(mechanisms)).await;
            let wanted = pb::Account {
                authentication: true,
                username: "mailer".to_owned(),
                secret: secret(source.clone()),
                ..account("guarded", &server)
            };
            let saved = create(&scene.admin, wanted).await.unwrap();
            let shown = saved.secret.clone().unwrap().source.unwrap();
            match &source {
                Source::Password(_) => assert_eq!(shown, Source::Sealed(true)),
                other => assert_eq!(shown, *other),
            }
            let report = test(&scene.admin, Target::Account("guarded".to_owned()), "").await;
            assert!(report.as_ref().unwrap().succeeded, "{mechanisms} {report:?}");
            let sent = send(&scene.admin, "guarded", true).await.unwrap();
            assert_eq!(sent.state(), DeliveryState::Sent, "{mechanisms} {sent:?}");
            assert!(server.count("AUTH") >= 2);
            delete(&scene.admin, "guarded", "").await.unwrap();
        }
    }
    // A secret that changed is the next login's, without a word to the service.
    let server = SmtpServer::start(guarded("PLAIN")).await;
    fs::write(&file, "an old one").unwrap();
    let wanted = pb::Account {
        authentication: true,
        username: "mailer".to_owned(),
        secret: secret(Source::File(file.display().to_string())),
        ..account("rotated", &server)
    };
    create(&scene.admin, wanted).await.unwrap();
    let target = || Target::Account("rotated".to_owned());
    assert!(!test(&scene.admin, target(), "").await.unwrap().succeeded);
    fs::write(&file, PASSWORD).unwrap();
    assert!(test(&scene.admin, target(), "").await.unwrap().succeeded);
    // Files elsewhere are none of the service's business.
    for path in [
        "/etc/passwd",
        "password",
        &format!("{}/../x", directory.path().display()),
    ] {
        let wanted = pb::Account {
            authentication: true,
            username: "mailer".to_owned(),
            secret: secret(Source::File(path.to_owned())),
            ..account("elsewhere", &server)
        };
        assert_eq!(
            fields(create(&scene.admin, wanted).await),
            ["account.secret"],
            "{path}"
        );
    }
    scene.end().await;
}

#[tokio::test]
async fn a_secret_of_the_environment_logs_in() {
    let home = Home::new();
    home.users(&[("ann", "ann@example.com")]);
    let process = home.spawn_with(&[("MAILFACTOR_SECRET_RELAY", PASSWORD)]).await;
    let key = home.caller("ops", mailfactor::domain::caller::Role::Admin).await;
    let admin = process.client(&key).await;
    let server = SmtpServer::start(guarded("PLAIN")).await;
    let wanted = |variable: &str| pb::Account {
        authentication: true,
        username: "mailer".to_owned(),
        secret: secret(Source::Environment(variable.to_owned())),
        ..account("relay", &server)
    };
    for variable in ["PATH", "MAILFACTOR_SECRET_", "MAILFACTOR_SECRET_A B"] {
        assert_eq!(fields(create(&admin, wanted(variable)).await), ["account.secret"]);
    }
    let saved = create(&admin, wanted("MAILFACTOR_SECRET_RELAY")).await.unwrap();
    assert_eq!(
        saved.secret,
        secret(Source::Environment("MAILFACTOR_SECRET_RELAY".to_owned()))
    );
    let challenge = start(&admin, waiting("ann")).await.unwrap();
    assert_eq!(challenge.delivery(), DeliveryState::Sent);
    assert_eq!(find_in_files(&home.path(""), &[PASSWORD]), None);
}

#[tokio::test]
async fn both_kinds_of_tls_go_by_the_configured_ca() {
    let authority = Authority::new();
    let home = Home::new().with("delivery.extra_ca", authority.path().display().to_string());
    home.users(&[("ann", "ann@example.com"), ("bo", "bo@example.com")]);
    let scene = Scene::at(home).await;
    let kinds = [
        (Security::StartTls, ConnectionSecurity::Starttls),
        (Security::ImplicitTls, ConnectionSecurity::ImplicitTls),
    ];
    for (security, named) in kinds {
        let options = |kind| Options {
            security,
            tls: Some(authority.server(kind)),
            ..guarded("PLAIN LOGIN")
        };
        let server = SmtpServer::start(options(Kind::Good)).await;
        let settings = |server: &SmtpServer| pb::Account {
            security: named.into(),
            authentication: true,
            username: "mailer".to_owned(),
            secret: password(),
            ..account("tls", server)
        };
        create(&scene.admin, settings(&server)).await.unwrap();
        let report = test(&scene.admin, Target::Account("tls".to_owned()), "")
            .await
            .unwrap();
        assert!(report.succeeded, "{report:?}");
        assert_eq!(report.summary, "Connected successfully");
        assert_eq!(report.tls_version, "TLSv1.3");
        let sent = send(&scene.admin, "tls", true).await.unwrap();
        assert_eq!(sent.state(), DeliveryState::Sent);
        delete(&scene.admin, "tls", "").await.unwrap();

        for kind in [Kind::Expired, Kind::WrongName] {
            let server = SmtpServer::start(options(kind)).await;
            let report = test(&scene.admin, Target::Settings(settings(&server)), "")
                .await
                .unwrap();
            assert!(!report.succeeded, "{kind:?}");
            let last = report.stages.last().unwrap();
            assert_eq!((last.stage(), last.passed), (Stage::Tls, false), "{report:?}");
            assert_eq!(server.count("AUTH"), 0, "the password went to a stranger");
        }
    }
    scene.end().await;
}

async fn send(client: &Client, account: &str, wait: bool) -> Result<pb::OutboxEntry, Status> {
    let request = pb::SendTestMessageRequest {
        account: account.to_owned(),
        recipient: "me@example.com".to_owned(),
        subject: "Does it work?".to_owned(),
        text: "One line.\nAnother.".to_owned(),
        wait_for_mail_server: wait,
    };
    let answer = client.policy.clone().send_test_message(request).await?;
    Ok(answer.into_inner().entry.unwrap())
}

#[tokio::test]
async fn a_connection_test_says_how_far_it_came() {
    let scene = Scene::set().await;
    let server = SmtpServer::start(guarded("PLAIN")).await;
    let wanted = pb::Account {
        authentication: true,
        username: "mailer".to_owned(),
        secret: password(),
        ..account("tested", &server)
    };
    let saved = create(&scene.admin, wanted.clone()).await.unwrap();
    let stages = |report: &pb::TestConnectionResponse| -> Vec<(Stage, bool)> {
        let stages = report.stages.iter();
        stages.map(|found| (found.stage(), found.passed)).collect()
    };
    let report = test(&scene.admin, Target::Account("tested".to_owned()), "")
        .await
        .unwrap();
    let all = [
        Stage::Resolve,
        Stage::Connect,
        Stage::Ehlo,
        Stage::Auth,
        Stage::Mail,
        Stage::Rcpt,
        Stage::Reset,
    ];
    assert_eq!(stages(&report), all.map(|stage| (stage, true)));
    assert!(report.succeeded && report.tls_version.is_empty());
    assert_eq!(report.summary, "Connected successfully");
    assert!(report.stages.iter().all(|stage| stage.duration.is_some()));
    assert!(server.mails().is_empty(), "a test sends nothing");

    let cases = [
        (At::Greeting, Stage::Ehlo, "554 5.7.1 go away"),
        (At::Auth, Stage::Auth, "535 5.7.8 no such user"),
        (At::Mail, Stage::Mail, "550 5.7.1 not from you"),
        (At::Rcpt, Stage::Rcpt, "550 5.1.1 not to them"),
        (At::Rset, Stage::Reset, "421 4.3.2 enough"),
    ];
    for (at, stage, reply) in cases {
        server.on(at, Act::Reply(reply));
        let report = test(
            &scene.admin,
            Target::Account("tested".to_owned()),
            "x@example.com",
        )
        .await
        .unwrap();
        server.behave();
        assert!(!report.succeeded);
        assert_eq!(
            report.summary,
            "Test connection failed. Please review email account information entered."
        );
        let last = report.stages.last().unwrap();
        assert_eq!((last.stage(), last.passed), (stage, false), "{report:?}");
        let words = &reply[10..];
        assert!(last.reply.contains(words), "{words} is not in {:?}", last.reply);
        assert!(report.stages.iter().rev().skip(1).all(|stage| stage.passed));
    }
    // Settings that are not saved, with a wrong password, and with that of the saved account.
    let unsaved = pb::Account {
        name: String::new(),
        secret: secret(Source::Password("wrong".to_owned())),
        ..wanted.clone()
    };
    let report = test(&scene.admin, Target::Settings(unsaved.clone()), "")
        .await
        .unwrap();
    assert_eq!(stages(&report).last(), Some(&(Stage::Auth, false)));
    let kept = pb::Account {
        account_id: saved.account_id.clone(),
        secret: secret(Source::Sealed(true)),
        ..unsaved.clone()
    };
    assert!(
        test(&scene.admin, Target::Settings(kept.clone()), "")
            .await
            .unwrap()
            .succeeded
    );
    // The kept password goes to no other machine, and not over another protection, port or name.
    let elsewhere = pb::Account {
        host: "localhost".to_owned(),
        ..kept
    };
    assert_eq!(
        fields(test(&scene.admin, Target::Settings(elsewhere), "").await),
        ["settings.secret"]
    );
    assert_eq!(names(&scene.admin).await.len(), 2, "a test saves nothing");
    assert_eq!(
        refused(test(&scene.admin, Target::Account("nobody".to_owned()), "").await),
        (Code::NotFound, "ACCOUNT_UNKNOWN".to_owned())
    );
    scene.end().await;
}

#[tokio::test]
async fn a_test_message_goes_the_way_of_every_mail() {
    let scene = Scene::set().await;
    let other = SmtpServer::plain().await;
    let disabled = pb::Account {
        enabled: false,
        display_name: "Spare".to_owned(),
        reply_to: "help@example.org".to_owned(),
        ..account("spare", &other)
    };
    create(&scene.admin, disabled).await.unwrap();
    other.times(1, At::Rcpt, Act::Reply("451 4.7.1 greylisted"));
    let entry = send(&scene.admin, "spare", true).await.unwrap();
    assert_eq!(
        (entry.kind(), entry.state(), entry.attempts),
        (MailKind::Test, DeliveryState::Deferred, 1)
    );
    assert!(entry.next_attempt_at.is_some() && entry.last_error.contains("greylisted"));
    scene.clock.advance(Duration::from_secs(10));
    let mail = &super::harness::in_time(other.wait_for_mails(1)).await[0];
    assert_eq!(letter::recipient(mail), "me@example.com");
    assert_eq!(header(mail, "Subject").as_deref(), Some("Does it work?"));
    assert!(header(mail, "From").unwrap().contains("Spare"));
    assert!(header(mail, "Reply-To").unwrap().contains("help@example.org"));
    assert!(text(mail).contains("One line.") && text(mail).contains("Another."));
    let request = || pb::GetEntryRequest {
        entry_id: entry.entry_id.clone(),
    };
    let answer = loop {
        let answer = scene
            .admin
            .outbox
            .clone()
            .get_entry(request())
            .await
            .unwrap()
            .into_inner();
        if answer.entry.as_ref().unwrap().state() == DeliveryState::Sent {
            break answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let sent = answer.entry.unwrap();
    assert_eq!(sent.masked_recipient, "m*****@e*****.com");
    assert_eq!((sent.account.as_str(), sent.attempts), ("spare", 2));
    assert_eq!(sent.subject, "Does it work?");
    assert!(sent.sent_at.is_some() && sent.next_attempt_at.is_none());
    assert_eq!(header(mail, "Message-ID"), Some(sent.message_id));
    let told: Vec<_> = answer
        .attempts
        .iter()
        .map(|attempt| {
            assert!(attempt.started_at.is_some() && attempt.duration.is_some());
            assert_eq!(attempt.account, "spare");
            (
                attempt.number,
                attempt.stage(),
                attempt.reply_code,
                attempt.outcome(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (1, Stage::Rcpt, 451, DeliveryState::Deferred),
            (2, Stage::Accept, 250, DeliveryState::Sent)
        ]
    );
    // With nothing said, what is built in, through the default account; nobody waits.
    let plain = pb::SendTestMessageRequest {
        recipient: "me@example.com".to_owned(),
        ..pb::SendTestMessageRequest::default()
    };
    let queued = scene.admin.policy.clone().send_test_message(plain).await.unwrap();
    assert_eq!(queued.into_inner().entry.unwrap().kind(), MailKind::Test);
    let built_in = &scene.mails(1).await[0];
    assert_eq!(
        header(built_in, "Subject").as_deref(),
        Some("mailfactor test message")
    );
    scene.end().await;
}

async fn list(
    client: &Client,
    request: pb::ListEntriesRequest,
) -> Result<(Vec<pb::OutboxEntry>, String), Status> {
    let answer = client.outbox.clone().list_entries(request).await?.into_inner();
    Ok((answer.entries, answer.next_page_token))
}

#[tokio::test]
async fn the_outbox_is_listed_by_filter_and_page() {
    let scene = Scene::set().await;
    let mut all = Vec::new();
    for number in 0..7 {
        scene.clock.advance(Duration::from_secs(10));
        if number == 4 {
            let account = names(&scene.admin).await.remove(0).0;
            scene.smtp.times(1, At::Rcpt, Act::Reply("550 5.1.1 nobody"));
            all.push(send(&scene.admin, &account, true).await.unwrap());
        } else {
            all.push(send(&scene.admin, "", true).await.unwrap());
        }
    }
    all.reverse();
    let ids = |entries: &[pb::OutboxEntry]| -> Vec<String> {
        entries.iter().map(|entry| entry.entry_id.clone()).collect()
    };
    let everything = pb::ListEntriesRequest::default;
    let (listed, next) = list(&scene.admin, everything()).await.unwrap();
    assert_eq!((ids(&listed), next), (ids(&all), String::new()));
    assert_eq!(listed, all);

    // In pages, while more mails come in at the front.
    let mut paged = Vec::new();
    let mut token = String::new();
    loop {
        let request = pb::ListEntriesRequest {
            page_size: 3,
            page_token: token.clone(),
            ..everything()
        };
        let (page, next) = list(&scene.admin, request).await.unwrap();
        assert!(page.len() == 3 || next.is_empty());
        paged.extend(page);
        if next.is_empty() {
            break;
        }
        token = next;
        scene.clock.advance(Duration::from_secs(1));
        send(&scene.admin, "", true).await.unwrap();
    }
    assert_eq!(ids(&paged), ids(&all));
    // A token belongs to its filters.
    let other_filter = pb::ListEntriesRequest {
        page_token: token,
        states: vec![DeliveryState::Failed.into()],
        ..everything()
    };
    assert_eq!(fields(list(&scene.admin, other_filter).await), ["page_token"]);

    let failed = pb::ListEntriesRequest {
        states: vec![DeliveryState::Failed.into(), DeliveryState::Deferred.into()],
        ..everything()
    };
    let (failed, _) = list(&scene.admin, failed).await.unwrap();
    assert_eq!(ids(&failed), ids(&all[2..3]));
    assert!(failed[0].last_error.contains("nobody") && failed[0].sent_at.is_none());
    // From is in, until is out.
    let between = pb::ListEntriesRequest {
        submitted_from: all[5].submitted_at,
        submitted_until: all[3].submitted_at,
        ..everything()
    };
    assert_eq!(
        ids(&list(&scene.admin, between).await.unwrap().0),
        ids(&all[4..=5])
    );
    let nobodys = pb::ListEntriesRequest {
        account: "nobody".to_owned(),
        ..everything()
    };
    assert_eq!(list(&scene.admin, nobodys).await.unwrap().0, []);
    scene.end().await;
}

#[tokio::test]
async fn the_outbox_shows_no_code() {
    let scene = Scene::set().await;
    let challenge = start(&scene.idp, waiting("ann")).await.unwrap();
    assert_eq!(challenge.delivery(), DeliveryState::Sent);
    let code = letter::code(&scene.mails(1).await[0].data);
    let (entries, _) = list(&scene.admin, pb::ListEntriesRequest::default())
        .await
        .unwrap();
    assert_eq!(entries[0].kind(), MailKind::Code);
    assert_eq!(entries[0].expires_at, challenge.expires_at);
    assert_eq!(entries[0].masked_recipient, challenge.masked_recipient);
    let request = pb::GetEntryRequest {
        entry_id: entries[0].entry_id.clone(),
    };
    let answer = scene
        .admin
        .outbox
        .clone()
        .get_entry(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.entry.as_ref(), entries.first());
    let shown = format!("{answer:?}");
    assert!(
        !shown.contains(&code) && !shown.contains("ann@example.com"),
        "{shown}"
    );
    scene.end().await;
}

//! Default credentials: accounts that log in with what the service process was given, and keep nothing of it.

use std::{fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mailfactor::{
    domain::caller::Role,
    pb::v1::{self as pb, account_secret::Source, test_connection_request::Target},
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::harness::{
    client::Client,
    command::mailfactor,
    process::Process,
    scene::{start, waiting},
    service::{Home, find_in_files, metrics_page},
    smtp::{Act, At, Options, SmtpServer},
};

const USERNAME: &str = "process-submitter";
const PASSWORD: &str = "given to the process 7";
const VARIABLE: &str = "MAILFACTOR_SECRET_DEFAULT_PASSWORD";

const SET_USERNAME: (&str, &str) = ("MAILFACTOR__DEFAULT_CREDENTIALS__USERNAME", USERNAME);
const SET_VARIABLE: (&str, &str) = ("MAILFACTOR__DEFAULT_CREDENTIALS__PASSWORD_ENVIRONMENT", VARIABLE);

/// A mail server that takes nobody else.
async fn server() -> SmtpServer {
    let options = Options {
        login: Some(("PLAIN LOGIN", USERNAME, PASSWORD)),
        ..Options::default()
    };
    SmtpServer::start(options).await
}

fn home() -> Home {
    let home = Home::new();
    home.users(&[("ann", "ann@example.com")]);
    home
}

async fn given(home: &Home) -> Process {
    home.spawn_with(&[
        ("MAILFACTOR_LOG", "trace"),
        SET_USERNAME,
        SET_VARIABLE,
        (VARIABLE, PASSWORD),
    ])
    .await
}

fn account(smtp: &SmtpServer) -> pb::Account {
    pb::Account {
        name: "work".to_owned(),
        enabled: true,
        host: smtp.address.ip().to_string(),
        port: smtp.address.port().into(),
        security: pb::ConnectionSecurity::None.into(),
        authentication: true,
        default_credentials: true,
        sender: "login@example.org".to_owned(),
        ..pb::Account::default()
    }
}

fn password(text: &str) -> Option<pb::AccountSecret> {
    let source = Some(Source::Password(text.to_owned()));
    Some(pb::AccountSecret { source })
}

async fn create(client: &Client, account: pb::Account) -> Result<pb::Account, Status> {
    let request = pb::CreateAccountRequest {
        account: Some(account),
    };
    let answer = client.policy.clone().create_account(request).await?;
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

async fn test(client: &Client, target: Target) -> Result<pb::TestConnectionResponse, Status> {
    let request = pb::TestConnectionRequest {
        target: Some(target),
        recipient: String::new(),
    };
    Ok(client.policy.clone().test_connection(request).await?.into_inner())
}

async fn works(client: &Client) -> bool {
    let target = Target::Account("work".to_owned());
    test(client, target).await.unwrap().succeeded
}

/// The fields that a refusal names.
fn fields<T: std::fmt::Debug>(result: Result<T, Status>) -> Vec<String> {
    let status = result.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let bad = status.get_details_bad_request().unwrap().field_violations;
    bad.into_iter().map(|fault| fault.field).collect()
}

fn keep(path: &Path, text: &str) {
    fs::write(path, format!("{text}\n")).unwrap();
}

#[tokio::test]
async fn mail_goes_with_what_the_process_was_given_and_nothing_of_it_stays() {
    let (smtp, home) = (server().await, home());
    // Elsewhere: the home is searched.
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("smtp");
    keep(&file, "not yet");
    let process = home
        .spawn_with(&[
            ("MAILFACTOR_LOG", "trace"),
            SET_USERNAME,
            (
                "MAILFACTOR__DEFAULT_CREDENTIALS__PASSWORD_FILE",
                file.to_str().unwrap(),
            ),
        ])
        .await;
    let admin = process.client(&home.caller("ops", Role::Admin).await).await;
    let idp = process
        .client(&home.caller("idp", Role::Authenticator).await)
        .await;
    let created = create(&admin, account(&smtp)).await.unwrap();
    assert!(created.default_credentials && created.authentication);
    assert_eq!((created.username.as_str(), &created.secret), ("", &None));
    let mut answers = vec![format!("{created:?}")];
    // A new file counts without a restart.
    assert!(!works(&admin).await);
    keep(&file, PASSWORD);
    assert!(works(&admin).await);
    let challenge = start(&idp, waiting("ann")).await.unwrap();
    assert_eq!(challenge.delivery(), pb::DeliveryState::Sent);
    assert_eq!(smtp.wait_for_mails(1).await.len(), 1);
    keep(&file, "changed");
    let failed = test(&admin, Target::Account("work".to_owned())).await.unwrap();
    assert_eq!(failed.stages.last().unwrap().stage(), pb::Stage::Auth);
    answers.push(format!("{failed:?}"));
    // A server that talks too much.
    keep(&file, PASSWORD);
    smtp.on(
        At::Auth,
        Act::Reply("535 5.7.8 process-submitter may not use given to the process 7"),
    );
    let told = test(&admin, Target::Account("work".to_owned())).await.unwrap();
    assert!(!told.succeeded);
    answers.push(format!("{told:?}"));
    // Settings that are not saved log in with it as well.
    smtp.behave();
    let unsaved = pb::Account {
        account_id: created.account_id.clone(),
        ..account(&smtp)
    };
    let tested = test(&admin, Target::Settings(unsaved)).await.unwrap();
    assert!(tested.succeeded, "{tested:?}");
    answers.push(format!("{tested:?}"));
    let listed = admin
        .policy
        .clone()
        .list_accounts(pb::ListAccountsRequest {})
        .await;
    answers.push(format!("{listed:?}"));
    let audit = admin
        .audit
        .clone()
        .list_audit_events(pb::ListAuditEventsRequest::default())
        .await
        .unwrap();
    let audit = format!("{audit:?}");
    assert!(audit.contains("default_credentials"), "{audit}");
    answers.push(audit);
    answers.push(metrics_page(process.metrics).await);
    answers.push(process.log());
    let plain = STANDARD.encode(format!("\0{USERNAME}\0{PASSWORD}"));
    let (name, encoded) = (STANDARD.encode(USERNAME), STANDARD.encode(PASSWORD));
    let secrets = [USERNAME, PASSWORD, &plain, &name, &encoded];
    for answer in &answers {
        let found = secrets.iter().find(|secret| answer.contains(**secret));
        assert_eq!(found, None);
    }
    // While it runs, so that the write-ahead log is there too.
    assert_eq!(find_in_files(&home.path(""), &secrets), None);
}

#[tokio::test]
async fn without_credentials_the_account_is_refused_and_one_that_lost_them_says_so() {
    let (smtp, home) = (server().await, home());
    let key = home.caller("ops", Role::Admin).await;
    let process = home.spawn().await;
    let admin = process.client(&key).await;
    let refused = create(&admin, account(&smtp)).await;
    let advice = format!("{refused:?}");
    assert!(advice.contains("[default_credentials]"), "{advice}");
    assert_eq!(fields(refused), ["account.default_credentials"]);
    let refused = test(&admin, Target::Settings(account(&smtp))).await;
    assert_eq!(fields(refused), ["settings.default_credentials"]);
    let own = pb::Account {
        default_credentials: false,
        username: USERNAME.to_owned(),
        secret: password(PASSWORD),
        ..account(&smtp)
    };
    let own = create(&admin, own).await.unwrap();
    assert!(works(&admin).await);
    let changed = pb::Account {
        default_credentials: true,
        ..own.clone()
    };
    let refused = update(&admin, changed, &["default_credentials"]).await;
    assert_eq!(fields(refused), ["account.default_credentials"]);
    process.stop().await;
    // Given some, the same change takes the place of the account's own.
    let process = given(&home).await;
    let admin = process.client(&key).await;
    let changed = pb::Account {
        default_credentials: true,
        ..own.clone()
    };
    let changed = update(&admin, changed, &["default_credentials"]).await.unwrap();
    assert_eq!((changed.username.as_str(), &changed.secret), ("", &None));
    assert!(works(&admin).await);
    process.stop().await;
    // And lost again: whoever looks is told, and the account can still be put away.
    let process = home.spawn().await;
    assert!(process.log().contains("[default_credentials]"));
    let admin = process.client(&key).await;
    let report = test(&admin, Target::Account("work".to_owned())).await.unwrap();
    let last = report.stages.last().unwrap();
    assert_eq!((last.stage(), last.passed), (pb::Stage::Auth, false));
    assert!(last.reply.contains("no default credentials"), "{last:?}");
    let other = pb::Account {
        authentication: false,
        ..changed
    };
    let put_away = update(&admin, other, &["authentication"]).await.unwrap();
    assert!(!put_away.default_credentials && !put_away.authentication);
}

#[tokio::test]
async fn an_account_has_its_own_credentials_or_the_default_ones() {
    let (smtp, home) = (server().await, home());
    let process = given(&home).await;
    let admin = process.client(&home.caller("ops", Role::Admin).await).await;
    let both = pb::Account {
        authentication: false,
        username: USERNAME.to_owned(),
        secret: password(PASSWORD),
        ..account(&smtp)
    };
    assert_eq!(
        fields(create(&admin, both).await),
        ["account.authentication", "account.username", "account.secret"]
    );
    let account = create(&admin, account(&smtp)).await.unwrap();
    assert!(works(&admin).await);
    let named = pb::Account {
        username: "somebody".to_owned(),
        ..account.clone()
    };
    assert_eq!(
        fields(update(&admin, named, &["username"]).await),
        ["account.username"]
    );
    // Nobody has them carried to another server without saying so.
    let moved = pb::Account {
        host: "localhost".to_owned(),
        ..account.clone()
    };
    assert_eq!(
        fields(update(&admin, moved.clone(), &["host"]).await),
        ["account.default_credentials"]
    );
    let moved = update(&admin, moved, &["host", "default_credentials"])
        .await
        .unwrap();
    assert_eq!(moved.host, "localhost");
    let back = pb::Account {
        etag: String::new(),
        ..account.clone()
    };
    let back = update(&admin, back, &[]).await.unwrap();
    assert!(back.default_credentials && works(&admin).await);
    // A test with no secret borrows nothing for another user name.
    let borrowing = pb::Account {
        default_credentials: false,
        username: "somebody".to_owned(),
        ..back.clone()
    };
    assert_eq!(
        fields(test(&admin, Target::Settings(borrowing)).await),
        ["settings.secret"]
    );
    let own = pb::Account {
        username: USERNAME.to_owned(),
        secret: password("its own"),
        ..back
    };
    let own = update(&admin, own, &["username", "secret"]).await.unwrap();
    assert!(!own.default_credentials && own.secret.is_some());
    assert!(!works(&admin).await);
}

#[tokio::test]
async fn the_command_line_turns_them_on() {
    let (smtp, home) = (server().await, home());
    let process = given(&home).await;
    let key = home.path("ops.key");
    fs::write(&key, home.caller("ops", Role::Admin).await).unwrap();
    let run = async |command: &str| {
        let server = format!("http://{}", process.grpc);
        let key = key.display();
        mailfactor(
            &format!("{command} --server {server} --api-key-file {key}"),
            &[],
            "",
        )
        .await
    };
    let (host, port) = (smtp.address.ip(), smtp.address.port());
    let added = run(&format!(
        "account add work --host {host} --port {port} --security none --default-credentials --sender a@example.org"
    ))
    .await
    .done();
    assert!(added.contains("default credentials"), "{added}");
    run("account test work").await.done();
    let off = run("account update work --no-authentication --json").await.done();
    assert!(off.contains("\"default_credentials\": false"), "{off}");
    let on = run("account update work --default-credentials --json")
        .await
        .done();
    assert!(on.contains("\"default_credentials\": true"), "{on}");
    run("account test work").await.done();
}

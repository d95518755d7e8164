//! An account is enabled only with settings that passed the connection test.

use mailfactor::{app::Machine, domain::caller::Role, pb::v1 as pb};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::harness::{
    client::Client,
    service::{Home, Service},
    smtp::{Options, SmtpServer},
};

async fn office() -> (Home, Service, Client) {
    let home = Home::new().with("delivery.tested_accounts_only", true);
    home.users(&[("ann", "ann@example.com")]);
    let service = home.serve(Machine::real()).await;
    let client = service.client(&home.caller("ops", Role::Admin).await).await;
    (home, service, client)
}

fn account(name: &str, port: u16) -> pb::Account {
    pb::Account {
        name: name.into(),
        enabled: true,
        host: "127.0.0.1".into(),
        port: port.into(),
        security: pb::ConnectionSecurity::None.into(),
        sender: "login@example.org".into(),
        ..pb::Account::default()
    }
}

fn dead_port() -> u16 {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    closed.local_addr().unwrap().port()
}

async fn create(client: &Client, account: pb::Account) -> pb::CreateAccountResponse {
    let request = pb::CreateAccountRequest {
        account: Some(account),
    };
    let answer = client.policy.clone().create_account(request).await;
    answer.unwrap().into_inner()
}

async fn update(
    client: &Client,
    account: &pb::Account,
    paths: &[&str],
) -> Result<pb::UpdateAccountResponse, Status> {
    let request = pb::UpdateAccountRequest {
        account: Some(account.clone()),
        update_mask: Some(prost_types::FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }),
    };
    let answer = client.policy.clone().update_account(request).await?;
    Ok(answer.into_inner())
}

async fn get(client: &Client, account: &pb::Account) -> pb::Account {
    let request = pb::GetAccountRequest {
        account: account.account_id.clone(),
    };
    let answer = client.policy.clone().get_account(request).await;
    answer.unwrap().into_inner().account.unwrap()
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().unwrap().reason
}

#[tokio::test]
async fn saving_tests_what_was_never_tested_and_only_that() {
    let (_home, _service, client) = office().await;
    let smtp = SmtpServer::plain().await;
    let saved = create(&client, account("main", smtp.address.port())).await;
    let test = saved.test.unwrap();
    assert_eq!(
        (test.succeeded, test.summary.as_str()),
        (true, "Connected successfully")
    );
    let main = saved.account.unwrap();
    assert!(main.enabled && main.tested_at.is_some());
    assert_eq!(smtp.connections(), 1);
    // Nothing that a test tries.
    let renamed = pb::Account {
        display_name: "Example Login".into(),
        etag: main.etag.clone(),
        ..main.clone()
    };
    let saved = update(&client, &renamed, &["display_name"]).await.unwrap();
    assert!(saved.test.is_none());
    assert_eq!(saved.account.as_ref().unwrap().tested_at, main.tested_at);
    assert_eq!(smtp.connections(), 1);
    // Something that it does.
    let other = pb::Account {
        sender: "other@example.org".into(),
        ..main.clone()
    };
    let other = pb::Account {
        etag: String::new(),
        ..other
    };
    let saved = update(&client, &other, &["sender"]).await.unwrap();
    assert!(saved.test.unwrap().succeeded);
    assert_eq!(smtp.connections(), 2);
    client.start("ann").await.unwrap();
    assert!(
        smtp.wait_for_mails(1).await[0]
            .sender
            .contains("other@example.org")
    );
}

#[tokio::test]
async fn what_fails_its_test_is_kept_disabled_when_new_and_refused_when_in_use() {
    let (_home, _service, client) = office().await;
    let smtp = SmtpServer::plain().await;
    let saved = create(&client, account("main", dead_port())).await;
    let test = saved.test.unwrap();
    assert!(!test.succeeded);
    assert_eq!(
        test.summary,
        "Test connection failed. Please review email account information entered."
    );
    assert_eq!(test.stages.last().unwrap().stage(), pb::Stage::Connect);
    let mut main = saved.account.unwrap();
    assert!(!main.enabled && main.tested_at.is_none());
    // Enabled as it is: no.
    main.enabled = true;
    let refused = update(&client, &main, &["enabled"]).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::FailedPrecondition, "ACCOUNT_TEST_FAILED")
    );
    assert_eq!(
        refused.message(),
        "Test connection failed. Please review email account information entered."
    );
    let unmet = refused.get_details_precondition_failure().unwrap();
    assert_eq!(unmet.violations[0].subject, "connect");
    assert!(!get(&client, &main).await.enabled);
    // Mended: yes.
    main.port = smtp.address.port().into();
    let saved = update(&client, &main, &["enabled", "port"]).await.unwrap();
    let main = saved.account.unwrap();
    assert!(main.enabled && main.tested_at.is_some());
    // In use, it stays as it was.
    let broken = pb::Account {
        port: dead_port().into(),
        ..main.clone()
    };
    let refused = update(&client, &broken, &["port"]).await.unwrap_err();
    assert_eq!(reason(&refused), "ACCOUNT_TEST_FAILED");
    assert_eq!(get(&client, &main).await, main);
    client.start("ann").await.unwrap();
    smtp.wait_for_mails(1).await;
}

#[tokio::test]
async fn a_password_is_proven_and_another_one_is_not() {
    let (_home, _service, client) = office().await;
    let smtp = SmtpServer::start(Options {
        login: Some(("PLAIN", "user", "right")),
        ..Options::default()
    })
    .await;
    let with = |password: &str| pb::Account {
        authentication: true,
        username: "user".into(),
        secret: Some(pb::AccountSecret {
            source: Some(pb::account_secret::Source::Password(password.into())),
        }),
        ..account("main", smtp.address.port())
    };
    let main = create(&client, with("right")).await.account.unwrap();
    assert!(main.enabled);
    let wrong = pb::Account {
        account_id: main.account_id.clone(),
        ..with("wrong")
    };
    let refused = update(&client, &wrong, &["secret"]).await.unwrap_err();
    assert_eq!(reason(&refused), "ACCOUNT_TEST_FAILED");
    let details = format!("{refused:?}");
    assert!(!details.contains("wrong"), "{details}");
    let connections = smtp.connections();
    // The same password, sealed anew, is the one that passed.
    let same = pb::Account {
        account_id: main.account_id.clone(),
        ..with("right")
    };
    let saved = update(&client, &same, &["secret"]).await.unwrap();
    assert!(saved.test.is_none() && saved.account.unwrap().tested_at.is_some());
    assert_eq!(smtp.connections(), connections);
}

#[tokio::test]
async fn a_test_of_a_disabled_account_counts_when_it_is_enabled() {
    let (home, service, client) = office().await;
    let smtp = SmtpServer::plain().await;
    let off = pb::Account {
        enabled: false,
        ..account("main", smtp.address.port())
    };
    let saved = create(&client, off).await;
    assert!(saved.test.is_none());
    let mut main = saved.account.unwrap();
    assert_eq!((main.tested_at, smtp.connections()), (None, 0));
    let request = pb::TestConnectionRequest {
        target: Some(pb::test_connection_request::Target::Account(main.name.clone())),
        recipient: String::new(),
    };
    let report = client.policy.clone().test_connection(request).await.unwrap();
    assert!(report.into_inner().succeeded);
    // Remembered in the database, not in the process.
    service.stop().await;
    let service = home.serve(Machine::real()).await;
    let client = service.client(&home.caller("again", Role::Admin).await).await;
    main.enabled = true;
    let saved = update(&client, &main, &["enabled"]).await.unwrap();
    assert!(saved.test.is_none() && saved.account.unwrap().enabled);
    assert_eq!(smtp.connections(), 1);
}

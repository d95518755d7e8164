//! Keys are rotated under a running service: nothing is lost, nothing fails.

use std::{fs, path::Path};

use mailfactor::{domain::caller::Role, pb::v1 as pb};
use serde_json::Value;

use crate::harness::{
    client::Client,
    command::mailfactor,
    letter,
    service::Home,
    smtp::{Options, SmtpServer},
};

const PASSWORD: &str = "canary-of-the-key-test";

async fn keys(home: &Home, words: &str) -> Value {
    let config = home.write();
    let line = format!("--config {} keys {words} --json", config.display());
    mailfactor(&line, &[], "").await.json()
}

fn newest(answer: &Value) -> &str {
    answer["newest"].as_str().unwrap()
}

async fn code_of(client: &Client, smtp: &SmtpServer, user: &str) -> (String, String) {
    let challenge = client.start(user).await.unwrap().challenge_id;
    let code = letter::newest_to(smtp, &format!("{user}@example.com")).await;
    (challenge, code)
}

async fn verifies(client: &Client, (challenge, code): (String, String)) {
    let answer = client.verify(&challenge, &code).await.unwrap();
    assert_eq!(answer.result(), pb::VerifyResult::Verified);
}

async fn server() -> SmtpServer {
    SmtpServer::start(Options {
        login: Some(("PLAIN", "user", PASSWORD)),
        ..Options::default()
    })
    .await
}

fn account(smtp: &SmtpServer) -> pb::Account {
    pb::Account {
        name: "main".into(),
        enabled: true,
        host: "127.0.0.1".into(),
        port: smtp.address.port().into(),
        security: pb::ConnectionSecurity::None.into(),
        sender: "login@example.org".into(),
        authentication: true,
        username: "user".into(),
        secret: Some(pb::AccountSecret {
            source: Some(pb::account_secret::Source::Password(PASSWORD.into())),
        }),
        ..pb::Account::default()
    }
}

#[tokio::test]
async fn a_rotation_under_a_running_service_loses_nothing() {
    // No pooled connection: every mail logs in, with the password as it is sealed at that moment.
    let home = Home::new().with("delivery.pool_idle", "1s");
    home.users(&[
        ("ann", "ann@example.com"),
        ("bo", "bo@example.com"),
        ("cy", "cy@example.com"),
    ]);
    let (process, smtp) = (home.spawn().await, server().await);
    let client = process.client(&home.caller("ops", Role::Admin).await).await;
    client.create_account(account(&smtp)).await;
    let before = code_of(&client, &smtp, "ann").await;
    let answer = keys(&home, "rotate").await;
    assert!(newest(&answer).starts_with("k2-"), "{answer}");
    assert_eq!(answer["lost"], 0);
    // The password, the mail and what the challenge keeps.
    assert_eq!(answer["resealed"], 3, "{answer}");
    // The running service opens what it did not seal.
    let mut policy = client.policy.clone();
    let tested = policy.test_connection(pb::TestConnectionRequest {
        target: Some(pb::test_connection_request::Target::Account("main".into())),
        recipient: String::new(),
    });
    let report = tested.await.unwrap().into_inner();
    assert!(report.succeeded, "{report:?}");
    verifies(&client, before).await;
    let during = code_of(&client, &smtp, "bo").await;
    // Once more, and again without another key: nothing is left to do.
    let twice = keys(&home, "rotate").await;
    assert!(newest(&twice).starts_with("k3-"), "{twice}");
    assert_eq!(keys(&home, "reseal").await["lost"], 0);
    let names = serde_json::json!(["k1", newest(&answer), newest(&twice)]);
    assert_eq!(keys(&home, "list").await, names);
    process.stop().await;
    let process = home.spawn().await;
    let client = process.client(&home.caller("again", Role::Admin).await).await;
    verifies(&client, during).await;
    let after = code_of(&client, &smtp, "cy").await;
    verifies(&client, after).await;
    process.stop().await;
    // With the first key's seal gone from every row, the middle line can be taken out.
    keys(&home, "reseal").await;
    let file = home.path("mailfactor.keys");
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains(PASSWORD));
    without(&file, "k2-");
    let answer = keys(&home, "reseal").await;
    assert_eq!(answer["lost"], 0, "{answer}");
}

#[tokio::test]
async fn a_rotation_that_was_interrupted_is_finished_by_the_next() {
    let home = Home::new();
    home.users(&[("ann", "ann@example.com")]);
    let (process, smtp) = (home.spawn().await, server().await);
    let client = process.client(&home.caller("ops", Role::Admin).await).await;
    client.create_account(account(&smtp)).await;
    let before = code_of(&client, &smtp, "ann").await;
    // It came as far as the key file, and left a file that was being written.
    let file = home.path("mailfactor.keys");
    fs::write(home.path("mailfactor.keys.new"), "k2 0123").unwrap();
    mailfactor::config::keys::add(&file, &mailfactor::system::SystemEntropy).unwrap();
    verifies(&client, before).await;
    assert_eq!(keys(&home, "reseal").await["resealed"], 3);
    assert_eq!(keys(&home, "reseal").await["resealed"], 0);
    process.stop().await;
}

#[tokio::test]
async fn what_no_key_opens_is_told_and_left_alone() {
    let home = Home::new();
    home.users(&[("ann", "ann@example.com")]);
    let (process, smtp) = (home.spawn().await, server().await);
    let client = process.client(&home.caller("ops", Role::Admin).await).await;
    client.create_account(account(&smtp)).await;
    process.stop().await;
    keys(&home, "rotate").await;
    let file = home.path("mailfactor.keys");
    let whole = fs::read_to_string(&file).unwrap();
    without(&file, "k2-");
    let config = home.write();
    let line = format!("--config {} keys rotate", config.display());
    let error = mailfactor(&line, &[], "").await.failed(1);
    assert!(
        error.contains("1 values are opened by no key") && error.contains("next: "),
        "{error}"
    );
    // The line is put back: everything opens again.
    let added = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{whole}{}\n", added.lines().last().unwrap())).unwrap();
    let answer = keys(&home, "reseal").await;
    assert_eq!((&answer["resealed"], &answer["lost"]), (&1.into(), &0.into()));
}

/// Takes a line out of the key file.
fn without(file: &Path, name: &str) {
    let text = fs::read_to_string(file).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with(name));
    let kept: String = lines.flat_map(|line| [line, "\n"]).collect();
    // In place: owner and mode stay.
    fs::write(file, kept).unwrap();
}

#[tokio::test]
async fn oauth_secrets_are_sealed_anew_with_the_rest() {
    let home = Home::new();
    let process = home.spawn().await;
    let client = process.client(&home.caller("ops", Role::Admin).await).await;
    let secret = |text: &str| {
        Some(pb::OauthSecret {
            source: Some(pb::oauth_secret::Source::Value(text.into())),
        })
    };
    client
        .create_account(pb::Account {
            name: "microsoft".into(),
            preset: "office365".into(),
            authentication: true,
            username: "login@example.org".into(),
            sender: "login@example.org".into(),
            oauth: Some(pb::Oauth {
                provider: pb::OauthProvider::Microsoft365.into(),
                tenant: "example.org".into(),
                grant: pb::OauthGrant::RefreshToken.into(),
                client_id: "client".into(),
                client_secret: secret("the-client-secret"),
                refresh_token: secret("the-refresh-token"),
                ..pb::Oauth::default()
            }),
            ..pb::Account::default()
        })
        .await;
    let answer = keys(&home, "rotate").await;
    assert_eq!((&answer["resealed"], &answer["lost"]), (&2.into(), &0.into()));
    let answer = keys(&home, "reseal").await;
    assert_eq!((&answer["resealed"], &answer["lost"]), (&0.into(), &0.into()));
    process.stop().await;
}

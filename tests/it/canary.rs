//! Canaries: after a thousand flows no code, password or API key stands anywhere but in the mails.

use std::{collections::HashSet, fs};

use futures_util::{StreamExt as _, stream};
use mailfactor::{domain::caller::Role, pb::v1 as pb};

use super::harness::{
    client::Client,
    letter::recipient,
    secrets::{check, check_absent, code, files},
    service::{Home, metrics_page},
    smtp::{Options, SmtpServer},
};

const FLOWS: usize = 1_000;
const PASSWORD: &str = "correct-horse-battery-staple";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_flows_at_trace_leave_no_secret_anywhere() {
    let home = Home::new()
        .with("policy.code.alphabet", "letters")
        .with("policy.code.length", 10);
    let users: Vec<(String, String)> = (0..FLOWS)
        .map(|n| (format!("user{n}"), format!("user{n}@secret-canary.example")))
        .collect();
    let borrowed: Vec<(&str, &str)> = users
        .iter()
        .map(|(name, email)| (name.as_str(), email.as_str()))
        .collect();
    home.users(&borrowed);
    let login = Some(("PLAIN LOGIN", "submitter", PASSWORD));
    let smtp = SmtpServer::start(Options {
        login,
        ..Options::default()
    })
    .await;
    let process = home.spawn_with(&[("MAILFACTOR_LOG", "trace")]).await;
    let admin_key = home.caller("ops", Role::Admin).await;
    let key = home.caller("idp", Role::Authenticator).await;
    let admin = process.client(&admin_key).await;
    admin.create_account(account(&smtp)).await;
    let client = process.client(&key).await;

    let mut answers: Vec<String> = Vec::new();
    let mut challenges = Vec::new();
    for chunk in users.chunks(100) {
        let started: Vec<(String, String)> = stream::iter(chunk)
            .map(|(name, email)| {
                let client = &client;
                async move { (email.clone(), client.start(name).await.unwrap().challenge_id) }
            })
            .buffer_unordered(16)
            .collect()
            .await;
        challenges.extend(started);
    }
    let mails = smtp.wait_for_mails(FLOWS).await;
    for (n, (email, challenge)) in challenges.iter().enumerate() {
        let mail = mails.iter().find(|mail| recipient(mail) == *email).unwrap();
        let code = code(&mail.data);
        // Wrong lengths, wrong codes and right ones: what is refused is not repeated either.
        if n % 3 == 0 {
            answers.push(format!("{:?}", client.verify(challenge, &code[1..]).await));
            answers.push(format!("{:?}", client.verify(&code, challenge).await));
        }
        if n % 2 == 0 {
            let reversed: String = code.chars().rev().collect();
            client.verify(challenge, &reversed).await.unwrap();
        }
        client.verify(challenge, &code).await.unwrap();
    }
    answers.push(outbox(&admin).await);
    answers.push(format!(
        "{:?}",
        Client::connect(process.grpc, "mf_0000000000000000_wrong")
            .await
            .start("x")
            .await
    ));
    answers.push(metrics_page(process.metrics).await);

    let codes: HashSet<String> = mails.iter().map(|mail| code(&mail.data)).collect();
    assert_eq!(codes.len(), FLOWS);
    let secrets = [
        PASSWORD,
        &key[20..],
        &admin_key[20..],
        "c3VibWl0dGVy",
        "AHN1Ym1pdHRlc",
    ];
    let log = process.log();
    assert!(
        log.contains("TRACE") || log.contains("DEBUG"),
        "the log is not at its most talkative"
    );
    for (place, bytes) in [("the log", log.as_bytes())]
        .into_iter()
        .chain(answers.iter().map(|answer| ("an answer", answer.as_bytes())))
    {
        check(place, bytes, &codes, &secrets);
        check_absent(place, bytes, &["@secret-canary.example"]);
    }
    // While it runs, so that the write-ahead log is there too.
    for file in files(&home.path("")) {
        let name = file.display().to_string();
        let bytes = fs::read(&file).unwrap();
        check(&name, &bytes, &codes, &secrets);
        if file.extension().is_none_or(|extension| extension != "toml") {
            check_absent(&name, &bytes, &["@secret-canary.example"]);
        }
    }
}

fn account(smtp: &SmtpServer) -> pb::Account {
    let source = Some(pb::account_secret::Source::Password(PASSWORD.to_owned()));
    pb::Account {
        name: "canary".into(),
        enabled: true,
        host: smtp.address.ip().to_string(),
        port: smtp.address.port().into(),
        security: pb::ConnectionSecurity::None.into(),
        authentication: true,
        username: "submitter".into(),
        secret: Some(pb::AccountSecret { source }),
        sender: "login@example.org".into(),
        ..pb::Account::default()
    }
}

/// Everything the outbox and the accounts tell.
async fn outbox(admin: &Client) -> String {
    let request = pb::ListEntriesRequest {
        page_size: 500,
        ..pb::ListEntriesRequest::default()
    };
    let page = admin
        .outbox
        .clone()
        .list_entries(request)
        .await
        .unwrap()
        .into_inner();
    let mut told = format!("{page:?}");
    for entry in page.entries.iter().take(50) {
        let request = pb::GetEntryRequest {
            entry_id: entry.entry_id.clone(),
        };
        told.push_str(&format!(
            "{:?}",
            admin.outbox.clone().get_entry(request).await.unwrap()
        ));
    }
    let accounts = admin
        .policy
        .clone()
        .list_accounts(pb::ListAccountsRequest {})
        .await
        .unwrap();
    told.push_str(&format!("{accounts:?}"));
    told
}

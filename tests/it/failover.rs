//! One account is dead, another well: every mail arrives, only the first waits, and the dead one is not hammered.

use std::time::Duration;

use mailfactor::{app::Machine, domain::caller::Role, pb::v1 as pb};

use crate::harness::{
    client::Client,
    service::Home,
    smtp::{Act, At, Options, SmtpServer},
};

const USERS: usize = 8;

/// 6 s are promised; the rest is for a machine that runs all tests at once.
const FIRST: Duration = Duration::from_secs(9);

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

/// Mails to users one after the other, `dead` being the default, and what became of each.
async fn mails_past(dead: pb::Account) -> (Vec<Vec<pb::Attempt>>, Duration) {
    let home = Home::new();
    let names: Vec<String> = (0..USERS).map(|number| format!("user{number}")).collect();
    let addresses: Vec<String> = names.iter().map(|name| format!("{name}@example.com")).collect();
    let users: Vec<(&str, &str)> = names
        .iter()
        .map(String::as_str)
        .zip(addresses.iter().map(String::as_str))
        .collect();
    home.users(&users);
    let service = home.serve(Machine::real()).await;
    let client = service.client(&home.caller("ops", Role::Admin).await).await;
    client.create_account(dead).await;
    let healthy = SmtpServer::plain().await;
    // Never asked: it comes after the healthy one.
    let spare = SmtpServer::plain().await;
    let spare_account = pb::Account {
        order: 2,
        ..account("a spare", spare.address.port())
    };
    client.create_account(spare_account).await;
    let healthy_account = pb::Account {
        order: 1,
        ..account("b", healthy.address.port())
    };
    client.create_account(healthy_account).await;
    let mut first = Duration::ZERO;
    for (number, name) in names.iter().enumerate() {
        let begun = tokio::time::Instant::now();
        client.start(name).await.unwrap();
        healthy.wait_for_mails(number + 1).await;
        if number == 0 {
            first = begun.elapsed();
        }
    }
    assert_eq!(spare.connections(), 0);
    (attempts(&client).await, first)
}

/// The attempts of every mail, the oldest mail first.
async fn attempts(client: &Client) -> Vec<Vec<pb::Attempt>> {
    let mut outbox = client.outbox.clone();
    let listed = outbox.list_entries(pb::ListEntriesRequest::default()).await;
    let mut found = Vec::new();
    for entry in listed.unwrap().into_inner().entries.into_iter().rev() {
        let entry_id = entry.entry_id;
        loop {
            let request = pb::GetEntryRequest {
                entry_id: entry_id.clone(),
            };
            let answer = outbox.get_entry(request).await.unwrap().into_inner();
            if answer.entry.unwrap().state() == pb::DeliveryState::Sent {
                found.push(answer.attempts);
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    found
}

fn only_the_first_waited(attempts: &[Vec<pb::Attempt>], first: Duration) {
    assert_eq!(attempts.len(), USERS);
    let accounts: Vec<&str> = attempts[0]
        .iter()
        .map(|attempt| attempt.account.as_str())
        .collect();
    assert_eq!(accounts, ["a dead", "b"]);
    assert_eq!(attempts[0][0].outcome(), pb::DeliveryState::Deferred);
    for later in &attempts[1..] {
        let accounts: Vec<&str> = later.iter().map(|attempt| attempt.account.as_str()).collect();
        assert_eq!(accounts, ["b"], "a later mail was sent past the dead account");
    }
    assert!(first < FIRST, "{first:?}");
}

#[tokio::test]
async fn an_account_that_refuses_connections_is_passed_by() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let (attempts, first) = mails_past(account("a dead", port)).await;
    only_the_first_waited(&attempts, first);
}

#[tokio::test]
async fn an_account_that_says_nothing_is_passed_by() {
    let silent = SmtpServer::plain().await;
    silent.on(At::Greeting, Act::Silence);
    let (attempts, first) = mails_past(account("a dead", silent.address.port())).await;
    only_the_first_waited(&attempts, first);
    assert!(silent.connections() <= 4, "{}", silent.connections());
}

#[tokio::test]
async fn an_account_whose_login_is_refused_is_passed_by() {
    let refusing = SmtpServer::start(Options {
        login: Some(("PLAIN", "user", "right")),
        ..Options::default()
    })
    .await;
    let dead = pb::Account {
        authentication: true,
        username: "user".into(),
        secret: Some(pb::AccountSecret {
            source: Some(pb::account_secret::Source::Password("wrong".into())),
        }),
        ..account("a dead", refusing.address.port())
    };
    let (attempts, first) = mails_past(dead).await;
    only_the_first_waited(&attempts, first);
    assert!(refusing.count("AUTH") <= 4, "{}", refusing.count("AUTH"));
}

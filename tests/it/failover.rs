//! One account is dead, another well: every mail arrives, only the first waits, and the dead one is not hammered.

use std::time::Duration;

use mailfactor::{app::Machine, domain::caller::Role, pb::v1 as pb};

use tonic_health::pb::health_check_response::ServingStatus;

use crate::harness::{
    client::{Client, health},
    ground::wait_for_entry,
    in_time,
    scene::Scene,
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

/// More mails at once than there may be connections: nobody finds out for himself that the account is dead.
#[tokio::test]
async fn a_crowd_at_a_dead_account_waits_once() {
    const CROWD: usize = 40;
    let home = Home::new();
    let names: Vec<String> = (0..CROWD).map(|number| format!("user{number}")).collect();
    let addresses: Vec<String> = names.iter().map(|name| format!("{name}@example.com")).collect();
    let users: Vec<(&str, &str)> = names
        .iter()
        .map(String::as_str)
        .zip(addresses.iter().map(String::as_str))
        .collect();
    home.users(&users);
    let service = home.serve(Machine::real()).await;
    let client = service.client(&home.caller("ops", Role::Admin).await).await;
    let silent = SmtpServer::plain().await;
    silent.on(At::Greeting, Act::Silence);
    let healthy = SmtpServer::plain().await;
    client
        .create_account(account("a dead", silent.address.port()))
        .await;
    client.create_account(account("b", healthy.address.port())).await;
    let begun = tokio::time::Instant::now();
    for name in &names {
        client.start(name).await.unwrap();
    }
    healthy.wait_for_mails(CROWD).await;
    assert!(begun.elapsed() < FIRST, "{:?}", begun.elapsed());
    let asked = silent.connections();
    assert!(asked <= 10, "{asked} connections to the dead account");
    // What the administrator sees of it.
    let states = standings(&client).await;
    assert_eq!(
        states,
        [
            ("a dead".to_owned(), pb::AccountState::Resting),
            ("b".to_owned(), pb::AccountState::Working)
        ]
    );
    assert_eq!(health(service.grpc, "mail").await, Some(ServingStatus::Serving));

    // It comes back: it is found out without a mail, and mail goes through it again.
    silent.behave();
    let found_out = async {
        while standings(&client).await[0].1 != pb::AccountState::Working {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    in_time(found_out).await;
    assert!(silent.mails().is_empty());
    service.stop().await;
}

async fn standings(client: &Client) -> Vec<(String, pb::AccountState)> {
    let listed = client
        .policy
        .clone()
        .list_accounts(pb::ListAccountsRequest {})
        .await;
    let accounts = listed.unwrap().into_inner().accounts;
    accounts
        .into_iter()
        .map(|account| (account.name, account.standing.unwrap().state()))
        .collect()
}

#[tokio::test]
async fn mails_beyond_a_limit_wait_and_are_not_lost() {
    let scene = Scene::set().await;
    let strict = SmtpServer::plain().await;
    let mut limited = account("strict", strict.address.port());
    limited.messages_per_minute = 2;
    limited.messages_per_day = 3;
    let id = scene.admin.create_account(limited).await.account_id;
    let policy = scene.admin.policy.clone();
    let request = pb::SetDefaultAccountRequest { account: id };
    policy.clone().set_default_account(request).await.unwrap();
    // What may go at once goes; what is beyond goes through the other account.
    scene.idp.start("ann").await.unwrap();
    strict.wait_for_mails(1).await;
    scene.clock.advance(Duration::from_secs(1));
    scene.idp.start("bo").await.unwrap();
    scene.mails(1).await;
    let found = standings(&scene.admin).await;
    assert!(
        found.contains(&("strict".to_owned(), pb::AccountState::Spent)),
        "{found:?}"
    );
    // Without another one it waits, and says for what.
    let request = pb::DeleteAccountRequest {
        account: format!("test-{}", scene.smtp.address.port()),
        etag: String::new(),
    };
    policy.clone().delete_account(request).await.unwrap();
    scene.clock.advance(Duration::from_secs(1));
    scene.idp.start("cy").await.unwrap();
    let (entry, attempts) =
        wait_for_entry(&scene.admin, |entry| entry.state() == pb::DeliveryState::Deferred).await;
    assert!(entry.last_error.contains("limits"), "{}", entry.last_error);
    assert!(attempts.is_empty(), "{attempts:?}");
    scene.clock.advance(Duration::from_secs(62));
    assert_eq!(strict.wait_for_mails(2).await.len(), 2);
    scene.end().await;
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

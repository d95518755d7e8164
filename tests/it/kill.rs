//! `kill -9` under load: whatever was acknowledged is mailed, once or, after an unknown outcome, twice the same.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use mailfactor::{domain::caller::Role, pb::v1 as pb};
use tokio::{sync::mpsc, task::JoinSet};

use super::harness::{
    client::Client,
    in_time,
    letter::recipient,
    process::Process,
    service::Home,
    smtp::{Captured, SmtpServer},
};

const KILLS: usize = 50;
/// Starts that are acknowledged before each kill; others are under way at that moment.
const ACKNOWLEDGED: usize = 20;
const PARALLEL: usize = 8;
const USERS: usize = KILLS * (ACKNOWLEDGED + 2 * PARALLEL);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_kills_under_load_lose_no_acknowledged_mail() {
    let home = Home::new();
    let users: Vec<(String, String)> = (0..USERS)
        .map(|n| (format!("user{n}"), format!("user{n}@example.com")))
        .collect();
    let borrowed: Vec<(&str, &str)> = users
        .iter()
        .map(|(name, email)| (name.as_str(), email.as_str()))
        .collect();
    home.users(&borrowed);
    let smtp = SmtpServer::plain().await;
    let process = home.spawn().await;
    let admin_key = home.caller("ops", Role::Admin).await;
    let key = home.caller("idp", Role::Authenticator).await;
    process.client(&admin_key).await.mail_through(smtp.address).await;

    let next_user = Arc::new(AtomicUsize::new(0));
    let mut acknowledged: Vec<usize> = Vec::new();
    let mut process = Some(process);
    for _ in 0..KILLS {
        let running = match process.take() {
            Some(running) => running,
            None => home.spawn().await,
        };
        acknowledged.extend(load_until_killed(running, &key, &next_user).await);
    }

    let last = home.spawn().await;
    let admin = last.client(&admin_key).await;
    in_time(async {
        while open_entries(&admin).await > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(acknowledged.len() >= KILLS * ACKNOWLEDGED);
    check_ledger(&acknowledged, &smtp.mails());
    last.kill();
}

/// Starts challenges until enough are acknowledged, then kills the server under those still under way. Gives the users
/// whose start was acknowledged.
async fn load_until_killed(process: Process, key: &str, next_user: &Arc<AtomicUsize>) -> Vec<usize> {
    let client = process.client(key).await;
    let (sender, mut acknowledgements) = mpsc::unbounded_channel();
    let mut load = JoinSet::new();
    for _ in 0..PARALLEL {
        let (client, sender, next_user) = (client.clone(), sender.clone(), Arc::clone(next_user));
        load.spawn(async move {
            loop {
                let user = next_user.fetch_add(1, Ordering::Relaxed);
                if user >= USERS || client.start(&format!("user{user}")).await.is_err() {
                    return;
                }
                let _ = sender.send(user);
            }
        });
    }
    drop(sender);
    let mut acknowledged = Vec::new();
    while acknowledged.len() < ACKNOWLEDGED {
        acknowledged.push(
            in_time(acknowledgements.recv())
                .await
                .expect("the load ended before the kill"),
        );
    }
    process.kill();
    // Those whose answer arrived before the connection broke count as well.
    while let Some(user) = in_time(acknowledgements.recv()).await {
        acknowledged.push(user);
    }
    acknowledged
}

async fn open_entries(admin: &Client) -> usize {
    let request = pb::ListEntriesRequest {
        states: vec![
            pb::DeliveryState::Queued.into(),
            pb::DeliveryState::Deferred.into(),
        ],
        ..pb::ListEntriesRequest::default()
    };
    admin
        .outbox
        .clone()
        .list_entries(request)
        .await
        .unwrap()
        .into_inner()
        .entries
        .len()
}

fn check_ledger(acknowledged: &[usize], mails: &[Captured]) {
    let mut copies: HashMap<String, Vec<&str>> = HashMap::new();
    for mail in mails {
        copies.entry(recipient(mail)).or_default().push(&mail.data);
    }
    for user in acknowledged {
        let address = format!("user{user}@example.com");
        assert!(
            copies.contains_key(&address),
            "the mail to {address} was acknowledged and lost"
        );
    }
    for (address, sources) in copies {
        assert!(sources.len() <= 2, "{} copies to {address}", sources.len());
        assert!(
            sources.iter().all(|source| *source == sources[0]),
            "the copies to {address} differ"
        );
    }
}

//! What a caller holds open ends with its right to call: within 5 s, wherever the stream is.

use std::time::Duration;

use mailfactor::{app::Machine, domain::caller::Role, pb::v1 as pb};
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};

use crate::harness::{
    client::Client,
    ground::{Ground, reason},
    postgres::Postgres,
    service::Home,
};

const PROMISED: Duration = Duration::from_secs(5);

/// The same, once a key that was made just now is known.
async fn watch_soon(client: &Client, challenge_id: &str) -> Streaming<pb::WatchChallengeResponse> {
    let known = timeout(PROMISED, async {
        while client.get(challenge_id).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    known.await.expect("the new key is not taken");
    watch(client, challenge_id).await
}

async fn watch(client: &Client, challenge_id: &str) -> Streaming<pb::WatchChallengeResponse> {
    let request = pb::WatchChallengeRequest {
        challenge_id: challenge_id.to_owned(),
    };
    let watching = client.challenges.clone().watch_challenge(request).await;
    let mut news = watching.unwrap().into_inner();
    news.message().await.unwrap().unwrap();
    news
}

async fn watch_entries(client: &Client) -> Streaming<pb::WatchEntriesResponse> {
    let request = pb::WatchEntriesRequest::default();
    client
        .outbox
        .clone()
        .watch_entries(request)
        .await
        .unwrap()
        .into_inner()
}

/// Waits for the end of a stream, whatever comes before.
async fn end<T>(mut news: Streaming<T>) -> Status {
    let ended = timeout(PROMISED, async {
        loop {
            match news.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it ended as if all were well"),
                Err(status) => return status,
            }
        }
    });
    ended.await.expect("the stream stays open")
}

fn changed() -> (Code, String) {
    (Code::Unauthenticated, "CALLER_CHANGED".to_owned())
}

#[tokio::test]
async fn streams_of_a_removed_caller_end_and_nobody_elses_do() {
    let ground = Ground::set(Home::new()).await;
    let (service, idp) = ground.serve(Machine::real()).await;
    let portal = service
        .client(&ground.home.caller("portal", Role::Endpoint).await)
        .await;
    let auditor = service
        .client(&ground.home.caller("revision", Role::Auditor).await)
        .await;
    let theirs = portal.start("u0").await.unwrap().challenge_id;
    let ours = idp.start("ann").await.unwrap().challenge_id;
    let (challenge, entries) = (watch(&portal, &theirs).await, watch_entries(&auditor).await);
    let mut kept = watch(&idp, &ours).await;
    ground.home.remove_caller("portal").await;
    ground.home.remove_caller("revision").await;
    let (challenge, entries) = tokio::join!(end(challenge), end(entries));
    assert_eq!(reason(&challenge), changed());
    assert_eq!(reason(&entries), changed());
    // The authentication server's stream goes on: it hears of a cancellation.
    let challenge_id = ours.clone();
    let cancel = pb::CancelChallengeRequest { challenge_id };
    idp.challenges.clone().cancel_challenge(cancel).await.unwrap();
    let last = timeout(PROMISED, async {
        loop {
            let news = kept
                .message()
                .await
                .unwrap()
                .expect("it ends with the last state");
            if news.challenge.unwrap().state() == pb::ChallengeState::Cancelled {
                return;
            }
        }
    });
    last.await.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn streams_under_a_superseded_key_end_and_those_under_its_successors_stay() {
    let ground = Ground::set(Home::new()).await;
    let (service, _idp) = ground.serve(Machine::real()).await;
    let first = service
        .client(&ground.home.caller("portal", Role::Endpoint).await)
        .await;
    let id = first.start("u0").await.unwrap().challenge_id;
    let old = watch(&first, &id).await;
    let second = service.client(&ground.home.rotate_caller("portal").await).await;
    let mut newer = watch_soon(&second, &id).await;
    // The first key still works beside the second; with the third it is superseded.
    let third = ground.home.rotate_caller("portal").await;
    assert_eq!(reason(&end(old).await), changed());
    let still = timeout(Duration::from_millis(200), newer.message()).await;
    assert!(still.is_err() || still.unwrap().is_ok(), "the key before is good");
    watch_soon(&service.client(&third).await, &id).await;
    service.stop().await;
}

#[tokio::test]
async fn streams_end_on_every_instance() {
    let Some(server) = Postgres::shared() else { return };
    let url = server.url(&server.database());
    let ground = Ground::set(Home::on_server(&url)).await;
    let (service, idp) = ground.serve(Machine::real()).await;
    let beside = ground.home.beside();
    let second = beside.serve(Machine::real()).await;
    let id = idp.start("ann").await.unwrap().challenge_id;
    let here = watch(&idp, &id).await;
    let there = watch(&second.client(&ground.idp).await, &id).await;
    ground.home.remove_caller("idp").await;
    let (here, there) = tokio::join!(end(here), end(there));
    assert_eq!(reason(&here), changed());
    assert_eq!(reason(&there), changed());
    second.stop().await;
    service.stop().await;
}

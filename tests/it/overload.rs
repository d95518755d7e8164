//! More than the service can do: refused at once, nothing queued, nothing lost (R12).

use std::time::Duration;

use mailfactor::{app::Machine, pb::v1 as pb};
use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};
use tokio::{io::AsyncReadExt as _, net::TcpStream, task::JoinSet, time::timeout};
use tonic::Code;

use crate::harness::{
    client::{Client, health},
    ground::{Ground, reason, retry_after, wait_for_health},
    in_time, letter,
    service::Home,
};
use tonic_health::pb::health_check_response::ServingStatus;

#[tokio::test]
async fn calls_beyond_the_room_are_refused_at_once_and_told_when_to_come_back() {
    let scene = Ground::set(Home::new().with("server.limits.requests", 4)).await;
    let (service, idp) = scene.serve(Machine::real()).await;
    let open = idp.start("ann").await.unwrap();
    let code = letter::newest_to(&scene.smtp, "ann@example.com").await;
    let mut other = SqliteConnectOptions::new()
        .filename(scene.home.path("mailfactor.db"))
        .busy_timeout(Duration::from_secs(10))
        .connect()
        .await
        .unwrap();
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut other).await.unwrap();
    let mut calls = JoinSet::new();
    for _ in 0..40 {
        let (idp, id, code) = (idp.clone(), open.challenge_id.clone(), code.clone());
        calls.spawn(async move { idp.verify(&id, &code).await.unwrap_err() });
    }
    // The promise is 50 ms, while the two of a caller's share that found room wait a second and more for the store.
    let mut answers = Vec::new();
    for _ in 0..38 {
        let answer = timeout(Duration::from_millis(900), calls.join_next()).await;
        answers.push(answer.expect("a refusal waits for the store").unwrap().unwrap());
    }
    for status in &answers {
        let expected = (Code::ResourceExhausted, "OVERLOADED".to_owned());
        assert_eq!(reason(status), expected);
        assert_eq!(retry_after(status), Some(Duration::from_secs(1)));
    }
    for status in in_time(calls.join_all()).await {
        assert_eq!(reason(&status).1, "STORE_UNAVAILABLE");
    }
    // Health is asked while calls are refused: it takes no place.
    assert_eq!(
        health(service.grpc, "liveness").await,
        Some(ServingStatus::Serving)
    );
    other.close().await.unwrap();
    wait_for_health(service.grpc, "", ServingStatus::Serving, Duration::from_secs(8)).await;
    let verdict = idp.verify(&open.challenge_id, &code).await.unwrap();
    assert_eq!(verdict.result(), pb::VerifyResult::Verified);
    service.stop().await;
}

#[tokio::test]
async fn a_thousand_connections_do_not_take_it_down() {
    let scene = Ground::set(Home::new().with("server.limits.connections", 64)).await;
    let (service, idp) = scene.serve(Machine::real()).await;
    let mut held = Vec::new();
    for _ in 0..1_000 {
        held.push(TcpStream::connect(service.grpc).await.unwrap());
    }
    // Who was in before is served.
    let challenge = idp.start("ann").await.unwrap();
    let code = letter::newest_to(&scene.smtp, "ann@example.com").await;
    let verdict = idp.verify(&challenge.challenge_id, &code).await.unwrap();
    assert_eq!(verdict.result(), pb::VerifyResult::Verified);
    // The ones in excess were closed as they came; silent ones follow, and then there is room again.
    let mut last = held.pop().unwrap();
    let closed = in_time(async { last.read(&mut [0; 1]).await }).await;
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    let newcomer = in_time(async {
        while health(service.grpc, "").await != Some(ServingStatus::Serving) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Client::connect(service.grpc, &scene.idp).await
    })
    .await;
    newcomer.start("u0").await.unwrap();
    drop(held);
    service.stop().await;
}

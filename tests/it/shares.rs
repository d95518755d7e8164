//! Nobody takes more than a share: what one caller does, or one address, leaves the others served (R15).

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use h2::client::SendRequest;
use mailfactor::{app::Machine, domain::caller::Role, pb::v1 as pb};
use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};
use tokio::{net::TcpSocket, task::JoinSet};
use tonic::{Code, transport::Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::harness::{
    client::{Client, channel},
    ground::{Ground, reason},
    in_time, letter,
    scene::Scene,
    service::Home,
};

const OVERLOADED: (Code, &str) = (Code::ResourceExhausted, "OVERLOADED");

/// One login from start to verdict.
async fn log_in(ground: &Ground, client: &Client, user: &str) {
    let challenge = in_time(client.start(user)).await.unwrap();
    let code = letter::newest_to(&ground.smtp, &format!("{user}@example.com")).await;
    let verdict = in_time(client.verify(&challenge.challenge_id, &code))
        .await
        .unwrap();
    assert_eq!(verdict.result(), pb::VerifyResult::Verified);
}

/// A connection on which requests can be left half said; it is driven as long as `peers` lives.
async fn connect(address: SocketAddr, peers: &mut JoinSet<()>) -> SendRequest<Bytes> {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    peers.spawn(async move {
        let _ = connection.await;
    });
    sender.ready().await.unwrap()
}

#[tokio::test]
async fn requests_without_their_message_hold_no_place() {
    let ground = Ground::set(Home::new().with("server.limits.requests", 32)).await;
    let (service, idp) = ground.serve(Machine::real()).await;
    let key = ground.home.caller("portal", Role::Endpoint).await;
    let other = service
        .client(&ground.home.caller("kiosk", Role::Endpoint).await)
        .await;
    let (mut peers, mut held) = (JoinSet::new(), Vec::new());
    for _ in 0..4 {
        let mut sender = connect(service.grpc, &mut peers).await;
        for _ in 0..50 {
            let uri = format!(
                "http://{}/mailfactor.v1.EmailOtpAuthenticator/StartChallenge",
                service.grpc
            );
            let request = http::Request::builder()
                .method("POST")
                .uri(uri)
                .header("content-type", "application/grpc")
                .header("te", "trailers")
                .header("authorization", format!("Bearer {key}"))
                .body(())
                .unwrap();
            let (answer, body) = sender.send_request(request, false).unwrap();
            held.push((answer, body));
            sender = in_time(sender.ready()).await.unwrap();
        }
    }
    // 200 of them at 32 places, and the service serves everybody else.
    log_in(&ground, &idp, "ann").await;
    log_in(&ground, &other, "u0").await;
    drop((held, peers));
    service.stop().await;
}

#[tokio::test]
async fn a_flood_of_calls_fills_its_callers_share_and_no_more() {
    let ground = Ground::set(Home::new().with("server.limits.requests", 32)).await;
    let (service, idp) = ground.serve(Machine::real()).await;
    let flood = service
        .client(&ground.home.caller("portal", Role::Endpoint).await)
        .await;
    let open = idp.start("ann").await.unwrap();
    let flooded = flood.start("u0").await.unwrap();
    let mut writer = SqliteConnectOptions::new()
        .filename(ground.home.path("mailfactor.db"))
        .busy_timeout(Duration::from_secs(10))
        .connect()
        .await
        .unwrap();
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut writer).await.unwrap();
    let mut calls = JoinSet::new();
    for _ in 0..100 {
        let (flood, id) = (flood.clone(), flooded.challenge_id.clone());
        calls.spawn(async move { flood.verify(&id, "000000").await.unwrap_err() });
    }
    // Nothing of it ends while the store is held, except what found no place.
    let mut refused = Vec::new();
    for _ in 0..96 {
        refused.push(in_time(calls.join_next()).await.unwrap().unwrap());
    }
    for status in &refused {
        assert_eq!(reason(status), (OVERLOADED.0, OVERLOADED.1.to_owned()));
    }
    // Another caller's call is in work: it hears of the store, not of the flood.
    let status = idp.verify(&open.challenge_id, "000000").await.unwrap_err();
    assert_eq!(reason(&status).1, "STORE_UNAVAILABLE");
    writer.close().await.unwrap();
    drop(calls);
    service.stop().await;
}

#[tokio::test]
async fn watches_of_one_caller_leave_room_for_those_of_others() {
    let ground = Ground::set(Home::new().with("server.limits.requests", 32)).await;
    let (service, idp) = ground.serve(Machine::real()).await;
    let greedy = service
        .client(&ground.home.caller("portal", Role::Endpoint).await)
        .await;
    let theirs = greedy.start("u0").await.unwrap().challenge_id;
    let mut watching = Vec::new();
    let refused = loop {
        let request = pb::WatchChallengeRequest {
            challenge_id: theirs.clone(),
        };
        match in_time(greedy.challenges.clone().watch_challenge(request)).await {
            Ok(stream) => watching.push(stream.into_inner()),
            Err(status) => break status,
        }
        assert!(watching.len() <= 32);
    };
    assert_eq!(reason(&refused), (OVERLOADED.0, OVERLOADED.1.to_owned()));
    assert_eq!(watching.len(), 4, "an eighth of the places");
    let challenge_id = idp.start("ann").await.unwrap().challenge_id;
    let request = pb::WatchChallengeRequest { challenge_id };
    let mut news = idp
        .challenges
        .clone()
        .watch_challenge(request)
        .await
        .unwrap()
        .into_inner();
    assert!(in_time(news.message()).await.unwrap().is_some());
    // One that ends makes room for the next.
    watching.pop();
    in_time(async {
        let request = pb::WatchChallengeRequest {
            challenge_id: theirs.clone(),
        };
        while greedy
            .challenges
            .clone()
            .watch_challenge(request.clone())
            .await
            .is_err()
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    drop((watching, news));
    service.stop().await;
}

#[tokio::test]
async fn health_watches_of_one_address_leave_room_for_those_of_others() {
    let ground = Ground::set(Home::new().with("server.limits.requests", 32)).await;
    let (service, _idp) = ground.serve(Machine::real()).await;
    let mut watching = Vec::new();
    let refused = loop {
        let mut client = HealthClient::new(channel(service.grpc).await.unwrap());
        match in_time(client.watch(HealthCheckRequest::default())).await {
            Ok(stream) => watching.push(stream.into_inner()),
            Err(status) => break status,
        }
        assert!(watching.len() <= 32);
    };
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    // Somebody at another address.
    let grpc = service.grpc;
    let elsewhere = tower::service_fn(move |_| async move {
        let socket = TcpSocket::new_v4()?;
        socket.bind("127.0.0.2:0".parse().unwrap())?;
        std::io::Result::Ok(hyper_util::rt::TokioIo::new(socket.connect(grpc).await?))
    });
    let endpoint = Endpoint::from_shared(format!("http://{grpc}")).unwrap();
    let mut other = HealthClient::new(endpoint.connect_with_connector(elsewhere).await.unwrap());
    let mut news = in_time(other.watch(HealthCheckRequest::default()))
        .await
        .unwrap()
        .into_inner();
    assert!(in_time(news.message()).await.unwrap().is_some());
    drop((watching, news));
    service.stop().await;
}

/// Starts for so many users, one after the other; how many were let through.
async fn flood(client: &Client, users: std::ops::Range<usize>) -> usize {
    let mut started = 0;
    for number in users {
        match client.start(&format!("many{number}")).await {
            Ok(_) => started += 1,
            Err(status) => assert_eq!(reason(&status).1, "SEND_BUDGET_SPENT"),
        }
    }
    started
}

fn crowd() -> Vec<(String, String)> {
    let many = (0..80).map(|number| format!("many{number}"));
    many.chain(["ann".to_owned(), "bo".to_owned()])
        .map(|name| (name.clone(), format!("{name}@example.com")))
        .collect()
}

/// A home of many users, and a mail account that sends 60 mails a minute, six of them at once.
async fn slow_account(home: Home) -> (Scene, Client, Client) {
    let crowd = crowd();
    let users: Vec<(&str, &str)> = crowd
        .iter()
        .map(|(name, email)| (name.as_str(), email.as_str()))
        .collect();
    home.users(&users);
    let scene = Scene::at(home).await;
    let mut accounts = scene.admin.policy.clone();
    let listed = accounts.list_accounts(pb::ListAccountsRequest::default()).await;
    let mut account = listed.unwrap().into_inner().accounts.remove(0);
    account.messages_per_minute = 60;
    let request = pb::UpdateAccountRequest {
        account: Some(account),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["messages_per_minute".to_owned()],
        }),
    };
    accounts.update_account(request).await.unwrap();
    let portal = scene.caller("portal", Role::Endpoint).await;
    let kiosk = scene.caller("kiosk", Role::Endpoint).await;
    (scene, portal, kiosk)
}

#[tokio::test]
async fn a_flood_of_mails_delays_its_callers_own_and_nobody_elses() {
    let (scene, portal, kiosk) = slow_account(Home::new()).await;
    assert_eq!(flood(&portal, 0..80).await, 80, "its budget is not counted here");
    // What may go at once has gone, except what is in reserve.
    let sent = scene.mails(4).await.len();
    assert!(sent <= 5, "{sent} went at once");
    // The authentication server's goes at once all the same, on a clock that stands still.
    scene.idp.start("ann").await.unwrap();
    in_time(scene.smtp.wait_for_mail_to("ann@example.com")).await;
    // The other endpoint's goes after a turn or two, not after eighty.
    kiosk.start("bo").await.unwrap();
    let mut seconds = 0;
    in_time(async {
        let mut waiting = std::pin::pin!(scene.smtp.wait_for_mail_to("bo@example.com"));
        while tokio::time::timeout(Duration::from_millis(400), waiting.as_mut())
            .await
            .is_err()
        {
            scene.clock.advance(Duration::from_secs(1));
            seconds += 1;
        }
    })
    .await;
    assert!(seconds <= 12, "it waited for {seconds} mails' time");
    scene.end().await;
}

#[tokio::test]
async fn an_endpoint_has_a_budget_of_mails_by_default_and_decoys_are_charged_to_it() {
    let home = Home::new().with("policy.sends.caller.burst", 30);
    let (scene, portal, _kiosk) = slow_account(home).await;
    let mut started = 0;
    for number in 0..40 {
        // Every other name is nobody's.
        let user = if number % 2 == 0 { "many" } else { "nobody" };
        started += usize::from(portal.start(&format!("{user}{number}")).await.is_ok());
    }
    assert_eq!(started, 30);
    // Its budget is its own, and that of an authentication server larger.
    for number in 40..75 {
        scene.idp.start(&format!("many{number}")).await.unwrap();
    }
    scene.clock.advance(Duration::from_secs(2));
    portal.start("ann").await.unwrap();
    let status = portal.start("bo").await.unwrap_err();
    assert_eq!(reason(&status).1, "SEND_BUDGET_SPENT");
    scene.end().await;
}

#[tokio::test]
async fn decoys_are_forgotten_soon_and_whoever_may_not_know_cannot_tell() {
    let mut home = Home::new();
    home.set("policy.sends.user.burst", 20);
    home.users(&[("ann", "ann@example.com")]);
    let scene = Scene::at(home).await;
    let portal = scene.caller("portal", Role::Endpoint).await;
    let (real, decoy) = (
        portal.start("ann").await.unwrap().challenge_id,
        portal.start("nobody").await.unwrap().challenge_id,
    );
    // Expired, and still there: both.
    scene.clock.advance(Duration::from_secs(301));
    for id in [&real, &decoy] {
        assert_eq!(portal.get(id).await.unwrap().state(), pb::ChallengeState::Expired);
    }
    scene.clock.advance(Duration::from_secs(600));
    for id in [&real, &decoy] {
        let status = portal.get(id).await.unwrap_err();
        assert_eq!(reason(&status).1, "CHALLENGE_UNKNOWN");
        let status = portal.verify(id, "000000").await.unwrap_err();
        assert_eq!(reason(&status).1, "CHALLENGE_UNKNOWN");
    }
    // The administrator still sees what there was.
    let seen = scene.admin.get(&real).await.unwrap();
    assert_eq!(seen.state(), pb::ChallengeState::Expired);
    // The next process cleans up as it begins: nothing of the decoy is left, all of the user's is.
    let Scene {
        service, home, clock, ..
    } = scene;
    service.stop().await;
    let machine = Machine {
        clock: clock.clone(),
        ..Machine::real()
    };
    let service = home.serve(machine).await;
    let mut database = SqliteConnectOptions::new()
        .filename(home.path("mailfactor.db"))
        .connect()
        .await
        .unwrap();
    in_time(async {
        loop {
            let left: i64 = sqlx::query_scalar(
                "SELECT (SELECT COUNT(*) FROM challenges WHERE decoy = 1) + (SELECT COUNT(*) FROM outbox WHERE decoy = 1)",
            )
            .fetch_one(&mut database)
            .await
            .unwrap();
            if left == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let kept: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM challenges")
        .fetch_one(&mut database)
        .await
        .unwrap();
    assert_eq!(kept, 1);
    database.close().await.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn sixty_password_checks_at_once_fail_nobody_elses() {
    // As dear as a hash of today: 60 of them are seconds of work.
    const DEAR: &str = "$2b$10$abcdefghijklmnopqrstuuLK4yYxcGJwQr33yKnQTmKjI1WQSUD2K";
    let ground = Ground::set(crate::password::hashes(&[("ann", DEAR), ("bo", DEAR)]).await).await;
    let (service, idp) = ground.serve(Machine::real()).await;
    let portal = service
        .client(&ground.home.caller("portal", Role::Endpoint).await)
        .await;
    let mut flood = JoinSet::new();
    for number in 0..60 {
        let portal = portal.clone();
        flood.spawn(async move {
            let answer = portal.start_with(&format!("nobody{number}"), "wrong").await;
            reason(&answer.unwrap_err()).1
        });
    }
    // In the midst of it the authentication server's are checked, one after the other.
    for _ in 0..3 {
        let answer = in_time(idp.start_with("ann", "wrong")).await;
        assert_eq!(reason(&answer.unwrap_err()).1, "WRONG_PASSWORD");
    }
    let answers = in_time(flood.join_all()).await;
    let refused = answers.iter().filter(|answer| *answer == "OVERLOADED").count();
    assert!(refused >= 1, "some of the flood find no turn: {answers:?}");
    service.stop().await;
}

#[tokio::test]
async fn reports_are_read_in_a_lane_of_their_own() {
    let ground = Ground::set(Home::new()).await;
    let (service, idp) = ground.serve(Machine::real()).await;
    let greedy = service
        .client(&ground.home.caller("greedy", Role::Auditor).await)
        .await;
    let modest = service
        .client(&ground.home.caller("modest", Role::Auditor).await)
        .await;
    let mut exports = JoinSet::new();
    for _ in 0..300 {
        let greedy = greedy.clone();
        exports.spawn(async move {
            let request = pb::ExportEntriesRequest::default();
            let mut chunks = match greedy.outbox.clone().export_entries(request).await {
                Ok(stream) => stream.into_inner(),
                Err(status) => return Some(status),
            };
            loop {
                match chunks.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return None,
                    Err(status) => return Some(status),
                }
            }
        });
    }
    log_in(&ground, &idp, "ann").await;
    let list = pb::ListEntriesRequest::default();
    in_time(modest.outbox.clone().list_entries(list)).await.unwrap();
    for status in in_time(exports.join_all()).await.into_iter().flatten() {
        assert_eq!(reason(&status), (OVERLOADED.0, OVERLOADED.1.to_owned()));
        assert!(crate::harness::ground::retry_after(&status).is_some());
    }
    service.stop().await;
}

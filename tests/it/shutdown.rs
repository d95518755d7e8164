//! The end of the real binary under load (R10): at once visible, no accepted call lost, in time whatever hangs.

use std::{sync::Arc, time::Duration};

use mailfactor::pb::v1 as pb;
use nix::sys::signal::Signal;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, sync::Semaphore, task::JoinSet, time::timeout};
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::harness::{
    client::channel,
    ground::Ground,
    in_time, letter,
    service::Home,
    smtp::{Act, At},
};

/// Those who watch health are told at once; those who have not heard of it yet are served for as long as was promised.
#[tokio::test]
async fn calls_are_taken_until_the_notice_is_over() {
    let scene = Ground::set(Home::new().with("shutdown.notice", "5s")).await;
    let mut process = scene.home.spawn().await;
    let admin = process.client(&scene.admin).await;
    admin.mail_through(scene.smtp.address).await;
    let mut health = HealthClient::new(channel(process.grpc).await.unwrap());
    let request = HealthCheckRequest::default();
    let mut updates = health.watch(request.clone()).await.unwrap().into_inner();
    in_time(updates.message()).await.unwrap().unwrap();
    process.signal(Signal::SIGTERM);
    let told = in_time(updates.message()).await.unwrap().unwrap();
    assert_eq!(told.status(), ServingStatus::NotServing);
    // On a connection that is new, too.
    let idp = process.client(&scene.idp).await;
    let challenge = idp.start("ann").await.unwrap();
    idp.get(&challenge.challenge_id).await.unwrap();
    let asked = health.check(request).await.unwrap().into_inner();
    assert_eq!(asked.status(), ServingStatus::NotServing);
    let status = in_time(process.ended()).await;
    assert!(status.success(), "{status}:\n{}", process.log());
    assert!(TcpStream::connect(process.grpc).await.is_err());
}

#[tokio::test]
async fn sigterm_under_load_fails_no_accepted_call_and_ends_in_time() {
    let home = Home::new()
        .with("policy.sends.user.burst", 100_000)
        .with("policy.sends.user.per_day", 100_000)
        .with("policy.sends.address.burst", 100_000)
        .with("policy.sends.address.per_day", 100_000);
    let scene = Ground::set(home).await;
    scene.smtp.on(At::Dot, Act::Silence);
    let mut process = scene.home.spawn().await;
    let admin = process.client(&scene.admin).await;
    admin.mail_through(scene.smtp.address).await;
    let idp = process.client(&scene.idp).await;

    // What is open, and would stay open: two streams, a connection that says nothing, one that says half.
    let open = idp.start("ann").await.unwrap();
    let request = pb::WatchChallengeRequest {
        challenge_id: open.challenge_id.clone(),
    };
    let watch = idp.challenges.clone().watch_challenge(request).await.unwrap();
    let mut watch = watch.into_inner();
    in_time(watch.message()).await.unwrap().unwrap();
    let mut health = HealthClient::new(channel(process.grpc).await.unwrap());
    let request = HealthCheckRequest::default();
    let mut health = health.watch(request).await.unwrap().into_inner();
    let first = in_time(health.message()).await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);
    let _silent = TcpStream::connect(process.grpc).await.unwrap();
    let mut half = TcpStream::connect(process.grpc).await.unwrap();
    half.write_all(b"PRI * HTTP/2.0").await.unwrap();

    let mut load = JoinSet::new();
    let done = Arc::new(Semaphore::new(0));
    for number in 0..8 {
        let (idp, done) = (idp.clone(), done.clone());
        load.spawn(async move {
            let mut accepted = Vec::new();
            loop {
                match idp.start(&format!("u{number}")).await {
                    Ok(challenge) => accepted.push(challenge.challenge_id),
                    Err(status) => return (accepted, status),
                }
                done.add_permits(1);
            }
        });
    }
    // The load is under way.
    in_time(done.acquire_many(40)).await.unwrap().forget();
    process.signal(Signal::SIGTERM);
    let told = timeout(Duration::from_secs(2), health.message()).await;
    let told = told.expect("health is silent").unwrap().unwrap();
    assert_eq!(told.status(), ServingStatus::NotServing);
    let mut accepted = vec![open.challenge_id];
    for (ids, status) in in_time(load.join_all()).await {
        // A call that came too late was told so, or found nobody, or never left the client.
        let text = format!("{status:?}");
        let unsent = status.code() == Code::Cancelled && text.contains("connection closed");
        assert!(status.code() == Code::Unavailable || unsent, "{text}");
        accepted.extend(ids);
    }
    let ended = timeout(Duration::from_secs(27), process.ended()).await;
    let status = ended.expect("the process takes longer than promised");
    assert!(status.success(), "{status}:\n{}", process.log());

    // Every challenge that was acknowledged is there, and there is none that was not: no call was cut off half-way.
    let process = scene.home.spawn().await;
    let idp = process.client(&scene.idp).await;
    for id in &accepted {
        idp.get(id).await.unwrap();
    }
    let mut outbox = process.client(&scene.admin).await.outbox;
    let (mut owed, mut page_token) = (0, String::new());
    loop {
        let request = pb::ListEntriesRequest {
            page_size: 500,
            page_token,
            ..pb::ListEntriesRequest::default()
        };
        let page = outbox.list_entries(request).await.unwrap().into_inner();
        owed += page.entries.len();
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(owed, accepted.len());
}

#[tokio::test]
async fn what_was_not_begun_is_sent_by_the_next_process_at_once() {
    let scene = Ground::set(
        Home::new()
            .with("delivery.concurrency", 1)
            .with("delivery.timeouts.accept", "2s"),
    )
    .await;
    let mut process = scene.home.spawn().await;
    let admin = process.client(&scene.admin).await;
    admin.mail_through(scene.smtp.address).await;
    let idp = process.client(&scene.idp).await;
    // The only place is taken; the second mail is leased to this process and waits in its tray.
    scene.smtp.times(1, At::Body, Act::Silence);
    idp.start("u0").await.unwrap();
    in_time(async {
        while scene.smtp.count("DATA") == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let waiting = idp.start("u1").await.unwrap();
    process.signal(Signal::SIGTERM);
    assert!(process.ended().await.success(), "{}", process.log());
    assert!(scene.smtp.mails().is_empty());
    let process = scene.home.spawn().await;
    // Well before its lease of 30 s would have run out.
    let code = timeout(
        Duration::from_secs(10),
        letter::newest_to(&scene.smtp, "u1@example.com"),
    );
    let code = code.await.expect("the mail waits for its lease");
    let idp = process.client(&scene.idp).await;
    let verdict = idp.verify(&waiting.challenge_id, &code).await.unwrap();
    assert_eq!(verdict.result(), pb::VerifyResult::Verified);
}

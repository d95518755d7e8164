//! Watch: a challenge as it stands, then every change, then the end.

use std::time::Duration;

use mailfactor::{
    domain::caller::Role,
    pb::v1::{self as pb, ChallengeState, DeliveryState},
};
use tonic::{Code, Streaming};

use super::harness::{
    client::Client,
    in_time, letter,
    scene::{Scene, refused, start, waiting},
    smtp::{Act, At},
};

async fn watch(client: &Client, id: &str) -> Streaming<pb::WatchChallengeResponse> {
    let request = pb::WatchChallengeRequest {
        challenge_id: id.to_owned(),
    };
    let news = client.challenges.clone().watch_challenge(request).await;
    news.unwrap().into_inner()
}

/// The next of the news; `None` where the stream ended with OK.
async fn next(news: &mut Streaming<pb::WatchChallengeResponse>) -> Option<pb::Challenge> {
    in_time(news.message())
        .await
        .unwrap()
        .map(|update| update.challenge.unwrap())
}

/// What changed, of the next news.
async fn step(news: &mut Streaming<pb::WatchChallengeResponse>) -> (ChallengeState, DeliveryState, i32, i32) {
    let challenge = next(news).await.expect("more news");
    (
        challenge.state(),
        challenge.delivery(),
        challenge.code_number,
        challenge.attempts_left,
    )
}

#[tokio::test]
async fn a_login_is_followed_from_its_mail_to_its_end() {
    let scene = Scene::set().await;
    // The mail server takes its time: the mail stays queued until it is told to go on.
    scene
        .smtp
        .times(1, At::Dot, Act::Delay(Duration::from_millis(500)));
    let challenge = scene.idp.start("ann").await.unwrap();
    let id = challenge.challenge_id.as_str();
    let mut news = watch(&scene.idp, id).await;
    let pending = ChallengeState::Pending;
    assert_eq!(step(&mut news).await, (pending, DeliveryState::Queued, 1, 5));
    assert_eq!(step(&mut news).await, (pending, DeliveryState::Sent, 1, 5));
    let code = letter::code(&scene.mails(1).await[0].data);
    scene.idp.verify(id, &letter::another(&code)).await.unwrap();
    assert_eq!(step(&mut news).await, (pending, DeliveryState::Sent, 1, 4));
    scene.idp.verify(id, &code).await.unwrap();
    let last = next(&mut news).await.unwrap();
    assert_eq!(last, scene.idp.get(id).await.unwrap());
    assert_eq!(last.state(), ChallengeState::Verified);
    assert!(last.verified_at.is_some());
    assert_eq!(next(&mut news).await, None);
    // Who comes later sees the end and is sent home.
    let mut late = watch(&scene.admin, id).await;
    assert_eq!(next(&mut late).await, Some(last));
    assert_eq!(next(&mut late).await, None);
    scene.end().await;
}

#[tokio::test]
async fn trouble_further_codes_and_a_cancellation_are_told() {
    let scene = Scene::set().await;
    scene.smtp.times(1, At::Rcpt, Act::Reply("450 4.2.1 try later"));
    let challenge = start(&scene.idp, waiting("ann")).await.unwrap();
    let id = challenge.challenge_id.as_str();
    let mut news = watch(&scene.idp, id).await;
    let pending = ChallengeState::Pending;
    assert_eq!(step(&mut news).await, (pending, DeliveryState::Deferred, 1, 5));
    // The retry comes when its time does.
    scene.clock.advance(Duration::from_secs(30));
    assert_eq!(step(&mut news).await, (pending, DeliveryState::Sent, 1, 5));
    scene.idp.resend(id).await.unwrap();
    loop {
        let told = step(&mut news).await;
        assert_eq!((told.0, told.2), (pending, 2));
        if told.1 == DeliveryState::Sent {
            break;
        }
        assert_eq!(told.1, DeliveryState::Queued);
    }
    let cancel = pb::CancelChallengeRequest {
        challenge_id: id.to_owned(),
    };
    scene
        .idp
        .challenges
        .clone()
        .cancel_challenge(cancel)
        .await
        .unwrap();
    assert_eq!(
        step(&mut news).await,
        (ChallengeState::Cancelled, DeliveryState::Sent, 2, 5)
    );
    assert_eq!(next(&mut news).await, None);
    scene.end().await;
}

#[tokio::test]
async fn the_end_of_the_time_is_told_when_it_comes() {
    let scene = Scene::set().await;
    let challenge = start(&scene.idp, waiting("ann")).await.unwrap();
    let mut news = watch(&scene.idp, &challenge.challenge_id).await;
    assert_eq!(step(&mut news).await.0, ChallengeState::Pending);
    scene.clock.advance(Duration::from_secs(300));
    let last = next(&mut news).await.unwrap();
    assert_eq!(last.state(), ChallengeState::Expired);
    assert_eq!(last.resend_at, None);
    assert_eq!(next(&mut news).await, None);
    // And to who asks afterwards.
    let mut late = watch(&scene.idp, &challenge.challenge_id).await;
    assert_eq!(step(&mut late).await.0, ChallengeState::Expired);
    assert_eq!(next(&mut late).await, None);
    scene.end().await;
}

#[tokio::test]
async fn a_caller_that_may_not_see_users_is_told_nothing_of_the_mail() {
    let scene = Scene::set().await;
    let laptops = scene.caller("laptops", Role::Endpoint).await;
    let challenge = laptops.start("ann").await.unwrap();
    let id = challenge.challenge_id.as_str();
    let mut news = watch(&laptops, id).await;
    let withheld = DeliveryState::Withheld;
    assert_eq!(step(&mut news).await, (ChallengeState::Pending, withheld, 1, 5));
    let code = letter::code(&scene.mails(1).await[0].data);
    scene.admin.wait_until(id, DeliveryState::Sent).await;
    laptops.verify(id, &code).await.unwrap();
    // Nothing between: that the mail went out was no news here.
    assert_eq!(step(&mut news).await, (ChallengeState::Verified, withheld, 1, 5));
    assert_eq!(next(&mut news).await, None);
    scene.end().await;
}

#[tokio::test]
async fn an_end_of_the_service_is_no_end_of_the_challenge() {
    let scene = Scene::set().await;
    let challenge = start(&scene.idp, waiting("ann")).await.unwrap();
    let mut news = watch(&scene.idp, &challenge.challenge_id).await;
    assert_eq!(step(&mut news).await.0, ChallengeState::Pending);
    scene.service.begin_end();
    assert_eq!(
        refused(in_time(news.message()).await),
        (Code::Unavailable, "SHUTTING_DOWN".to_owned())
    );
    scene.end().await;
}

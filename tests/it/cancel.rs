//! Cancel: closes a challenge, again as often as one likes, and takes back a mail that is not out yet.

use std::time::Duration;

use mailfactor::pb::v1::{self as pb, ChallengeState, DeliveryState, VerifyResult};
use tonic::{Code, Status};

use super::harness::{
    client::Client,
    letter,
    scene::{Scene, refused, start, waiting},
    smtp::{Act, At},
};

async fn cancel(client: &Client, id: &str) -> Result<pb::Challenge, Status> {
    let request = pb::CancelChallengeRequest {
        challenge_id: id.to_owned(),
    };
    let answer = client.challenges.clone().cancel_challenge(request).await?;
    Ok(answer.into_inner().challenge.unwrap())
}

#[tokio::test]
async fn a_cancelled_challenge_stays_cancelled() {
    let scene = Scene::set().await;
    let started = start(&scene.idp, waiting("ann")).await.unwrap();
    let id = started.challenge_id.as_str();
    let code = letter::code(&scene.mails(1).await[0].data);
    let cancelled = cancel(&scene.idp, id).await.unwrap();
    assert_eq!(
        cancelled,
        pb::Challenge {
            state: ChallengeState::Cancelled.into(),
            resend_at: None,
            ..started.clone()
        }
    );
    // Once more is OK and says the same; so does everybody who may see it.
    assert_eq!(cancel(&scene.idp, id).await.unwrap(), cancelled);
    assert_eq!(cancel(&scene.admin, id).await.unwrap(), cancelled);
    assert_eq!(scene.idp.get(id).await.unwrap(), cancelled);
    let verdict = scene.idp.verify(id, &code).await.unwrap();
    assert_eq!(
        (verdict.result(), verdict.attempts_left),
        (VerifyResult::Cancelled, 5)
    );
    assert_eq!(
        refused(scene.idp.resend(id).await),
        (Code::FailedPrecondition, "CHALLENGE_CLOSED".to_owned())
    );
    scene.clock.advance(Duration::from_secs(300));
    // Time changes nothing of what has happened.
    assert_eq!(cancel(&scene.idp, id).await.unwrap(), cancelled);
    scene.end().await;
}

#[tokio::test]
async fn a_mail_not_yet_out_is_taken_back() {
    let scene = Scene::set().await;
    scene.smtp.on(At::Greeting, Act::Reply("421 4.3.2 not now"));
    let started = start(&scene.idp, waiting("ann")).await.unwrap();
    assert_eq!(started.delivery(), DeliveryState::Deferred);
    let cancelled = cancel(&scene.idp, &started.challenge_id).await.unwrap();
    assert_eq!(cancelled.delivery(), DeliveryState::Withdrawn);
    scene.smtp.behave();
    // Long enough for every retry, and a later mail that does go out: the withdrawn one never does.
    scene.clock.advance(Duration::from_secs(60));
    start(&scene.idp, waiting("bo")).await.unwrap();
    let mails = scene.mails(1).await;
    assert_eq!(letter::recipient(&mails[0]), "bo@example.com");
    let entries = pb::ListEntriesRequest {
        states: vec![DeliveryState::Withdrawn.into()],
        ..pb::ListEntriesRequest::default()
    };
    let entries = scene.admin.outbox.clone().list_entries(entries).await.unwrap();
    let entries = entries.into_inner().entries;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].next_attempt_at, None);
    scene.end().await;
}

#[tokio::test]
async fn what_ended_another_way_cannot_be_cancelled() {
    let scene = Scene::set().await;
    let closed = (Code::FailedPrecondition, "CHALLENGE_CLOSED".to_owned());
    let verified = start(&scene.idp, waiting("ann")).await.unwrap().challenge_id;
    let locked = start(&scene.idp, waiting("bo")).await.unwrap().challenge_id;
    let expired = start(&scene.idp, waiting("cy")).await.unwrap().challenge_id;
    let codes = letter::codes(&scene.mails(3).await);
    scene
        .idp
        .verify(&verified, &codes["ann@example.com"])
        .await
        .unwrap();
    for _ in 0..5 {
        let wrong = letter::another(&codes["bo@example.com"]);
        scene.idp.verify(&locked, &wrong).await.unwrap();
    }
    for id in [&verified, &locked] {
        assert_eq!(refused(cancel(&scene.idp, id).await), closed);
    }
    scene.clock.advance(Duration::from_secs(300));
    for id in [&verified, &locked, &expired] {
        assert_eq!(refused(cancel(&scene.idp, id).await), closed);
    }
    let states = [
        (&verified, ChallengeState::Verified),
        (&locked, ChallengeState::Locked),
        (&expired, ChallengeState::Expired),
    ];
    for (id, state) in states {
        assert_eq!(scene.idp.get(id).await.unwrap().state(), state);
    }
    scene.end().await;
}

//! Get: a challenge as it stands, for whose it is and for administrators.

use mailfactor::{
    domain::caller::Role,
    pb::v1::{self as pb, ChallengeState, DeliveryState},
};
use tonic::{Code, Status};

use super::harness::{
    client::Client,
    letter,
    scene::{Scene, refused, start, waiting},
};

#[tokio::test]
async fn a_challenge_is_shown_as_it_stands() {
    let scene = Scene::set().await;
    let started = start(&scene.idp, waiting("ann")).await.unwrap();
    let id = started.challenge_id.as_str();
    assert_eq!(scene.idp.get(id).await.unwrap(), started);

    let code = letter::code(&scene.mails(1).await[0].data);
    scene.idp.verify(id, &letter::another(&code)).await.unwrap();
    let after_a_slip = scene.idp.get(id).await.unwrap();
    assert_eq!(
        after_a_slip,
        pb::Challenge {
            attempts_left: 4,
            ..started.clone()
        }
    );

    let verdict = scene.idp.verify(id, &code).await.unwrap();
    let verified = scene.idp.get(id).await.unwrap();
    assert_eq!(verified.state(), ChallengeState::Verified);
    assert_eq!(verified.delivery(), DeliveryState::Sent);
    assert_eq!(verified.verified_at, verdict.verified_at);
    assert_eq!(verified.resend_at, None);
    // Once more says the same of it, and is no second success.
    let again = scene.idp.verify(id, &code).await.unwrap();
    assert_eq!(again.result(), pb::VerifyResult::AlreadyUsed);
    assert_eq!(again.verified_at, verdict.verified_at);
    scene.end().await;
}

/// What every method on challenges says of one.
async fn tries(client: &Client, id: &str) -> Vec<Result<String, Status>> {
    let challenge_id = id.to_owned();
    let watched = client
        .challenges
        .clone()
        .watch_challenge(pb::WatchChallengeRequest {
            challenge_id: challenge_id.clone(),
        })
        .await;
    let cancelled = client
        .challenges
        .clone()
        .cancel_challenge(pb::CancelChallengeRequest { challenge_id })
        .await;
    vec![
        client.get(id).await.map(|challenge| challenge.challenge_id),
        client.resend(id).await.map(|challenge| challenge.challenge_id),
        client
            .verify(id, "123456")
            .await
            .map(|verdict| format!("{verdict:?}")),
        watched.map(|_| "a stream".to_owned()),
        cancelled.map(|answer| format!("{answer:?}")),
    ]
}

#[tokio::test]
async fn the_challenges_of_others_are_no_challenges() {
    let scene = Scene::set().await;
    let challenge = start(&scene.idp, waiting("ann")).await.unwrap();
    let strangers = [
        scene.caller("portal", Role::Authenticator).await,
        scene.caller("laptops", Role::Endpoint).await,
    ];
    for stranger in strangers {
        let theirs = tries(&stranger, &challenge.challenge_id).await;
        let nobodys = tries(&stranger, "AAAAAAAAAAAAAAAAAAAAAA").await;
        for (theirs, nobodys) in theirs.into_iter().zip(nobodys) {
            let (theirs, nobodys) = (theirs.unwrap_err(), nobodys.unwrap_err());
            assert_eq!(theirs.message(), "no such challenge");
            assert_eq!(theirs.message(), nobodys.message());
            assert_eq!(theirs.details(), nobodys.details());
            assert_eq!(
                refused::<()>(Err(theirs)),
                (Code::NotFound, "CHALLENGE_UNKNOWN".to_owned())
            );
        }
    }
    // None of it left a trace, and an administrator sees it.
    assert_eq!(
        scene.idp.get(&challenge.challenge_id).await.unwrap(),
        scene.admin.get(&challenge.challenge_id).await.unwrap()
    );
    assert_eq!(
        scene
            .idp
            .get(&challenge.challenge_id)
            .await
            .unwrap()
            .attempts_left,
        5
    );
    scene.end().await;
}

#[tokio::test]
async fn what_is_no_id_is_said_to_be_none() {
    let scene = Scene::set().await;
    for id in [
        "",
        "x",
        "AAAAAAAAAAAAAAAAAAAAAB",
        &"A".repeat(23),
        "../../../../etc/passw",
    ] {
        for answer in tries(&scene.idp, id).await {
            assert_eq!(
                refused(answer),
                (Code::InvalidArgument, "INVALID_FIELD".to_owned()),
                "{id:?}"
            );
        }
    }
    scene.end().await;
}

//! Resend: after the cooldown, with a number, without giving back anything that was spent.

use std::time::Duration;

use mailfactor::{
    domain::caller::Role,
    pb::v1::{self as pb, DeliveryState, VerifyResult},
};
use tonic::Code;

use super::harness::{
    letter,
    scene::{Scene, header, html, refused, retry_after, seconds_after, start, text, waiting},
    service::Home,
};

const COOLDOWN: Duration = Duration::from_secs(30);

fn exhausted(reason: &str) -> (Code, String) {
    (Code::ResourceExhausted, reason.to_owned())
}

#[tokio::test]
async fn a_further_code_comes_after_the_cooldown_and_says_its_number() {
    let scene = Scene::set().await;
    let first = start(&scene.idp, waiting("ann")).await.unwrap();
    let id = first.challenge_id.as_str();
    scene.clock.advance(Duration::from_secs(13));
    let early = scene.idp.resend(id).await.unwrap_err();
    assert_eq!(retry_after(&early), Some(Duration::from_secs(17)));
    assert_eq!(
        refused::<pb::Challenge>(Err(early)),
        exhausted("RESEND_TOO_EARLY")
    );

    scene.clock.advance(Duration::from_secs(17));
    let request = pb::ResendCodeRequest {
        challenge_id: id.to_owned(),
        wait_for_mail_server: true,
    };
    let answer = scene.idp.challenges.clone().resend_code(request).await.unwrap();
    let second = answer.into_inner().challenge.unwrap();
    assert_eq!(second.challenge_id, first.challenge_id);
    assert_eq!((second.code_number, second.delivery()), (2, DeliveryState::Sent));
    assert_eq!(second.created_at, first.created_at);
    assert_eq!(second.expires_at, first.expires_at, "a resend prolongs nothing");
    assert_eq!(seconds_after(second.created_at, second.resend_at), 60);
    assert_eq!(scene.idp.get(id).await.unwrap(), second);

    let mails = scene.mails(2).await;
    assert!(
        !text(&mails[0]).contains("number"),
        "the first needs no number:\n{}",
        text(&mails[0])
    );
    for body in [text(&mails[1]), html(&mails[1])] {
        assert!(body.contains("code number 2"), "{body}");
        // 270 s are left: no more is promised than whole minutes of them.
        assert!(body.contains("for 4 minutes"), "{body}");
    }
    assert_ne!(letter::code(&mails[0].data), letter::code(&mails[1].data));
    assert_ne!(header(&mails[0], "Message-ID"), header(&mails[1], "Message-ID"));
    scene.end().await;
}

#[tokio::test]
async fn the_code_before_still_counts_and_the_one_before_that_does_not() {
    for (chosen, expected) in [
        (0, VerifyResult::WrongCode),
        (1, VerifyResult::Verified),
        (2, VerifyResult::Verified),
    ] {
        let scene = Scene::set().await;
        let challenge = start(&scene.idp, waiting("ann")).await.unwrap();
        for number in 2..=3 {
            scene.clock.advance(COOLDOWN);
            scene.idp.resend(&challenge.challenge_id).await.unwrap();
            scene.mails(number).await;
        }
        let code = letter::code(&scene.mails(3).await[chosen].data);
        let verdict = scene.idp.verify(&challenge.challenge_id, &code).await.unwrap();
        assert_eq!(verdict.result(), expected, "code no. {}", chosen + 1);
        scene.end().await;
    }
}

#[tokio::test]
async fn wrong_codes_stay_counted() {
    let scene = Scene::set().await;
    let challenge = start(&scene.idp, waiting("ann")).await.unwrap();
    let id = challenge.challenge_id.as_str();
    let first = letter::code(&scene.mails(1).await[0].data);
    // Further codes are none of these.
    let wrong = |codes: &[String]| {
        (0..)
            .map(|number| format!("{number:06}"))
            .find(|code| !codes.contains(code))
            .unwrap()
    };
    for left in [4, 3, 2] {
        let code = wrong(std::slice::from_ref(&first));
        let verdict = scene.idp.verify(id, &code).await.unwrap();
        assert_eq!(
            (verdict.result(), verdict.attempts_left),
            (VerifyResult::WrongCode, left)
        );
    }
    scene.clock.advance(COOLDOWN);
    assert_eq!(scene.idp.resend(id).await.unwrap().attempts_left, 2);
    let second = letter::code(&scene.mails(2).await[1].data);
    let code = wrong(&[first, second.clone()]);
    for left in [1, 0] {
        let verdict = scene.idp.verify(id, &code).await.unwrap();
        assert_eq!(
            (verdict.result(), verdict.attempts_left),
            (VerifyResult::WrongCode, left)
        );
    }
    assert_eq!(
        scene.idp.verify(id, &second).await.unwrap().result(),
        VerifyResult::ChallengeLocked
    );
    scene.clock.advance(COOLDOWN);
    assert_eq!(
        refused(scene.idp.resend(id).await),
        (Code::FailedPrecondition, "CHALLENGE_CLOSED".to_owned())
    );
    scene.end().await;
}

#[tokio::test]
async fn resends_are_counted_with_starts_and_end_with_the_challenge() {
    let home = Home::new().with("policy.resend.codes", 2);
    home.users(&[("ann", "ann@example.com"), ("bo", "bo@example.com")]);
    let scene = Scene::at(home).await;
    let challenge = start(&scene.idp, waiting("ann")).await.unwrap();
    let id = challenge.challenge_id.as_str();
    scene.clock.advance(COOLDOWN);
    let last = scene.idp.resend(id).await.unwrap();
    assert_eq!(last.resend_at, None, "there is no third code to wait for");
    scene.mails(2).await;
    scene.clock.advance(COOLDOWN);
    let refusal = scene.idp.resend(id).await.unwrap_err();
    assert_eq!(retry_after(&refusal), None, "waiting does not help");
    assert_eq!(
        refused::<pb::Challenge>(Err(refusal)),
        exhausted("SEND_BUDGET_SPENT")
    );
    // The third mail of three, and then there is none for a fourth, neither for the old challenge nor a new one.
    // Out before the clock moves on: a lease that ran out would wait for a clock that stands.
    let next = start(&scene.idp, waiting("ann")).await.unwrap();
    let spent = scene.idp.start("ann").await.unwrap_err();
    assert!(retry_after(&spent).unwrap() > Duration::from_mins(5));
    assert_eq!(
        refused::<pb::Challenge>(Err(spent)),
        exhausted("SEND_BUDGET_SPENT")
    );
    scene.clock.advance(COOLDOWN);
    let spent = scene.idp.resend(&next.challenge_id).await.unwrap_err();
    assert!(retry_after(&spent).is_some());
    assert_eq!(
        refused::<pb::Challenge>(Err(spent)),
        exhausted("SEND_BUDGET_SPENT")
    );
    // What was refused changed nothing: the code that is out still counts.
    let newest = letter::codes(&scene.mails(3).await)["ann@example.com"].clone();
    assert_eq!(
        scene
            .idp
            .verify(&next.challenge_id, &newest)
            .await
            .unwrap()
            .result(),
        VerifyResult::Verified
    );
    // Ten minutes bring one more.
    scene.clock.advance(Duration::from_mins(10));
    scene.idp.start("ann").await.unwrap();
    scene.end().await;
}

#[tokio::test]
async fn only_whose_challenge_it_is_may_ask_for_more() {
    let scene = Scene::set().await;
    let portal = scene.caller("portal", Role::Authenticator).await;
    let challenge = start(&scene.idp, waiting("ann")).await.unwrap();
    scene.clock.advance(COOLDOWN);
    assert_eq!(
        refused(portal.resend(&challenge.challenge_id).await),
        (Code::NotFound, "CHALLENGE_UNKNOWN".to_owned())
    );
    assert_eq!(
        scene
            .admin
            .resend(&challenge.challenge_id)
            .await
            .unwrap()
            .code_number,
        2
    );
    scene.clock.advance(Duration::from_secs(300));
    assert_eq!(
        refused(scene.idp.resend(&challenge.challenge_id).await),
        (Code::FailedPrecondition, "CHALLENGE_CLOSED".to_owned())
    );
    scene.end().await;
}

#[tokio::test]
async fn a_further_code_says_where_the_request_comes_from_as_the_first_did() {
    let scene = Scene::set().await;
    let request = pb::StartChallengeRequest {
        event: "payroll".to_owned(),
        endpoint: "laptop-7".to_owned(),
        locale: "de-AT".to_owned(),
        client_ip: "2001:db8::7".to_owned(),
        ..waiting("ann")
    };
    let challenge = start(&scene.idp, request).await.unwrap();
    assert_eq!(
        (challenge.event.as_str(), challenge.endpoint.as_str()),
        ("payroll", "laptop-7")
    );
    scene.clock.advance(Duration::from_secs(30));
    scene.idp.resend(&challenge.challenge_id).await.unwrap();
    for mail in scene.mails(2).await {
        assert_eq!(header(&mail, "Content-Language").as_deref(), Some("de"));
        let (text, html) = (text(&mail), html(&mail));
        for part in ["payroll", "laptop-7", "2001:db8::7"] {
            assert!(
                text.contains(part) && html.contains(part),
                "{part} is not in:\n{text}"
            );
        }
    }
    let kept = scene.idp.get(&challenge.challenge_id).await.unwrap();
    assert_eq!(
        (kept.event.as_str(), kept.endpoint.as_str()),
        ("payroll", "laptop-7")
    );
    scene.end().await;
}

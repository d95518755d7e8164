//! A verdict says what it is for, is refused where the caller expects something else, and may be asked for again.

use std::{collections::BTreeSet, time::Duration};

use mailfactor::{app::Machine, domain::caller::Role, pb::v1 as pb};
use tonic::Code;

use super::harness::{
    client::Client,
    ground::Ground,
    letter,
    postgres::Postgres,
    scene::{Scene, html, refused, start, text},
    service::Home,
};

fn asked(user: &str, purpose: pb::Purpose, event: &str) -> pb::StartChallengeRequest {
    pb::StartChallengeRequest {
        user: user.to_owned(),
        purpose: purpose.into(),
        event: event.to_owned(),
        ..pb::StartChallengeRequest::default()
    }
}

fn submitted(challenge: &pb::Challenge, code: &str) -> pb::VerifyCodeRequest {
    pb::VerifyCodeRequest {
        challenge_id: challenge.challenge_id.clone(),
        code: code.to_owned(),
        ..pb::VerifyCodeRequest::default()
    }
}

#[tokio::test]
async fn a_right_code_for_something_else_never_verifies_and_costs_nothing() {
    let scene = Scene::set().await;
    let open = start(&scene.idp, asked("ann", pb::Purpose::AddressConfirmation, "vpn")).await;
    let open = open.unwrap();
    let code = letter::code(&scene.mails(1).await[0].data);
    let right = submitted(&open, &code);
    let user = |name: &str| pb::VerifyCodeRequest {
        expected_user: name.to_owned(),
        ..right.clone()
    };
    let login = pb::VerifyCodeRequest {
        expected_purpose: pb::Purpose::Login.into(),
        ..user("ann")
    };
    let no_event = pb::VerifyCodeRequest {
        expected_event: Some(String::new()),
        ..login.clone()
    };
    let payroll = pb::VerifyCodeRequest {
        expected_event: Some("payroll".to_owned()),
        ..user("bo")
    };
    for (request, fields) in [
        (user("bo"), &["expected_user"][..]),
        (user("nobody"), &["expected_user"]),
        (login, &["expected_purpose"]),
        (no_event, &["expected_purpose", "expected_event"]),
        (payroll, &["expected_user", "expected_event"]),
    ] {
        for code in [code.clone(), letter::another(&code), "no code".to_owned()] {
            let answer = scene
                .idp
                .judge(pb::VerifyCodeRequest {
                    code,
                    ..request.clone()
                })
                .await;
            let answer = answer.unwrap();
            assert_eq!(answer.result(), pb::VerifyResult::Mismatch, "{answer:?}");
            assert_eq!(answer.mismatched_fields, fields);
            assert_eq!(answer.attempts_left, 5, "a mismatch costs no attempt");
            assert_eq!(answer.verified_at, None);
        }
    }
    let expected = pb::VerifyCodeRequest {
        expected_user: " Ann ".to_owned(),
        expected_purpose: pb::Purpose::AddressConfirmation.into(),
        expected_event: Some("vpn".to_owned()),
        ..right
    };
    let answer = scene.idp.judge(expected.clone()).await.unwrap();
    assert_eq!(answer.result(), pb::VerifyResult::Verified);
    assert!(answer.mismatched_fields.is_empty());
    // Neither does it say `already used` to whoever expects something else.
    let late = pb::VerifyCodeRequest {
        expected_user: "bo".to_owned(),
        ..expected
    };
    assert_eq!(
        scene.idp.judge(late).await.unwrap().result(),
        pb::VerifyResult::Mismatch
    );
    scene.end().await;
}

#[tokio::test]
async fn every_verdict_says_what_it_is_for() {
    let scene = Scene::set().await;
    let laptop = scene.caller("laptop", Role::Endpoint).await;
    let mut mails = 0;
    for (client, name, sees) in [
        (&scene.idp, "ann", true),
        (&scene.idp, " ANN ", true),
        (&laptop, "ann", false),
        (&laptop, "nobody", false),
    ] {
        let open = start(client, asked(name, pb::Purpose::Login, "vpn"))
            .await
            .unwrap();
        let right = if name == "nobody" {
            "000000".to_owned()
        } else {
            mails += 1;
            letter::code(&scene.mails(mails).await[mails - 1].data)
        };
        for code in [letter::another(&right), right.clone(), right] {
            let answer = client.judge(submitted(&open, &code)).await.unwrap();
            assert_eq!(
                (answer.purpose(), answer.event.as_str()),
                (pb::Purpose::Login, "vpn")
            );
            let who = (answer.repository.as_str(), answer.subject.as_str());
            assert_eq!(who, if sees { ("staff", "ann") } else { ("", "") }, "{name:?}");
        }
    }
    scene.end().await;
}

/// What a caller learns of names by expecting them is what it typed itself: of a real user and of an invented one alike.
#[tokio::test]
async fn expecting_a_name_tells_nothing_of_who_there_is() {
    let scene = Scene::set().await;
    let laptop = scene.caller("laptop", Role::Endpoint).await;
    let mut told = BTreeSet::new();
    for name in ["ann", "ghost"] {
        let open = laptop.start(name).await.unwrap();
        let mut of_this = Vec::new();
        for expected in [
            name.to_owned(),
            name.to_uppercase(),
            format!(" {name}"),
            "bo".into(),
            "nobody".into(),
        ] {
            let request = pb::VerifyCodeRequest {
                expected_user: expected,
                ..submitted(&open, "00000")
            };
            // Five digits: what is as expected is refused for its code.
            of_this.push(match laptop.judge(request).await {
                Ok(answer) => format!("{:?} {answer:?}", answer.result()),
                Err(status) => format!("{:?} {}", status.code(), status.message()),
            });
        }
        told.insert(of_this);
    }
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told.first().unwrap()[3].contains("expected_user"), "{told:#?}");
    scene.end().await;
}

/// 64 at once and again after a restart: counted once, answered alike. Other contents under the same id are refused.
async fn repeats(ground: Ground) {
    let (service, idp) = ground.serve(Machine::real()).await;
    let open = idp.start("ann").await.unwrap();
    let right = letter::newest_to(&ground.smtp, "ann@example.com").await;
    let wrong = letter::another(&right);
    let with = |code: &str, id: &str| pb::VerifyCodeRequest {
        request_id: id.to_owned(),
        ..submitted(&open, code)
    };
    let crowd = async |client: &Client, code: &str, id: &str| {
        let calls = (0..64).map(|_| client.judge(with(code, id)));
        let answers = futures_util::future::join_all(calls).await;
        let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        answers[0].clone()
    };
    let first = crowd(&idp, &wrong, "first").await;
    assert_eq!(
        (first.result(), first.attempts_left),
        (pb::VerifyResult::WrongCode, 4)
    );
    assert_eq!(idp.get(&open.challenge_id).await.unwrap().attempts_left, 4);
    let reused = idp.judge(with(&right, "first")).await;
    assert_eq!(
        refused(reused),
        (Code::AlreadyExists, "REQUEST_ID_REUSED".to_owned())
    );
    let expecting = pb::VerifyCodeRequest {
        expected_user: "ann".to_owned(),
        ..with(&wrong, "first")
    };
    assert_eq!(refused(idp.judge(expecting).await).0, Code::AlreadyExists);
    assert_eq!(idp.get(&open.challenge_id).await.unwrap().attempts_left, 4);
    let second = crowd(&idp, &right, "second").await;
    assert_eq!(second.result(), pb::VerifyResult::Verified);
    let others = futures_util::future::join_all((0..64).map(|n| {
        let request = with(&right, &format!("other-{n}"));
        let idp = idp.clone();
        async move { idp.judge(request).await.unwrap().result() }
    }));
    assert!(
        others
            .await
            .iter()
            .all(|result| *result == pb::VerifyResult::AlreadyUsed)
    );
    service.stop().await;

    let service = ground.home.serve(Machine::real()).await;
    let idp = service.client(&ground.idp).await;
    assert_eq!(crowd(&idp, &wrong, "first").await, first);
    assert_eq!(crowd(&idp, &right, "second").await, second);
    let again = idp.judge(with(&right, "")).await.unwrap();
    assert_eq!(again.result(), pb::VerifyResult::AlreadyUsed);
    // The id is that of one caller and one challenge.
    let other = service.client(&ground.admin).await;
    let foreign = other.judge(with(&right, "second")).await.unwrap();
    assert_eq!(foreign.result(), pb::VerifyResult::AlreadyUsed);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_verdict_is_given_again_and_counted_once() {
    repeats(Ground::set(Home::new()).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_verdict_is_given_again_on_postgres() {
    let Some(server) = Postgres::start() else {
        return;
    };
    let home = Home::on_server(&server.url(&server.database()));
    repeats(Ground::set(home).await).await;
}

/// Whoever has several mails, or several screens, tells by the reference which belong together.
#[tokio::test]
async fn mail_and_answer_carry_the_same_reference() {
    let scene = Scene::set().await;
    let laptop = scene.caller("laptop", Role::Endpoint).await;
    let mut references = BTreeSet::new();
    for (number, locale) in ["en", "de", "fr", "es", "zh"].into_iter().enumerate() {
        let request = pb::StartChallengeRequest {
            locale: locale.to_owned(),
            ..asked(["ann", "bo", "cy"][number % 3], pb::Purpose::Login, "")
        };
        let open = start(&scene.idp, request).await.unwrap();
        let mail = scene.mails(number + 1).await.pop().unwrap();
        assert_eq!(open.reference.len(), 4, "{open:?}");
        assert!(text(&mail).contains(&open.reference), "{}", text(&mail));
        assert!(html(&mail).contains(&format!(">{}<", open.reference)));
        let kept = scene.idp.get(&open.challenge_id).await.unwrap();
        assert_eq!(kept.reference, open.reference);
        references.insert(open.reference);
        scene.clock.advance(Duration::from_mins(60));
    }
    // Of nobody there is one as well.
    assert_eq!(laptop.start("nobody").await.unwrap().reference.len(), 4);
    assert!(references.len() > 1, "{references:?}");
    scene.end().await;
}

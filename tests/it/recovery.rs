//! Recovery: a temporary password by mail, good once, and the verdict says that it must be changed.

use std::time::Duration;

use mailfactor::pb::v1::{self as pb, Purpose};
use tonic::Code;

use super::harness::{
    letter,
    scene::{Scene, header, html, refused, seconds_after, start, text, waiting},
};

fn recovery(user: &str) -> pb::StartChallengeRequest {
    pb::StartChallengeRequest {
        purpose: Purpose::Recovery.into(),
        ..waiting(user)
    }
}

/// The same with the case of every letter turned.
fn turned(password: &str) -> String {
    let turn = |c: char| {
        if c.is_ascii_lowercase() {
            c.to_ascii_uppercase()
        } else {
            c.to_ascii_lowercase()
        }
    };
    password.chars().map(turn).collect()
}

/// One that is not this one, made of the same characters.
fn another(password: &str) -> String {
    let first = if password.starts_with('2') { "3" } else { "2" };
    format!("{first}{}", &password[1..])
}

#[tokio::test]
async fn a_temporary_password_opens_once_and_must_be_changed() {
    let scene = Scene::set().await;
    let challenge = start(&scene.idp, recovery("ann")).await.unwrap();
    assert_eq!(challenge.code_length, 12);
    assert_eq!(
        challenge.code_alphabet,
        "23456789BCDFGHJKLMNPQRSTVWXZbcdfghjkmnpqrstvwxz"
    );
    assert_eq!(seconds_after(challenge.created_at, challenge.expires_at), 3_600);
    let mail = &scene.mails(1).await[0];
    let password = letter::otp(mail);
    assert!(password.len() == 12 && password.chars().all(|c| challenge.code_alphabet.contains(c)));
    // The mail says what it is, and the password stands in it as it is to be typed.
    assert_eq!(header(mail, "Subject").unwrap(), "Your temporary password");
    assert!(text(mail).contains("set a password of your own") && html(mail).contains(&password));
    // Case counts: turned it is a wrong password, or none at all where a letter has no such twin in the alphabet.
    let id = &challenge.challenge_id;
    if let Ok(verdict) = scene.idp.verify(id, &turned(&password)).await {
        assert_eq!(verdict.result(), pb::VerifyResult::WrongCode);
    }
    let wrong = scene.idp.verify(id, &another(&password)).await.unwrap();
    assert_eq!(wrong.result(), pb::VerifyResult::WrongCode);
    assert!(!wrong.must_change && wrong.must_change_by.is_none());
    let malformed = scene.idp.verify(id, "123456").await;
    assert_eq!(
        refused(malformed),
        (Code::InvalidArgument, "INVALID_FIELD".into())
    );

    scene.clock.advance(Duration::from_secs(600));
    let verdict = scene.idp.verify(id, &format!(" {password} ")).await.unwrap();
    assert_eq!(verdict.result(), pb::VerifyResult::Verified);
    assert!(verdict.must_change);
    assert_eq!(seconds_after(verdict.verified_at, verdict.must_change_by), 3_600);
    let used = scene.idp.verify(id, &password).await.unwrap();
    assert_eq!(used.result(), pb::VerifyResult::AlreadyUsed);
    assert!(!used.must_change, "what is used opens nothing");
    // Derived, never stored: neither the database nor its log has it.
    for name in ["mailfactor.db", "mailfactor.db-wal"] {
        let kept = std::fs::read(scene.home.path(name)).unwrap_or_default();
        assert!(
            !kept
                .windows(password.len())
                .any(|bytes| bytes == password.as_bytes()),
            "{name}"
        );
    }
    scene.end().await;
}

#[tokio::test]
async fn nothing_but_a_recovery_must_be_changed() {
    let scene = Scene::set().await;
    for (number, purpose) in [(1, Purpose::Login), (2, Purpose::AddressConfirmation)] {
        let request = pb::StartChallengeRequest {
            purpose: purpose.into(),
            ..waiting("ann")
        };
        let challenge = start(&scene.idp, request).await.unwrap();
        assert_eq!(
            (challenge.code_length, challenge.code_alphabet.as_str()),
            (6, "0123456789")
        );
        let code = letter::otp(&scene.mails(number).await[number - 1]);
        let verdict = scene.idp.verify(&challenge.challenge_id, &code).await.unwrap();
        assert_eq!(verdict.result(), pb::VerifyResult::Verified);
        assert!(!verdict.must_change && verdict.must_change_by.is_none());
    }
    scene.end().await;
}

#[tokio::test]
async fn a_resend_makes_another_password_on_the_same_budget() {
    let scene = Scene::set().await;
    let challenge = start(&scene.idp, recovery("ann")).await.unwrap();
    let id = &challenge.challenge_id;
    let first = letter::otp(&scene.mails(1).await[0]);
    for left in [4, 3, 2] {
        let wrong = scene.idp.verify(id, &another(&first)).await.unwrap();
        assert_eq!(
            (wrong.result(), wrong.attempts_left),
            (pb::VerifyResult::WrongCode, left)
        );
    }
    scene.clock.advance(Duration::from_secs(30));
    let again = scene.idp.resend(id).await.unwrap();
    assert_eq!((again.code_number, again.attempts_left), (2, 2));
    let mail = &scene.mails(2).await[1];
    let second = letter::otp(mail);
    assert_ne!(first, second);
    assert!(
        text(mail).contains("temporary password number 2"),
        "{}",
        text(mail)
    );
    for _ in 0..2 {
        scene.idp.verify(id, &another(&second)).await.unwrap();
    }
    let locked = scene.idp.verify(id, &second).await.unwrap();
    assert_eq!(locked.result(), pb::VerifyResult::ChallengeLocked);
    scene.end().await;
}

#[tokio::test]
async fn an_event_has_temporary_passwords_of_its_own_within_a_day() {
    let home = super::harness::service::Home::new()
        .with("events.hq.recovery.alphabet", "digits")
        .with("events.hq.recovery.length", 20)
        .with("events.hq.lifetime.recovery", "24h");
    home.users(&[("ann", "ann@example.com")]);
    let scene = Scene::at(home).await;
    let request = pb::StartChallengeRequest {
        event: "hq".to_owned(),
        ..recovery("ann")
    };
    let challenge = start(&scene.idp, request).await.unwrap();
    let password = letter::otp(&scene.mails(1).await[0]);
    assert!(password.len() == 20 && password.bytes().all(|byte| byte.is_ascii_digit()));
    scene.clock.advance(Duration::from_secs(23 * 3_600));
    let verdict = scene
        .idp
        .verify(&challenge.challenge_id, &password)
        .await
        .unwrap();
    assert!(verdict.must_change);
    assert_eq!(
        seconds_after(challenge.created_at, verdict.must_change_by),
        24 * 3_600
    );
    scene.end().await;
}

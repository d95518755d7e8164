//! What depends on the time alone, on a clock moved by hand: lifetimes, the wait before a resend, budgets.

use std::{sync::Arc, time::Duration};

use mailfactor::pb::v1 as pb;
use tonic::Code;

use crate::harness::{
    ManualClock,
    client::Client,
    ground::{Ground, machine, reason, retry_after},
    letter,
    service::{Home, Service},
};

const SECOND: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_micros(1);
const MINUTE: Duration = Duration::from_mins(1);

async fn set(home: Home) -> (Ground, Arc<ManualClock>, Service, Client) {
    let scene = Ground::set(home).await;
    let clock = Arc::new(ManualClock::new());
    let (service, idp) = scene.serve(machine(&clock)).await;
    (scene, clock, service, idp)
}

/// A start that is refused for its budget: after how long it may be tried again.
async fn refused(idp: &Client, user: &str) -> Duration {
    let status = idp.start(user).await.unwrap_err();
    let expected = (Code::ResourceExhausted, "SEND_BUDGET_SPENT".to_owned());
    assert_eq!(reason(&status), expected);
    retry_after(&status).expect("RetryInfo")
}

#[tokio::test]
async fn a_code_verifies_until_its_last_microsecond_and_no_longer() {
    let (scene, clock, service, idp) = set(Home::new()).await;
    let [alive, over] = [idp.start("u0").await.unwrap(), idp.start("u1").await.unwrap()];
    let code = letter::newest_to(&scene.smtp, "u0@example.com").await;
    let late = letter::newest_to(&scene.smtp, "u1@example.com").await;
    let lifetime = alive.expires_at.unwrap().seconds - alive.created_at.unwrap().seconds;
    assert_eq!(lifetime, 300);
    clock.advance(300 * SECOND - TICK);
    let verdict = idp.verify(&alive.challenge_id, &code).await.unwrap();
    assert_eq!(verdict.result(), pb::VerifyResult::Verified);
    clock.advance(TICK);
    let verdict = idp.verify(&over.challenge_id, &late).await.unwrap();
    assert_eq!(verdict.result(), pb::VerifyResult::Expired);
    assert_eq!(
        idp.get(&over.challenge_id).await.unwrap().state(),
        pb::ChallengeState::Expired
    );
    let status = idp.resend(&over.challenge_id).await.unwrap_err();
    assert_eq!(
        reason(&status),
        (Code::FailedPrecondition, "CHALLENGE_CLOSED".to_owned())
    );
    service.stop().await;
}

#[tokio::test]
async fn a_resend_waits_its_thirty_seconds_and_is_told_how_many_are_left() {
    let (scene, clock, service, idp) = set(Home::new()).await;
    let challenge = idp.start("ann").await.unwrap();
    scene.smtp.wait_for_mails(1).await;
    for (advance, left) in [(Duration::ZERO, 30 * SECOND), (30 * SECOND - TICK, TICK)] {
        clock.advance(advance);
        let status = idp.resend(&challenge.challenge_id).await.unwrap_err();
        let expected = (Code::ResourceExhausted, "RESEND_TOO_EARLY".to_owned());
        assert_eq!(reason(&status), expected);
        assert_eq!(retry_after(&status), Some(left));
    }
    clock.advance(TICK);
    let again = idp.resend(&challenge.challenge_id).await.unwrap();
    assert_eq!((again.code_number, again.expires_at), (2, challenge.expires_at));
    service.stop().await;
}

#[tokio::test]
async fn three_mails_at_once_then_one_in_ten_minutes() {
    let (_scene, clock, service, idp) = set(Home::new()).await;
    for _ in 0..3 {
        idp.start("ann").await.unwrap();
    }
    assert_eq!(refused(&idp, "ann").await, 10 * MINUTE);
    // Somebody else's budget is their own.
    idp.start("u0").await.unwrap();
    clock.advance(10 * MINUTE - SECOND);
    assert_eq!(refused(&idp, "ann").await, SECOND);
    clock.advance(SECOND);
    let challenge = idp.start("ann").await.unwrap();
    assert_eq!(refused(&idp, "ann").await, 10 * MINUTE);
    // A resend draws on the same budget.
    clock.advance(MINUTE);
    let status = idp.resend(&challenge.challenge_id).await.unwrap_err();
    assert_eq!(
        reason(&status),
        (Code::ResourceExhausted, "SEND_BUDGET_SPENT".to_owned())
    );
    assert_eq!(retry_after(&status), Some(9 * MINUTE));
    service.stop().await;
}

#[tokio::test]
async fn twenty_mails_a_day() {
    let (_scene, clock, service, idp) = set(Home::new()).await;
    for _ in 0..20 {
        idp.start("ann").await.unwrap();
        clock.advance(10 * MINUTE);
    }
    // 200 minutes of the day are over.
    assert_eq!(refused(&idp, "ann").await, (24 * 60 - 200) * MINUTE);
    clock.advance((24 * 60 - 200) * MINUTE);
    idp.start("ann").await.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn an_address_has_a_budget_whoever_it_belongs_to() {
    let (scene, _clock, service, idp) = set(Home::new()).await;
    let names = ["a", "b", "c", "d"];
    scene.home.users(&names.map(|name| (name, "shared@example.com")));
    service.stop().await;
    let service = scene.home.serve(machine(&Arc::new(ManualClock::new()))).await;
    drop(idp);
    let idp = service.client(&scene.idp).await;
    for name in &names[..3] {
        idp.start(name).await.unwrap();
    }
    assert_eq!(refused(&idp, "d").await, 10 * MINUTE);
    service.stop().await;
}

#[tokio::test]
async fn a_restart_refills_no_budget() {
    let (scene, clock, service, idp) = set(Home::new()).await;
    for _ in 0..3 {
        idp.start("ann").await.unwrap();
    }
    scene.smtp.wait_for_mails(3).await;
    clock.advance(MINUTE);
    service.stop().await;
    let service = scene.home.serve(machine(&clock)).await;
    let idp = service.client(&scene.idp).await;
    assert_eq!(refused(&idp, "ann").await, 9 * MINUTE);
    service.stop().await;
}

//! A mail server that refuses, is silent, drips or drops, seen from the callers' side (R2, R3, R5).

use std::{sync::Arc, time::Duration};

use mail_parser::MessageParser;
use mailfactor::{app::Machine, pb::v1 as pb};
use tonic_health::pb::health_check_response::ServingStatus;

use crate::harness::{
    ManualClock,
    client::{Client, health},
    ground::{Ground, machine, newest_entry, wait_for_entry, wait_for_health},
    in_time, letter,
    service::{Home, Service, metrics_page},
    smtp::{Act, At, Captured, Options, SmtpServer},
};

struct House {
    scene: Ground,
    service: Service,
    admin: Client,
    idp: Client,
}

impl House {
    async fn open(machine: Machine) -> Self {
        let mut home = Home::new();
        for limit in ["connect", "tls", "command", "accept"] {
            home.set(&format!("delivery.timeouts.{limit}"), "1s");
        }
        home.set("delivery.timeouts.attempt", "3s");
        home.set("delivery.wait", "5s");
        let scene = Ground::set(home).await;
        let (service, idp) = scene.serve(machine).await;
        let admin = service.client(&scene.admin).await;
        Self {
            scene,
            service,
            admin,
            idp,
        }
    }

    async fn start_and_wait(&self, user: &str) -> pb::Challenge {
        let request = pb::StartChallengeRequest {
            user: user.to_owned(),
            wait_for_mail_server: true,
            ..pb::StartChallengeRequest::default()
        };
        let answer = in_time(self.idp.challenges.clone().start_challenge(request)).await;
        answer.unwrap().into_inner().challenge.unwrap()
    }

    /// The mail of this user comes once, and its code verifies.
    async fn verifies(&self, challenge: &pb::Challenge, user: &str) {
        let code = letter::newest_to(&self.scene.smtp, &format!("{user}@example.com")).await;
        self.idp
            .wait_until(&challenge.challenge_id, pb::DeliveryState::Sent)
            .await;
        let verdict = self.idp.verify(&challenge.challenge_id, &code).await.unwrap();
        assert_eq!(verdict.result(), pb::VerifyResult::Verified);
    }
}

fn count_to(mails: &[Captured], user: &str) -> usize {
    let address = format!("{user}@example.com");
    mails
        .iter()
        .filter(|mail| letter::recipient(mail) == address)
        .count()
}

#[tokio::test]
async fn a_refusal_for_now_is_tried_again_and_told_stage_by_stage() {
    let house = House::open(Machine::real()).await;
    for (user, at, reply, stage) in [
        ("u0", At::Mail, "450 4.2.0 at MAIL", pb::Stage::Mail),
        ("u1", At::Rcpt, "451 4.7.1 at RCPT", pb::Stage::Rcpt),
        ("u2", At::Data, "452 4.3.1 at DATA", pb::Stage::Data),
        ("u3", At::Refuse, "451 4.3.0 at the dot", pb::Stage::Accept),
    ] {
        house.scene.smtp.times(1, at, Act::Reply(reply));
        let challenge = house.start_and_wait(user).await;
        assert_eq!(challenge.delivery(), pb::DeliveryState::Deferred, "{at:?}");
        house.verifies(&challenge, user).await;
        let (entry, attempts) = newest_entry(&house.admin).await;
        assert_eq!((entry.state(), entry.attempts), (pb::DeliveryState::Sent, 2));
        assert_eq!(attempts[0].stage(), stage);
        assert_eq!(attempts[0].outcome(), pb::DeliveryState::Deferred);
        assert_eq!(attempts[0].reply_code.to_string(), reply[..3]);
        assert!(attempts[0].reply.contains(&reply[10..]), "{attempts:?}");
        assert_eq!(
            (attempts[1].stage(), attempts[1].outcome(), attempts[1].reply_code),
            (pb::Stage::Accept, pb::DeliveryState::Sent, 250)
        );
        assert_eq!(count_to(&house.scene.smtp.mails(), user), 1);
    }
    house.service.stop().await;
}

#[tokio::test]
async fn a_refusal_for_good_fails_with_its_reason() {
    let house = House::open(Machine::real()).await;
    for (user, at, reply, stage) in [
        ("u0", At::Mail, "550 5.7.1 at MAIL", pb::Stage::Mail),
        ("u1", At::Rcpt, "550 5.1.1 at RCPT", pb::Stage::Rcpt),
        ("u2", At::Data, "554 5.6.0 at DATA", pb::Stage::Data),
        ("u3", At::Refuse, "554 5.7.1 at the dot", pb::Stage::Accept),
    ] {
        house.scene.smtp.times(1, at, Act::Reply(reply));
        let challenge = house.start_and_wait(user).await;
        assert_eq!(challenge.delivery(), pb::DeliveryState::Failed, "{at:?}");
        let (entry, attempts) = newest_entry(&house.admin).await;
        assert_eq!((entry.state(), entry.attempts), (pb::DeliveryState::Failed, 1));
        assert!(entry.last_error.contains(&reply[10..]), "{entry:?}");
        assert_eq!(attempts[0].stage(), stage);
        // Nobody was told a code: none verifies.
        let verdict = house.idp.verify(&challenge.challenge_id, "000000").await.unwrap();
        assert_eq!(verdict.result(), pb::VerifyResult::WrongCode);
    }
    assert!(house.scene.smtp.mails().is_empty());
    house.service.stop().await;
}

/// One bad turn at each stage, and the mail comes all the same, once.
async fn mends(act: Act) {
    let house = House::open(Machine::real()).await;
    let stages = [
        At::Greeting,
        At::Ehlo,
        At::Mail,
        At::Rcpt,
        At::Data,
        At::Body,
        At::Refuse,
    ];
    for (number, at) in stages.into_iter().enumerate() {
        let user = format!("u{number}");
        // Only a connection that is made anew is greeted.
        let request = pb::ListAccountsRequest {};
        let mut policy = house.admin.policy.clone();
        let accounts = policy.list_accounts(request).await.unwrap().into_inner().accounts;
        let request = pb::UpdateAccountRequest {
            account: Some(pb::Account {
                display_name: format!("Login {number}"),
                ..accounts[0].clone()
            }),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["display_name".to_owned()],
            }),
        };
        policy.update_account(request).await.unwrap();
        house.scene.smtp.times(1, at, act.clone());
        let challenge = house.idp.start(&user).await.unwrap();
        house.verifies(&challenge, &user).await;
        let (entry, attempts) = newest_entry(&house.admin).await;
        assert_eq!(entry.attempts, 2, "{at:?}: {attempts:?}");
        // Cut or left hanging after the dot, nobody knows; this server had not kept it.
        assert_eq!(count_to(&house.scene.smtp.mails(), &user), 1, "{at:?}");
    }
    house.service.stop().await;
}

#[tokio::test]
async fn a_server_that_falls_silent_at_any_stage_delays_its_mail_and_loses_none() {
    mends(Act::Silence).await;
}

#[tokio::test]
async fn a_server_that_drips_at_any_stage_delays_its_mail_and_loses_none() {
    mends(Act::Drip(Duration::from_millis(100))).await;
}

#[tokio::test]
async fn a_server_that_drops_the_line_at_any_stage_delays_its_mail_and_loses_none() {
    mends(Act::Drop).await;
    mends(Act::Reset).await;
}

#[tokio::test]
async fn a_line_lost_after_the_dot_costs_one_more_copy_and_it_is_the_same() {
    let house = House::open(Machine::real()).await;
    house.scene.smtp.times(1, At::Dot, Act::Drop);
    let challenge = house.idp.start("ann").await.unwrap();
    let mails = house.scene.smtp.wait_for_mails(2).await;
    house
        .idp
        .wait_until(&challenge.challenge_id, pb::DeliveryState::Sent)
        .await;
    assert_eq!(mails[0].data, mails[1].data);
    let parsed = MessageParser::default().parse(mails[0].data.as_bytes()).unwrap();
    assert!(parsed.message_id().is_some() && parsed.date().is_some());
    // A server that never answers the dot gets two copies, and then no more.
    house.scene.smtp.on(At::Dot, Act::Drop);
    let challenge = house.idp.start("u0").await.unwrap();
    house
        .idp
        .wait_until(&challenge.challenge_id, pb::DeliveryState::Failed)
        .await;
    assert_eq!(count_to(&house.scene.smtp.mails(), "u0"), 2);
    house.service.stop().await;
}

#[tokio::test]
async fn a_refused_login_opens_the_breaker_and_leaves_the_service_in() {
    let house = House::open(Machine::real()).await;
    let strict = SmtpServer::start(Options {
        login: Some(("PLAIN LOGIN", "robot", "right")),
        ..Options::default()
    })
    .await;
    let account = house
        .admin
        .create_account(pb::Account {
            name: format!("strict-{}", strict.address.port()),
            enabled: true,
            host: strict.address.ip().to_string(),
            port: i32::from(strict.address.port()),
            security: pb::ConnectionSecurity::None.into(),
            authentication: true,
            username: "robot".to_owned(),
            secret: Some(pb::AccountSecret {
                source: Some(pb::account_secret::Source::Password("wrong".to_owned())),
            }),
            sender: "login@example.org".to_owned(),
            ..pb::Account::default()
        })
        .await;
    let request = pb::SetDefaultAccountRequest {
        account: account.account_id.clone(),
    };
    let mut policy = house.admin.policy.clone();
    policy.set_default_account(request).await.unwrap();
    // Alone: with another account the mail would simply go through that one.
    let request = pb::ListAccountsRequest {};
    let accounts = policy.list_accounts(request).await.unwrap().into_inner().accounts;
    for other in accounts.into_iter().filter(|other| !other.is_default) {
        let request = pb::DeleteAccountRequest {
            account: other.account_id,
            etag: String::new(),
        };
        policy.delete_account(request).await.unwrap();
    }
    let challenge = house.start_and_wait("ann").await;
    assert_eq!(challenge.delivery(), pb::DeliveryState::Deferred);
    let grpc = house.service.grpc;
    wait_for_health(grpc, "mail", ServingStatus::NotServing, Duration::from_secs(10)).await;
    assert_eq!(health(grpc, "").await, Some(ServingStatus::Serving));
    let gauge = format!("mailfactor_breaker_open{{account=\"{}\"}}", account.name);
    let page = metrics_page(house.service.metrics).await;
    assert!(page.contains(&format!("{gauge} 1")), "{page}");
    let (entry, attempts) = newest_entry(&house.admin).await;
    assert!(
        entry.last_error.contains("535") || attempts[0].reply_code == 535,
        "{entry:?}"
    );
    assert_eq!(attempts[0].stage(), pb::Stage::Auth);
    // Somebody mends the password: the mail goes out, and nothing is spared any more.
    let request = pb::UpdateAccountRequest {
        account: Some(pb::Account {
            account_id: account.account_id,
            secret: Some(pb::AccountSecret {
                source: Some(pb::account_secret::Source::Password("right".to_owned())),
            }),
            ..pb::Account::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["secret".to_owned()],
        }),
    };
    policy.update_account(request).await.unwrap();
    let code = letter::newest_to(&strict, "ann@example.com").await;
    let verdict = house.idp.verify(&challenge.challenge_id, &code).await.unwrap();
    assert_eq!(verdict.result(), pb::VerifyResult::Verified);
    wait_for_health(grpc, "mail", ServingStatus::Serving, Duration::from_secs(10)).await;
    house.service.stop().await;
}

#[tokio::test]
async fn a_dead_server_defers_until_the_code_expires_and_nothing_goes_out_afterwards() {
    let clock = Arc::new(ManualClock::new());
    let house = House::open(machine(&clock)).await;
    house.scene.smtp.on(At::Greeting, Act::Reset);
    let challenge = house.start_and_wait("ann").await;
    assert_eq!(challenge.delivery(), pb::DeliveryState::Deferred);
    clock.advance(Duration::from_secs(300));
    let (entry, _) = wait_for_entry(&house.admin, |entry| entry.state() == pb::DeliveryState::Expired).await;
    assert!(!entry.last_error.is_empty());
    // The server is well again: the next mail goes out, the old one never.
    house.scene.smtp.behave();
    clock.advance(Duration::from_secs(60));
    let next = house.idp.start("u0").await.unwrap();
    house.verifies(&next, "u0").await;
    assert_eq!(count_to(&house.scene.smtp.mails(), "ann"), 0);
    assert_eq!(house.scene.smtp.mails().len(), 1);
    house.service.stop().await;
}

#[tokio::test]
async fn a_poison_message_delays_no_other() {
    let house = House::open(Machine::real()).await;
    // The first body never gets its answer; the others pass it by.
    house.scene.smtp.times(1, At::Body, Act::Silence);
    let poison = house.idp.start("ann").await.unwrap();
    for user in ["u0", "u1", "u2", "u3"] {
        let challenge = house.start_and_wait(user).await;
        assert!(
            matches!(
                challenge.delivery(),
                pb::DeliveryState::Sent | pb::DeliveryState::Deferred
            ),
            "{challenge:?}"
        );
        house.verifies(&challenge, user).await;
    }
    house.verifies(&poison, "ann").await;
    house.service.stop().await;
}

#[tokio::test]
async fn waiting_for_the_mail_server_is_bounded() {
    let mut home = Home::new();
    home.set("delivery.wait", "1s");
    let scene = Ground::set(home).await;
    let (service, idp) = scene.serve(Machine::real()).await;
    scene.smtp.times(1, At::Dot, Act::Delay(Duration::from_secs(4)));
    let request = pb::StartChallengeRequest {
        user: "ann".to_owned(),
        wait_for_mail_server: true,
        ..pb::StartChallengeRequest::default()
    };
    let mut desk = idp.challenges.clone();
    let answer = tokio::time::timeout(Duration::from_secs(3), desk.start_challenge(request));
    let challenge = answer.await.expect("the wait has no end").unwrap().into_inner();
    let challenge = challenge.challenge.unwrap();
    assert_eq!(challenge.delivery(), pb::DeliveryState::Queued);
    idp.wait_until(&challenge.challenge_id, pb::DeliveryState::Sent)
        .await;
    assert_eq!(scene.smtp.mails().len(), 1);
    service.stop().await;
}

//! What survives: `kill -9`, SIGTERM, a mail server behind a broken line. With the real binary.

use std::time::Duration;

use mailfactor::{domain::caller::Role, pb::v1 as pb};
use nix::sys::signal::Signal;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::harness::{
    client::{Client, health},
    in_time, letter,
    process::Process,
    proxy::{Fault, Proxy},
    service::{Home, find_in_files, metrics_page},
    smtp::SmtpServer,
};

/// A home, an SMTP server behind a proxy, and the keys of an administrator and an authentication server.
struct Scene {
    home: Home,
    smtp: SmtpServer,
    line: Proxy,
    admin: String,
    idp: String,
}

impl Scene {
    async fn set() -> Self {
        let smtp = SmtpServer::plain().await;
        let line = Proxy::start(smtp.address).await;
        let home = Home::new();
        home.users(&[("ann", "ann@example.com")]);
        let (admin, idp) = (
            home.caller("ops", Role::Admin).await,
            home.caller("idp", Role::Authenticator).await,
        );
        Self {
            home,
            smtp,
            line,
            admin,
            idp,
        }
    }

    async fn first_start(&self) -> (Process, Client) {
        let process = self.home.spawn_with(&[("MAILFACTOR_LOG", "trace")]).await;
        process
            .client(&self.admin)
            .await
            .mail_through(self.line.address)
            .await;
        let idp = process.client(&self.idp).await;
        (process, idp)
    }
}

#[tokio::test]
async fn an_acknowledged_start_survives_kill_9() {
    let scene = Scene::set().await;
    let (process, idp) = scene.first_start().await;
    // Nothing goes out before the end: the mail is owed by whoever comes next.
    scene.line.set(Fault::Reset);
    let challenge = idp.start("ann").await.unwrap();
    process.kill();
    scene.line.set(Fault::None);
    let process = scene.home.spawn().await;
    let idp = process.client(&scene.idp).await;
    let mails = in_time(scene.smtp.wait_for_mails(1)).await;
    let verdict = idp
        .verify(&challenge.challenge_id, &letter::code(&mails[0].data))
        .await
        .unwrap();
    assert_eq!(verdict.result(), pb::VerifyResult::Verified);
}

#[tokio::test]
async fn wrong_codes_stay_counted_over_a_restart() {
    let scene = Scene::set().await;
    let (process, idp) = scene.first_start().await;
    let challenge = idp.start("ann").await.unwrap();
    let mails = in_time(scene.smtp.wait_for_mails(1)).await;
    let right = letter::code(&mails[0].data);
    // Neither the right code nor one of another number: those count for nothing here.
    let wrong = if right == "000000" { "111111" } else { "000000" };
    for left in [4, 3] {
        let verdict = idp.verify(&challenge.challenge_id, wrong).await.unwrap();
        assert_eq!(
            (verdict.result(), verdict.attempts_left),
            (pb::VerifyResult::WrongCode, left)
        );
    }
    process.kill();
    let process = scene.home.spawn().await;
    let idp = process.client(&scene.idp).await;
    assert_eq!(idp.get(&challenge.challenge_id).await.unwrap().attempts_left, 3);
    for left in [2, 1, 0] {
        let verdict = idp.verify(&challenge.challenge_id, wrong).await.unwrap();
        assert_eq!(
            (verdict.result(), verdict.attempts_left),
            (pb::VerifyResult::WrongCode, left)
        );
    }
    let verdict = idp.verify(&challenge.challenge_id, &right).await.unwrap();
    assert_eq!(verdict.result(), pb::VerifyResult::ChallengeLocked);
    let refused = idp.resend(&challenge.challenge_id).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
}

#[tokio::test]
async fn sigterm_ends_it_in_order() {
    let scene = Scene::set().await;
    let (mut process, idp) = scene.first_start().await;
    idp.start("ann").await.unwrap();
    in_time(scene.smtp.wait_for_mails(1)).await;
    assert_eq!(
        health(process.grpc, "liveness").await,
        Some(ServingStatus::Serving)
    );
    // A connection that says nothing holds up nobody.
    let _silent = tokio::net::TcpStream::connect(process.grpc).await.unwrap();
    process.signal(Signal::SIGTERM);
    let status = process.ended().await;
    assert!(status.success(), "{status}:\n{}", process.log());
    assert_eq!(health(process.grpc, "").await, None);
}

#[tokio::test]
async fn a_line_that_is_mended_delivers_what_waited() {
    let scene = Scene::set().await;
    let (process, idp) = scene.first_start().await;
    scene.line.set(Fault::Reset);
    let challenge = idp.start("ann").await.unwrap();
    idp.wait_until(&challenge.challenge_id, pb::DeliveryState::Deferred)
        .await;
    scene.line.set(Fault::Latency(Duration::from_millis(10)));
    let mails = in_time(scene.smtp.wait_for_mails(1)).await;
    let code = letter::code(&mails[0].data);
    idp.wait_until(&challenge.challenge_id, pb::DeliveryState::Sent)
        .await;
    assert_eq!(
        idp.verify(&challenge.challenge_id, &code).await.unwrap().result(),
        pb::VerifyResult::Verified
    );
    let page = metrics_page(process.metrics).await;
    for name in [
        "mailfactor_rpcs_total",
        "mailfactor_verifications_total",
        "mailfactor_mails_total",
    ] {
        assert!(page.contains(name), "{name} is not in:\n{page}");
    }
    // The log is at TRACE; database, WAL and log lie in the home.
    let secrets = [
        code.as_str(),
        // What follows `mf_<id>_`: it may hold further underscores.
        scene.idp.splitn(3, '_').nth(2).unwrap(),
        "ann@example.com",
    ];
    assert!(!page.contains(&code) && !page.contains("ann@example.com"));
    let _ = process;
    std::fs::remove_file(scene.home.path("users.toml")).unwrap();
    assert_eq!(find_in_files(&scene.home.path(""), &secrets), None);
}

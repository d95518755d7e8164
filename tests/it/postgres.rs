//! PostgreSQL as the store: what befalls the server is answered with UNAVAILABLE in time, never with a wrong verdict, and
//! is over without a restart (R8); several instances are one service (R1, R4, R6).

use std::{path::Path, time::Duration};

use mailfactor::{app::Machine, pb::v1 as pb};
use nix::sys::signal::Signal;
use tokio::time::timeout;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;

use super::{
    harness::{
        certs::{Authority, Kind},
        client::Client,
        command::{Ran, mailfactor},
        ground::{Ground, reason, wait_for_health},
        in_time, letter,
        postgres::{self, Certificate, PASSWORD, Postgres},
        postgres_faults::Stop,
        proxy::{Fault, Proxy},
        service::{Home, Service},
        smtp::{Act, At},
    },
    store_faults::{ANSWER, BACK, assert_unavailable},
};

/// A service on a database of its own.
struct Scene {
    ground: Ground,
    service: Service,
    idp: Client,
    users: usize,
}

impl Scene {
    async fn set(url: &str) -> Self {
        let ground = Ground::set(Home::on_server(url)).await;
        let (service, idp) = ground.serve(Machine::real()).await;
        Self {
            ground,
            service,
            idp,
            users: 0,
        }
    }

    /// Starts a challenge for a user who had none before, and gives it with its code.
    async fn open(&mut self) -> (pb::Challenge, String) {
        let user = format!("u{}", self.users);
        self.users += 1;
        let open = self.idp.start(&user).await.unwrap();
        let code = letter::newest_to(&self.ground.smtp, &format!("{user}@example.com")).await;
        self.idp
            .wait_until(&open.challenge_id, pb::DeliveryState::Sent)
            .await;
        (open, code)
    }

    /// What everybody is told while the server is away: right codes and wrong ones alike.
    async fn refuses(&self, open: &pb::Challenge, code: &str) {
        let another = letter::another(code);
        let (start, right, wrong) = tokio::join!(
            timeout(ANSWER, self.idp.start("ann")),
            timeout(ANSWER, self.idp.verify(&open.challenge_id, code)),
            timeout(ANSWER, self.idp.verify(&open.challenge_id, &another)),
        );
        assert_unavailable(start, "StartChallenge");
        assert_unavailable(right, "VerifyCode");
        assert_unavailable(wrong, "VerifyCode of a wrong code");
        wait_for_health(self.service.grpc, "", ServingStatus::NotServing, BACK).await;
    }

    /// The service works again, and what happened in between cost the user nothing.
    async fn is_back(&mut self, open: &pb::Challenge, code: &str) {
        wait_for_health(self.service.grpc, "", ServingStatus::Serving, BACK).await;
        let id = &open.challenge_id;
        let wrong = self.idp.verify(id, &letter::another(code)).await.unwrap();
        assert_eq!(
            (wrong.result(), wrong.attempts_left),
            (pb::VerifyResult::WrongCode, 4)
        );
        let right = self.idp.verify(id, code).await.unwrap();
        assert_eq!(right.result(), pb::VerifyResult::Verified);
        let again = self.idp.verify(id, code).await.unwrap();
        assert_eq!(again.result(), pb::VerifyResult::AlreadyUsed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_and_starts_is_unavailable_and_comes_back() {
    let Some(server) = Postgres::start() else { return };
    let mut scene = Scene::set(&server.url(&server.database())).await;
    for how in [Stop::Fast, Stop::Immediate] {
        let (open, code) = scene.open().await;
        server.stop(how);
        scene.refuses(&open, &code).await;
        server.start_again();
        scene.is_back(&open, &code).await;
    }
    scene.service.stop().await;
}

/// Everything starts at once after an outage: whoever is there first waits for the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_waits_for_a_server_that_is_not_ready_when_it_starts() {
    let Some(server) = Postgres::start() else { return };
    let home = Home::on_server(&server.url(&server.database()));
    server.pause();
    let told = async {
        while !home.logged("the database is not ready: it is tried again") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server.resume();
    };
    let (process, ()) = tokio::join!(home.spawn(), in_time(told));
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_freezes_is_unavailable_and_comes_back() {
    let Some(server) = Postgres::start() else { return };
    let mut scene = Scene::set(&server.url(&server.database())).await;
    let (open, code) = scene.open().await;
    server.pause();
    scene.refuses(&open, &code).await;
    server.resume();
    scene.is_back(&open, &code).await;
    scene.service.stop().await;
}

#[tokio::test]
async fn a_network_that_fails_is_unavailable_and_comes_back() {
    let Some(server) = Postgres::shared() else { return };
    let proxy = Proxy::start(server.address).await;
    let url = postgres::url(proxy.address, &server.database());
    let mut scene = Scene::set(&url).await;
    for fault in [Fault::BlackHole, Fault::HalfOpen, Fault::Reset] {
        let (open, code) = scene.open().await;
        proxy.set(fault);
        scene.refuses(&open, &code).await;
        proxy.set(Fault::None);
        scene.is_back(&open, &code).await;
    }
    scene.service.stop().await;
}

#[tokio::test]
async fn connections_that_are_ended_are_replaced_while_calls_come_in() {
    let Some(server) = Postgres::shared() else {
        return;
    };
    let database = server.database();
    let mut scene = Scene::set(&server.url(&database)).await;
    let (open, code) = scene.open().await;
    for round in 1..=5 {
        server.terminate_backends(&database);
        // Whoever finds a connection closed under a call may be told that there is no store, and nothing else.
        let fresh = timeout(BACK, async {
            loop {
                match scene.idp.start(&format!("u{round}")).await {
                    Ok(fresh) => return fresh,
                    Err(status) => assert_eq!(reason(&status).0, Code::Unavailable),
                }
            }
        });
        let fresh = fresh.await.expect("it does not come back");
        let code = letter::newest_to(&scene.ground.smtp, &format!("u{round}@example.com")).await;
        in_time(async { while scene.idp.verify(&fresh.challenge_id, &code).await.is_err() {} }).await;
    }
    scene.is_back(&open, &code).await;
    scene.service.stop().await;
}

#[tokio::test]
async fn a_server_that_became_read_only_is_unavailable_and_comes_back() {
    let Some(server) = Postgres::start() else { return };
    let mut scene = Scene::set(&server.url(&server.database())).await;
    let (open, code) = scene.open().await;
    let read_only = |on| {
        server.sql(
            "postgres",
            &format!("ALTER SYSTEM SET default_transaction_read_only = {on}"),
        );
        server.sql("postgres", "SELECT pg_reload_conf()");
    };
    read_only("on");
    // Each of the server's processes learns it in its own time.
    wait_for_health(scene.service.grpc, "", ServingStatus::NotServing, BACK).await;
    scene.refuses(&open, &code).await;
    read_only("off");
    scene.is_back(&open, &code).await;
    scene.service.stop().await;
}

/// Two services on one database, as the administrator and as the authentication server.
async fn two() -> Option<(Ground, [Service; 2], [Client; 2], [Client; 2])> {
    let server = Postgres::shared()?;
    let home = Home::on_server(&server.url(&server.database()));
    let ground = Ground::set(home).await;
    let (first, _) = ground.serve(Machine::real()).await;
    let second = ground.home.beside().serve(Machine::real()).await;
    let admins = [
        first.client(&ground.admin).await,
        second.client(&ground.admin).await,
    ];
    let idps = [first.client(&ground.idp).await, second.client(&ground.idp).await];
    Some((ground, [first, second], admins, idps))
}

#[tokio::test]
async fn two_instances_are_one_service() {
    let Some((ground, services, admins, idps)) = two().await else {
        return;
    };
    // Started here, watched and verified there.
    let open = idps[0].start("u0").await.unwrap();
    let code = letter::newest_to(&ground.smtp, "u0@example.com").await;
    idps[1]
        .wait_until(&open.challenge_id, pb::DeliveryState::Sent)
        .await;
    let wrong = idps[1]
        .verify(&open.challenge_id, &letter::another(&code))
        .await
        .unwrap();
    assert_eq!(wrong.attempts_left, 4);
    let wrong = idps[0]
        .verify(&open.challenge_id, &letter::another(&code))
        .await
        .unwrap();
    assert_eq!(wrong.attempts_left, 3);
    let right = idps[1].verify(&open.challenge_id, &code).await.unwrap();
    assert_eq!(right.result(), pb::VerifyResult::Verified);
    let again = idps[0].verify(&open.challenge_id, &code).await.unwrap();
    assert_eq!(again.result(), pb::VerifyResult::AlreadyUsed);
    // What an administrator changes here counts there soon.
    let set_sending = |enabled| {
        let request = pb::SetSendingRequest {
            enabled: Some(enabled),
        };
        let mut policy = admins[0].policy.clone();
        async move { policy.set_sending(request).await.unwrap() }
    };
    set_sending(false).await;
    in_time(async { while idps[1].start("u1").await.is_ok() {} }).await;
    set_sending(true).await;
    in_time(async { while idps[1].start("u2").await.is_err() {} }).await;
    for service in services {
        service.stop().await;
    }
}

#[tokio::test]
async fn codes_submitted_to_two_instances_at_once_verify_once() {
    let Some((ground, services, _, idps)) = two().await else {
        return;
    };
    for (user, right) in [("u0", true), ("u1", false)] {
        let open = idps[0].start(user).await.unwrap();
        let code = letter::newest_to(&ground.smtp, &format!("{user}@example.com")).await;
        let code = if right { code } else { letter::another(&code) };
        let mut calls = tokio::task::JoinSet::new();
        for idp in idps.iter().cycle().take(64) {
            let (idp, id, code) = (idp.clone(), open.challenge_id.clone(), code.clone());
            calls.spawn(async move { idp.verify(&id, &code).await.unwrap().result() });
        }
        let results = calls.join_all().await;
        let count = |wanted| results.iter().filter(|result| **result == wanted).count();
        if right {
            assert_eq!(count(pb::VerifyResult::Verified), 1);
            assert_eq!(count(pb::VerifyResult::AlreadyUsed), 63);
        } else {
            assert_eq!(count(pb::VerifyResult::WrongCode), 5);
            assert_eq!(count(pb::VerifyResult::ChallengeLocked), 59);
        }
    }
    for service in services {
        service.stop().await;
    }
}

/// Waits for the only mail, which one instance left and another sends (R4: within 35 s). Gives its code.
async fn taken_over(ground: &Ground) -> String {
    let taken_over = timeout(Duration::from_secs(35), async {
        while ground.smtp.mails().is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    taken_over.await.expect("nobody takes the mail over in time");
    letter::newest_to(&ground.smtp, "u0@example.com").await
}

#[tokio::test]
async fn what_a_killed_instance_left_another_sends_in_time() {
    let Some(server) = Postgres::shared() else { return };
    let home = Home::on_server(&server.url(&server.database()));
    let ground = Ground::set(home).await;
    let killed = ground.home.spawn().await;
    killed
        .client(&ground.admin)
        .await
        .mail_through(ground.smtp.address)
        .await;
    let other = ground.home.beside().serve(Machine::real()).await;
    // The mail server does not answer: each mail is under way when its instance dies.
    ground.smtp.on(At::Mail, Act::Silence);
    let idp = killed.client(&ground.idp).await;
    let first = idp.start("u0").await.unwrap();
    in_time(async {
        while ground.smtp.count("MAIL") == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let log = killed.log();
    killed.kill();
    assert!(!log.contains(PASSWORD), "{log}");
    ground.smtp.behave();
    let code = taken_over(&ground).await;
    let idp = other.client(&ground.idp).await;
    let verdict = idp.verify(&first.challenge_id, &code).await.unwrap();
    assert_eq!(verdict.result(), pb::VerifyResult::Verified);
    assert_eq!(ground.smtp.mails().len(), 1);
    other.stop().await;
}

#[tokio::test]
async fn a_frozen_instance_loses_its_mail_to_another_and_sends_no_second_copy() {
    let Some(server) = Postgres::shared() else { return };
    let home = Home::on_server(&server.url(&server.database()));
    let ground = Ground::set(home).await;
    let frozen = ground.home.spawn().await;
    frozen
        .client(&ground.admin)
        .await
        .mail_through(ground.smtp.address)
        .await;
    // Nobody greets: the mail is leased and not begun.
    ground.smtp.on(At::Greeting, Act::Silence);
    let first = frozen.client(&ground.idp).await.start("u0").await.unwrap();
    in_time(async {
        while ground.smtp.connections() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    frozen.signal(Signal::SIGSTOP);
    ground.smtp.behave();
    let other = ground.home.beside().serve(Machine::real()).await;
    let code = taken_over(&ground).await;
    let idp = other.client(&ground.idp).await;
    idp.wait_until(&first.challenge_id, pb::DeliveryState::Sent).await;
    frozen.signal(Signal::SIGCONT);
    // It is a good instance again.
    let thawed = frozen.client(&ground.idp).await;
    wait_for_health(frozen.grpc, "", ServingStatus::Serving, BACK).await;
    let verdict = thawed.verify(&first.challenge_id, &code).await.unwrap();
    assert_eq!(verdict.result(), pb::VerifyResult::Verified);
    frozen.stop().await;
    assert_eq!(ground.smtp.mails().len(), 1);
    other.stop().await;
}

/// A command on this home.
async fn run(home: &Home, command: &str) -> Ran {
    let config = home.write();
    mailfactor(&format!("--config {} {command}", config.display()), &[], "").await
}

#[tokio::test]
async fn of_many_that_migrate_at_once_one_does_and_none_fails() {
    let Some(server) = Postgres::shared() else { return };
    let home = Home::on_server(&server.url(&server.database()));
    let homes: Vec<Home> = (0..4).map(|_| home.beside()).collect();
    let ran = futures_util::future::join_all(homes.iter().map(|home| run(home, "migrate"))).await;
    for ran in ran {
        ran.done();
    }
    let said = run(&home, "check").await.done();
    assert!(said.contains("up to date, writable"), "{said}");
    assert!(!said.contains(PASSWORD), "{said}");
}

#[tokio::test]
async fn a_server_must_prove_its_name() {
    let authority = Authority::new();
    let started = |kind| {
        let issued = authority.issue(kind);
        Postgres::start_with(Some(&Certificate {
            chain: &issued.certificate,
            key: &issued.key,
        }))
    };
    let Some(server) = started(Kind::Good) else { return };
    let insisting = |server: &Postgres, authority: &Path| {
        let url = server.url(&server.database()) + "?sslmode=verify-full";
        Home::on_server(&url).with("store.postgres.ca", authority.display().to_string())
    };
    let home = insisting(&server, authority.path());
    run(&home, "migrate").await.done();
    let service = home.serve(Machine::real()).await;
    let encrypted = "SELECT COUNT(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
        WHERE application_name = 'mailfactor' AND NOT ssl";
    assert_eq!(server.sql("postgres", encrypted), "0");
    service.stop().await;
    // Another authority's certificate, one for another name, and none at all.
    let other = Authority::new();
    let foreign = insisting(&server, other.path());
    let refused = run(&foreign, "migrate").await.failed(1);
    assert!(
        refused.contains("certificate") && !refused.contains(PASSWORD),
        "{refused}"
    );
    let named_wrongly = started(Kind::WrongName).unwrap();
    let refused = run(&insisting(&named_wrongly, authority.path()), "migrate")
        .await
        .failed(1);
    assert!(refused.contains("not valid for name"), "{refused}");
    let plain = Postgres::shared().unwrap();
    let refused = run(&insisting(plain, authority.path()), "migrate")
        .await
        .failed(1);
    assert!(refused.contains("does not support TLS"), "{refused}");
}

#[tokio::test]
async fn what_is_wrong_with_the_database_is_told_without_the_password() {
    let Some(server) = Postgres::shared() else { return };
    let url = server.url(&server.database());
    let wrong = Home::on_server(&url.replace(PASSWORD, "wrong-canary-1"));
    let said = run(&wrong, "migrate").await.failed(1);
    assert!(said.contains("password authentication failed"), "{said}");
    assert!(!said.contains("wrong-canary-1"), "{said}");
    let nowhere = Home::on_server(&format!("{url}-not-there"));
    let said = run(&nowhere, "check").await;
    assert!(
        said.out.contains("does not exist") && !said.out.contains(PASSWORD),
        "{said:?}"
    );
    let without_keys = Home::on_server(&url);
    std::fs::remove_file(without_keys.path("mailfactor.keys")).unwrap();
    let said = run(&without_keys, "migrate").await;
    assert!(said.err.contains("is missing"), "{said:?}");
    let created = run(&without_keys, "keys create").await.done();
    assert!(created.contains("holds the key k1"), "{created}");
    run(&without_keys, "migrate").await.done();
    assert_ne!(run(&without_keys, "keys create").await.code, 0);
    let said = run(&Home::new().with("store.url", url.as_str()), "check")
        .await
        .failed(78);
    assert!(said.contains("keys.file: is required with PostgreSQL"), "{said}");
}

//! Passwords before codes (F2): checked in the repository before any mail goes out, counted apart, and telling nothing of who
//! is there.

use std::time::Duration;

use mailfactor::{app::Machine, domain::caller::Role, pb::v1 as pb};
use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};
use toml::{Table, Value};
use tonic::{Code, Status};

use crate::{
    harness::{
        client::Client,
        ground::{Ground, reason},
        letter,
        scene::{Scene, start},
        secrets::files,
        service::{Home, metrics_page},
        slapd::{BIND_PASSWORD, Slapd},
        smtp::SmtpServer,
    },
    ldap::{corp, home_with, ldaps},
};

/// What libxcrypt and argon2-cffi make of `right horse`.
pub(crate) const BCRYPT: &str = "$2b$04$abcdefghijklmnopqrstuuLK4yYxcGJwQr33yKnQTmKjI1WQSUD2K";
const ARGON2: &str =
    "$argon2id$v=19$m=1024,t=2,p=1$+NRK1Gg7iNMns2IXV5oPBw$fIHR4tKLanQCgN/23RlSR/Or3b+TrPQnguFQ0I6O/H0";

/// What they are made of.
pub(crate) const RIGHT: &str = "right horse";

/// A database with hashes, in a home whose one repository it is.
pub(crate) async fn hashes(users: &[(&str, &str)]) -> Home {
    let mut home = home_with(Value::Table(Table::new()));
    let path = home.path("portal.db");
    let mut portal = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true)
        .connect()
        .await
        .unwrap();
    sqlx::query("CREATE TABLE people (login TEXT, email TEXT, hash TEXT)")
        .execute(&mut portal)
        .await
        .unwrap();
    for (login, hash) in users {
        sqlx::query("INSERT INTO people VALUES ($1, $1 || '@example.com', $2)")
            .bind(login)
            .bind(hash)
            .execute(&mut portal)
            .await
            .unwrap();
    }
    portal.close().await.unwrap();
    let columns = Table::from_iter([
        ("id".to_owned(), Value::from("login")),
        ("password".to_owned(), Value::from("hash")),
    ]);
    let repository = Table::from_iter([
        ("name".to_owned(), Value::from("portal")),
        ("kind".to_owned(), Value::from("sql")),
        (
            "url".to_owned(),
            Value::from(format!("sqlite:{}", path.display())),
        ),
        (
            "query".to_owned(),
            Value::from("SELECT login, email, hash FROM people WHERE login = $1"),
        ),
        ("columns".to_owned(), Value::Table(columns)),
    ]);
    home.set("repository", Value::Array(vec![Value::Table(repository)]));
    home
}

fn wrong(result: Result<pb::Challenge, Status>) -> String {
    let status = result.unwrap_err();
    let expected = (Code::PermissionDenied, "WRONG_PASSWORD".to_owned());
    assert_eq!(reason(&status), expected, "{status}");
    status.message().to_owned()
}

async fn the_right_password_alone_gets_a_mail(home: Home, user: &str, right: &str, address: &str) {
    let scene = Ground::set(home).await;
    let (service, idp) = scene.serve(Machine::real()).await;
    let laptop = service
        .client(&scene.home.caller("laptop", Role::Endpoint).await)
        .await;
    let mut texts = Vec::new();
    for caller in [&idp, &laptop] {
        for (user, password) in [
            (user, "wrong"),
            (user, &right.to_uppercase()),
            (user, &format!("{right} ")),
            (user, "\0"),
            ("nobody", right),
            ("", right),
            ("*", right),
        ] {
            if user.is_empty() {
                assert_eq!(
                    reason(&caller.start_with(user, password).await.unwrap_err()).1,
                    "INVALID_FIELD"
                );
                continue;
            }
            texts.push(wrong(caller.start_with(user, password).await));
        }
        caller.start_with(user, right).await.unwrap();
    }
    texts.dedup();
    assert_eq!(texts.len(), 1, "one text for all: {texts:?}");
    let mails = scene.smtp.wait_for_mails(2).await;
    assert_eq!(mails.len(), 2, "what was wrong mailed nothing");
    assert!(mails.iter().all(|mail| letter::recipient(mail) == address));
    service.stop().await;
}

#[tokio::test]
async fn a_password_is_checked_against_its_hash() {
    for hash in [BCRYPT, ARGON2] {
        let home = hashes(&[("ann", hash)]).await;
        the_right_password_alone_gets_a_mail(home, "ann", "right horse", "ann@example.com").await;
    }
}

#[tokio::test]
async fn a_password_is_checked_by_a_bind() {
    let Some((slapd, authority)) = Slapd::shared() else {
        return;
    };
    let home = home_with(corp(&[ldaps(slapd)], authority.path(), &[]));
    the_right_password_alone_gets_a_mail(home, "u7", "u7-pass", "u7@example.com").await;
    let home = home_with(corp(&[ldaps(slapd)], authority.path(), &[]));
    the_right_password_alone_gets_a_mail(home, "a,b+c=d", "a,b+c=d-pass", "odd1@example.com").await;
}

#[tokio::test]
async fn an_event_may_want_a_password() {
    let mut home = hashes(&[("ann", BCRYPT)]).await;
    home.set("events.vpn.password_required", true);
    let scene = Scene::at(home).await;
    let request = |event: &str, password: &str| pb::StartChallengeRequest {
        user: "ann".to_owned(),
        event: event.to_owned(),
        password: password.to_owned(),
        ..pb::StartChallengeRequest::default()
    };
    start(&scene.idp, request("", "")).await.unwrap();
    let missing = start(&scene.idp, request("vpn", "")).await.unwrap_err();
    assert_eq!(
        reason(&missing),
        (Code::InvalidArgument, "INVALID_FIELD".to_owned())
    );
    wrong(start(&scene.idp, request("vpn", "wrong")).await);
    // Where none is wanted, one that comes is checked all the same.
    wrong(start(&scene.idp, request("", "wrong")).await);
    start(&scene.idp, request("vpn", "right horse")).await.unwrap();
    scene.end().await;
}

#[tokio::test]
async fn a_repository_that_checks_none_says_so_whoever_the_user_is() {
    let scene = Scene::set().await;
    for user in ["ann", "nobody"] {
        let status = scene.idp.start_with(user, "x").await.unwrap_err();
        assert_eq!(
            reason(&status),
            (Code::FailedPrecondition, "PASSWORD_NOT_CHECKED".to_owned())
        );
    }
    scene.end().await;
}

/// Ten wrong ones lock, those who are there and those who are not; right ones too are refused then; codes are counted apart,
/// and neither a restart nor another spelling gives any back.
#[tokio::test]
async fn wrong_passwords_have_a_budget_of_their_own() {
    let home = hashes(&[("ann", BCRYPT), ("bo", BCRYPT)]).await;
    let mut scene = Scene::at(home).await;
    let locked = |result: Result<pb::Challenge, Status>| {
        let status = result.unwrap_err();
        assert_eq!(
            reason(&status),
            (Code::ResourceExhausted, "USER_LOCKED".to_owned())
        );
    };
    for user in ["ann", "nobody"] {
        for _ in 0..5 {
            wrong(scene.idp.start_with(user, "wrong").await);
        }
    }
    scene.service.stop().await;
    let machine = Machine {
        clock: scene.clock.clone(),
        ..Machine::real()
    };
    scene.service = scene.home.serve(machine).await;
    scene.idp = scene
        .service
        .client(&scene.home.caller("idp2", Role::Authenticator).await)
        .await;
    for user in ["ann", "nobody"] {
        for _ in 0..5 {
            wrong(scene.idp.start_with(&format!(" {user} "), "wrong").await);
        }
        for password in ["wrong", "right horse"] {
            locked(scene.idp.start_with(user, password).await);
        }
    }
    // Somebody else is none the worse for it. Without a password ann has her codes.
    scene.idp.start_with("bo", "right horse").await.unwrap();
    scene.idp.start("ann").await.unwrap();
    scene.clock.advance(Duration::from_secs(30 * 60 + 1));
    scene.idp.start_with("ann", "right horse").await.unwrap();
    // The right one ended the count.
    for _ in 0..9 {
        wrong(scene.idp.start_with("ann", "wrong").await);
    }
    scene.idp.start_with("ann", "right horse").await.unwrap();
    scene.end().await;
}

/// 32 at once find out no more than ten one after another.
#[tokio::test]
async fn of_many_at_once_ten_are_judged() {
    let home = hashes(&[("ann", BCRYPT)]).await;
    let scene = Scene::at(home).await;
    let tries = (0..32).map(|number| {
        let idp = scene.idp.clone();
        async move { idp.start_with("ann", &format!("wrong{number}")).await }
    });
    let answers = futures_util::future::join_all(tries).await;
    let judged = answers
        .into_iter()
        .filter(|answer| reason(answer.as_ref().unwrap_err()).1 == "WRONG_PASSWORD")
        .count();
    assert_eq!(judged, 10);
    scene.end().await;
}

/// No password is in the log at its most talkative, in the database or its journal, or in anything that is answered; no whole
/// address and no hash either.
#[tokio::test]
async fn no_password_is_kept_or_told() {
    let mut home = hashes(&[("ann", BCRYPT)]).await;
    let portal = home.repository(0);
    let Some((slapd, authority)) = Slapd::shared() else {
        return;
    };
    let directory = corp(
        &[ldaps(slapd)],
        authority.path(),
        &[("bare_names", false.into()), ("domains", vec!["CORP"].into())],
    );
    home.set("repository", Value::Array(vec![portal, directory]));
    let smtp = SmtpServer::plain().await;
    let process = home.spawn_with(&[("MAILFACTOR_LOG", "trace")]).await;
    let admin = process.client(&home.caller("ops", Role::Admin).await).await;
    admin.mail_through(smtp.address).await;
    let idp = process
        .client(&home.caller("idp", Role::Authenticator).await)
        .await;
    let mut told = Vec::new();
    for (user, right) in [("ann", "right horse"), ("CORP\\u77", "u77-pass")] {
        told.push(format!(
            "{:?}",
            idp.start_with(user, "canary-password-4711").await
        ));
        told.push(format!("{:?}", idp.start_with(user, right).await.unwrap()));
        let request = pb::LookUpUserRequest {
            user: user.to_owned(),
            ..pb::LookUpUserRequest::default()
        };
        told.push(format!(
            "{:?}",
            admin.repositories.clone().look_up_user(request).await.unwrap()
        ));
    }
    smtp.wait_for_mails(2).await;
    told.push(metrics_page(process.metrics).await);
    let log = process.log();
    assert!(
        log.contains("TRACE") || log.contains("DEBUG"),
        "the log is not at its most talkative"
    );
    told.push(log);
    let secrets = ["canary-password-4711", "right horse", "u77-pass", BIND_PASSWORD];
    for text in &told {
        for secret in secrets
            .iter()
            .chain(&["ann@example.com", "u77@example.com", BCRYPT])
        {
            assert!(
                !text.contains(secret),
                "{secret} is told: {}",
                around(text, secret)
            );
        }
    }
    // The configuration is the one place where the service's own password is.
    for file in files(&home.path("")) {
        if file.extension().is_some_and(|extension| extension == "toml") {
            continue;
        }
        let bytes = std::fs::read(&file).unwrap();
        for secret in secrets {
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} is in {}", file.display());
        }
    }
}

fn around(text: &str, secret: &str) -> String {
    let lines = text.lines().filter(|line| line.contains(secret));
    lines.take(3).collect::<Vec<_>>().join("\n")
}

/// How long it takes for somebody and for nobody, with a wrong password or without one, for a caller that may not see users.
async fn ratio(laptop: &Client, known: &[String], pairs: usize, password: &str) -> f64 {
    let mut times = [Vec::new(), Vec::new()];
    let mut state = 1_u64;
    for pair in 0..pairs {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let first = usize::from(state >> 63 == 1);
        for which in [first, 1 - first] {
            let user = match which {
                0 => known[pair % known.len()].clone(),
                _ => format!("x{}", pair % known.len()),
            };
            let began = tokio::time::Instant::now();
            let answer = laptop.start_with(&user, password).await;
            times[which].push(began.elapsed());
            if password.is_empty() {
                answer.unwrap();
            } else {
                wrong(answer);
            }
        }
    }
    let [known, unknown] = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    });
    println!("password {password:?}: known {known:?}, unknown {unknown:?}");
    known.as_secs_f64() / unknown.as_secs_f64()
}

const PAIRS: usize = 5_000;
const ROUNDS: usize = 5;

pub(crate) async fn takes_as_long(home: Home, known: Vec<String>, password: &str) {
    let scene = Ground::set(home).await;
    let (service, _) = scene.serve(Machine::real()).await;
    let laptop = service
        .client(&scene.home.caller("laptop", Role::Endpoint).await)
        .await;
    ratio(&laptop, &known, 100, password).await;
    // A real difference shows in every round; another process's work does not.
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let ratio = ratio(&laptop, &known, PAIRS, password).await;
        if (0.95..1.05).contains(&ratio) {
            service.stop().await;
            return;
        }
        ratios.push(ratio);
    }
    panic!("known to unknown, medians over {PAIRS} pairs: {ratios:.3?}");
}

/// So many that nobody is locked meanwhile.
pub(crate) fn many() -> Vec<String> {
    (0..5_000).map(|number| format!("u{number}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures time and wants the machine to itself: scripts/test runs it after the others"]
async fn wrong_passwords_against_a_directory_take_as_long_for_nobody() {
    let Some((slapd, authority)) = Slapd::shared() else {
        return;
    };
    let home = home_with(corp(&[ldaps(slapd)], authority.path(), &[]));
    takes_as_long(home, many(), "wrong").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures time and wants the machine to itself: scripts/test runs it after the others"]
async fn a_start_from_a_directory_takes_as_long_for_nobody() {
    let Some((slapd, authority)) = Slapd::shared() else {
        return;
    };
    let home = home_with(corp(&[ldaps(slapd)], authority.path(), &[]));
    takes_as_long(home, many(), "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures time and wants the machine to itself: scripts/test runs it after the others"]
async fn wrong_passwords_against_hashes_take_as_long_for_nobody() {
    let known = many();
    let users: Vec<(&str, &str)> = known.iter().map(|name| (name.as_str(), BCRYPT)).collect();
    takes_as_long(hashes(&users).await, known, "wrong").await;
}

//! Directories of users that break while the service runs, and users who cannot be found (R9).

use std::{path::Path, time::Duration};

use mailfactor::{app::Machine, pb::v1 as pb};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::time::timeout;
use toml::{Table, Value};
use tonic::Code;

use crate::harness::{
    client::Client,
    ground::{Ground, reason},
    in_time, letter,
    service::{Home, metrics_page},
};

/// The promise is 3 s; the rest is for a busy machine.
const ANSWER: Duration = Duration::from_millis(4_500);

fn repository(fields: &[(&str, Value)]) -> Value {
    let fields = fields
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.clone()));
    Value::Array(vec![Value::Table(Table::from_iter(fields))])
}

/// Starts a challenge for this user as soon as the directory knows him.
async fn start_once_known(idp: &Client, user: &str) -> pb::Challenge {
    in_time(async {
        loop {
            match idp.start(user).await {
                Ok(challenge) => return challenge,
                Err(status) => assert_eq!(reason(&status).1, "USER_UNKNOWN", "{status}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_broken_or_vanished_users_file_keeps_the_old_users_and_heals() {
    let mut home = Home::new();
    let file = home.path("users.toml").display().to_string();
    // Metrics are the process's: the name is this test's own.
    let gauge = "mailfactor_repository_stale{repository=\"breaking\"}";
    home.set(
        "repository",
        repository(&[
            ("name", "breaking".into()),
            ("kind", "file".into()),
            ("path", file.into()),
        ]),
    );
    let scene = Ground::set(home).await;
    let (service, idp) = scene.serve(Machine::real()).await;
    let users = scene.home.path("users.toml");
    let whole = std::fs::read_to_string(&users).unwrap();
    for round in 0..2 {
        if round == 0 {
            scene.home.users_text("[[user]]\nname = \"ann\"\nemail = ");
        } else {
            std::fs::remove_file(&users).unwrap();
        }
        in_time(async {
            while !metrics_page(service.metrics)
                .await
                .contains(&format!("{gauge} 1"))
            {
                // A look-up makes it look at the file.
                let _ = idp.start("nobody").await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
        .await;
        idp.start(&format!("u{round}")).await.unwrap();
        let newcomer = format!("new{round}");
        let healed =
            format!("{whole}\n[[user]]\nname = \"{newcomer}\"\nemail = \"{newcomer}@example.com\"\n");
        scene.home.users_text(&healed);
        let challenge = start_once_known(&idp, &newcomer).await;
        let code = letter::newest_to(&scene.smtp, &format!("{newcomer}@example.com")).await;
        let verdict = idp.verify(&challenge.challenge_id, &code).await.unwrap();
        assert_eq!(verdict.result(), pb::VerifyResult::Verified);
        let page = metrics_page(service.metrics).await;
        assert!(page.contains(&format!("{gauge} 0")), "{page}");
    }
    service.stop().await;
}

async fn portal(path: &Path) -> SqliteConnection {
    let mut portal = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .connect()
        .await
        .unwrap();
    for statement in [
        "CREATE TABLE people (id TEXT, login TEXT, email TEXT)",
        "INSERT INTO people VALUES ('1', 'ann', 'ann@example.com'), ('2', 'bob', NULL), \
         ('3', 'eve', 'eve@example.com'), ('4', 'eve', 'eve@example.org')",
    ] {
        sqlx::query(statement).execute(&mut portal).await.unwrap();
    }
    portal
}

fn portal_home() -> Home {
    let mut home = Home::new();
    let url = format!("sqlite:{}", home.path("portal.db").display());
    home.set(
        "repository",
        repository(&[
            ("name", "portal".into()),
            ("kind", "sql".into()),
            ("url", url.into()),
            ("query", "SELECT id, email FROM people WHERE login = $1".into()),
        ]),
    );
    home
}

#[tokio::test]
async fn who_cannot_be_mailed_is_told_apart_to_those_who_may_know() {
    let home = portal_home();
    portal(&home.path("portal.db")).await.close().await.unwrap();
    let scene = Ground::set(home).await;
    let (service, idp) = scene.serve(Machine::real()).await;
    for (user, code, expected) in [
        ("bob", Code::FailedPrecondition, "USER_HAS_NO_ADDRESS"),
        ("zoe", Code::NotFound, "USER_UNKNOWN"),
        ("eve", Code::FailedPrecondition, "USER_AMBIGUOUS"),
    ] {
        let status = idp.start(user).await.unwrap_err();
        assert_eq!(reason(&status), (code, expected.to_owned()), "{user}");
    }
    idp.start("ann").await.unwrap();
    let mails = scene.smtp.wait_for_mails(1).await;
    assert_eq!(letter::recipient(&mails[0]), "ann@example.com");
    service.stop().await;
}

/// Nobody can be looked up, in time; who has a challenge goes on with it.
async fn refuses(idp: &Client) {
    let answer = timeout(ANSWER, idp.start("ann"))
        .await
        .expect("StartChallenge hangs");
    let expected = (Code::Unavailable, "REPOSITORY_UNAVAILABLE".to_owned());
    assert_eq!(reason(&answer.unwrap_err()), expected);
}

#[tokio::test]
async fn a_directory_that_is_locked_or_gone_stops_no_verifying() {
    let home = portal_home();
    let file = home.path("portal.db");
    let mut portal = portal(&file).await;
    let scene = Ground::set(home).await;
    let (service, idp) = scene.serve(Machine::real()).await;
    let open = [idp.start("ann").await.unwrap(), idp.start("ann").await.unwrap()];
    scene.smtp.wait_for_mails(2).await;
    // Which mail came first is nobody's promise: each code is tried on both.
    let codes: Vec<String> = scene
        .smtp
        .mails()
        .iter()
        .map(|mail| letter::code(&mail.data))
        .collect();
    let verify = async |challenge: &pb::Challenge| {
        let mut results = Vec::new();
        for code in &codes {
            results.push(idp.verify(&challenge.challenge_id, code).await.unwrap().result());
        }
        assert!(results.contains(&pb::VerifyResult::Verified), "{results:?}");
    };

    sqlx::query("BEGIN EXCLUSIVE").execute(&mut portal).await.unwrap();
    refuses(&idp).await;
    verify(&open[0]).await;
    sqlx::query("COMMIT").execute(&mut portal).await.unwrap();
    portal.close().await.unwrap();
    in_time(idp.start("ann")).await.unwrap();

    let aside = file.with_extension("aside");
    std::fs::rename(&file, &aside).unwrap();
    service.stop().await;
    let service = scene.home.serve(Machine::real()).await;
    let idp = service.client(&scene.idp).await;
    refuses(&idp).await;
    let mut results = Vec::new();
    for code in &codes {
        let answer = idp.verify(&open[1].challenge_id, code).await.unwrap();
        results.push(answer.result());
    }
    assert!(results.contains(&pb::VerifyResult::Verified), "{results:?}");
    // Back in its place: no restart is needed. The budget of three is spent, which only a directory that works tells.
    std::fs::rename(&aside, &file).unwrap();
    let status = idp.start("ann").await.unwrap_err();
    assert_eq!(reason(&status).1, "SEND_BUDGET_SPENT");
    service.stop().await;
}

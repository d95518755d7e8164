//! A database that is locked, read-only or out of space: the documented answer, in time, and no restart afterwards (R8).

use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use mailfactor::{app::Machine, pb::v1 as pb};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::time::timeout;
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;

use crate::harness::{
    client::{Client, health},
    ground::{Ground, reason, wait_for_health},
    letter,
    service::{Home, Service},
    smtp::{Act, At},
};

/// The promise is 2.5 s; the rest is for a busy machine.
pub(super) const ANSWER: Duration = Duration::from_secs(4);
/// The promise is 5 s.
pub(super) const BACK: Duration = Duration::from_secs(8);

/// Another connection that holds the database for itself.
async fn lock(path: &Path) -> SqliteConnection {
    let mut other = SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(Duration::from_secs(10))
        .connect()
        .await
        .unwrap();
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut other).await.unwrap();
    other
}

pub(super) fn assert_unavailable<T>(
    answer: Result<Result<T, Status>, tokio::time::error::Elapsed>,
    what: &str,
) {
    let Err(status) = answer.unwrap_or_else(|_| panic!("{what} hangs")) else {
        panic!("{what} succeeds without a store");
    };
    let expected = (Code::Unavailable, "STORE_UNAVAILABLE".to_owned());
    assert_eq!(reason(&status), expected, "{what}: {status}");
}

/// What everybody is told while nothing can be written.
async fn refuses(service: &Service, idp: &Client, open: &pb::Challenge, code: &str) {
    let (start, verify) = tokio::join!(
        timeout(ANSWER, idp.start("u1")),
        timeout(ANSWER, idp.verify(&open.challenge_id, code))
    );
    assert_unavailable(start, "StartChallenge");
    assert_unavailable(verify, "VerifyCode");
    let wrong = timeout(ANSWER, idp.verify(&open.challenge_id, &letter::another(code))).await;
    assert_unavailable(wrong, "VerifyCode of a wrong code");
    wait_for_health(service.grpc, "", ServingStatus::NotServing, BACK).await;
    assert_eq!(
        health(service.grpc, "liveness").await,
        Some(ServingStatus::Serving)
    );
}

/// The service does its work again, and what happened in between cost nobody anything.
async fn is_back(scene: &Ground, service: &Service, idp: &Client, open: &pb::Challenge, code: &str) {
    wait_for_health(service.grpc, "", ServingStatus::Serving, BACK).await;
    assert_eq!(idp.get(&open.challenge_id).await.unwrap().attempts_left, 5);
    let wrong = idp
        .verify(&open.challenge_id, &letter::another(code))
        .await
        .unwrap();
    assert_eq!(
        (wrong.result(), wrong.attempts_left),
        (pb::VerifyResult::WrongCode, 4)
    );
    let verdict = idp.verify(&open.challenge_id, code).await.unwrap();
    assert_eq!(verdict.result(), pb::VerifyResult::Verified);
    let fresh = idp.start("u2").await.unwrap();
    let code = letter::newest_to(&scene.smtp, "u2@example.com").await;
    let verdict = idp.verify(&fresh.challenge_id, &code).await.unwrap();
    assert_eq!(verdict.result(), pb::VerifyResult::Verified);
}

async fn open_challenge(scene: &Ground, idp: &Client) -> (pb::Challenge, String) {
    let open = idp.start("ann").await.unwrap();
    let code = letter::newest_to(&scene.smtp, "ann@example.com").await;
    idp.wait_until(&open.challenge_id, pb::DeliveryState::Sent).await;
    (open, code)
}

#[tokio::test]
async fn a_locked_database_fails_closed_and_comes_back() {
    let scene = Ground::set(Home::new()).await;
    let (service, idp) = scene.serve(Machine::real()).await;
    let (open, code) = open_challenge(&scene, &idp).await;
    // A mail that is out when the lock falls is settled after it, and not sent again.
    scene.smtp.times(1, At::Dot, Act::Delay(Duration::from_secs(1)));
    let under_way = idp.start("u0").await.unwrap();
    letter::newest_to(&scene.smtp, "u0@example.com").await;
    let other = lock(&scene.home.path("mailfactor.db")).await;
    refuses(&service, &idp, &open, &code).await;
    other.close().await.unwrap();
    is_back(&scene, &service, &idp, &open, &code).await;
    idp.wait_until(&under_way.challenge_id, pb::DeliveryState::Sent)
        .await;
    // ann, u0 and u2: nothing of the refused starts, no copy.
    assert_eq!(scene.smtp.mails().len(), 3);
    service.stop().await;
}

#[tokio::test]
async fn many_callers_of_a_locked_database_all_hear_in_time() {
    let scene = Ground::set(Home::new()).await;
    let (service, idp) = scene.serve(Machine::real()).await;
    let (open, code) = open_challenge(&scene, &idp).await;
    let other = lock(&scene.home.path("mailfactor.db")).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (idp, id, code) = (idp.clone(), open.challenge_id.clone(), code.clone());
        calls.spawn(async move { timeout(ANSWER, idp.verify(&id, &code)).await });
    }
    for answer in calls.join_all().await {
        assert_unavailable(answer, "VerifyCode");
    }
    other.close().await.unwrap();
    is_back(&scene, &service, &idp, &open, &code).await;
    service.stop().await;
}

/// Runs a program of the system; whether it succeeded. Refused privileges are no failure of the test.
fn run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A small file system of its own; unmounted when dropped.
struct Volume(PathBuf);

impl Volume {
    fn mount(path: PathBuf) -> Option<Self> {
        std::fs::create_dir(&path).unwrap();
        let mounted = run(
            "mount",
            &["-t", "tmpfs", "-o", "size=8m", "tmpfs", path.to_str()?],
        );
        if !mounted {
            eprintln!("SKIPPED: a file system cannot be mounted here; that takes a privilege");
        }
        mounted.then_some(Self(path))
    }

    /// Takes every byte that is left.
    fn fill(&self) {
        let mut ballast = File::create(self.0.join("ballast")).unwrap();
        for size in [64 * 1024, 4096, 1] {
            while ballast.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn empty(&self) {
        std::fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        run("umount", &["-l", &self.0.display().to_string()]);
    }
}

fn home_on(volume: &str) -> Home {
    let mut home = Home::new();
    let file = home.path(volume).join("mailfactor.db");
    home.set("store.url", format!("sqlite:{}", file.display()));
    home
}

#[tokio::test]
async fn a_full_disk_fails_closed_and_comes_back() {
    let home = home_on("volume");
    let Some(volume) = Volume::mount(home.path("volume")) else {
        return;
    };
    let scene = Ground::set(home).await;
    let (service, idp) = scene.serve(Machine::real()).await;
    let (open, code) = open_challenge(&scene, &idp).await;
    volume.fill();
    refuses(&service, &idp, &open, &code).await;
    volume.empty();
    is_back(&scene, &service, &idp, &open, &code).await;
    assert_eq!(scene.smtp.mails().len(), 2);
    service.stop().await;
}

/// Files that nobody may write, not even root with the file open; writable again when dropped.
struct Frozen(Vec<String>);

impl Frozen {
    fn freeze(database: &Path) -> Option<Self> {
        let mut files = ["", "-wal", "-shm", ".probe"]
            .map(|suffix| format!("{}{suffix}", database.display()))
            .to_vec();
        let mut probe = File::create(files.last().unwrap()).unwrap();
        // The probe freezes first: where a file that is open can be written all the same, nothing else is touched.
        files.reverse();
        let frozen = Self(files);
        let done = frozen
            .0
            .iter()
            .all(|file| run("chattr", &["+i", file]) && probe.write_all(b"?").is_err());
        if !done {
            eprintln!("SKIPPED: files cannot be made immutable here; that takes a privilege");
        }
        done.then_some(frozen)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for file in &self.0 {
            run("chattr", &["-i", file]);
        }
    }
}

#[tokio::test]
async fn a_read_only_database_fails_closed_and_comes_back() {
    // On the disk: a file system in memory lets open files be written that are immutable.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let database = directory.path().join("mailfactor.db");
    let mut home = Home::new();
    home.set("store.url", format!("sqlite:{}", database.display()));
    let scene = Ground::set(home).await;
    let (service, idp) = scene.serve(Machine::real()).await;
    let (open, code) = open_challenge(&scene, &idp).await;
    let Some(frozen) = Frozen::freeze(&database) else {
        service.stop().await;
        return;
    };
    refuses(&service, &idp, &open, &code).await;
    // Connections opened meanwhile can only read; they must not stay.
    refuses(&service, &idp, &open, &code).await;
    drop(frozen);
    is_back(&scene, &service, &idp, &open, &code).await;
    assert_eq!(scene.smtp.mails().len(), 2);
    service.stop().await;
}

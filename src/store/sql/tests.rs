//! SQLite: the suite of contracts, and what only a file can do.

use std::{os::unix::fs::PermissionsExt as _, path::PathBuf};

use tempfile::TempDir;
use tokio::task::JoinSet;

use super::{
    query::{Cell as _, query},
    *,
};
use crate::{
    domain::keyring::Subject,
    store::{
        Budgets as _, Challenges, Guessed, Outbox as _, Probe as _, Started,
        contract::{self, ManualClock, Place},
    },
};

/// A file in a directory of its own.
pub(crate) struct File(TempDir);

impl File {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("store.db")
    }

    fn settings(&self) -> SqlSettings {
        SqlSettings {
            // On a busy machine the suite must not fail for lack of time.
            deadline: Duration::from_mins(1),
            busy_timeout: Duration::from_secs(50),
            ..SqlSettings::new(format!("sqlite:{}", self.path().display()))
        }
    }

    async fn open_with(&self, settings: &SqlSettings) -> SqlStore {
        let store = SqlStore::connect(settings, ManualClock::new()).await.unwrap();
        store.migrate().await.unwrap();
        store
    }

    /// A store that gives up soon.
    async fn impatient(&self) -> SqlStore {
        let settings = SqlSettings {
            busy_timeout: Duration::from_millis(200),
            deadline: Duration::from_mins(1),
            ..self.settings()
        };
        self.open_with(&settings).await
    }
}

impl Place for File {
    type Store = SqlStore;

    async fn open(&self, clock: Arc<dyn Clock>) -> SqlStore {
        let store = SqlStore::connect(&self.settings(), clock).await.unwrap();
        store.migrate().await.unwrap();
        store
    }
}

mod contracts {
    contract::keeps_every_contract!(Some(super::super::File::new()));
    use crate::store::contract;
}

async fn starts(store: &SqlStore) -> StoreResult<Started> {
    let challenge = contract::challenge(1, ManualClock::new().now());
    store.start(contract::start(&challenge)).await
}

fn is_unavailable<T: fmt::Debug>(result: &StoreResult<T>) -> bool {
    matches!(result, Err(StoreError::Unavailable(_)))
}

#[tokio::test]
async fn the_file_is_the_owners_alone_and_durable() {
    let file = File::new();
    let store = file.open(ManualClock::new()).await;
    starts(&store).await.unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let path = file.0.path().join(format!("store.db{suffix}"));
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{suffix}");
    }
    let mut writer = store.writer().await.unwrap();
    for (pragma, value) in [
        ("journal_mode", "wal"),
        ("synchronous", "2"),
        ("foreign_keys", "1"),
    ] {
        let row = query(format!("PRAGMA {pragma}"))
            .fetch_one(&mut writer)
            .await
            .unwrap();
        let kept = String::of(&row, pragma).unwrap_or_else(|_| row.get::<i64>(pragma).to_string());
        assert_eq!(kept, value, "{pragma}");
    }
}

#[tokio::test]
async fn migrating_twice_or_at_once_is_migrating_once() {
    let file = File::new();
    let store = SqlStore::connect(&file.settings(), ManualClock::new())
        .await
        .unwrap();
    let all = store.pending_migrations().await.unwrap();
    assert!(all > 0);
    let mut calls = JoinSet::new();
    for _ in 0..4 {
        let other = SqlStore::connect(&file.settings(), ManualClock::new())
            .await
            .unwrap();
        calls.spawn(async move { other.migrate().await.unwrap() });
    }
    assert_eq!(calls.join_all().await.into_iter().sum::<usize>(), all);
    assert_eq!(store.pending_migrations().await.unwrap(), 0);
    assert_eq!(store.migrate().await.unwrap(), 0);
    let mut write = store.write().await.unwrap();
    query("INSERT INTO schema_versions (version, name, applied_at) VALUES (999, 'later', 0)")
        .execute(&mut write)
        .await
        .unwrap();
    write.commit().await.unwrap();
    for result in [store.migrate().await, store.pending_migrations().await] {
        assert!(matches!(result, Err(StoreError::Corrupt(_))), "{result:?}");
    }
}

#[tokio::test]
async fn refuses_what_is_no_file() {
    let file = File::new();
    for url in [
        "postgres://x/y".to_owned(),
        "sqlite:".into(),
        "sqlite::memory:".into(),
        format!("sqlite:{}/none/store.db", file.0.path().display()),
        format!("sqlite:{}", file.0.path().display()),
    ] {
        let result = SqlStore::connect(&SqlSettings::new(url.as_str()), ManualClock::new()).await;
        assert!(is_unavailable(&result), "{url}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_unavailable() {
    let file = File::new();
    std::fs::write(
        file.path(),
        "This is no database, however long one looks at it.".repeat(50),
    )
    .unwrap();
    let result = SqlStore::connect(&file.settings(), ManualClock::new()).await;
    assert!(is_unavailable(&result), "{result:?}");
}

#[tokio::test]
async fn a_locked_file_is_unavailable_and_comes_back() {
    let file = File::new();
    let store = file.impatient().await;
    starts(&store).await.unwrap();
    let blocker = file.impatient().await;
    let lock = blocker.write().await.unwrap();
    assert!(is_unavailable(&starts(&store).await));
    assert!(is_unavailable(&store.probe().await));
    assert!(is_unavailable(
        &store
            .lock(Subject::from_bytes([1; 32]), "staff/ann", &contract::note())
            .await
    ));
    // Reading goes on.
    assert_eq!(store.depth().await.unwrap().waiting, 1);
    lock.rollback().await.unwrap();
    assert!(matches!(starts(&store).await.unwrap(), Started::Opened));
    store.probe().await.unwrap();
}

#[tokio::test]
async fn the_deadline_holds_for_those_who_wait_in_line_too() {
    let file = File::new();
    let settings = SqlSettings {
        deadline: Duration::from_millis(300),
        busy_timeout: Duration::from_secs(5),
        ..file.settings()
    };
    let patient = file.open(ManualClock::new()).await;
    let store = SqlStore::connect(&settings, ManualClock::new()).await.unwrap();
    let lock = patient.write().await.unwrap();
    let mut calls = JoinSet::new();
    for _ in 0..8 {
        let store = store.clone();
        calls.spawn(async move { starts(&store).await });
    }
    for result in calls.join_all().await {
        assert!(matches!(result, Err(StoreError::Timeout(_))), "{result:?}");
    }
    lock.rollback().await.unwrap();
    // As soon as the last of them has stopped waiting, it works again: no restart, nothing half done.
    loop {
        match starts(&store).await {
            Ok(_) => break,
            Err(error) => assert!(matches!(error, StoreError::Timeout(_)), "{error:?}"),
        }
    }
    assert_eq!(patient.depth().await.unwrap().waiting, 1);
}

#[tokio::test]
async fn connections_that_became_read_only_or_full_are_replaced() {
    let file = File::new();
    let store = file.open(ManualClock::new()).await;
    for pragma in ["PRAGMA query_only = 1", "PRAGMA max_page_count = 1"] {
        let mut writer = store.writer().await.unwrap();
        query(pragma).execute(&mut writer).await.unwrap();
        drop(writer);
        // A database without room takes what fits into pages it has: until none is left.
        let mut result = starts(&store).await;
        for _ in 0..1000 {
            if result.is_err() {
                break;
            }
            result = starts(&store).await;
        }
        assert!(is_unavailable(&result), "{pragma}: {result:?}");
        assert!(
            matches!(starts(&store).await.unwrap(), Started::Opened),
            "{pragma}"
        );
        store.probe().await.unwrap();
    }
}

#[tokio::test]
async fn a_read_only_file_is_unavailable_until_it_is_not() {
    let file = File::new();
    let store = file.open(ManualClock::new()).await;
    starts(&store).await.unwrap();
    store.close().await;
    let permit = |mode| {
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    permit(0o400);
    if std::fs::OpenOptions::new().write(true).open(file.path()).is_ok() {
        // The administrator writes to any file: nothing to see here.
        return;
    }
    let settings = file.settings();
    let store = SqlStore::open(&file.path(), &settings, ManualClock::new());
    assert!(is_unavailable(&starts(&store).await));
    permit(0o600);
    assert!(matches!(starts(&store).await.unwrap(), Started::Opened));
}

#[tokio::test]
async fn given_up_half_way_nothing_is_written_and_nothing_is_stuck() {
    let file = File::new();
    let store = file.open(ManualClock::new()).await;
    for polls in 0..40 {
        let mut start = Box::pin(starts(&store));
        for _ in 0..polls {
            if futures_util::poll!(&mut start).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(start);
    }
    assert!(matches!(starts(&store).await.unwrap(), Started::Opened));
    // Whole or not at all: as many challenges as mails.
    let mut reader = store.reader().await.unwrap();
    let surplus = query("SELECT (SELECT COUNT(*) FROM challenges) - (SELECT COUNT(*) FROM outbox)")
        .fetch_number(&mut reader)
        .await
        .unwrap();
    assert_eq!(surplus, 0);
}

#[tokio::test]
async fn a_copy_of_the_files_of_a_running_store_holds_what_was_answered() {
    let file = File::new();
    let store = file.open(ManualClock::new()).await;
    let challenge = contract::challenge(1, ManualClock::new().now());
    store.start(contract::start(&challenge)).await.unwrap();
    // What a crash leaves: the file and its log, never closed.
    let crashed = File::new();
    for suffix in ["", "-wal"] {
        let name = format!("store.db{suffix}");
        std::fs::copy(file.0.path().join(&name), crashed.0.path().join(&name)).unwrap();
    }
    let again = crashed.open(ManualClock::new()).await;
    assert_eq!(
        Challenges::find(&again, challenge.id).await.unwrap(),
        Some(challenge)
    );
}

#[tokio::test]
async fn what_runs_often_uses_its_index() {
    let file = File::new();
    let store = file.open(ManualClock::new()).await;
    let mut reader = store.reader().await.unwrap();
    for (statement, index) in [
        (
            "SELECT id FROM outbox INDEXED BY outbox_due WHERE state IN (1, 3) AND decoy = 0 AND next_attempt_at <= $1 \
             AND leased_until <= $1 AND expires_at > $1 ORDER BY next_attempt_at LIMIT $2",
            "outbox_due",
        ),
        (
            "SELECT id FROM outbox INDEXED BY outbox_expiring WHERE state IN (1, 3) AND decoy = 0 AND expires_at <= $1 \
             AND leased_until <= $2 ORDER BY expires_at LIMIT $3",
            "outbox_expiring",
        ),
        (
            "SELECT 1 FROM outbox INDEXED BY outbox_expiring WHERE state IN (1, 3) AND decoy = 0 AND expires_at <= $1 LIMIT 1",
            "outbox_expiring",
        ),
        (
            "SELECT state FROM outbox WHERE challenge = $1 ORDER BY submitted_at DESC, id DESC LIMIT 1",
            "outbox_challenge",
        ),
        (
            "UPDATE outbox SET state = 7 WHERE challenge = $1 AND state IN (1, 3)",
            "outbox_challenge",
        ),
        (
            "SELECT id FROM outbox WHERE submitted_at < $1 AND (state NOT IN (1, 3) OR decoy = 1) \
             ORDER BY submitted_at LIMIT $2",
            "outbox_report",
        ),
        (
            "SELECT COUNT(*) AS waiting, MIN(submitted_at) AS oldest FROM outbox \
             WHERE state IN (1, 3) AND decoy = 0",
            "outbox_",
        ),
        (
            "SELECT id FROM challenges WHERE expires_at < $1 ORDER BY expires_at LIMIT $2",
            "challenges_expiry",
        ),
        (
            "SELECT subject FROM send_budgets WHERE day_began < $1 AND full_at < $2 LIMIT $3",
            "send_budgets_day",
        ),
    ] {
        let rows = query(format!("EXPLAIN QUERY PLAN {statement}"))
            .fetch_all(&mut reader)
            .await
            .unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
        let plan = plan.join("; ");
        assert!(plan.contains(index), "{statement}: {plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{statement}: {plan}");
    }
}

#[tokio::test]
async fn one_callers_unreadable_row_is_nobody_elses_failure() {
    let file = File::new();
    let store = file.open(ManualClock::new()).await;
    let now = ManualClock::new().now();
    let challenges: Vec<_> = (1..=20).map(|user| contract::challenge(user, now)).collect();
    for challenge in &challenges {
        store.start(contract::start(challenge)).await.unwrap();
    }
    let mut writer = store.writer().await.unwrap();
    query("UPDATE challenges SET alphabet = 'no such' WHERE id = $1")
        .bind(challenges[7].id.as_bytes().as_slice())
        .execute(&mut writer)
        .await
        .unwrap();
    drop(writer);
    let guesses = challenges
        .iter()
        .map(|challenge| store.guess(contract::guess(challenge.id, 1, now)));
    let answers = futures_util::future::join_all(guesses).await;
    for (place, answer) in answers.iter().enumerate() {
        match answer {
            Ok(Some(Guessed::Judged(right))) => assert_eq!(right.verdict.name(), "verified"),
            Err(StoreError::Corrupt(_)) => assert_eq!(place, 7),
            other => panic!("{place}: {other:?}"),
        }
    }
    assert!(answers[7].is_err());
}

#[tokio::test]
async fn rows_of_a_shared_write_are_found_by_their_keys() {
    let file = File::new();
    let store = file.open(ManualClock::new()).await;
    let mut reader = store.reader().await.unwrap();
    for statement in [
        "UPDATE challenges SET state = v.column2 FROM (VALUES ($1, 2), ($2, 2)) AS v WHERE challenges.id = v.column1",
        "UPDATE challenges SET state = v.column2 FROM (VALUES ($1, 2), ($2, 2)) AS v WHERE challenges.id = v.column1 \
         AND NOT EXISTS (SELECT 1 FROM guess_budgets WHERE guess_budgets.user_hash = challenges.user_hash) \
         RETURNING challenges.id",
        "UPDATE outbox SET lease = NULL FROM (VALUES ($1, $2), ($3, $4)) AS v \
         WHERE outbox.id = v.column1 AND outbox.lease = v.column2",
        "UPDATE send_budgets SET today = 1 FROM (VALUES ($1), ($2)) AS v WHERE send_budgets.subject = v.column1",
        "UPDATE guess_budgets SET failures = 1 FROM (VALUES ($1), ($2)) AS v WHERE guess_budgets.user_hash = v.column1",
        "SELECT * FROM challenges WHERE id IN ($1, $2) ORDER BY id",
        "SELECT id FROM outbox INDEXED BY outbox_challenge WHERE challenge IN ($1, $2) AND state IN (1, 3) AND decoy = 0",
        "UPDATE outbox SET state = 7 WHERE id IN (\
         SELECT id FROM outbox WHERE id IN ($1, $2) AND state IN (1, 3) ORDER BY id)",
        "UPDATE outbox SET charged = 1 FROM (VALUES ($1, $2, 3), ($4, $5, 6)) AS v WHERE outbox.id = v.column1 \
         AND outbox.lease = v.column2 AND outbox.leased_until > v.column3 AND outbox.state IN (1, 3) RETURNING id, lease",
    ] {
        let explained = query(format!("EXPLAIN QUERY PLAN {statement}"));
        let rows = explained.fetch_all(&mut reader).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
        let searched = plan
            .iter()
            .any(|step| step.starts_with("SEARCH") && step.contains("INDEX"));
        let scanned = plan
            .iter()
            .any(|step| step.starts_with("SCAN") && !step.ends_with("VALUES CLAUSE"));
        assert!(searched && !scanned, "{statement}: {plan:?}");
    }
}

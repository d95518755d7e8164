//! PostgreSQL: the suite of contracts, and what only a server can do. It is a real one, started privately.

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::servers::postgres::{PASSWORD, Postgres, ROLE};
use super::{query::query, *};
use crate::store::{
    Challenges as _, LEASE, Outbox as _, Probe as _, Started,
    contract::{self, ManualClock, Place},
};

/// The starter of real servers that the black-box tests use.
#[path = "../../../tests/it/harness/servers.rs"]
mod servers;

/// A database of its own, on a server that serves all tests.
struct Database {
    server: &'static Postgres,
    name: String,
}

impl Database {
    /// An empty one; `None` where PostgreSQL is not installed.
    fn new() -> Option<Self> {
        let server = Postgres::shared()?;
        let name = server.database();
        Some(Self { server, name })
    }

    fn settings(&self) -> ServerSettings {
        // On a busy machine the suite must not fail for lack of time.
        let patience = Duration::from_mins(1);
        ServerSettings {
            host: self.server.address.ip().to_string(),
            port: self.server.address.port(),
            user: ROLE.to_owned(),
            password: Some(PASSWORD.to_owned().into()),
            database: self.name.clone(),
            encrypted: false,
            authorities: None,
            connections: 8,
            connect_timeout: patience,
            acquire_timeout: patience,
            statement_timeout: patience,
            ping_timeout: patience,
            deadline: patience,
        }
    }

    /// Leases run on the server's clock.
    async fn open_in_real_time(&self) -> SqlStore {
        let store = SqlStore::connect_to_server(&self.settings()).await.unwrap();
        store.migrate().await.unwrap();
        store
    }

    /// A store that gives up soon.
    async fn impatient(&self) -> SqlStore {
        let settings = ServerSettings {
            deadline: Duration::from_millis(500),
            statement_timeout: Duration::from_millis(400),
            ping_timeout: Duration::from_millis(200),
            ..self.settings()
        };
        SqlStore::connect_to_server(&settings).await.unwrap()
    }

    /// Runs a statement as the server's administrator.
    fn sql(&self, statement: &str) -> String {
        self.server.sql(&self.name, statement)
    }
}

impl Place for Database {
    type Store = SqlStore;

    async fn open(&self, clock: Arc<dyn Clock>) -> SqlStore {
        let store = SqlStore::connect_with_clock(&self.settings(), StoreClock::Machine(clock)).await;
        let store = store.unwrap();
        store.migrate().await.unwrap();
        store
    }
}

mod contracts {
    contract::keeps_every_contract!(super::super::Database::new());
    use crate::store::contract;
}

async fn starts(store: &SqlStore) -> StoreResult<Started> {
    let challenge = contract::challenge(1, ManualClock::new().now());
    store.start(contract::start(&challenge)).await
}

async fn starts_well(store: &SqlStore) {
    assert!(matches!(starts(store).await.unwrap(), Started::Opened));
    store.probe().await.unwrap();
}

#[tokio::test]
async fn leases_run_on_the_servers_clock() {
    let Some(database) = Database::new() else { return };
    let store = database.open_in_real_time().await;
    let server_time = || -> i64 {
        let now = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)";
        database.sql(now).parse().unwrap()
    };
    // By the clock of whoever writes it, this mail belongs to the next year; it expires later.
    let before = server_time();
    let mut entry = contract::entry(None, Timestamp::from_micros(before));
    entry.expires_at = Timestamp::from_micros(before).plus(Duration::from_hours(1));
    store.enqueue(entry).await.unwrap();
    let claimed = store.claim(1, vec![contract::lease()]).await.unwrap();
    let lease = i64::try_from(LEASE.as_micros()).unwrap();
    let until = claimed[0].leased_until.as_micros();
    assert!((before + lease..=server_time() + lease).contains(&until));
    // It runs out by that clock as well.
    database.sql("UPDATE outbox SET leased_until = leased_until - 29000000");
    assert!(store.claim(1, vec![contract::lease()]).await.unwrap().is_empty());
    database.sql("UPDATE outbox SET leased_until = leased_until - 1000000");
    assert_eq!(store.claim(1, vec![contract::lease()]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn connections_that_became_read_only_are_replaced() {
    let Some(database) = Database::new() else { return };
    let store = database.open_in_real_time().await;
    let mut writer = store.writer().await.unwrap();
    let read_only = query("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY");
    read_only.execute(&mut writer).await.unwrap();
    drop(writer);
    let refused = starts(&store).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    starts_well(&store).await;
}

#[tokio::test]
async fn a_server_that_is_read_only_is_not_used() {
    let Some(database) = Database::new() else { return };
    let store = database.open_in_real_time().await;
    let read_only = |on| {
        let name = &database.name;
        let statement = format!("ALTER DATABASE {name} SET default_transaction_read_only = {on}");
        // In another database: this one would refuse to be changed.
        database.server.sql("postgres", &statement);
    };
    read_only("on");
    let refused = SqlStore::connect_to_server(&database.settings()).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    read_only("off");
    starts_well(&store).await;
}

#[tokio::test]
async fn connections_that_were_ended_are_replaced_unnoticed_where_nothing_was_begun() {
    let Some(database) = Database::new() else { return };
    let store = database.open_in_real_time().await;
    let held: Vec<Read> = futures_util::future::try_join_all((0..8).map(|_| store.reader()))
        .await
        .unwrap();
    drop(held);
    database.sql(
        "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    starts_well(&store).await;
}

#[tokio::test]
async fn a_lock_held_elsewhere_makes_nobody_wait_for_long() {
    let Some(database) = Database::new() else { return };
    let patient = database.open_in_real_time().await;
    starts_well(&patient).await;
    let store = database.impatient().await;
    let mut lock = patient.write().await.unwrap();
    lock.run_script("LOCK TABLE challenges".into()).await.unwrap();
    let mut calls = JoinSet::new();
    for _ in 0..20 {
        let store = store.clone();
        calls.spawn(async move { starts(&store).await });
    }
    for result in calls.join_all().await {
        assert!(result.is_err(), "{result:?}");
    }
    lock.rollback().await.unwrap();
    // Whatever was given up half-way holds nothing for longer than the server works on one statement.
    while starts(&store).await.is_err() {}
    starts_well(&patient).await;
    let mut reader = store.reader().await.unwrap();
    let whole = "SELECT (SELECT COUNT(*) FROM challenges) - (SELECT COUNT(*) FROM outbox)";
    assert_eq!(query(whole).fetch_number(&mut reader).await.unwrap(), 0);
}

#[tokio::test]
async fn whoever_freezes_in_a_transaction_holds_no_row_for_long() {
    let Some(database) = Database::new() else { return };
    let store = database.open_in_real_time().await;
    let frozen = database.impatient().await;
    let challenge = contract::challenge(1, ManualClock::new().now());
    store.start(contract::start(&challenge)).await.unwrap();
    let mut write = frozen.write().await.unwrap();
    challenge_rows::find_for_update(&mut write, challenge.id)
        .await
        .unwrap();
    // Waits for the row, and gets it when the server ends the transaction that does nothing.
    let guessed = store.guess(contract::guess(challenge.id, 1, challenge.created_at));
    assert!(guessed.await.unwrap().is_some());
    assert!(challenge_rows::find(&mut write, challenge.id).await.is_err());
}

#[tokio::test]
async fn given_up_half_way_nothing_is_written_and_nothing_is_stuck() {
    let Some(database) = Database::new() else { return };
    let store = database.open_in_real_time().await;
    for polls in 0..60 {
        let mut start = Box::pin(starts(&store));
        for _ in 0..polls {
            if futures_util::poll!(&mut start).is_ready() {
                break;
            }
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
        drop(start);
    }
    starts_well(&store).await;
    let mut reader = store.reader().await.unwrap();
    let whole = "SELECT (SELECT COUNT(*) FROM challenges) - (SELECT COUNT(*) FROM outbox)";
    assert_eq!(query(whole).fetch_number(&mut reader).await.unwrap(), 0);
}

#[tokio::test]
async fn of_many_that_start_at_once_one_brings_the_schema_up_to_date() {
    let Some(database) = Database::new() else { return };
    let mut starting = JoinSet::new();
    for _ in 0..5 {
        let settings = database.settings();
        starting.spawn(async move {
            let store = SqlStore::connect_to_server(&settings).await.unwrap();
            let steps = store.migrate().await.unwrap();
            assert_eq!(store.pending_migrations().await.unwrap(), 0);
            steps
        });
    }
    let mut steps = starting.join_all().await;
    steps.sort_unstable();
    assert_eq!(steps[..4], [0; 4]);
    assert!(steps[4] >= 15);
}

#[tokio::test]
async fn an_older_version_works_beside_a_newer_one_that_allows_it() {
    let Some(database) = Database::new() else { return };
    let store = database.open_in_real_time().await;
    let newer = |version, beside| {
        database.sql(&format!(
            "INSERT INTO schema_versions (version, name, applied_at, beside) VALUES ({version}, 'x', 0, {beside})"
        ));
    };
    newer(1001, 1);
    assert_eq!(store.migrate().await.unwrap(), 0);
    starts_well(&store).await;
    newer(1002, 0);
    assert!(matches!(store.migrate().await, Err(StoreError::Corrupt(_))));
}

#[tokio::test]
async fn a_step_waits_its_turn_and_is_not_stopped_by_a_deadline() {
    let Some(database) = Database::new() else { return };
    let first = database.open_in_real_time().await;
    let step =
        "DELETE FROM schema_versions WHERE version = 15; ALTER TABLE schema_versions DROP COLUMN beside";
    database.sql(step);
    // Somebody works with the table that the step changes, for longer than the other's deadline and lock's patience.
    let mut write = first.write().await.unwrap();
    write
        .run_script("LOCK TABLE schema_versions IN ROW SHARE MODE".into())
        .await
        .unwrap();
    let second = database.impatient().await;
    let mut migrating = JoinSet::new();
    migrating.spawn(async move { second.migrate().await });
    let waits = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let mut reader = first.reader().await.unwrap();
    for wanted in [1, 0, 1] {
        while query(waits).fetch_number(&mut reader).await.unwrap() != wanted {}
    }
    write.rollback().await.unwrap();
    assert_eq!(migrating.join_next().await.unwrap().unwrap().unwrap(), 1);
}

#[tokio::test]
async fn what_postgresql_cannot_keep_in_a_text_is_replaced() {
    let Some(database) = Database::new() else { return };
    let store = database.open_in_real_time().await;
    let mut reader = store.reader().await.unwrap();
    let length = query("SELECT CAST(length($1) AS BIGINT)").bind("a\0b");
    assert_eq!(length.fetch_number(&mut reader).await.unwrap(), 3);
}

#[tokio::test]
async fn a_mail_that_nobody_took_is_announced_to_other_instances() {
    let Some(database) = Database::new() else { return };
    let [writer, other] = [
        database.open_in_real_time().await,
        database.open_in_real_time().await,
    ];
    let (ring, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let end = CancellationToken::new();
    let mut listening = JoinSet::new();
    listening.spawn(other.hear(move || ring.send(()).unwrap(), end.clone()));
    // It looks once when it begins to listen.
    heard.recv().await.unwrap();
    let free = contract::entry(None, ManualClock::new().now());
    let mut leased = free.clone();
    leased.id = crate::domain::id::EntryId::from_bytes(contract::unique());
    leased.lease = Some(contract::lease());
    writer.enqueue(leased).await.unwrap();
    assert!(heard.is_empty());
    writer.enqueue(free).await.unwrap();
    heard.recv().await.unwrap();
    // The connection is opened again when it is lost, and a look makes up for what was not heard.
    database.sql(
        "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity \
         WHERE datname = current_database() AND query LIKE 'LISTEN%'",
    );
    heard.recv().await.unwrap();
    end.cancel();
    listening.join_next().await.unwrap().unwrap();
}

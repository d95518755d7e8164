//! Pages at a length that shows how they are read: a million rows. `MAILFACTOR_ROWS` sets another length.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::*;
use crate::{
    domain::{clock::Clock as _, id::EntryId, keyring::Subject},
    store::{
        Outbox as _, Outcome, Settlement,
        contract::{self, ManualClock, Place as _},
        sql::{SqlStore, outbox_work::PURGE, query::query, tests::File},
    },
};

const PAGE: u32 = 50;

fn rows(usual: u32) -> u32 {
    let set = std::env::var("MAILFACTOR_ROWS").ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Writes so many closed mails, one a millisecond from the clock's moment on: every tenth a decoy, every 500th failed,
/// every 1,000th a test, 100 to each recipient, through two accounts.
///
/// In one statement, with the indexes built afterwards, each in one go.
async fn fill(store: &SqlStore, rows: u32, from: Timestamp) {
    let mut writer = store.writer().await.unwrap();
    let indexes = query(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'outbox' AND sql IS NOT NULL",
    )
    .fetch_all(&mut writer)
    .await
    .unwrap();
    assert!(indexes.len() > 5);
    for index in &indexes {
        let drop = format!("DROP INDEX {}", index.get::<String>("name"));
        query(drop).execute(&mut writer).await.unwrap();
    }
    query(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) \
         INSERT INTO outbox (id, kind, decoy, state, submitted_at, sent_at, expires_at, masked_recipient, subject, \
         account, attempts, last_error, message_id, mail, leased_until, charged, unsure, recipient_hash, sender, \
         changed_at) SELECT CAST(printf('%016d', i) AS BLOB), CASE WHEN i % 1000 = 0 THEN 2 ELSE 1 END, i % 10 = 9, \
         CASE WHEN i % 500 = 0 THEN 4 ELSE 2 END, $2 + i * 1000, NULL, $2 + i * 1000, 'j*****@e*****.com', 'code', \
         CASE WHEN i % 2 = 0 THEN 'even' ELSE 'odd' END, 1, '', '', x'00', 0, 0, 0, \
         CAST(printf('%032d', i % ($1 / 100)) AS BLOB), 'login@example.org', $2 + i * 1000 FROM n",
    )
    .bind(i64::from(rows))
    .bind(from.as_micros())
    .execute(&mut writer)
    .await
    .unwrap();
    for index in &indexes {
        let create = index.get::<String>("sql");
        query(create).execute(&mut writer).await.unwrap();
    }
}

/// How SQLite reads a page of one state, or of all, line by line.
async fn plan(
    connection: &mut Connection,
    filter: &EntryFilter,
    state: Option<DeliveryState>,
    after: Option<PageKey>,
) -> Vec<String> {
    let query = page(Engine::Sqlite, "EXPLAIN QUERY PLAN ", filter, state, after, PAGE);
    let rows = query.fetch_all(connection).await.unwrap();
    rows.iter().map(|row| row.get("detail")).collect()
}

/// A page, and how many steps of SQLite's machine it took.
async fn counted(
    connection: &mut Connection,
    filter: &EntryFilter,
    after: Option<PageKey>,
) -> (Vec<Entry>, u64) {
    let steps = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&steps);
    let count = move || {
        counter.fetch_add(1, Ordering::Relaxed);
        true
    };
    connection
        .sqlite()
        .lock_handle()
        .await
        .unwrap()
        .set_progress_handler(1, count);
    let found = list(connection, filter, after, PAGE).await.unwrap();
    connection
        .sqlite()
        .lock_handle()
        .await
        .unwrap()
        .remove_progress_handler();
    (found, steps.load(Ordering::Relaxed))
}

fn filters(rows: u32, from: Timestamp) -> Vec<(&'static str, EntryFilter)> {
    let filter = EntryFilter::default;
    let mut recipient = [b'0'; 32];
    recipient[31] = b'2';
    let after = |share: u32| Some(from.plus(Duration::from_millis(u64::from(rows / 100 * share))));
    let failed = vec![DeliveryState::Failed];
    let account = Some("even".to_owned());
    vec![
        ("outbox_report", filter()),
        (
            "outbox_report",
            EntryFilter {
                from: after(2),
                until: after(98),
                ..filter()
            },
        ),
        (
            "outbox_states",
            EntryFilter {
                states: failed.clone(),
                ..filter()
            },
        ),
        (
            "outbox_states",
            EntryFilter {
                states: vec![DeliveryState::Sent, DeliveryState::Failed],
                until: after(98),
                ..filter()
            },
        ),
        (
            "outbox_accounts",
            EntryFilter {
                account: account.clone(),
                ..filter()
            },
        ),
        (
            "outbox_accounts",
            EntryFilter {
                account,
                states: failed,
                ..filter()
            },
        ),
        (
            "outbox_tests",
            EntryFilter {
                kind: Some(MailKind::Test),
                ..filter()
            },
        ),
        (
            "outbox_recipients",
            EntryFilter {
                recipient: Some(Subject::from_bytes(recipient)),
                ..filter()
            },
        ),
    ]
}

#[tokio::test]
async fn a_deep_page_costs_what_the_first_does() {
    let rows = rows(1_000_000);
    let file = File::new();
    let clock = ManualClock::new();
    let store = file.open(clock.clone()).await;
    let from = clock.now();
    fill(&store, rows, from).await;
    let mut reader = store.reader().await.unwrap();
    for (index, mut filter) in filters(rows, from) {
        for order in [EntryOrder::NewestFirst, EntryOrder::OldestFirst] {
            filter.order = order;
            let (first, first_steps) = counted(&mut reader, &filter, None).await;
            // Nine tenths of the way through.
            let tenth = rows / 10;
            let deep = match order {
                EntryOrder::NewestFirst => tenth,
                EntryOrder::OldestFirst => rows - tenth,
            };
            let after = Some(PageKey {
                submitted_at: from.plus(Duration::from_millis(u64::from(deep))),
                id: EntryId::from_bytes([b'9'; 16]),
            });
            let (page, deep_steps) = counted(&mut reader, &filter, after).await;
            assert!(!first.is_empty() && !page.is_empty(), "{filter:?}");
            // A handful of steps for each row shown, wherever the page lies.
            let most = first_steps.max(200) * 3 / 2;
            assert!(deep_steps <= most, "{first_steps} {deep_steps} {filter:?}");
            assert!(
                first_steps <= 60 * u64::from(PAGE) * 8,
                "{first_steps} {filter:?}"
            );
            assert_eq!(Way::of(&filter).index(), index, "{filter:?}");
        }
    }
}

/// Every combination of filters, in both orders, from the start and from the middle.
fn combinations(now: Timestamp) -> Vec<(EntryFilter, Option<PageKey>)> {
    let mut all = Vec::new();
    for bits in 0..512_u32 {
        let on = |bit: u32| bits & (1 << bit) != 0;
        let kind = if on(2) { MailKind::Test } else { MailKind::Code };
        let mut filter = EntryFilter {
            states: Vec::new(),
            account: on(0).then(|| "even".to_owned()),
            kind: on(1).then_some(kind),
            recipient: on(3).then(|| Subject::from_bytes([1; 32])),
            from: on(4).then(|| now.minus(Duration::from_mins(1))),
            until: on(5).then(|| now.plus(Duration::from_mins(1))),
            order: if on(6) {
                EntryOrder::OldestFirst
            } else {
                EntryOrder::NewestFirst
            },
        };
        if on(7) {
            filter.states = vec![DeliveryState::Failed, DeliveryState::Deferred];
        }
        let after = on(8).then(|| PageKey {
            submitted_at: now,
            id: EntryId::from_bytes([1; 16]),
        });
        all.push((filter, after));
    }
    all
}

/// The plans are those of `snapshots/`: each is one step along one index, and none sorts.
#[tokio::test]
async fn whatever_is_asked_for_an_index_answers_in_its_order() {
    let file = File::new();
    let clock = ManualClock::new();
    let store = file.open(clock.clone()).await;
    let mut reader = store.reader().await.unwrap();
    let mut plans: BTreeMap<String, usize> = BTreeMap::new();
    for (filter, after) in combinations(clock.now()) {
        let way = Way::of(&filter);
        for state in way.states(&filter) {
            let plan = plan(&mut reader, &filter, state, after).await;
            let used = format!(" USING INDEX {}", way.index());
            assert!(plan.len() == 1 && plan[0].contains(&used), "{plan:?} {filter:?}");
            // The whole of an index is read along only where nothing narrows it: until the page is full.
            let along = plan[0].starts_with("SCAN ");
            let unbound = after.is_none() && filter.from.is_none() && filter.until.is_none();
            assert!(
                !along || (unbound && matches!(way, Way::All | Way::Tests)),
                "{plan:?} {filter:?}"
            );
            *plans.entry(plan[0].clone()).or_default() += 1;
        }
    }
    let shown: Vec<&str> = plans.keys().map(String::as_str).collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[tokio::test]
async fn retention_finds_its_batch_by_an_index() {
    let file = File::new();
    let store = file.open(ManualClock::new()).await;
    let mut writer = store.writer().await.unwrap();
    let explain = ["EXPLAIN QUERY PLAN ", PURGE].concat();
    let rows = query(explain)
        .bind(0_i64)
        .bind(500_i64)
        .fetch_all(&mut writer)
        .await
        .unwrap();
    let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
    let text = plan.join("; ");
    assert!(
        text.contains("SEARCH outbox USING INDEX outbox_report (submitted_at<?)"),
        "{text}"
    );
    assert!(
        !text.contains("SCAN outbox") && !text.contains("TEMP B-TREE FOR ORDER"),
        "{text}"
    );
}

#[tokio::test]
async fn retention_goes_in_batches_while_mails_flow() {
    const BATCH: u32 = 500;
    let rows = rows(20_000);
    let file = File::new();
    let clock = ManualClock::new();
    let store = file.open(clock.clone()).await;
    fill(&store, rows, clock.now()).await;
    clock.pass(Duration::from_millis(u64::from(rows) + 1));
    let before = clock.now();
    let purging = {
        let store = store.clone();
        async move {
            let mut purged = 0;
            loop {
                let batch = store.purge(before, BATCH).await.unwrap();
                assert!(batch <= u64::from(BATCH));
                purged += batch;
                if batch < u64::from(BATCH) {
                    return purged;
                }
            }
        }
    };
    let flowing = async {
        for _ in 0..50 {
            let mut entry = contract::entry(None, clock.now());
            let lease = contract::lease();
            entry.lease = Some(lease);
            let id = entry.id;
            store.enqueue(entry).await.unwrap();
            let settlement = Settlement {
                id,
                lease,
                outcome: Outcome::Sent { at: clock.now() },
                subject: None,
                sender: None,
                attempts: Vec::new(),
                fate_known: true,
            };
            assert!(store.settle(settlement).await.unwrap());
        }
    };
    let (purged, ()) = tokio::join!(purging, flowing);
    assert_eq!(purged, u64::from(rows));
    let left = store.list(&EntryFilter::default(), None, 100).await.unwrap();
    assert_eq!(left.len(), 50);
}

//! Pages at a length that shows how they are read. `MAILFACTOR_ROWS` sets the length; a million takes a minute.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sqlx::Row as _;

use super::*;
use crate::{
    domain::{clock::Clock as _, id::EntryId, keyring::Subject},
    store::{
        Outbox as _, Outcome, Settlement,
        contract::{self, ManualClock, Place as _},
        sql::{SqlStore, tests::File},
    },
};

const PAGE: u32 = 50;

fn rows(usual: u32) -> u32 {
    let set = std::env::var("MAILFACTOR_ROWS").ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Writes so many closed mails, one a millisecond from the clock's moment on: every tenth a decoy, every 500th failed,
/// every 1,000th a test, 100 to each recipient, through two accounts.
async fn fill(store: &SqlStore, rows: u32, from: Timestamp) {
    let mut write = store.writer().await.unwrap();
    sqlx::query(
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
    .execute(&mut *write)
    .await
    .unwrap();
}

/// How SQLite reads a page, line by line.
async fn plan(connection: &mut Connection, filter: &EntryFilter, after: Option<PageKey>) -> Vec<String> {
    let state = Way::of(filter).states(filter)[0];
    let mut query = page("EXPLAIN QUERY PLAN ", filter, state, after, PAGE);
    let rows = query.build().fetch_all(connection).await.unwrap();
    rows.iter().map(|row| row.try_get("detail").unwrap()).collect()
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
        .lock_handle()
        .await
        .unwrap()
        .set_progress_handler(1, count);
    let found = list(connection, filter, after, PAGE).await.unwrap();
    connection.lock_handle().await.unwrap().remove_progress_handler();
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
    let rows = rows(100_000);
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
            for after in [None, after] {
                let plan = plan(&mut reader, &filter, after).await;
                // One step, in the order of the index: nothing is sorted.
                let used = format!(" USING INDEX {index}");
                assert!(plan.len() == 1 && plan[0].contains(&used), "{plan:?} {filter:?}");
            }
        }
    }
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

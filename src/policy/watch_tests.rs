//! The watch over the real store, on a clock moved by hand.

use std::pin::Pin;

use futures_util::StreamExt as _;
use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use crate::{
    domain::clock::Clock,
    policy::tests::House,
    store::{
        Outbox,
        contract::{self, ManualClock},
        sql::{SqlSettings, SqlStore},
    },
};

type News = Pin<Box<dyn Stream<Item = Result<EntryNews, OutboxError>> + Send>>;

struct Ground {
    _folder: TempDir,
    url: String,
    clock: Arc<ManualClock>,
    office: Arc<Office>,
}

impl Ground {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let url = format!("sqlite:{}", folder.path().join("outbox.db").display());
        let clock = ManualClock::new();
        let mut office = House::new().await.office;
        let store = store(&url, &clock).await;
        store.migrate().await.unwrap();
        office.outbox = Arc::new(store);
        Self {
            _folder: folder,
            url,
            clock,
            office: Arc::new(office),
        }
    }

    async fn watch(&self, recent: u32) -> News {
        let search = EntrySearch::default();
        Box::pin(self.office.watch_entries(search, recent).await.unwrap())
    }
}

async fn store(url: &str, clock: &Arc<ManualClock>) -> SqlStore {
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    SqlStore::connect(&SqlSettings::new(url), clock).await.unwrap()
}

async fn owe(outbox: &dyn Outbox, clock: &ManualClock) -> EntryId {
    let entry = contract::entry(None, clock.now());
    let id = entry.id;
    outbox.enqueue(entry).await.unwrap();
    id
}

async fn next(news: &mut News) -> EntryNews {
    let next = timeout(Duration::from_secs(30), news.next())
        .await
        .expect("hangs");
    next.unwrap().unwrap()
}

/// The next entry told.
async fn entry(news: &mut News) -> Entry {
    match next(news).await {
        EntryNews::Entry(entry) => *entry,
        other => panic!("no entry: {other:?}"),
    }
}

/// Whether nothing is told for a few looks.
async fn is_quiet(news: &mut News) -> bool {
    timeout(LOOK * 3, news.next()).await.is_err()
}

#[tokio::test]
async fn what_stands_is_told_once_and_then_what_anybody_changes() {
    let ground = Ground::new().await;
    let first = owe(&*ground.office.outbox, &ground.clock).await;
    let second = owe(&*ground.office.outbox, &ground.clock).await;
    let mut all = ground.watch(10).await;
    assert_eq!(
        [entry(&mut all).await.id, entry(&mut all).await.id],
        [first, second]
    );
    assert!(matches!(next(&mut all).await, EntryNews::Live(_)));
    let mut fresh = ground.watch(0).await;
    assert!(matches!(next(&mut fresh).await, EntryNews::Live(_)));
    assert!(is_quiet(&mut all).await && is_quiet(&mut fresh).await);
    // Another process, with the clock standing: the same moment, and news all the same.
    let other = store(&ground.url, &ground.clock).await;
    let third = owe(&other, &ground.clock).await;
    assert_eq!(entry(&mut all).await.id, third);
    assert_eq!(entry(&mut fresh).await.id, third);
    ground.clock.pass(Duration::from_mins(10));
    assert_eq!(other.expire(ground.clock.now(), 1).await.unwrap().len(), 1);
    for news in [&mut all, &mut fresh] {
        assert_eq!(entry(news).await.state, DeliveryState::Expired);
        assert!(is_quiet(news).await);
    }
}

#[tokio::test]
async fn only_who_is_far_behind_is_brought_back_to_the_present() {
    let ground = Ground::new().await;
    let outbox = &*ground.office.outbox;
    let mut news = ground.watch(0).await;
    assert!(matches!(next(&mut news).await, EntryNews::Live(_)));
    let many = usize::try_from(PAGE).unwrap() + 100;
    ground.clock.pass(Duration::from_secs(5));
    for _ in 0..many {
        owe(outbox, &ground.clock).await;
    }
    ground.clock.pass(Duration::from_secs(50));
    // Late, but not too late: nothing is left out, nothing told twice, over several pages.
    let mut told: Vec<EntryId> = Vec::new();
    for _ in 0..many {
        told.push(entry(&mut news).await.id);
    }
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), many);
    assert!(is_quiet(&mut news).await);
    let missed_from = ground.clock.now();
    for _ in 0..many {
        owe(outbox, &ground.clock).await;
    }
    ground.clock.pass(LAG + 2 * OVERLAP);
    let EntryNews::Missed(from, until) = next(&mut news).await else {
        panic!("it is far behind")
    };
    assert!(from <= missed_from && until > missed_from);
    let present = owe(outbox, &ground.clock).await;
    assert_eq!(entry(&mut news).await.id, present);
    assert!(is_quiet(&mut news).await);
}

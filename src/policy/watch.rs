//! Watch: what happens in the outbox, as it happens.
//!
//! The store is read again and again, from where it was last read: what other instances do is seen like what this one
//! does, and nothing is kept here that grows with the outbox. A slow reader is not read ahead for: the store keeps what
//! is still to be told, and only one that has fallen far behind is brought back to the present.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures_util::{Stream, stream};
use tokio::time::sleep;

use super::{Entry, EntryFilter, EntryOrder, EntrySearch, Office, OutboxError, outbox::Sieve};
use crate::{
    domain::{clock::Timestamp, delivery::DeliveryState, id::EntryId},
    store::{ChangeKey, StoreError},
};

/// How often the outbox is looked at: a search in an index, where nothing happened.
const LOOK: Duration = Duration::from_millis(250);

/// Changes that are read at a time.
const PAGE: u32 = 500;

/// How far a look goes back before the one before it: what was being written then may have an earlier moment. Longer than
/// a write may take.
const OVERLAP: Duration = Duration::from_millis(2_500);

/// How far a reader may be behind with more than a page to come.
const LAG: Duration = Duration::from_mins(1);

/// What there is to tell.
#[derive(Clone, Debug)]
pub enum EntryNews {
    /// An entry as it now stands.
    Entry(Box<Entry>),
    /// What stood before was told; every change after this moment follows.
    Live(Timestamp),
    /// The changes from the one moment to the other were left out.
    Missed(Timestamp, Timestamp),
}

impl Office {
    /// Follows the entries asked for: the `recent` newest as they stand, the oldest of them first, then whatever
    /// changes, for as long as it is read. The stream ends after an error.
    #[tracing::instrument(name = "policy.watch_entries", skip_all)]
    pub async fn watch_entries(
        self: &Arc<Self>,
        search: EntrySearch,
        recent: u32,
    ) -> Result<impl Stream<Item = Result<EntryNews, OutboxError>> + Send + 'static + use<>, OutboxError>
    {
        let (filter, sieve) = self.sieve(&search);
        let mut watch = Watch {
            office: Arc::clone(self),
            filter,
            sieve,
            from: Timestamp::default(),
            look: None,
            told: HashMap::new(),
            news: VecDeque::new(),
            broken: false,
        };
        let live = watch.begin().await?;
        if recent > 0 {
            let mut newest = search;
            newest.filter.order = EntryOrder::NewestFirst;
            let page = self.list_entries(&newest, None, recent).await?;
            for entry in page.entries.into_iter().rev() {
                watch.remember(&entry, watch.from);
                watch.news.push_back(EntryNews::Entry(Box::new(entry)));
            }
        }
        watch.news.push_back(EntryNews::Live(live));
        Ok(stream::unfold(watch, Watch::step))
    }
}

struct Watch {
    office: Arc<Office>,
    filter: EntryFilter,
    sieve: Sieve,
    /// Where the next look begins.
    from: Timestamp,
    /// The look that is not over yet.
    look: Option<Look>,
    /// What was told of entries that the next look will come across again.
    told: HashMap<EntryId, Told>,
    /// What is still to be told: a page at the most.
    news: VecDeque<EntryNews>,
    broken: bool,
}

/// A look of several pages.
#[derive(Clone, Copy)]
struct Look {
    after: ChangeKey,
    /// Where the look after it begins.
    next: Timestamp,
}

/// What is worth telling of an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Told {
    state: DeliveryState,
    attempts: u32,
    next_attempt_at: Option<Timestamp>,
    changed_at: Timestamp,
}

impl Told {
    fn of(entry: &Entry) -> Self {
        Self {
            state: entry.state,
            attempts: entry.attempts,
            next_attempt_at: entry.next_attempt_at,
            changed_at: entry.changed_at,
        }
    }
}

impl Watch {
    /// Looks once without telling: what stands is no news. Says when that was.
    async fn begin(&mut self) -> Result<Timestamp, StoreError> {
        let outbox = &self.office.outbox;
        let nothing = outbox
            .changed(&self.filter, Timestamp::default(), None, 0)
            .await?;
        self.from = nothing.as_of.minus(OVERLAP);
        loop {
            self.read().await?;
            self.news.clear();
            if self.look.is_none() {
                return Ok(nothing.as_of);
            }
        }
    }

    async fn step(mut self) -> Option<(Result<EntryNews, OutboxError>, Self)> {
        loop {
            if let Some(news) = self.news.pop_front() {
                return Some((Ok(news), self));
            }
            if self.broken {
                return None;
            }
            if self.look.is_none() {
                sleep(LOOK).await;
            }
            if let Err(error) = self.read().await {
                self.broken = true;
                return Some((Err(error.into()), self));
            }
        }
    }

    /// Reads one page of a look.
    async fn read(&mut self) -> Result<(), StoreError> {
        let after = self.look.map(|look| look.after);
        let outbox = &self.office.outbox;
        let read = outbox.changed(&self.filter, self.from, after, PAGE).await?;
        let present = read.as_of.minus(OVERLAP);
        let next = self.look.map_or(present, |look| look.next);
        let full = read.entries.len() >= usize::try_from(PAGE).unwrap_or(usize::MAX);
        let reached = after.map_or(self.from, |after| after.changed_at);
        if full && present.since(reached) > LAG {
            self.news.push_back(EntryNews::Missed(reached, present));
            self.told.clear();
            self.from = present;
            self.look = None;
            return Ok(());
        }
        let last = read.entries.last().map(ChangeKey::of);
        for entry in read.entries {
            self.tell(entry, next);
        }
        self.look = last.filter(|_| full).map(|after| Look { after, next });
        if self.look.is_none() {
            self.from = self.from.max(next);
            let from = self.from;
            self.told.retain(|_, told| told.changed_at >= from);
        }
        Ok(())
    }

    /// Tells of an entry, unless it was told as it stands.
    fn tell(&mut self, entry: Entry, next: Timestamp) {
        if self.told.get(&entry.id) == Some(&Told::of(&entry)) {
            return;
        }
        self.remember(&entry, next);
        if self.sieve.lets(&entry) {
            self.news.push_back(EntryNews::Entry(Box::new(entry)));
        }
    }

    /// Remembers what is told of an entry, if the looks from this moment on come across it again.
    fn remember(&mut self, entry: &Entry, from: Timestamp) {
        if entry.changed_at >= from {
            self.told.insert(entry.id, Told::of(entry));
        }
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;

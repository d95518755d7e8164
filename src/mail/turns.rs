//! Turns: how many attempts an account's server gets at a time, and few at first after an outage.
//!
//! An attempt uses a connection, and opens one where none is warm. A server that comes back would otherwise get all of them
//! in the same moment, from every instance, with the mails that have waited.

use std::sync::{Arc, PoisonError};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use crate::sync::Mutex;

/// What an attempt tells of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It did its part.
    Well,
    /// Nothing for sure.
    Nothing,
    /// It is out of order.
    Outage,
}

/// How many turns there are: one after an outage, twice as many after each success, up to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ramp {
    allowed: usize,
    most: usize,
}

impl Ramp {
    fn new(most: usize) -> Self {
        Self { allowed: most, most }
    }

    fn hear(&mut self, news: News) {
        self.allowed = match news {
            News::Well => self.allowed.saturating_mul(2).min(self.most),
            News::Nothing => self.allowed,
            News::Outage => 1,
        };
    }
}

/// The turns at one server.
#[derive(Debug)]
pub(super) struct Turns {
    free: Arc<Semaphore>,
    ramp: Mutex<(Ramp, Issued)>,
}

/// So many permits exist, free or taken.
type Issued = usize;

/// A turn; over when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Arc<Turns>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Turns {
    /// So many at a time.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            free: Arc::new(Semaphore::new(most)),
            ramp: Mutex::new((Ramp::new(most), most)),
        })
    }

    /// Waits for a turn, in the order of asking.
    pub(super) async fn take(self: Arc<Self>) -> Result<Turn, AcquireError> {
        let permit = Arc::clone(&self.free).acquire_owned().await?;
        Ok(Turn {
            turns: self,
            permit: Some(permit),
        })
    }

    /// Takes note of how an attempt went.
    pub(super) fn hear(&self, news: News) {
        self.change(|ramp| ramp.hear(news), None);
    }

    /// What is changed, and then as many permits as the ramp allows: those beyond it are taken away as soon as they are
    /// free, `returned` first.
    fn change(&self, work: impl FnOnce(&mut Ramp), returned: Option<OwnedSemaphorePermit>) {
        let mut locked = self.ramp.lock().unwrap_or_else(PoisonError::into_inner);
        let (ramp, issued) = &mut *locked;
        work(ramp);
        match returned {
            Some(permit) if *issued > ramp.allowed => {
                permit.forget();
                *issued -= 1;
            }
            // Given back by being dropped.
            _ => {}
        }
        if *issued > ramp.allowed {
            *issued -= self.free.forget_permits(*issued - ramp.allowed);
        } else {
            self.free.add_permits(ramp.allowed - *issued);
            *issued = ramp.allowed;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.change(|_| {}, self.permit.take());
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use proptest::prelude::*;

    use super::*;

    fn try_take(turns: &Arc<Turns>) -> Option<Turn> {
        Arc::clone(turns).take().now_or_never().map(Result::unwrap)
    }

    fn take_all(turns: &Arc<Turns>) -> Vec<Turn> {
        std::iter::from_fn(|| try_take(turns)).collect()
    }

    #[test]
    fn a_server_begins_with_one_after_an_outage_and_doubles() {
        let turns = Turns::new(6);
        assert_eq!(take_all(&turns).len(), 6);
        turns.hear(News::Outage);
        for allowed in [1, 2, 4, 6, 6] {
            assert_eq!(take_all(&turns).len(), allowed);
            turns.hear(News::Nothing);
            assert_eq!(take_all(&turns).len(), allowed);
            turns.hear(News::Well);
        }
    }

    #[test]
    fn turns_under_way_during_an_outage_are_not_given_again() {
        let turns = Turns::new(4);
        let mut under_way = take_all(&turns);
        turns.hear(News::Outage);
        for left in [3, 2, 1] {
            under_way.pop();
            assert_eq!(under_way.len(), left);
            assert!(try_take(&turns).is_none());
        }
        under_way.pop();
        assert_eq!(take_all(&turns).len(), 1);
        // Grown while some are out: no more than the most in all.
        turns.hear(News::Well);
        let held = take_all(&turns);
        turns.hear(News::Well);
        turns.hear(News::Well);
        assert_eq!(held.len() + take_all(&turns).len(), 4);
    }

    #[tokio::test]
    async fn who_waits_gets_a_turn_when_the_ramp_grows() {
        let turns = Turns::new(2);
        turns.hear(News::Outage);
        let _first = try_take(&turns).unwrap();
        let waiting = Arc::clone(&turns).take();
        turns.hear(News::Well);
        waiting.await.unwrap();
    }

    proptest! {
        #[test]
        fn never_more_than_allowed_and_never_stuck(
            most in 1..9_usize,
            steps in prop::collection::vec(0..5_u8, 0..60),
        ) {
            let turns = Turns::new(most);
            let (mut ramp, mut held) = (Ramp::new(most), Vec::new());
            for step in steps {
                let news = match step {
                    0 => News::Well,
                    1 => News::Outage,
                    2 => News::Nothing,
                    3 => {
                        held.pop();
                        continue;
                    }
                    _ => {
                        let room = held.len() < ramp.allowed;
                        let turn = try_take(&turns);
                        prop_assert_eq!(turn.is_some(), room);
                        held.extend(turn);
                        continue;
                    }
                };
                turns.hear(news);
                ramp.hear(news);
            }
            held.clear();
            prop_assert_eq!(take_all(&turns).len(), ramp.allowed);
        }
    }
}

#[cfg(all(test, feature = "interleavings"))]
mod interleavings {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::FutureExt as _;
    use shuttle::future::{block_on, spawn, yield_now};

    use super::*;

    const MOST: usize = 3;

    /// In whatever order attempts begin, end and tell: never more than the most at a time, nobody waits for ever, and no
    /// turn is lost or invented.
    #[test]
    fn turns_are_neither_lost_nor_invented() {
        shuttle::check_random(
            || {
                let (turns, taken) = (Turns::new(MOST), Arc::new(AtomicUsize::new(0)));
                let attempts: Vec<_> = [News::Outage, News::Well, News::Nothing, News::Outage, News::Well]
                    .map(|news| {
                        let (turns, taken) = (turns.clone(), taken.clone());
                        spawn(async move {
                            let turn = turns.clone().take().await.unwrap();
                            assert!(taken.fetch_add(1, Ordering::SeqCst) < MOST);
                            yield_now().await;
                            turns.hear(news);
                            taken.fetch_sub(1, Ordering::SeqCst);
                            drop(turn);
                        })
                    })
                    .into();
                block_on(async {
                    for attempt in attempts {
                        attempt.await.unwrap();
                    }
                });
                for _ in 0..MOST {
                    turns.hear(News::Well);
                }
                let take = || turns.clone().take().now_or_never();
                let all: Vec<_> = std::iter::from_fn(take).collect();
                assert_eq!(all.len(), MOST);
            },
            5_000,
        );
    }
}

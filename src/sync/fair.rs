//! Places that are shared fairly: a bounded number, of which nobody holds more than a share, with a short queue for each.
//!
//! Who finds no place waits in a queue of its own. A place that becomes free goes to those who are preferred before the
//! others, and among equals to one after the other, however many of its own each has waiting: a flood of one delays the
//! flood, and everybody else by a turn.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};

use super::{Mutex, MutexGuard};

/// What one of those who share may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// Goes before the others, and may use the reserve.
    pub(crate) preferred: bool,
    /// Places at once.
    pub(crate) places: usize,
    /// How many may wait for one. 0: nobody waits.
    pub(crate) waiting: usize,
}

/// There is no place, nor will there be one in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// The places, shared among whoever `K` names.
pub(crate) struct FairPlaces<K: Eq + Hash + Clone>(Arc<Shared<K>>);

impl<K: Eq + Hash + Clone> Clone for FairPlaces<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Shared<K: Eq + Hash + Clone> {
    places: usize,
    reserve: usize,
    state: Mutex<State<K>>,
}

struct State<K: Eq + Hash + Clone> {
    taken: usize,
    known: HashMap<K, Known<K>>,
    /// Who has somebody waiting, in the order of their turns: those who are preferred, and the others.
    turns: [VecDeque<K>; 2],
}

struct Known<K: Eq + Hash + Clone> {
    share: Share,
    held: usize,
    waiting: VecDeque<oneshot::Sender<FairPlace<K>>>,
}

/// One of the places; free again when it is dropped.
pub struct FairPlace<K: Eq + Hash + Clone> {
    key: K,
    shared: Arc<Shared<K>>,
}

impl<K: Eq + Hash + Clone> FairPlaces<K> {
    /// So many, the last `reserve` of them for those who are preferred.
    pub(crate) fn new(places: usize, reserve: usize) -> Self {
        Self(Arc::new(Shared {
            places,
            reserve,
            state: Mutex::new(State {
                taken: 0,
                known: HashMap::new(),
                turns: [VecDeque::new(), VecDeque::new()],
            }),
        }))
    }

    /// Takes a place, or waits for one as long as the share's queue has room and `patience` lasts.
    pub(crate) async fn enter(&self, key: K, share: Share, patience: Duration) -> Result<FairPlace<K>, Full> {
        let turn = match self.enter_or_queue(key, share) {
            Ok(place) => return Ok(place),
            Err(turn) => turn.ok_or(Full)?,
        };
        // Whoever gives up drops its end of the channel, which takes it out of the queue.
        match timeout(patience, turn).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(Full),
        }
    }

    /// Takes a place, if there is one now.
    pub(crate) fn try_enter(&self, key: K, share: Share) -> Result<FairPlace<K>, Full> {
        let share = Share { waiting: 0, ..share };
        self.enter_or_queue(key, share).map_err(|_| Full)
    }

    fn enter_or_queue(
        &self,
        key: K,
        share: Share,
    ) -> Result<FairPlace<K>, Option<oneshot::Receiver<FairPlace<K>>>> {
        let mut state = self.0.lock();
        let taken = state.taken;
        let known = state.known.entry(key.clone()).or_insert_with(|| Known {
            share,
            held: 0,
            waiting: VecDeque::new(),
        });
        known.share = share;
        known.waiting.retain(|turn| !turn.is_closed());
        if known.waiting.is_empty() && self.0.has_place(taken, known) {
            known.held += 1;
            state.taken += 1;
            return Ok(FairPlace {
                key,
                shared: Arc::clone(&self.0),
            });
        }
        if known.waiting.len() >= share.waiting {
            state.forget_if_idle(&key);
            return Err(None);
        }
        let (turn, receiver) = oneshot::channel();
        let first = known.waiting.is_empty();
        known.waiting.push_back(turn);
        let line = &mut state.turns[usize::from(!share.preferred)];
        if first && !line.contains(&key) {
            line.push_back(key);
        }
        Err(Some(receiver))
    }
}

impl<K: Eq + Hash + Clone> Shared<K> {
    fn has_place(&self, taken: usize, known: &Known<K>) -> bool {
        let kept_back = if known.share.preferred { 0 } else { self.reserve };
        taken + kept_back < self.places && known.held < known.share.places
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a free place to whose turn it is.
    fn pass_on(self: &Arc<Self>) {
        loop {
            let Some((turn, key)) = self.next() else { return };
            let place = FairPlace {
                key,
                shared: Arc::clone(self),
            };
            // Who gave up in this very moment gives the place back by dropping it.
            let _ = turn.send(place);
        }
    }

    /// Takes a place for the next one in turn.
    fn next(&self) -> Option<(oneshot::Sender<FairPlace<K>>, K)> {
        let mut state = self.lock();
        for line in 0..state.turns.len() {
            for _ in 0..state.turns[line].len() {
                let key = state.turns[line].pop_front()?;
                let taken = state.taken;
                let Some(known) = state.known.get_mut(&key) else {
                    continue;
                };
                known.waiting.retain(|turn| !turn.is_closed());
                let place = self.has_place(taken, known);
                let turn = if place { known.waiting.pop_front() } else { None };
                let more = !known.waiting.is_empty();
                known.held += usize::from(turn.is_some());
                if more {
                    state.turns[line].push_back(key.clone());
                }
                match turn {
                    Some(turn) => {
                        state.taken += 1;
                        return Some((turn, key));
                    }
                    None => state.forget_if_idle(&key),
                }
            }
        }
        None
    }
}

impl<K: Eq + Hash + Clone> State<K> {
    fn forget_if_idle(&mut self, key: &K) {
        if self
            .known
            .get(key)
            .is_some_and(|known| known.held == 0 && known.waiting.is_empty())
        {
            self.known.remove(key);
        }
    }
}

impl<K: Eq + Hash + Clone> Drop for FairPlace<K> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.taken -= 1;
        if let Some(known) = state.known.get_mut(&self.key) {
            known.held -= 1;
        }
        state.forget_if_idle(&self.key);
        drop(state);
        self.shared.pass_on();
    }
}

impl<K: Eq + Hash + Clone> std::fmt::Debug for FairPlaces<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FairPlaces(..)")
    }
}

impl<K: Eq + Hash + Clone> std::fmt::Debug for FairPlace<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FairPlace(..)")
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    fn share(preferred: bool, places: usize, waiting: usize) -> Share {
        Share {
            preferred,
            places,
            waiting,
        }
    }

    #[tokio::test]
    async fn nobody_holds_more_than_a_share_and_the_reserve_is_kept() {
        let places = FairPlaces::new(8, 2);
        let held: Vec<_> = (0..8)
            .filter_map(|_| places.try_enter("a", share(false, 4, 0)).ok())
            .collect();
        assert_eq!(held.len(), 4);
        let others: Vec<_> = (0..8)
            .filter_map(|_| places.try_enter("b", share(false, 4, 0)).ok())
            .collect();
        assert_eq!(others.len(), 2, "two are in reserve");
        let trusted: Vec<_> = (0..8)
            .filter_map(|_| places.try_enter("idp", share(true, 4, 0)).ok())
            .collect();
        assert_eq!(trusted.len(), 2);
        drop((held, others, trusted));
        assert!(places.0.lock().known.is_empty(), "who is gone is forgotten");
    }

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "each task is waited for below")]
    async fn a_flood_delays_itself_and_others_by_a_turn() {
        let places = FairPlaces::new(1, 0);
        let first = places.try_enter("flood", share(false, 1, 0)).unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let enter = |key, preferred| {
            let (places, order) = (places.clone(), Arc::clone(&order));
            tokio::spawn(async move {
                let entered = places.enter(key, share(preferred, 1, 100), LONG).await;
                order.lock().unwrap().push(key);
                entered.map(drop)
            })
        };
        let flood: Vec<_> = (0..50).map(|_| enter("flood", false)).collect();
        while places.0.lock().known["flood"].waiting.len() < 50 {
            tokio::task::yield_now().await;
        }
        let (other, trusted) = (enter("other", false), enter("idp", true));
        while places.0.lock().known.len() < 3 {
            tokio::task::yield_now().await;
        }
        drop(first);
        trusted.await.unwrap().unwrap();
        other.await.unwrap().unwrap();
        for task in flood {
            task.await.unwrap().unwrap();
        }
        let order = order.lock().unwrap();
        assert_eq!(order[0], "idp");
        assert!(order[..3].contains(&"other"), "a turn at the most: {order:?}");
        assert!(places.0.lock().known.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_is_bounded_in_number_and_time_and_leaves_nothing() {
        let places = FairPlaces::new(1, 0);
        let held = places.try_enter("a", share(false, 1, 0)).unwrap();
        let mut first = Box::pin(places.enter("a", share(false, 1, 1), LONG));
        assert!(first.as_mut().now_or_never().is_none());
        let second = places.enter("a", share(false, 1, 1), LONG).now_or_never();
        assert_eq!(second.unwrap().unwrap_err(), Full);
        drop(first);
        let short = places.enter("a", share(false, 1, 1), Duration::from_millis(10));
        assert_eq!(short.await.unwrap_err(), Full);
        drop(held);
        drop(places.try_enter("a", share(false, 1, 0)).unwrap());
        assert!(places.0.lock().known.is_empty());
        assert!(places.0.lock().turns.iter().all(VecDeque::is_empty));
    }
}

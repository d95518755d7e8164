//! Writes that wait are gathered and committed together.
//!
//! Whoever comes while nothing is under way begins at once: nobody waits for company. Whoever comes during a commit waits
//! for the next, with everybody else who did. Where there are several hands, the next begins beside the one that is under
//! way once a crowd waits. Work is done on tasks of its own: a caller that goes away cuts nothing in two, and what nobody
//! waits for any more is not begun.

use std::{
    collections::VecDeque,
    panic::AssertUnwindSafe,
    sync::{Arc, PoisonError},
};

use futures_util::FutureExt as _;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use crate::sync::{Mutex, MutexGuard, spawn};

/// How many are worked on together, at the most: larger ones gain nothing and make those who come later wait.
const MOST_TOGETHER: usize = 256;

/// So many that wait begin beside what is under way, where there is a hand free. Fewer are better off together.
const CROWD: usize = if cfg!(feature = "interleavings") { 2 } else { 48 };

/// How many may wait. More are refused: they would be out of time before their turn.
const MOST_WAITING: usize = 8_192;

/// What waits: a question, and whoever asked.
pub(super) type Asked<Q, A> = (Q, oneshot::Sender<A>);

/// Questions of one kind, each answered with one of another.
#[derive(Debug)]
pub(super) struct Gathering<Q, A> {
    state: Arc<Mutex<State<Q, A>>>,
    tasks: TaskTracker,
    hands: usize,
}

#[derive(Debug)]
struct State<Q, A> {
    waiting: VecDeque<Asked<Q, A>>,
    /// Pieces of work under way.
    working: usize,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unanswered {
    /// Too many wait already.
    #[error("too many writes wait for the database")]
    Crowded,
    /// The work broke down.
    #[error("the write was given up")]
    Abandoned,
}

impl<Q: Send + 'static, A: Send + 'static> Gathering<Q, A> {
    /// Nobody waits yet. Work is done on tasks of `tasks`, by so many hands at once.
    pub(super) fn new(tasks: TaskTracker, hands: usize) -> Self {
        let state = State {
            waiting: VecDeque::new(),
            working: 0,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            tasks,
            hands,
        }
    }

    /// Asks, and waits for the answer. `work` answers everybody it is given.
    pub(super) async fn ask<W, F>(&self, question: Q, work: W) -> Result<A, Unanswered>
    where
        W: Fn(Vec<Asked<Q, A>>) -> F + Send + 'static,
        F: Future<Output = ()> + Send,
    {
        let (tell, told) = oneshot::channel();
        let begin = {
            let mut state = lock(&self.state);
            if state.waiting.len() >= MOST_WAITING {
                return Err(Unanswered::Crowded);
            }
            state.waiting.push_back((question, tell));
            let begin = state.working < self.hands && state.suffices(state.working);
            state.working += usize::from(begin);
            begin
        };
        if begin {
            let state = Arc::clone(&self.state);
            spawn(&self.tasks, async move {
                while let Some(together) = next(&state) {
                    // Who was to be answered learns it from the end of their channel.
                    if AssertUnwindSafe(work(together)).catch_unwind().await.is_err() {
                        tracing::error!("a shared write panicked");
                    }
                }
            });
        }
        told.await.map_err(|_| Unanswered::Abandoned)
    }
}

impl<Q, A> State<Q, A> {
    /// Whether as many wait as it takes to begin beside so many others.
    fn suffices(&self, others: usize) -> bool {
        self.waiting.len() >= if others == 0 { 1 } else { CROWD }
    }
}

/// Those whose turn it is; `None`, and a hand less works, where too few wait.
fn next<Q, A>(state: &Mutex<State<Q, A>>) -> Option<Vec<Asked<Q, A>>> {
    let mut state = lock(state);
    state.waiting.retain(|(_, asker)| !asker.is_closed());
    if !state.suffices(state.working - 1) {
        state.working -= 1;
        return None;
    }
    let together = state.waiting.len().min(MOST_TOGETHER);
    Some(state.waiting.drain(..together).collect())
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    fn gathering() -> Arc<Gathering<usize, usize>> {
        Arc::new(Gathering::new(TaskTracker::new(), 1))
    }

    #[tokio::test]
    async fn the_first_begins_at_once_and_the_others_go_together() {
        let (gathering, gate) = (gathering(), Arc::new(Semaphore::new(0)));
        let commits = Arc::new(AtomicUsize::new(0));
        let work = {
            let (gate, commits) = (gate.clone(), commits.clone());
            move |together: Vec<Asked<usize, usize>>| {
                let (gate, commits) = (gate.clone(), commits.clone());
                async move {
                    gate.acquire().await.unwrap().forget();
                    commits.fetch_add(1, Ordering::Relaxed);
                    for (question, asker) in together {
                        let _ = asker.send(question * 2);
                    }
                }
            }
        };
        let mut asked: Vec<_> = (0..50)
            .map(|question| Box::pin(gathering.ask(question, work.clone())))
            .collect();
        for call in &mut asked {
            assert!(futures_util::poll!(call).is_pending());
        }
        tokio::task::yield_now().await;
        gate.add_permits(2);
        for (question, call) in asked.into_iter().enumerate() {
            assert_eq!(call.await, Ok(question * 2));
        }
        // All 50 waited before the task began, or one went ahead of them.
        assert!(commits.load(Ordering::Relaxed) <= 2);
    }

    #[tokio::test]
    async fn a_crowd_is_begun_beside_what_is_under_way() {
        let gathering = Arc::new(Gathering::new(TaskTracker::new(), 2));
        let (gate, begun) = (Arc::new(Semaphore::new(0)), Arc::new(Mutex::new(Vec::new())));
        let work = {
            let (gate, begun) = (gate.clone(), begun.clone());
            move |together: Vec<Asked<usize, usize>>| {
                let (gate, begun) = (gate.clone(), begun.clone());
                async move {
                    lock(&begun).push(together.len());
                    gate.acquire().await.unwrap().forget();
                    for (question, asker) in together {
                        let _ = asker.send(question);
                    }
                }
            }
        };
        let mut asked = Vec::new();
        // One, then all but one of a crowd: they wait for it. With the last one there are enough. More wait for either.
        for (count, at_work) in [
            (1, vec![1]),
            (CROWD - 1, vec![1]),
            (1, vec![1, CROWD]),
            (40, vec![1, CROWD]),
        ] {
            for question in 0..count {
                let mut call = Box::pin(gathering.ask(question, work.clone()));
                assert!(futures_util::poll!(&mut call).is_pending());
                asked.push(call);
            }
            tokio::task::yield_now().await;
            assert_eq!(*lock(&begun), at_work);
        }
        gate.add_permits(3);
        futures_util::future::join_all(asked).await;
        assert_eq!(*lock(&begun), [1, CROWD, 40]);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_not_begun_and_a_panic_is_no_end() {
        let gathering = gathering();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let work = {
            let seen = seen.clone();
            move |together: Vec<Asked<usize, usize>>| {
                let seen = seen.clone();
                async move {
                    for (question, asker) in together {
                        seen.lock().unwrap().push(question);
                        assert_ne!(question, 13, "as asked for");
                        let _ = asker.send(question);
                    }
                }
            }
        };
        let mut gone = Box::pin(gathering.ask(1, work.clone()));
        assert!(futures_util::poll!(&mut gone).is_pending());
        drop(gone);
        assert_eq!(gathering.ask(13, work.clone()).await, Err(Unanswered::Abandoned));
        assert_eq!(gathering.ask(2, work).await, Ok(2));
        assert_eq!(*seen.lock().unwrap(), [13, 2]);
    }

    #[tokio::test]
    async fn a_crowd_is_refused() {
        let gathering = gathering();
        let work = |_: Vec<Asked<usize, usize>>| std::future::pending();
        let mut asked = Vec::new();
        for question in 0..MOST_WAITING {
            let mut call = Box::pin(gathering.ask(question, work));
            assert!(futures_util::poll!(&mut call).is_pending());
            asked.push(call);
        }
        assert_eq!(gathering.ask(0, work).await, Err(Unanswered::Crowded));
    }
}

#[cfg(all(test, feature = "interleavings"))]
mod interleavings {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use shuttle::future::{block_on, spawn, yield_now};

    use super::*;

    /// In whatever order it happens: everybody is answered once, with their own answer, and nobody is forgotten.
    #[test]
    fn everybody_is_answered() {
        for hands in [1, 2] {
            everybody_is_answered_by(hands);
        }
    }

    fn everybody_is_answered_by(hands: usize) {
        shuttle::check_random(
            move || {
                let gathering = Arc::new(Gathering::new(TaskTracker::new(), hands));
                let (at_work, begun) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
                let work = {
                    let (at_work, begun) = (at_work.clone(), begun.clone());
                    move |together: Vec<Asked<usize, usize>>| {
                        let (at_work, begun) = (at_work.clone(), begun.clone());
                        async move {
                            assert!(
                                at_work.fetch_add(1, Ordering::SeqCst) < hands,
                                "no more than there are hands"
                            );
                            begun.fetch_add(together.len(), Ordering::SeqCst);
                            yield_now().await;
                            for (question, asker) in together {
                                let _ = asker.send(question * 2);
                                yield_now().await;
                            }
                            at_work.fetch_sub(1, Ordering::SeqCst);
                        }
                    }
                };
                let asking: Vec<_> = (0..4)
                    .map(|question| {
                        let (gathering, work) = (gathering.clone(), work.clone());
                        spawn(async move {
                            assert_eq!(gathering.ask(question, work.clone()).await, Ok(question * 2));
                            assert_eq!(gathering.ask(question + 10, work).await, Ok(question * 2 + 20));
                        })
                    })
                    .collect();
                block_on(async {
                    for asked in asking {
                        asked.await.unwrap();
                    }
                });
                assert_eq!(begun.load(Ordering::SeqCst), 8);
            },
            5_000,
        );
    }
}

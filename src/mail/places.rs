//! Places on the way out: so many mails are being sent at a time.
//!
//! A mail gives its place up as soon as all that is left is to write down what became of it: while it waits for a commit,
//! which it shares with others, the next one goes out.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

/// The places there are.
pub(super) struct Places {
    shared: Arc<Shared>,
    most: usize,
}

struct Shared {
    taken: AtomicUsize,
    freed: Notify,
}

/// One of them, free again when it is dropped.
pub(super) struct Place(Arc<Shared>);

impl Places {
    /// So many, all free.
    pub(super) fn new(most: usize) -> Self {
        let shared = Shared {
            taken: AtomicUsize::new(0),
            freed: Notify::new(),
        };
        Self {
            shared: Arc::new(shared),
            most,
        }
    }

    /// How many are free.
    pub(super) fn free(&self) -> usize {
        self.most
            .saturating_sub(self.shared.taken.load(Ordering::Acquire))
    }

    /// Takes one. Whoever takes looks first whether one is free.
    pub(super) fn take(&self) -> Place {
        self.shared.taken.fetch_add(1, Ordering::AcqRel);
        Place(Arc::clone(&self.shared))
    }

    /// Waits until one has become free since this was last waited for.
    pub(super) async fn freed(&self) {
        self.shared.freed.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_place_is_free_when_it_was_given_up() {
        let places = Places::new(2);
        let (first, second) = (places.take(), places.take());
        assert_eq!(places.free(), 0);
        let mut freed = Box::pin(places.freed());
        assert!(futures_util::poll!(&mut freed).is_pending());
        drop(first);
        freed.await;
        assert_eq!(places.free(), 1);
        drop(second);
        // Even where nobody waited when it happened.
        places.freed().await;
        assert_eq!(places.free(), 2);
    }
}

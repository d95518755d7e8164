//! News of challenges: whoever waits for one is woken when it, or its mail, has changed on this instance.
//!
//! Only a hint. What has changed is read from the store; changes on other instances are found by polling.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Notify;

use crate::domain::id::ChallengeId;

type Waiting = HashMap<ChallengeId, (Arc<Notify>, usize)>;

/// The bell board. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Changes(Arc<Mutex<Waiting>>);

/// Somebody waiting for news of one challenge.
#[derive(Debug)]
pub struct Listener {
    id: ChallengeId,
    bell: Arc<Notify>,
    board: Changes,
}

impl Changes {
    /// Nobody waits yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins to listen. News from now on is kept until it is heard.
    #[must_use]
    pub fn listen(&self, id: ChallengeId) -> Listener {
        let bell = {
            let mut waiting = self.lock();
            let (bell, listeners) = waiting.entry(id).or_default();
            *listeners += 1;
            Arc::clone(bell)
        };
        Listener {
            id,
            bell,
            board: self.clone(),
        }
    }

    /// Rings for a challenge.
    pub fn ring(&self, id: ChallengeId) {
        if let Some((bell, _)) = self.lock().get(&id) {
            bell.notify_waiters();
            bell.notify_one();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    /// Waits for the next news. May return without any.
    pub async fn heard(&self) {
        self.bell.notified().await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut waiting = self.board.lock();
        if let Some((_, listeners)) = waiting.get_mut(&self.id) {
            *listeners -= 1;
            if *listeners == 0 {
                waiting.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn news_before_the_wait_is_not_lost_and_nothing_is_left_behind() {
        let changes = Changes::new();
        let id = ChallengeId::from_bytes([1; 16]);
        let first = changes.listen(id);
        let second = changes.listen(id);
        changes.ring(id);
        tokio::select! { () = first.heard() => {}, () = second.heard() => {} }
        drop((first, second));
        assert!(changes.lock().is_empty());
        changes.ring(id);
    }
}

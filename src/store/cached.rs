//! Challenges kept in memory, in front of a store: what is final is refused without asking it.
//!
//! Nothing is decided here that the store would decide otherwise: a closed challenge stays closed, an expired one
//! expired. Every attempt on an open one is the store's. The answers of reads and writes keep the copies fresh; a copy is
//! never replaced by an older one. Where other instances write to the same store, a copy of an open challenge may lag
//! behind it: it serves for what never changes, and whoever wants to know how a challenge stands is told by the store.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use moka::{Expiry, policy::EvictionPolicy, sync::Cache};

use super::{
    Challenges, Guess, Guessed, Judged, Resend, Resent, Start, Started, StoreResult,
    packed::{expires_at, pack, unpack},
};
use crate::domain::{
    challenge::{Challenge, State},
    clock::{Clock, Timestamp},
    id::ChallengeId,
    keyring::Sealed,
};

/// How long a challenge is kept after it expired: callers that ask late are answered from memory still.
const AFTERWARDS: Duration = Duration::from_mins(1);

/// Challenges in memory, before a store.
pub struct CachedChallenges {
    inner: Arc<dyn Challenges>,
    copies: Cache<ChallengeId, Arc<Packed>>,
    /// Whether others write to the store.
    shared: bool,
}

impl CachedChallenges {
    /// In front of `inner`, with room for `capacity` challenges.
    #[must_use]
    pub fn new(inner: Arc<dyn Challenges>, clock: Arc<dyn Clock>, capacity: u64) -> Self {
        let copies = Cache::builder()
            .max_capacity(capacity)
            // The other policy may turn newcomers away, who are asked for soon.
            .eviction_policy(EvictionPolicy::lru())
            .expire_after(UntilExpired(clock))
            .build();
        Self {
            inner,
            copies,
            shared: false,
        }
    }

    /// Says whether others write to the store, too.
    #[must_use]
    pub fn on_shared_store(mut self, shared: bool) -> Self {
        self.shared = shared;
        self
    }

    async fn ask(&self, id: ChallengeId) -> StoreResult<Option<Challenge>> {
        let found = self.inner.find(id).await?;
        if let Some(challenge) = &found {
            self.keep(challenge);
        }
        Ok(found)
    }

    /// The copy, if there is one.
    fn copy(&self, id: ChallengeId) -> Option<Challenge> {
        unpack(id, &self.copies.get(&id)?.packed())
    }

    /// The copy, if nothing will ever happen to the challenge again.
    fn final_copy(&self, id: ChallengeId, now: Timestamp) -> Option<Challenge> {
        self.copy(id).filter(|copy| copy.closed(now).is_some())
    }

    fn keep(&self, challenge: &Challenge) {
        if let Some(copy) = self.copies.get(&challenge.id) {
            return copy.renew(challenge);
        }
        let copy = self.copies.entry(challenge.id);
        let copy = copy.or_insert_with(|| Arc::new(Packed::of(challenge)));
        // Somebody was faster.
        if !copy.is_fresh() {
            copy.value().renew(challenge);
        }
    }
}

/// A challenge, packed: there may be a million of them.
struct Packed(Mutex<Box<[u8]>>);

impl Packed {
    fn of(challenge: &Challenge) -> Self {
        Self(Mutex::new(pack(challenge)))
    }

    fn packed(&self) -> MutexGuard<'_, Box<[u8]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the newer of two states of one challenge. When it expires never changes.
    fn renew(&self, challenge: &Challenge) {
        let mut packed = self.packed();
        let newer = unpack(challenge.id, &packed).is_none_or(|kept| age(&kept) <= age(challenge));
        if newer {
            *packed = pack(challenge);
        }
    }
}

/// Grows with everything that happens to a challenge: of two copies the one with more of it is the newer.
fn age(challenge: &Challenge) -> (bool, u32, u32) {
    let closed = challenge.state != State::Pending;
    (closed, challenge.code_number, challenge.attempts)
}

#[async_trait]
impl Challenges for CachedChallenges {
    async fn start(&self, start: Start) -> StoreResult<Started> {
        let challenge = start.challenge.clone();
        let started = self.inner.start(start).await?;
        match &started {
            // Nobody else knows its name yet.
            Started::Opened => self.copies.insert(challenge.id, Arc::new(Packed::of(&challenge))),
            Started::Muted => {
                let muted = Challenge {
                    decoy: true,
                    ..challenge
                };
                self.copies.insert(muted.id, Arc::new(Packed::of(&muted)));
            }
            Started::Repeated(known) => self.keep(known),
            Started::RequestReused | Started::UserLocked(_) | Started::OverBudget(_) => {}
        }
        Ok(started)
    }

    async fn resend(&self, resend: Resend) -> StoreResult<Option<Resent>> {
        if let Some(closed) = self.final_copy(resend.id, resend.now) {
            return Ok(Some(Resent::Refused(Box::new(closed))));
        }
        let answer = self.inner.resend(resend).await?;
        if let Some(Resent::Opened(challenge) | Resent::Muted(challenge) | Resent::Refused(challenge)) =
            &answer
        {
            self.keep(challenge);
        }
        Ok(answer)
    }

    async fn guess(&self, guess: Guess) -> StoreResult<Option<Guessed>> {
        // Whoever knows it has looked already; what a request id came to is the store's to say.
        let copy = match (&guess.known, &guess.request) {
            (None, None) => self.final_copy(guess.id, guess.now),
            _ => None,
        };
        if let Some((challenge, verdict)) =
            copy.and_then(|copy| copy.closed(guess.now).map(|verdict| (copy, verdict)))
        {
            let judged = Judged {
                verdict,
                challenge,
                context: None,
                repeated: false,
            };
            return Ok(Some(Guessed::Judged(Box::new(judged))));
        }
        let guessed = self.inner.guess(guess).await?;
        if let Some(Guessed::Judged(judged)) = &guessed {
            self.keep(&judged.challenge);
        }
        Ok(guessed)
    }

    async fn cancel(&self, id: ChallengeId, now: Timestamp) -> StoreResult<Option<Challenge>> {
        if let Some(closed) = self.final_copy(id, now) {
            return Ok(Some(closed));
        }
        let challenge = self.inner.cancel(id, now).await?;
        if let Some(challenge) = &challenge {
            self.keep(challenge);
        }
        Ok(challenge)
    }

    async fn find(&self, id: ChallengeId) -> StoreResult<Option<Challenge>> {
        match self.copy(id) {
            Some(copy) => Ok(Some(copy)),
            None => self.ask(id).await,
        }
    }

    async fn present(&self, id: ChallengeId) -> StoreResult<Option<Challenge>> {
        let is_right = |copy: &Challenge| !self.shared || copy.state != State::Pending;
        match self.copy(id).filter(is_right) {
            Some(copy) => Ok(Some(copy)),
            None => self.ask(id).await,
        }
    }

    async fn context(&self, id: ChallengeId) -> StoreResult<Option<Sealed>> {
        self.inner.context(id).await
    }

    async fn purge_decoys(&self, expired_before: Timestamp, limit: u32) -> StoreResult<u64> {
        // Copies are kept until shortly after their challenges expired, which is before that.
        self.inner.purge_decoys(expired_before, limit).await
    }

    async fn purge(&self, expired_before: Timestamp, limit: u32) -> StoreResult<u64> {
        let purged = self.inner.purge(expired_before, limit).await?;
        if purged > 0 {
            // What the store forgot is not found here either.
            let forgotten: Vec<ChallengeId> = self
                .copies
                .iter()
                .filter(|(_, copy)| expires_at(&copy.packed()).is_none_or(|moment| moment < expired_before))
                .map(|(id, _)| *id)
                .collect();
            for id in &forgotten {
                self.copies.invalidate(id);
            }
        }
        Ok(purged)
    }
}

/// Keeps a copy until shortly after its challenge expired.
struct UntilExpired(Arc<dyn Clock>);

impl Expiry<ChallengeId, Arc<Packed>> for UntilExpired {
    fn expire_after_create(&self, _: &ChallengeId, copy: &Arc<Packed>, _: Instant) -> Option<Duration> {
        let left = expires_at(&copy.packed())?.since(self.0.now());
        Some(left.saturating_add(AFTERWARDS))
    }
}

#[cfg(test)]
#[path = "cached_tests.rs"]
mod tests;

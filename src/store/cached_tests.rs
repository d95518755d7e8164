use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::{
    domain::{challenge::Verdict, id::ChallengeId},
    store::{
        contract::{self, ManualClock, Place as _, guess, start},
        sql::{SqlStore, tests::File},
    },
};

/// Counts what reaches the store.
struct Counted {
    store: SqlStore,
    calls: AtomicU32,
}

impl Counted {
    fn call(&self) -> &SqlStore {
        self.calls.fetch_add(1, Ordering::SeqCst);
        &self.store
    }

    fn taken(&self) -> u32 {
        self.calls.swap(0, Ordering::SeqCst)
    }
}

#[async_trait]
impl Challenges for Counted {
    async fn start(&self, start: Start) -> StoreResult<Started> {
        self.call().start(start).await
    }

    async fn resend(&self, resend: Resend) -> StoreResult<Option<Resent>> {
        self.call().resend(resend).await
    }

    async fn guess(&self, guess: Guess) -> StoreResult<Option<Guessed>> {
        self.call().guess(guess).await
    }

    async fn cancel(&self, id: ChallengeId, now: Timestamp) -> StoreResult<Option<Challenge>> {
        self.call().cancel(id, now).await
    }

    async fn find(&self, id: ChallengeId) -> StoreResult<Option<Challenge>> {
        Challenges::find(self.call(), id).await
    }

    async fn context(&self, id: ChallengeId) -> StoreResult<Option<Sealed>> {
        self.call().context(id).await
    }

    async fn purge_decoys(&self, expired_before: Timestamp, limit: u32) -> StoreResult<u64> {
        Challenges::purge_decoys(self.call(), expired_before, limit).await
    }

    async fn purge(&self, expired_before: Timestamp, limit: u32) -> StoreResult<u64> {
        Challenges::purge(self.call(), expired_before, limit).await
    }
}

struct Scene {
    _file: File,
    clock: Arc<ManualClock>,
    inner: Arc<Counted>,
    cached: CachedChallenges,
}

async fn scene(capacity: u64) -> Scene {
    let (file, clock) = (File::new(), ManualClock::new());
    let inner = Arc::new(Counted {
        store: file.open(Arc::clone(&clock) as Arc<dyn Clock>).await,
        calls: AtomicU32::new(0),
    });
    let cached = CachedChallenges::new(
        Arc::clone(&inner) as Arc<dyn Challenges>,
        Arc::clone(&clock) as Arc<dyn Clock>,
        capacity,
    );
    Scene {
        _file: file,
        clock,
        inner,
        cached,
    }
}

impl Scene {
    async fn opened(&self) -> Challenge {
        let challenge = contract::challenge(1, self.clock.now());
        self.cached.start(start(&challenge)).await.unwrap();
        self.inner.taken();
        challenge
    }

    async fn verdict(&self, id: ChallengeId, number: u32) -> Verdict {
        let guess = guess(id, number, self.clock.now());
        contract::judged(self.cached.guess(guess).await.unwrap()).verdict
    }

    /// What a resend and a cancellation of a closed challenge are answered with, without the store.
    async fn refuses(&self, closed: &Challenge) {
        let now = self.clock.now();
        self.inner.taken();
        let resend = Resend {
            id: closed.id,
            number: closed.code_number + 1,
            resend_at: now,
            entry: contract::entry(Some(closed.id), now),
            charges: Vec::new(),
            now,
        };
        let answer = self.cached.resend(resend).await.unwrap();
        assert!(matches!(answer, Some(Resent::Refused(kept)) if *kept == *closed));
        assert_eq!(
            self.cached.cancel(closed.id, now).await.unwrap().as_ref(),
            Some(closed)
        );
        assert_eq!(self.cached.find(closed.id).await.unwrap().as_ref(), Some(closed));
        assert_eq!(self.inner.taken(), 0);
    }
}

#[tokio::test]
async fn every_attempt_on_an_open_challenge_is_the_stores() {
    let scene = scene(100).await;
    let challenge = scene.opened().await;
    assert_eq!(
        scene.cached.find(challenge.id).await.unwrap(),
        Some(challenge.clone())
    );
    assert_eq!(scene.inner.taken(), 0);
    for attempts_left in (0..5).rev() {
        let wrong = Verdict::Wrong { attempts_left };
        assert_eq!(scene.verdict(challenge.id, 0).await, wrong);
        assert_eq!(scene.inner.taken(), 1);
    }
    assert_eq!(scene.verdict(challenge.id, 1).await, Verdict::Locked);
    assert_eq!(scene.inner.taken(), 0);
    let locked = Challenge {
        attempts: 5,
        state: State::Locked,
        ..challenge
    };
    scene.refuses(&locked).await;
}

#[tokio::test]
async fn what_is_final_is_answered_from_memory() {
    let scene = scene(100).await;
    let verified = scene.opened().await;
    let at = scene.clock.now();
    assert_eq!(scene.verdict(verified.id, 1).await, Verdict::Verified { at });
    scene.inner.taken();
    assert_eq!(scene.verdict(verified.id, 1).await, Verdict::Used { at });
    assert_eq!(scene.inner.taken(), 0);
    let verified = Challenge {
        state: State::Verified,
        verified_at: Some(at),
        ..verified
    };
    scene.refuses(&verified).await;
    let cancelled = scene.opened().await;
    scene.cached.cancel(cancelled.id, at).await.unwrap();
    scene.inner.taken();
    assert_eq!(scene.verdict(cancelled.id, 1).await, Verdict::Cancelled);
    assert_eq!(scene.inner.taken(), 0);
    let expired = scene.opened().await;
    scene.clock.pass(5 * contract::MINUTE);
    assert_eq!(scene.verdict(expired.id, 1).await, Verdict::Expired);
    assert_eq!(scene.inner.taken(), 0);
    scene.refuses(&expired).await;
}

#[tokio::test]
async fn an_older_answer_never_replaces_a_newer_copy() {
    let scene = scene(100).await;
    let challenge = scene.opened().await;
    let at = scene.clock.now();
    scene.verdict(challenge.id, 1).await;
    // A read that was under way while the code was verified comes back late.
    scene.cached.keep(&challenge);
    scene.inner.taken();
    assert_eq!(scene.verdict(challenge.id, 1).await, Verdict::Used { at });
    assert_eq!(scene.inner.taken(), 0);
}

#[tokio::test]
async fn without_a_copy_the_store_is_asked() {
    let scene = scene(0).await;
    let challenge = scene.opened().await;
    let at = scene.clock.now();
    assert_eq!(scene.verdict(challenge.id, 1).await, Verdict::Verified { at });
    scene.cached.copies.run_pending_tasks();
    assert_eq!(scene.verdict(challenge.id, 1).await, Verdict::Used { at });
    let unknown = ChallengeId::from_bytes(contract::unique());
    assert_eq!(scene.cached.find(unknown).await.unwrap(), None);
    let nothing = scene.cached.guess(guess(unknown, 1, at)).await.unwrap();
    assert!(nothing.is_none());
}

#[tokio::test]
async fn what_the_store_forgot_is_forgotten() {
    let scene = scene(100).await;
    let challenge = scene.opened().await;
    scene.clock.pass(10 * contract::MINUTE);
    let now = scene.clock.now();
    assert_eq!(scene.cached.purge(now, 10).await.unwrap(), 1);
    assert_eq!(scene.cached.find(challenge.id).await.unwrap(), None);
}

#[tokio::test]
async fn where_others_write_the_store_says_how_a_challenge_stands() {
    let scene = scene(10).await;
    let other = CachedChallenges::new(
        Arc::clone(&scene.inner) as Arc<dyn Challenges>,
        Arc::clone(&scene.clock) as Arc<dyn Clock>,
        10,
    )
    .on_shared_store(true);
    let challenge = scene.opened().await;
    let state = |found: Option<Challenge>| found.unwrap().state;
    assert_eq!(state(other.find(challenge.id).await.unwrap()), State::Pending);
    scene
        .cached
        .cancel(challenge.id, scene.clock.now())
        .await
        .unwrap();
    assert_eq!(
        state(other.present(challenge.id).await.unwrap()),
        State::Cancelled
    );
    // From now on it is final, and nobody is asked.
    scene.inner.taken();
    assert_eq!(
        state(other.present(challenge.id).await.unwrap()),
        State::Cancelled
    );
    assert_eq!(scene.inner.taken(), 0);
}

//! Challenges and budgets.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::task::JoinSet;

use super::*;
use crate::{
    domain::{
        budget::{GuessLimits, Lock},
        challenge::Verdict,
        delivery::DeliveryState,
    },
    store::{Guessed, RequestKey, Resend, Resent, Started},
};

pub(super) async fn open(place: &impl Place) -> (impl Store, Arc<ManualClock>) {
    let clock = ManualClock::new();
    (place.open(Arc::clone(&clock) as Arc<dyn Clock>).await, clock)
}

/// Writes a fresh challenge of a user.
pub(super) async fn opened(store: &impl Store, user: u8, now: Timestamp) -> Challenge {
    let challenge = challenge(user, now);
    let started = store.start(start(&challenge)).await.unwrap();
    assert!(matches!(started, Started::Opened), "{started:?}");
    challenge
}

pub(super) async fn verdict(store: &impl Store, id: ChallengeId, number: u32, now: Timestamp) -> Verdict {
    judged(store.guess(guess(id, number, now)).await.unwrap()).verdict
}

pub(super) fn resend(challenge: &Challenge, number: u32, now: Timestamp) -> Resend {
    Resend {
        id: challenge.id,
        number,
        resend_at: now.plus(30 * SECOND),
        entry: entry(Some(challenge.id), now),
        charges: Vec::new(),
        now,
    }
}

pub(super) fn request(id: u8, contents: u8) -> RequestKey {
    RequestKey {
        id: subject(id),
        contents: subject(contents),
    }
}

pub(crate) async fn a_start_is_written_whole(place: &impl Place) {
    let (store, clock) = open(place).await;
    let challenge = challenge(1, clock.now());
    let mut start = start(&challenge);
    start.entry.lease = Some(lease());
    start.charges = vec![charge(1)];
    let entry = start.entry.clone();
    assert!(matches!(store.start(start).await.unwrap(), Started::Opened));
    let again = place.open(clock).await;
    assert_eq!(
        Challenges::find(&again, challenge.id).await.unwrap(),
        Some(challenge.clone())
    );
    let newest = again.newest(challenge.id).await.unwrap().unwrap();
    assert_eq!((newest.id, newest.message_id), (entry.id, entry.message_id));
    let unknown = ChallengeId::from_bytes(unique());
    assert_eq!(Challenges::find(&again, unknown).await.unwrap(), None);
    assert!(
        again
            .guess(guess(unknown, 0, challenge.created_at))
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        again
            .cancel(unknown, challenge.created_at)
            .await
            .unwrap()
            .is_none()
    );
}

pub(crate) async fn a_repeated_request_is_answered_with_what_it_started(place: &impl Place) {
    let (store, clock) = open(place).await;
    let first = challenge(1, clock.now());
    let with = |challenge: &Challenge, contents| Start {
        request: Some(request(50, contents)),
        charges: vec![charge(1)],
        ..start(challenge)
    };
    assert!(matches!(
        store.start(with(&first, 51)).await.unwrap(),
        Started::Opened
    ));
    // Before locks and budgets: neither refuses what was granted already.
    Budgets::lock(&store, first.user, "staff/ann", &note())
        .await
        .unwrap();
    for _ in 0..5 {
        let started = store.start(with(&challenge(1, clock.now()), 51)).await.unwrap();
        assert!(
            matches!(&started, Started::Repeated(known) if **known == first),
            "{started:?}"
        );
    }
    let other = store.start(with(&challenge(1, clock.now()), 52)).await.unwrap();
    assert!(matches!(other, Started::RequestReused));
    assert_eq!(store.depth().await.unwrap().waiting, 1);
}

pub(crate) async fn of_many_equal_requests_one_starts(place: &impl Place) {
    let (store, clock) = open(place).await;
    let mut calls = JoinSet::new();
    for _ in 0..16 {
        let (store, now) = (store.clone(), clock.now());
        calls.spawn(async move {
            let challenge = challenge(1, now);
            let start = Start {
                request: Some(request(50, 51)),
                charges: vec![charge(1)],
                ..start(&challenge)
            };
            match store.start(start).await.unwrap() {
                Started::Opened => (true, challenge.id),
                Started::Repeated(known) => (false, known.id),
                other => panic!("{other:?}"),
            }
        });
    }
    let answers = calls.join_all().await;
    let opened: Vec<_> = answers.iter().filter(|(opened, _)| *opened).collect();
    assert_eq!(opened.len(), 1);
    assert!(answers.iter().all(|(_, id)| *id == opened[0].1));
    assert_eq!(store.depth().await.unwrap().waiting, 1);
}

pub(crate) async fn a_refused_start_writes_nothing(place: &impl Place) {
    let (store, clock) = open(place).await;
    let now = clock.now();
    let locked = challenge(1, now);
    Budgets::lock(&store, locked.user, "staff/ann", &note())
        .await
        .unwrap();
    let refused = store.start(start(&locked)).await.unwrap();
    assert!(matches!(refused, Started::UserLocked(Lock::ForGood)));
    // The second budget is spent: the first must not be charged either.
    let spent = SendLimits { per_day: 0, ..SENDS };
    let refused = challenge(2, now);
    for _ in 0..5 {
        let mut start = start(&refused);
        start.charges = vec![charge(2), charge(3)];
        start.charges[1].limits = spent;
        start.request = Some(request(60, 61));
        assert!(matches!(
            store.start(start).await.unwrap(),
            Started::OverBudget(_)
        ));
    }
    for id in [locked.id, refused.id] {
        assert_eq!(Challenges::find(&store, id).await.unwrap(), None);
        assert!(store.newest(id).await.unwrap().is_none());
    }
    let mut allowed = start(&refused);
    allowed.charges = vec![charge(2)];
    allowed.request = Some(request(60, 61));
    assert!(matches!(store.start(allowed).await.unwrap(), Started::Opened));
}

pub(crate) async fn a_right_code_verifies_once(place: &impl Place) {
    let (store, clock) = open(place).await;
    let challenge = opened(&store, 1, clock.now()).await;
    let at = clock.now().plus(SECOND);
    let guessed = judged(store.guess(guess(challenge.id, 1, at)).await.unwrap());
    assert_eq!(guessed.verdict, Verdict::Verified { at });
    assert_eq!(guessed.challenge.state, State::Verified);
    assert_eq!(guessed.challenge.verified_at, Some(at));
    let later = at.plus(SECOND);
    for number in [1, 0] {
        assert_eq!(
            verdict(&store, challenge.id, number, later).await,
            Verdict::Used { at }
        );
    }
    assert_eq!(
        Challenges::find(&store, challenge.id).await.unwrap(),
        Some(guessed.challenge)
    );
}

async fn all_at_once(store: &impl Store, id: ChallengeId, number: u32, now: Timestamp) -> Vec<Verdict> {
    let mut calls = JoinSet::new();
    for _ in 0..64 {
        let store = store.clone();
        calls.spawn(async move { verdict(&store, id, number, now).await });
    }
    calls.join_all().await
}

pub(crate) async fn of_many_right_codes_one_verifies(place: &impl Place) {
    let (store, clock) = open(place).await;
    let now = clock.now();
    let challenge = opened(&store, 1, now).await;
    let verdicts = all_at_once(&store, challenge.id, 1, now).await;
    let verified = Verdict::Verified { at: now };
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == verified).count(), 1);
    let used = Verdict::Used { at: now };
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == used).count(), 63);
}

pub(crate) async fn of_many_wrong_codes_as_many_are_compared_as_there_are_attempts(place: &impl Place) {
    let (store, clock) = open(place).await;
    let now = clock.now();
    let challenge = opened(&store, 1, now).await;
    let verdicts = all_at_once(&store, challenge.id, 0, now).await;
    for attempts_left in 0..5 {
        let wrong = Verdict::Wrong { attempts_left };
        assert_eq!(verdicts.iter().filter(|verdict| **verdict == wrong).count(), 1);
    }
    let locked = verdicts.iter().filter(|verdict| **verdict == Verdict::Locked);
    assert_eq!(locked.count(), 59);
    assert_eq!(verdict(&store, challenge.id, 1, now).await, Verdict::Locked);
    assert_eq!(store.guesses(challenge.user, now).await.unwrap(), (5, None));
}

pub(crate) async fn an_expired_or_cancelled_challenge_verifies_nothing(place: &impl Place) {
    let (store, clock) = open(place).await;
    let challenge = opened(&store, 1, clock.now()).await;
    let late = challenge.expires_at;
    assert_eq!(verdict(&store, challenge.id, 1, late).await, Verdict::Expired);
    let kept = store.cancel(challenge.id, late).await.unwrap().unwrap();
    assert_eq!(kept.state, State::Pending);
    let cancelled = store.cancel(challenge.id, clock.now()).await.unwrap().unwrap();
    assert_eq!(cancelled.state, State::Cancelled);
    assert_eq!(
        verdict(&store, challenge.id, 1, clock.now()).await,
        Verdict::Cancelled
    );
    let again = store.cancel(challenge.id, clock.now()).await.unwrap().unwrap();
    assert_eq!(again, cancelled);
    assert_eq!(
        store.guesses(challenge.user, clock.now()).await.unwrap(),
        (0, None)
    );
}

pub(crate) async fn a_decoy_never_verifies(place: &impl Place) {
    let (store, clock) = open(place).await;
    let decoy = Challenge {
        decoy: true,
        ..challenge(1, clock.now())
    };
    store.start(start(&decoy)).await.unwrap();
    let wrong = Verdict::Wrong { attempts_left: 4 };
    assert_eq!(verdict(&store, decoy.id, 1, clock.now()).await, wrong);
    assert_eq!(store.guesses(decoy.user, clock.now()).await.unwrap().0, 1);
}

pub(crate) async fn older_codes_count_as_long_as_the_policy_says(place: &impl Place) {
    let (store, clock) = open(place).await;
    let challenge = opened(&store, 1, clock.now()).await;
    for number in [2, 3] {
        clock.pass(30 * SECOND);
        store
            .resend(resend(&challenge, number, clock.now()))
            .await
            .unwrap();
    }
    let now = clock.now();
    assert_eq!(
        verdict(&store, challenge.id, 1, now).await,
        Verdict::Wrong { attempts_left: 4 }
    );
    assert_eq!(
        verdict(&store, challenge.id, 2, now).await,
        Verdict::Verified { at: now }
    );
}

pub(crate) async fn a_resend_moves_on_and_withdraws(place: &impl Place) {
    let (store, clock) = open(place).await;
    let challenge = opened(&store, 1, clock.now()).await;
    let first = store.newest(challenge.id).await.unwrap().unwrap().id;
    clock.pass(30 * SECOND);
    let now = clock.now();
    let resent = store.resend(resend(&challenge, 2, now)).await.unwrap();
    let Some(Resent::Opened(moved_on)) = resent else {
        panic!("{resent:?}")
    };
    let expected = Challenge {
        code_number: 2,
        resend_at: now.plus(30 * SECOND),
        ..challenge.clone()
    };
    assert_eq!(*moved_on, expected);
    let old = Outbox::find(&store, first).await.unwrap().unwrap();
    assert_eq!(old.state, DeliveryState::Withdrawn);
    let newest = store.newest(challenge.id).await.unwrap().unwrap();
    assert_ne!(newest.id, first);
    assert_eq!(newest.submitted_at, now);
    assert_eq!(store.depth().await.unwrap().waiting, 1);
}

pub(crate) async fn a_resend_out_of_turn_changes_nothing(place: &impl Place) {
    let (store, clock) = open(place).await;
    let first = opened(&store, 1, clock.now()).await;
    let now = clock.now();
    let early = now.plus(29 * SECOND);
    let due = now.plus(30 * SECOND);
    for refused in [
        resend(&first, 2, early),
        resend(&first, 3, due),
        resend(&first, 1, due),
        resend(&first, 2, first.expires_at),
    ] {
        let resent = store.resend(refused).await.unwrap();
        assert!(
            matches!(&resent, Some(Resent::Refused(challenge)) if **challenge == first),
            "{resent:?}"
        );
    }
    let unknown = challenge(1, now);
    assert!(store.resend(resend(&unknown, 2, due)).await.unwrap().is_none());
    // Over budget: nothing is charged elsewhere, nothing is withdrawn.
    let mut spent = resend(&first, 2, due);
    spent.charges = vec![charge(1)];
    spent.charges[0].limits.per_day = 0;
    assert!(matches!(
        store.resend(spent).await.unwrap(),
        Some(Resent::OverBudget(_))
    ));
    Budgets::lock(&store, first.user, "staff/ann", &note())
        .await
        .unwrap();
    let locked = store.resend(resend(&first, 2, due)).await.unwrap();
    assert!(matches!(locked, Some(Resent::UserLocked(Lock::ForGood))));
    assert!(store.newest(first.id).await.unwrap().unwrap().state.is_open());
    assert_eq!(Challenges::find(&store, first.id).await.unwrap(), Some(first));
}

pub(crate) async fn of_many_resends_one_is_written(place: &impl Place) {
    let (store, clock) = open(place).await;
    let challenge = opened(&store, 1, clock.now()).await;
    clock.pass(30 * SECOND);
    let mut calls = JoinSet::new();
    for _ in 0..16 {
        let (store, resend) = (store.clone(), resend(&challenge, 2, clock.now()));
        calls.spawn(async move { store.resend(resend).await.unwrap().unwrap() });
    }
    let answers = calls.join_all().await;
    let opened = answers
        .iter()
        .filter(|answer| matches!(answer, Resent::Opened(_)));
    assert_eq!(opened.count(), 1);
    assert_eq!(store.depth().await.unwrap().waiting, 1);
}

/// Spends `count` wrong codes of a user on fresh challenges, five each.
async fn fail(store: &impl Store, user: u8, count: u32, now: Timestamp) {
    let mut current = challenge(user, now);
    for index in 0..count {
        if index % 5 == 0 {
            current = opened(store, user, now).await;
        }
        let verdict = judged(store.guess(guess(current.id, 0, now)).await.unwrap()).verdict;
        assert!(matches!(verdict, Verdict::Wrong { .. }), "{index}: {verdict:?}");
    }
}

pub(crate) async fn wrong_codes_lock_the_user_over_all_challenges(place: &impl Place) {
    let (store, clock) = open(place).await;
    let open_one = opened(&store, 1, clock.now()).await;
    let other = opened(&store, 2, clock.now()).await;
    fail(&store, 1, 10, clock.now()).await;
    // Opened again, nothing is forgotten.
    let store = {
        drop(store);
        place.open(Arc::clone(&clock) as Arc<dyn Clock>).await
    };
    let until = clock.now().plus(GUESSES.lock_for);
    let locked = Verdict::UserLocked { until: Some(until) };
    assert_eq!(verdict(&store, open_one.id, 1, clock.now()).await, locked);
    let kept = Challenges::find(&store, open_one.id).await.unwrap().unwrap();
    assert_eq!((kept.attempts, kept.state), (0, State::Pending));
    let refused = store.start(start(&challenge(1, clock.now()))).await.unwrap();
    assert!(matches!(refused, Started::UserLocked(Lock::Until(moment)) if moment == until));
    let verified = Verdict::Verified { at: clock.now() };
    assert_eq!(verdict(&store, other.id, 1, clock.now()).await, verified);
    // After the lock the count goes on, to the next ten.
    clock.pass(GUESSES.lock_for);
    fail(&store, 1, 10, clock.now()).await;
    let (failures, lock) = store.guesses(subject(1), clock.now()).await.unwrap();
    assert_eq!(
        (failures, lock),
        (20, Some(Lock::Until(clock.now().plus(GUESSES.lock_for))))
    );
}

pub(crate) async fn events_with_other_limits_add_to_one_count(place: &impl Place) {
    let (store, clock) = open(place).await;
    let strict = GuessLimits {
        lock_after: 7,
        ..GUESSES
    };
    let now = clock.now();
    let mut current = challenge(1, now);
    for wrong in 1..=9 {
        if wrong % 5 == 1 {
            current = opened(&store, 1, now).await;
        }
        let guess = Guess {
            limits: if wrong < 8 { GUESSES } else { strict },
            ..guess(current.id, 0, now)
        };
        let guessed = judged(store.guess(guess).await.unwrap());
        let locked = matches!(guessed.verdict, Verdict::UserLocked { .. });
        // The eighth, the first one that the stricter limits judge, locks.
        assert_eq!(locked, wrong > 8, "{wrong}: {:?}", guessed.verdict);
    }
    let until = Some(Lock::Until(now.plus(GUESSES.lock_for)));
    assert_eq!(store.guesses(subject(1), now).await.unwrap(), (8, until));
    // Kept: opened again it goes on where it was, and the count to the next lock has begun anew.
    let store = place.open(Arc::clone(&clock) as Arc<dyn Clock>).await;
    clock.pass(GUESSES.lock_for);
    fail(&store, 1, 9, clock.now()).await;
    assert_eq!(store.guesses(subject(1), clock.now()).await.unwrap(), (17, None));
    fail(&store, 1, 1, clock.now()).await;
    assert!(store.guesses(subject(1), clock.now()).await.unwrap().1.is_some());
}

pub(crate) async fn a_hundred_wrong_codes_lock_for_good(place: &impl Place) {
    let (store, clock) = open(place).await;
    for _ in 0..10 {
        fail(&store, 1, 10, clock.now()).await;
        clock.pass(GUESSES.lock_for);
    }
    clock.pass(1000 * MINUTE);
    let store = place.open(Arc::clone(&clock) as Arc<dyn Clock>).await;
    assert_eq!(
        store.guesses(subject(1), clock.now()).await.unwrap(),
        (100, Some(Lock::ForGood))
    );
    assert!(store.unlock(subject(1), "staff/ann", &note()).await.unwrap());
    opened(&store, 1, clock.now()).await;
}

pub(crate) async fn a_right_code_clears_the_failures(place: &impl Place) {
    let (store, clock) = open(place).await;
    let now = clock.now();
    fail(&store, 1, 9, now).await;
    let challenge = opened(&store, 1, now).await;
    assert_eq!(
        verdict(&store, challenge.id, 1, now).await,
        Verdict::Verified { at: now }
    );
    assert_eq!(store.guesses(subject(1), now).await.unwrap(), (0, None));
    fail(&store, 1, 9, now).await;
    assert_eq!(store.guesses(subject(1), now).await.unwrap(), (9, None));
}

pub(crate) async fn of_many_attempts_as_many_pass_as_are_allowed(place: &impl Place) {
    let (store, clock) = open(place).await;
    let limits = GuessLimits {
        lock_after: 5,
        lock_for: Duration::from_mins(30),
        lock_for_good_after: 100,
    };
    let now = clock.now();
    let one = [(subject(1), limits)];
    let attempts = join_all((0..32).map(|_| store.attempt(&one, now))).await;
    let passed = attempts
        .iter()
        .filter(|attempt| matches!(attempt, Ok(None)))
        .count();
    assert_eq!(passed, 5);
    let until = Some(Lock::Until(now.plus(limits.lock_for)));
    assert_eq!(store.guesses(subject(1), now).await.unwrap(), (5, until));
    // Somebody else is none the worse for it, and the right one ends it all.
    assert_eq!(store.attempt(&[(subject(2), limits)], now).await.unwrap(), None);
    store.succeed(&[subject(1)]).await.unwrap();
    assert_eq!(store.attempt(&one, now).await.unwrap(), None);
    assert_eq!(store.guesses(subject(1), now).await.unwrap(), (1, None));
    // Of two the first that is locked is told with its place; those before it are counted, and no other.
    let two = [(subject(3), limits), (subject(2), limits)];
    for _ in 0..4 {
        assert_eq!(store.attempt(&two, now).await.unwrap(), None);
    }
    let until = Lock::Until(now.plus(limits.lock_for));
    assert_eq!(store.attempt(&two, now).await.unwrap(), Some((1, until)));
    assert_eq!(store.attempt(&two, now).await.unwrap(), Some((0, until)));
    assert_eq!(store.guesses(subject(2), now).await.unwrap().0, 5);
    assert_eq!(store.guesses(subject(3), now).await.unwrap().0, 5);
}

/// A caller that is answered by a name learns nothing of what the user's own counts say: everything is written, nothing sent.
pub(crate) async fn what_a_caller_is_not_told_holds_in_silence(place: &impl Place) {
    let (store, clock) = open(place).await;
    let now = clock.now();
    let silent = |name| Charge {
        silent: true,
        ..charge(name)
    };
    let veiled = |name: u8| {
        let challenge = Challenge {
            name: Some(subject(name)),
            ..challenge(1, now)
        };
        let mut start = start(&challenge);
        start.charges = vec![charge(name), silent(1), silent(2)];
        (challenge, start)
    };
    // Three mails for the user, under two names: the fourth is muted, and what is told counts by name.
    for (name, muted) in [(11, false), (11, false), (12, false), (12, true), (11, true)] {
        let (challenge, start) = veiled(name);
        let started = store.start(start).await.unwrap();
        assert_eq!(matches!(started, Started::Muted), muted, "{started:?}");
        let kept = Challenges::find(&store, challenge.id).await.unwrap();
        assert_eq!(kept.unwrap().decoy, muted);
    }
    let (_, fourth) = veiled(11);
    assert!(matches!(
        store.start(fourth).await.unwrap(),
        Started::OverBudget(_)
    ));
    // Wrong codes under one name, until that is locked: the user is, too, and the other name is not told.
    let (challenge, mut open) = veiled(13);
    open.charges.clear();
    assert!(matches!(store.start(open).await.unwrap(), Started::Opened));
    fail(&store, 1, 10, now).await;
    let wrong = verdict(&store, challenge.id, 1, now).await;
    assert_eq!(
        wrong,
        Verdict::Wrong { attempts_left: 4 },
        "the code is right, the user locked"
    );
    assert_eq!(store.guesses(subject(13), now).await.unwrap(), (1, None));
    let resent = store
        .resend(resend(&challenge, 2, challenge.resend_at))
        .await
        .unwrap();
    assert!(matches!(resent, Some(Resent::Muted(_))), "{resent:?}");
    let newest = store.newest(challenge.id).await.unwrap().unwrap();
    assert!(
        Outbox::find(&store, newest.id).await.unwrap().is_none(),
        "a decoy"
    );
    let (challenge, mut later) = veiled(13);
    later.charges.clear();
    assert!(matches!(store.start(later).await.unwrap(), Started::Muted));
    let kept = Challenges::find(&store, challenge.id).await.unwrap();
    assert!(kept.unwrap().decoy);
    // Once the lock is over a right code is right, and both are forgiven.
    clock.pass(GUESSES.lock_for);
    let now = clock.now();
    let challenge = Challenge {
        name: Some(subject(13)),
        ..crate::store::contract::challenge(1, now)
    };
    store.start(start(&challenge)).await.unwrap();
    assert_eq!(
        verdict(&store, challenge.id, 1, now).await,
        Verdict::Verified { at: now }
    );
    for counted in [1, 13] {
        assert_eq!(store.guesses(subject(counted), now).await.unwrap(), (0, None));
    }
}

pub(crate) async fn an_administrator_locks_and_unlocks(place: &impl Place) {
    let (store, clock) = open(place).await;
    assert!(!store.unlock(subject(1), "staff/ann", &note()).await.unwrap());
    fail(&store, 1, 3, clock.now()).await;
    Budgets::lock(&store, subject(1), "staff/ann", &note())
        .await
        .unwrap();
    assert_eq!(
        store.guesses(subject(1), clock.now()).await.unwrap(),
        (3, Some(Lock::ForGood))
    );
    assert!(store.unlock(subject(1), "staff/ann", &note()).await.unwrap());
    assert_eq!(store.guesses(subject(1), clock.now()).await.unwrap(), (0, None));
}

pub(crate) async fn budgets_survive_and_are_never_refilled(place: &impl Place) {
    let clock = ManualClock::new();
    let mut last = None;
    for _ in 0..3 {
        // Each start in a store opened afresh.
        let store = place.open(Arc::clone(&clock) as Arc<dyn Clock>).await;
        let challenge = challenge(1, clock.now());
        let mut start = start(&challenge);
        start.charges = vec![charge(1), charge(101)];
        assert!(matches!(store.start(start).await.unwrap(), Started::Opened));
        last = Some(challenge);
    }
    let store = place.open(Arc::clone(&clock) as Arc<dyn Clock>).await;
    let allowed_from = clock.now().plus(SENDS.refill);
    let mut fourth = start(&challenge(1, clock.now()));
    fourth.charges = vec![charge(1), charge(101)];
    let refused = store.start(fourth).await.unwrap();
    assert!(matches!(refused, Started::OverBudget(moment) if moment == allowed_from));
    // A resend draws on the same budget, and closing challenges or purging gives nothing back.
    let last = last.unwrap();
    clock.pass(30 * SECOND);
    let mut resend = resend(&last, 2, clock.now());
    resend.charges = vec![charge(101)];
    let refused = store.resend(resend).await.unwrap();
    assert!(matches!(refused, Some(Resent::OverBudget(moment)) if moment == allowed_from));
    assert!(matches!(
        verdict(&store, last.id, 1, clock.now()).await,
        Verdict::Verified { .. }
    ));
    Challenges::purge(&store, clock.now(), 100).await.unwrap();
    let mut fifth = start(&challenge(1, clock.now()));
    fifth.charges = vec![charge(1)];
    assert!(matches!(
        store.start(fifth).await.unwrap(),
        Started::OverBudget(_)
    ));
    clock.pass(SENDS.refill);
    let mut sixth = start(&challenge(1, clock.now()));
    sixth.charges = vec![charge(1)];
    assert!(matches!(store.start(sixth).await.unwrap(), Started::Opened));
}

pub(crate) async fn old_challenges_are_forgotten(place: &impl Place) {
    let (store, clock) = open(place).await;
    let with_request = |challenge: &Challenge| Start {
        request: Some(request(70, 71)),
        ..start(challenge)
    };
    let first = challenge(1, clock.now());
    store.start(with_request(&first)).await.unwrap();
    for _ in 0..4 {
        opened(&store, 1, clock.now()).await;
    }
    clock.pass(MINUTE);
    let young = opened(&store, 1, clock.now()).await;
    let moment = young.expires_at;
    assert_eq!(Challenges::purge(&store, moment, 3).await.unwrap(), 3);
    assert_eq!(Challenges::purge(&store, moment, 3).await.unwrap(), 2);
    assert_eq!(Challenges::purge(&store, moment, 3).await.unwrap(), 0);
    assert_eq!(Challenges::find(&store, first.id).await.unwrap(), None);
    assert!(Challenges::find(&store, young.id).await.unwrap().is_some());
    // Its request id is free again.
    let second = challenge(1, clock.now());
    assert!(matches!(
        store.start(with_request(&second)).await.unwrap(),
        Started::Opened
    ));
}

pub(crate) async fn a_right_code_confirms_an_address(place: &impl Place) {
    let (store, clock) = open(place).await;
    let confirming = |user: u8, address: u8, now| Challenge {
        confirms: Some(subject(address)),
        ..challenge(user, now)
    };
    let first = confirming(1, 50, clock.now());
    store.start(start(&first)).await.unwrap();
    verdict(&store, first.id, 0, clock.now()).await;
    assert_eq!(store.confirmed_at(subject(1), subject(50)).await.unwrap(), None);
    clock.pass(SECOND);
    let then = clock.now();
    verdict(&store, first.id, 1, then).await;
    assert_eq!(
        store.confirmed_at(subject(1), subject(50)).await.unwrap(),
        Some(then)
    );
    // Of this user and this address alone.
    assert_eq!(store.confirmed_at(subject(2), subject(50)).await.unwrap(), None);
    assert_eq!(store.confirmed_at(subject(1), subject(51)).await.unwrap(), None);
    // A later one renews it, another address stands beside it, and a login confirms nothing.
    clock.pass(MINUTE);
    let now = clock.now();
    for challenge in [confirming(1, 50, now), confirming(1, 51, now), challenge(1, now)] {
        store.start(start(&challenge)).await.unwrap();
        verdict(&store, challenge.id, 1, now).await;
    }
    assert_eq!(
        store.confirmed_at(subject(1), subject(50)).await.unwrap(),
        Some(now)
    );
    assert_eq!(store.confirmed(subject(1)).await.unwrap(), 2);
    // Kept for a year and forgotten with what is old, or when an administrator says so.
    Challenges::purge(&store, now, 10).await.unwrap();
    assert_eq!(store.confirmed(subject(1)).await.unwrap(), 2);
    Challenges::purge(&store, now.plus(24 * 367 * 60 * MINUTE), 1)
        .await
        .unwrap();
    assert_eq!(store.confirmed(subject(1)).await.unwrap(), 1);
    assert_eq!(
        store
            .forget_confirmed(subject(1), "staff/ann", &note())
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        store
            .forget_confirmed(subject(1), "staff/ann", &note())
            .await
            .unwrap(),
        0
    );
}

pub(crate) async fn a_right_code_withdraws_what_was_not_sent(place: &impl Place) {
    let (store, clock) = open(place).await;
    let (right, wrong) = (
        opened(&store, 1, clock.now()).await,
        opened(&store, 2, clock.now()).await,
    );
    verdict(&store, right.id, 1, clock.now()).await;
    verdict(&store, wrong.id, 0, clock.now()).await;
    for (challenge, state) in [(right, DeliveryState::Withdrawn), (wrong, DeliveryState::Queued)] {
        assert_eq!(store.newest(challenge.id).await.unwrap().unwrap().state, state);
    }
}

/// A guess that may be repeated.
pub(super) fn repeatable(challenge: &Challenge, number: u32, request: RequestKey, now: Timestamp) -> Guess {
    Guess {
        request: Some(request),
        ..guess(challenge.id, number, now)
    }
}

pub(crate) async fn a_repeated_guess_is_counted_once_and_judged_as_before(place: &impl Place) {
    let (store, clock) = open(place).await;
    let now = clock.now();
    let challenge = opened(&store, 1, now).await;
    let (wrong, right) = (request(50, 51), request(52, 53));
    let again = |number, request| store.guess(repeatable(&challenge, number, request, now));
    for repeated in [false, true, true] {
        let judged = judged(again(0, wrong).await.unwrap());
        assert_eq!(judged.verdict, Verdict::Wrong { attempts_left: 4 });
        assert_eq!((judged.repeated, judged.challenge.attempts), (repeated, 1));
        assert_eq!(judged.context, Some(Sealed::from_bytes(vec![1, 2, 3])));
    }
    assert_eq!(store.guesses(challenge.user, now).await.unwrap(), (1, None));
    // With other contents it is refused, be it the right code or not, and counts nothing.
    for number in [0, 1] {
        let other = RequestKey {
            contents: subject(54),
            ..wrong
        };
        let refused = again(number, other).await.unwrap();
        assert!(matches!(refused, Some(Guessed::RequestReused)), "{refused:?}");
    }
    assert_eq!(store.guesses(challenge.user, now).await.unwrap(), (1, None));
    assert_eq!(
        judged(again(0, request(55, 51)).await.unwrap())
            .challenge
            .attempts,
        2
    );
    // By another instance, and after the challenge is over, as before.
    let verified = Verdict::Verified { at: now };
    assert_eq!(judged(again(1, right).await.unwrap()).verdict, verified);
    let late = challenge.expires_at.plus(SECOND);
    let store = place.open(clock).await;
    let repeat = judged(store.guess(repeatable(&challenge, 1, right, late)).await.unwrap());
    assert_eq!((repeat.verdict, repeat.repeated), (verified, true));
    let repeat = judged(store.guess(repeatable(&challenge, 0, wrong, late)).await.unwrap());
    assert_eq!(
        (repeat.verdict, repeat.repeated),
        (Verdict::Wrong { attempts_left: 4 }, true)
    );
    // Nobody else gets anything of it.
    assert_eq!(
        verdict(&store, challenge.id, 1, late).await,
        Verdict::Used { at: now }
    );
    let other = judged(
        store
            .guess(repeatable(&challenge, 1, request(56, 53), late))
            .await
            .unwrap(),
    );
    assert_eq!(other.verdict, Verdict::Used { at: now });
    Challenges::purge(&store, late.plus(SECOND), 10).await.unwrap();
    assert!(
        store
            .guess(repeatable(&challenge, 1, right, late))
            .await
            .unwrap()
            .is_none()
    );
}

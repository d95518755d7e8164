//! Several instances on one database: what holds for one store holds for all of them together.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::{
    challenges::{repeatable, request},
    *,
};
use crate::{
    domain::challenge::Verdict,
    store::{RequestKey, Started},
};

/// Two stores on one place, and the clock of both.
async fn two<P: Place>(place: &P) -> ([P::Store; 2], Arc<ManualClock>) {
    let clock = ManualClock::new();
    let first = place.open(Arc::clone(&clock) as Arc<dyn Clock>).await;
    let second = place.open(Arc::clone(&clock) as Arc<dyn Clock>).await;
    ([first, second], clock)
}

/// What 64 guesses at once, on one store and the other in turn, are answered with.
async fn all_at_once(stores: &[impl Store; 2], id: ChallengeId, number: u32, now: Timestamp) -> Vec<Verdict> {
    let mut calls = JoinSet::new();
    for store in stores.iter().cycle().take(64) {
        let store = store.clone();
        calls.spawn(async move { judged(store.guess(guess(id, number, now)).await.unwrap()).verdict });
    }
    calls.join_all().await
}

fn count(verdicts: &[Verdict], is: impl Fn(&Verdict) -> bool) -> usize {
    verdicts.iter().filter(|verdict| is(verdict)).count()
}

pub(crate) async fn of_many_right_codes_on_two_one_verifies(place: &impl Place) {
    let (stores, clock) = two(place).await;
    let now = clock.now();
    let challenge = challenge(1, now);
    stores[0].start(start(&challenge)).await.unwrap();
    let verdicts = all_at_once(&stores, challenge.id, 1, now).await;
    assert_eq!(count(&verdicts, |is| *is == Verdict::Verified { at: now }), 1);
    assert_eq!(count(&verdicts, |is| *is == Verdict::Used { at: now }), 63);
}

pub(crate) async fn of_many_wrong_codes_on_two_five_are_compared(place: &impl Place) {
    let (stores, clock) = two(place).await;
    let now = clock.now();
    let challenge = challenge(1, now);
    stores[0].start(start(&challenge)).await.unwrap();
    let verdicts = all_at_once(&stores, challenge.id, 0, now).await;
    assert_eq!(count(&verdicts, |is| matches!(is, Verdict::Wrong { .. })), 5);
    assert_eq!(count(&verdicts, |is| *is == Verdict::Locked), 59);
    for store in &stores {
        assert_eq!(store.guesses(challenge.user, now).await.unwrap(), (5, None));
    }
}

pub(crate) async fn of_equal_requests_on_two_one_starts(place: &impl Place) {
    let (stores, clock) = two(place).await;
    let now = clock.now();
    let mut calls = JoinSet::new();
    for (number, store) in stores.iter().cycle().take(256).enumerate() {
        let store = store.clone();
        calls.spawn(async move {
            // Several requests at once, in crowds, so that transactions meet in every order.
            let request = subject(u8::try_from(number / 2 % 32).unwrap() + 50);
            let challenge = challenge(1, now);
            let start = Start {
                request: Some(RequestKey {
                    id: request,
                    contents: subject(60),
                }),
                ..start(&challenge)
            };
            match store.start(start).await.unwrap() {
                Started::Opened => (request, true, challenge.id),
                Started::Repeated(known) => (request, false, known.id),
                other => panic!("{other:?}"),
            }
        });
    }
    let answers = calls.join_all().await;
    for request in (50..82).map(subject) {
        let of_request = || answers.iter().filter(|(of, ..)| *of == request);
        let opened: Vec<_> = of_request().filter(|(_, opened, _)| *opened).collect();
        assert_eq!(opened.len(), 1);
        assert!(of_request().all(|(.., id)| *id == opened[0].2));
    }
    assert_eq!(stores[1].depth().await.unwrap().waiting, 32);
}

pub(crate) async fn budgets_are_one_for_two(place: &impl Place) {
    let (stores, clock) = two(place).await;
    let now = clock.now();
    let mut calls = JoinSet::new();
    for store in stores.iter().cycle().take(16) {
        let store = store.clone();
        calls.spawn(async move {
            let mut start = start(&challenge(1, now));
            start.charges = vec![charge(1), charge(2)];
            matches!(store.start(start).await.unwrap(), Started::Opened)
        });
    }
    let opened = calls.join_all().await.into_iter().filter(|opened| *opened);
    assert_eq!(opened.count(), SENDS.burst as usize);
}

pub(crate) async fn a_mail_is_claimed_by_one_of_two(place: &impl Place) {
    let (stores, clock) = two(place).await;
    for _ in 0..40 {
        stores[0].enqueue(entry(None, clock.now())).await.unwrap();
    }
    let mut calls = JoinSet::new();
    for store in stores.iter().cycle().take(10) {
        let store = store.clone();
        calls.spawn(async move {
            let mut claimed = Vec::new();
            // Rows that others are at just then are passed over, so one look may find none though some are left.
            while claimed.len() < 4 {
                let leases = (claimed.len()..4).map(|_| lease()).collect();
                let found = store.claim(4, leases).await.unwrap();
                claimed.extend(found.into_iter().map(|claimed| claimed.id));
            }
            claimed
        });
    }
    let mut claimed: Vec<EntryId> = calls.join_all().await.concat();
    assert_eq!(claimed.len(), 40);
    claimed.sort_by_key(|id| *id.as_bytes());
    claimed.dedup();
    assert_eq!(claimed.len(), 40);
}

pub(crate) async fn of_equal_guesses_on_two_one_counts(place: &impl Place) {
    let (stores, clock) = two(place).await;
    let now = clock.now();
    for number in [0, 1] {
        let challenge = challenge(1, now);
        stores[0].start(start(&challenge)).await.unwrap();
        let mut calls = JoinSet::new();
        for store in stores.iter().cycle().take(64) {
            let (store, guess) = (
                store.clone(),
                repeatable(
                    &challenge,
                    number,
                    request(50 + u8::try_from(number).unwrap(), 60),
                    now,
                ),
            );
            calls.spawn(async move { judged(store.guess(guess).await.unwrap()) });
        }
        let answers = calls.join_all().await;
        assert_eq!(answers.iter().filter(|judged| !judged.repeated).count(), 1);
        let one = answers[0].verdict;
        assert!(matches!(
            one,
            Verdict::Wrong { attempts_left: 4 } | Verdict::Verified { .. }
        ));
        assert!(answers.iter().all(|judged| judged.verdict == one), "{answers:?}");
        let kept = Challenges::find(&stores[1], challenge.id).await.unwrap().unwrap();
        assert_eq!(kept.attempts, u32::from(number == 0));
    }
}

//! What comes together: starts, guesses, leaves and settlements that share commits where the store does that. Each is
//! answered as if it had been alone after those before it.

use std::sync::Arc;

use futures_util::future::join_all;

use super::{
    challenges::{open, opened, request, resend, verdict},
    *,
};
use crate::{
    domain::{budget::Lock, challenge::Verdict, delivery::DeliveryState},
    store::{LEASE, Leave, Outcome, RequestKey, Resent, Settlement, Started},
};

/// Polled together, they share commits where the store does that: each is answered as if it had been alone after those
/// before it, and one that is refused takes nobody along.
pub(crate) async fn those_who_come_together_are_decided_one_by_one(place: &impl Place) {
    let (store, clock) = open(place).await;
    let now = clock.now();
    let mut known = Vec::new();
    for user in 1..=3 {
        known.push(opened(&store, user, now).await);
    }
    let with = |user: u8, charges: Vec<Charge>, request: Option<RequestKey>| Start {
        charges,
        request,
        ..start(&challenge(user, now))
    };
    let spent = || Charge {
        limits: SendLimits { per_day: 0, ..SENDS },
        ..charge(22)
    };
    let starts = vec![
        with(10, vec![charge(21)], Some(request(31, 41))),
        with(11, vec![charge(21), spent()], None),
        // The budget for user 11 was not charged: what is spent took nothing with it.
        with(12, vec![charge(21)], None),
        with(10, vec![charge(21)], Some(request(31, 41))),
        with(10, vec![charge(21)], Some(request(31, 42))),
        with(13, vec![charge(21)], None),
        with(14, vec![charge(21)], None),
    ];
    let first = starts[0].challenge.id;
    let starting = join_all(starts.into_iter().map(|start| store.start(start)));
    let (a, b, c) = (known[0].id, known[1].id, known[2].id);
    let guesses = [(a, 0), (a, 1), (a, 1), (b, 0), (b, 0), (c, 1)];
    let guesses = guesses.map(|(id, number)| store.guess(guess(id, number, now)));
    let unknown = store.guess(guess(ChallengeId::from_bytes(unique()), 1, now));
    let guessing = join_all(guesses);
    let (started, verdicts, unknown) = tokio::join!(starting, guessing, unknown);

    let started: Vec<Started> = started.into_iter().map(Result::unwrap).collect();
    // The burst of three is for users 10, 12 and 13.
    assert_eq!(SENDS.burst, 3);
    assert!(matches!(started[0], Started::Opened), "{started:?}");
    assert!(matches!(started[1], Started::OverBudget(_)), "{started:?}");
    assert!(matches!(started[2], Started::Opened), "{started:?}");
    assert!(
        matches!(&started[3], Started::Repeated(repeated) if repeated.id == first),
        "{started:?}"
    );
    assert!(matches!(started[4], Started::RequestReused), "{started:?}");
    assert!(matches!(started[5], Started::Opened), "{started:?}");
    assert!(matches!(started[6], Started::OverBudget(_)), "{started:?}");

    let verdicts: Vec<Verdict> = verdicts
        .into_iter()
        .map(|guessed| judged(guessed.unwrap()).verdict)
        .collect();
    let (verified, wrong) = (Verdict::Verified { at: now }, |attempts_left| Verdict::Wrong {
        attempts_left,
    });
    let expected = [
        wrong(4),
        verified,
        Verdict::Used { at: now },
        wrong(4),
        wrong(3),
        verified,
    ];
    assert_eq!(verdicts, expected);
    assert!(unknown.unwrap().is_none());
    assert_eq!(store.guesses(subject(1), now).await.unwrap(), (0, None));
    assert_eq!(store.guesses(subject(2), now).await.unwrap(), (2, None));
    assert_eq!(Challenges::find(&store, b).await.unwrap().unwrap().attempts, 2);
}

pub(crate) async fn an_old_copy_of_a_challenge_decides_nothing(place: &impl Place) {
    let (store, clock) = open(place).await;
    let now = clock.now();
    let first_seen = Arc::new(opened(&store, 1, now).await);
    let with_copy = |number| Guess {
        known: Some(Arc::clone(&first_seen)),
        ..guess(first_seen.id, number, now)
    };
    for attempts_left in (0..5).rev() {
        let guessed = judged(store.guess(with_copy(0)).await.unwrap());
        assert_eq!(guessed.verdict, Verdict::Wrong { attempts_left });
        let kept = Challenges::find(&store, first_seen.id).await.unwrap();
        assert_eq!(kept, Some(guessed.challenge));
    }
    let guessed = judged(store.guess(with_copy(1)).await.unwrap());
    assert_eq!(guessed.verdict, Verdict::Locked);
    let unknown = Guess {
        id: ChallengeId::from_bytes(unique()),
        ..with_copy(1)
    };
    assert!(store.guess(unknown).await.unwrap().is_none());
}

/// They come together, so that those which are as their copies say share a statement, and the others do not suffer from it.
pub(crate) async fn right_codes_are_judged_by_the_store_not_by_the_copies(place: &impl Place) {
    let (store, clock) = open(place).await;
    let mut copies = Vec::new();
    for user in 1..=7 {
        copies.push(Arc::new(opened(&store, user, clock.now()).await));
    }
    let [fresh, cancelled, tried, locked, used, moved_on, twice] = &copies[..] else {
        panic!("seven")
    };
    clock.pass(30 * SECOND);
    let now = clock.now();
    store.cancel(cancelled.id, now).await.unwrap();
    verdict(&store, tried.id, 0, now).await;
    store.lock(locked.user, "staff/locked", &note()).await.unwrap();
    verdict(&store, used.id, 1, now).await;
    let resent = store.resend(resend(moved_on, 2, now)).await.unwrap();
    assert!(matches!(resent, Some(Resent::Opened(_))), "{resent:?}");

    let asked = copies.iter().chain([twice]).map(|copy| {
        store.guess(Guess {
            known: Some(Arc::clone(copy)),
            ..guess(copy.id, 1, now)
        })
    });
    let answers = join_all(asked).await;
    let answers: Vec<Judged> = answers
        .into_iter()
        .map(|answer| judged(answer.unwrap()))
        .collect();
    let verified = Verdict::Verified { at: now };
    let verdicts: Vec<Verdict> = answers.iter().map(|answer| answer.verdict).collect();
    assert_eq!(
        verdicts,
        [
            verified,
            Verdict::Cancelled,
            verified,
            Verdict::UserLocked { until: None },
            Verdict::Used { at: now },
            verified,
            verified,
            Verdict::Used { at: now },
        ]
    );
    for Judged { challenge, .. } in answers {
        let kept = Challenges::find(&store, challenge.id).await.unwrap();
        assert_eq!(kept, Some(challenge));
    }
    assert_eq!(store.guesses(tried.user, now).await.unwrap(), (0, None));
    assert_eq!(
        store.guesses(locked.user, now).await.unwrap(),
        (0, Some(Lock::ForGood))
    );
    for challenge in [fresh, tried, moved_on, twice] {
        let mail = store.newest(challenge.id).await.unwrap().unwrap();
        assert_eq!(mail.state, DeliveryState::Withdrawn);
    }
    let mail = store.newest(locked.id).await.unwrap().unwrap();
    assert_eq!(mail.state, DeliveryState::Queued);
}

/// Those that are not granted keep nobody else's back.
pub(crate) async fn leaves_that_come_together_are_answered_each(place: &impl Place) {
    let (store, clock) = open(place).await;
    let late = leased(&store, clock.now()).await;
    let mut exhausted = late;
    for _ in 0..3 {
        clock.pass(LEASE);
        let claimed = store.claim(1, vec![lease()]).await.unwrap().remove(0);
        exhausted = (claimed.id, claimed.lease);
        // The last one is asked for below.
        if claimed.unsure < 2 {
            let leave = store.leave(claimed.id, claimed.lease, None).await.unwrap();
            assert_eq!(leave, Leave::Granted);
        }
    }
    let mut fresh = Vec::new();
    for _ in 0..5 {
        fresh.push(leased(&store, clock.now()).await);
    }
    let unknown = (EntryId::from_bytes(unique()), lease());
    let foreign = (fresh[4].0, lease());
    let asked = [
        fresh[0], late, fresh[1], fresh[0], exhausted, unknown, foreign, fresh[2],
    ];
    let answers = join_all(asked.map(|(entry, lease)| store.leave(entry, lease, None))).await;
    let answers: Vec<Leave> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(
        answers,
        [
            Leave::Granted,
            Leave::Lost,
            Leave::Granted,
            Leave::Granted,
            Leave::Exhausted,
            Leave::Lost,
            Leave::Lost,
            Leave::Granted,
        ]
    );
    // Asked for twice it was one copy: one more may be of unknown fate.
    clock.pass(LEASE);
    let leases = (0..9).map(|_| lease()).collect();
    let claimed = store.claim(9, leases).await.unwrap();
    let unsure = |entry: EntryId| claimed.iter().find(|mail| mail.id == entry).unwrap().unsure;
    assert_eq!([0, 1, 2, 3].map(|at: usize| unsure(fresh[at].0)), [1, 1, 1, 1]);
}

/// A mail that some worker leased when it was written.
async fn leased(store: &impl Store, now: Timestamp) -> (EntryId, LeaseId) {
    let lease = lease();
    let entry = NewEntry {
        queue: MailQueue::default(),
        lease: Some(lease),
        ..entry(Some(ChallengeId::from_bytes(unique())), now)
    };
    let id = entry.id;
    store.enqueue(entry).await.unwrap();
    (id, lease)
}

/// As where a code is typed before the store has learnt that its mail was sent.
pub(crate) async fn codes_are_judged_while_their_mails_are_settled(place: &impl Place) {
    let (store, clock) = open(place).await;
    let now = clock.now();
    let mut mails = Vec::new();
    for _ in 0..150 {
        let challenge = challenge(1, now);
        let (entry, lease) = leased_start(&store, &challenge).await;
        mails.push((challenge.id, entry, lease));
    }
    let judging = mails
        .iter()
        .map(|(challenge, ..)| store.guess(guess(*challenge, 1, now)));
    let settling = mails
        .iter()
        .rev()
        .map(|(_, entry, lease)| store.settle(sent(*entry, *lease, now)));
    let (verdicts, settled) = tokio::join!(join_all(judging), join_all(settling));
    for guessed in verdicts {
        assert_eq!(judged(guessed.unwrap()).verdict, Verdict::Verified { at: now });
    }
    assert!(settled.into_iter().all(Result::unwrap));
    for (challenge, ..) in mails {
        let mail = store.newest(challenge).await.unwrap().unwrap();
        assert_eq!(mail.state, DeliveryState::Sent);
    }
}

/// Starts a challenge whose mail is leased already.
async fn leased_start(store: &impl Store, challenge: &Challenge) -> (EntryId, LeaseId) {
    let (mut start, lease) = (start(challenge), lease());
    start.entry.lease = Some(lease);
    let entry = start.entry.id;
    store.start(start).await.unwrap();
    (entry, lease)
}

fn sent(id: EntryId, lease: LeaseId, at: Timestamp) -> Settlement {
    Settlement {
        id,
        lease,
        outcome: Outcome::Sent { at },
        subject: None,
        sender: None,
        attempts: Vec::new(),
        fate_known: false,
    }
}

/// Of a challenge whose first mail was sent nothing is left to be withdrawn, unless a further one was written since.
pub(crate) async fn what_was_sent_hides_no_later_mail(place: &impl Place) {
    let (store, clock) = open(place).await;
    let mut challenges = Vec::new();
    for user in 1..=2 {
        let challenge = challenge(user, clock.now());
        let (entry, lease) = leased_start(&store, &challenge).await;
        assert!(store.settle(sent(entry, lease, clock.now())).await.unwrap());
        challenges.push(challenge);
    }
    let [once, twice] = &challenges[..] else {
        panic!("two")
    };
    clock.pass(30 * SECOND);
    let now = clock.now();
    let resent = store.resend(resend(twice, 2, now)).await.unwrap();
    assert!(matches!(resent, Some(Resent::Opened(_))), "{resent:?}");
    for (challenge, state) in [(once, DeliveryState::Sent), (twice, DeliveryState::Withdrawn)] {
        let verdict = verdict(&store, challenge.id, 1, now).await;
        assert_eq!(verdict, Verdict::Verified { at: now });
        assert_eq!(store.newest(challenge.id).await.unwrap().unwrap().state, state);
    }
}

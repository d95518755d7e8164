use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const SENDS: SendLimits = SendLimits {
    burst: 3,
    refill: Duration::from_mins(10),
    per_day: 20,
};
const GUESSES: GuessLimits = GuessLimits {
    lock_after: 10,
    lock_for: Duration::from_mins(30),
    lock_for_good_after: 100,
};

fn noon() -> Timestamp {
    Timestamp::from_micros(1_800_000_000_000_000)
}

#[test]
fn three_at_once_then_one_every_ten_minutes() {
    let mut budget = SendBudget::default();
    for _ in 0..3 {
        budget = budget.charge(&SENDS, noon()).unwrap();
    }
    let mut now = noon();
    for _ in 0..10 {
        let next = now.plus(10 * MINUTE);
        assert_eq!(budget.charge(&SENDS, now), Err(next));
        assert_eq!(
            budget.charge(&SENDS, next.minus(Duration::from_micros(1))),
            Err(next)
        );
        now = next;
        budget = budget.charge(&SENDS, now).unwrap();
    }
    // Left alone it fills up to three again, and no further.
    now = now.plus(300 * MINUTE);
    for _ in 0..3 {
        budget = budget.charge(&SENDS, now).unwrap();
    }
    assert_eq!(budget.charge(&SENDS, now), Err(now.plus(10 * MINUTE)));
}

#[test]
fn twenty_a_day() {
    let (mut budget, mut now, mut sent) = (SendBudget::default(), noon(), 0);
    let tomorrow = noon().plus(SendBudget::DAY);
    loop {
        match budget.charge(&SENDS, now) {
            Ok(charged) => {
                budget = charged;
                sent += 1;
            }
            Err(allowed_from) if allowed_from >= tomorrow => break,
            Err(allowed_from) => now = allowed_from,
        }
    }
    assert_eq!(sent, 20);
    assert_eq!(budget.charge(&SENDS, now), Err(tomorrow));
    assert_eq!(budget.charge(&SENDS, tomorrow.minus(SECOND)), Err(tomorrow));
    assert!(budget.charge(&SENDS, tomorrow).is_ok());
}

#[test]
fn locks_at_ten_and_at_twenty_and_at_a_hundred_for_good() {
    let (mut budget, mut now) = (GuessBudget::default(), noon());
    for failures in 1..=120 {
        budget = budget.fail(&GUESSES, now);
        assert_eq!(budget.failures, failures);
        let expected = match failures {
            100.. => Some(Lock::ForGood),
            _ if failures % 10 == 0 => Some(Lock::Until(now.plus(GUESSES.lock_for))),
            _ => None,
        };
        assert_eq!(budget.lock(now), expected, "{failures}");
        if let Some(Lock::Until(moment)) = expected {
            assert!(budget.lock(moment.minus(Duration::from_micros(1))).is_some());
            assert_eq!(budget.lock(moment), None);
            now = moment;
        }
    }
    assert_eq!(budget.lock(Timestamp::from_micros(i64::MAX)), Some(Lock::ForGood));
    assert_eq!(budget.succeed(), GuessBudget::default());
    assert_eq!(budget.succeed().lock(now), None);
}

/// Whoever goes from one event to another passes no lock: ten wrong codes in a row at the very most.
#[test]
fn limits_that_alternate_share_one_count() {
    let strict = GuessLimits {
        lock_after: 7,
        ..GUESSES
    };
    // Of both every order: bit by bit, which of the two judges the next.
    for order in 0_u32..1 << 10 {
        let mut budget = GuessBudget::default();
        let mut wrong = 0;
        while budget.lock(noon()).is_none() {
            let limits = if order >> wrong & 1 == 1 {
                &strict
            } else {
                &GUESSES
            };
            budget = budget.fail(limits, noon());
            wrong += 1;
        }
        assert!((7..=10).contains(&wrong), "{wrong} in a row, {order:b}");
        assert_eq!((budget.failures, budget.since_lock), (wrong, 0));
    }
}

#[test]
fn a_limit_for_good_that_was_passed_under_another_policy_locks_for_good() {
    let lax = GuessLimits {
        lock_after: 100,
        ..GUESSES
    };
    let mut budget = GuessBudget::default();
    for _ in 0..20 {
        budget = budget.fail(&lax, noon());
    }
    assert_eq!(budget.lock(noon()), None);
    let strict = GuessLimits {
        lock_for_good_after: 15,
        ..GUESSES
    };
    assert_eq!(budget.fail(&strict, noon()).lock(noon()), Some(Lock::ForGood));
}

#[test]
fn a_limit_of_nothing_locks_rather_than_divides() {
    let limits = GuessLimits {
        lock_after: 0,
        ..GUESSES
    };
    assert!(
        GuessBudget::default()
            .fail(&limits, noon())
            .lock(noon())
            .is_some()
    );
    let none = SendLimits { burst: 0, ..SENDS };
    assert!(SendBudget::default().charge(&none, noon()).is_err());
}

proptest! {
    /// Within any span of time no more than the burst and what is refilled in it, and within any one day no more than
    /// two days' worth: a day begins with the first mail after the last one ended.
    #[test]
    fn never_more_than_the_limits(
        burst in 1_u32..6,
        refill in 1_u64..900,
        per_day in 1_u32..30,
        steps in prop::collection::vec(0_u64..4000, 1..200),
    ) {
        let limits = SendLimits { burst, refill: Duration::from_secs(refill), per_day };
        let (mut budget, mut now, mut sent) = (SendBudget::default(), noon(), Vec::new());
        for step in steps {
            now = now.plus(Duration::from_secs(step));
            match budget.charge(&limits, now) {
                Ok(charged) => {
                    sent.push(now);
                    budget = charged;
                }
                Err(allowed_from) => {
                    prop_assert!(allowed_from > now);
                    // What it promises, it keeps.
                    prop_assert!(budget.charge(&limits, allowed_from).is_ok() || per_day <= budget.today);
                    prop_assert!(budget.charge(&limits, allowed_from.minus(Duration::from_micros(1))).is_err());
                }
            }
        }
        for (index, from) in sent.iter().enumerate() {
            for (count, to) in (1_u64..).zip(&sent[index..]) {
                let refilled = to.since(*from).as_secs() / refill;
                prop_assert!(count <= u64::from(burst) + refilled);
                if to.since(*from) < SendBudget::DAY {
                    prop_assert!(count <= 2 * u64::from(per_day));
                }
            }
        }
    }

    /// A clock that is set back gives nothing back.
    #[test]
    fn a_clock_set_back_refills_nothing(back in 0_u64..100_000) {
        let mut budget = SendBudget::default();
        for _ in 0..3 {
            budget = budget.charge(&SENDS, noon()).unwrap();
        }
        prop_assert!(budget.charge(&SENDS, noon().minus(Duration::from_secs(back))).is_err());
    }
}

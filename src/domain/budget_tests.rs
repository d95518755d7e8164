use proptest::prelude::*;

use super::*;

const MINUTE: i64 = 60_000_000;

fn sends() -> SendLimits {
    SendLimits {
        burst: 3,
        refill: Duration::from_mins(10),
        per_day: 20,
    }
}

fn guesses() -> GuessLimits {
    GuessLimits {
        lock_after: 10,
        lock_for: Duration::from_mins(30),
        lock_for_good_after: 100,
    }
}

fn at(minute: i64) -> Timestamp {
    Timestamp::from_micros(1_000_000 * MINUTE + minute * MINUTE)
}

#[test]
fn a_burst_of_three_then_one_every_ten_minutes() {
    let mut budget = SendBudget::default();
    for _ in 0..3 {
        budget = budget.charge(&sends(), at(0)).unwrap();
    }
    assert_eq!(budget.charge(&sends(), at(0)), Err(at(10)));
    assert_eq!(budget.charge(&sends(), at(9)), Err(at(10)));
    budget = budget.charge(&sends(), at(10)).unwrap();
    assert_eq!(budget.charge(&sends(), at(10)), Err(at(20)));
    // An hour of rest fills the burst again, and no more than the burst.
    for _ in 0..3 {
        budget = budget.charge(&sends(), at(100)).unwrap();
    }
    assert_eq!(budget.charge(&sends(), at(100)), Err(at(110)));
}

#[test]
fn twenty_a_day() {
    let mut budget = SendBudget::default();
    for n in 0..20 {
        budget = budget.charge(&sends(), at(n * 15)).unwrap();
    }
    let next_day = at(24 * 60);
    assert_eq!(budget.charge(&sends(), at(20 * 15)), Err(next_day));
    assert_eq!(budget.charge(&sends(), next_day).unwrap().today, 1);
}

#[test]
fn ten_failures_lock_for_a_while_each_further_ten_again_a_hundred_for_good() {
    let mut budget = GuessBudget::default();
    for _ in 0..9 {
        budget = budget.fail(&guesses(), at(0));
    }
    assert_eq!(budget.lock(at(0)), None);
    budget = budget.fail(&guesses(), at(0));
    assert_eq!(budget.lock(at(29)), Some(Lock::Until(at(30))));
    assert_eq!(budget.lock(at(30)), None);
    for _ in 0..10 {
        budget = budget.fail(&guesses(), at(31));
    }
    assert_eq!(budget.lock(at(60)), Some(Lock::Until(at(61))));
    for _ in 20..100 {
        budget = budget.fail(&guesses(), at(100));
    }
    assert_eq!(budget.lock(at(1_000_000)), Some(Lock::ForGood));
    assert_eq!(budget.succeed(), GuessBudget::default());
}

proptest! {
    /// However calls are spaced: never more than the burst and what time refilled, never more than the day allows.
    #[test]
    fn never_more_than_the_limits_allow(gaps in prop::collection::vec(0_i64..20 * MINUTE, 1..200)) {
        let limits = sends();
        let mut budget = SendBudget::default();
        let mut now = at(0);
        let mut sent: Vec<Timestamp> = Vec::new();
        for gap in gaps {
            now = Timestamp::from_micros(now.as_micros() + gap);
            match budget.charge(&limits, now) {
                Ok(next) => { budget = next; sent.push(now); }
                Err(from) => prop_assert!(from > now),
            }
        }
        for (index, first) in sent.iter().enumerate() {
            for (count, last) in sent[index..].iter().enumerate() {
                let refilled = last.since(*first).as_micros() / limits.refill.as_micros();
                prop_assert!(count as u128 + 1 <= u128::from(limits.burst) + refilled);
            }
        }
    }

    #[test]
    fn a_refusal_names_the_first_moment_that_is_allowed(minutes in prop::collection::vec(0_i64..5, 4..40)) {
        let mut budget = SendBudget::default();
        let mut minute = 0;
        for gap in minutes {
            minute += gap;
            match budget.charge(&sends(), at(minute)) {
                Ok(next) => budget = next,
                Err(from) => {
                    prop_assert!(budget.charge(&sends(), from).is_ok());
                    prop_assert!(budget.charge(&sends(), from.minus(Duration::from_micros(1))).is_err());
                }
            }
        }
    }
}

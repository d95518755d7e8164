//! What a submitted code does to its challenge and to its user's budget.

use super::{
    budget::{GuessBudget, GuessLimits, Lock},
    challenge::{Challenge, State, Verdict},
    clock::Timestamp,
    code::CodeNumbers,
};

/// The wrong codes that a submitted one counts among.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Those its caller is answered by: the user's, or those of a name ([`Challenge::told`]).
    pub told: GuessBudget,
    /// The user's, where the caller is not told of them ([`Challenge::silent`]).
    pub silent: Option<GuessBudget>,
}

/// Judges a code that equals those of `numbers`. What is closed stays as it is, and of a user who is locked not even a
/// right code is told apart: to a caller that may not know of the lock it is wrong. Otherwise a right one ends the challenge
/// and forgives the user, a wrong one counts against both, and the last wrong one locks the challenge.
pub fn judge(
    challenge: &mut Challenge,
    counted: &mut Counted,
    numbers: CodeNumbers,
    limits: &GuessLimits,
    now: Timestamp,
) -> Verdict {
    if let Some(verdict) = challenge.closed(now) {
        return verdict;
    }
    if let Some(lock) = counted.told.lock(now) {
        let until = match lock {
            Lock::Until(moment) => Some(moment),
            Lock::ForGood => None,
        };
        return Verdict::UserLocked { until };
    }
    let silent = counted.silent.filter(|user| user.lock(now).is_none());
    let locked = counted.silent.is_some() && silent.is_none();
    if challenge.accepts(numbers) && !locked {
        challenge.state = State::Verified;
        challenge.verified_at = Some(now);
        counted.told = counted.told.succeed();
        counted.silent = silent.map(GuessBudget::succeed);
        return Verdict::Verified { at: now };
    }
    challenge.attempts = challenge.attempts.saturating_add(1);
    if challenge.attempts >= challenge.most_attempts {
        challenge.state = State::Locked;
    }
    counted.told = counted.told.fail(&told_limits(challenge, limits), now);
    if let Some(user) = silent {
        counted.silent = Some(user.fail(limits, now));
    }
    Verdict::Wrong {
        attempts_left: challenge.attempts_left(),
    }
}

/// The limits of what the caller is answered by.
fn told_limits(challenge: &Challenge, limits: &GuessLimits) -> GuessLimits {
    if challenge.name.is_some() {
        limits.of_name()
    } else {
        *limits
    }
}

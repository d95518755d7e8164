//! What a submitted code does to its challenge and to its user's budget.

use super::{
    budget::{GuessBudget, GuessLimits, Lock},
    challenge::{Challenge, State, Verdict},
    clock::Timestamp,
    code::CodeNumbers,
};

/// Judges a code that equals those of `numbers`. What is closed stays as it is, and of a user who is locked not even a
/// right code is told apart. Otherwise a right one ends the challenge and forgives the user, a wrong one counts against
/// both, and the last wrong one locks the challenge.
pub fn judge(
    challenge: &mut Challenge,
    budget: &mut GuessBudget,
    numbers: CodeNumbers,
    limits: &GuessLimits,
    now: Timestamp,
) -> Verdict {
    if let Some(verdict) = challenge.closed(now) {
        return verdict;
    }
    if let Some(lock) = budget.lock(now) {
        let until = match lock {
            Lock::Until(moment) => Some(moment),
            Lock::ForGood => None,
        };
        return Verdict::UserLocked { until };
    }
    if challenge.accepts(numbers) {
        challenge.state = State::Verified;
        challenge.verified_at = Some(now);
        *budget = budget.succeed();
        return Verdict::Verified { at: now };
    }
    challenge.attempts = challenge.attempts.saturating_add(1);
    if challenge.attempts >= challenge.most_attempts {
        challenge.state = State::Locked;
    }
    *budget = budget.fail(limits, now);
    Verdict::Wrong {
        attempts_left: challenge.attempts_left(),
    }
}

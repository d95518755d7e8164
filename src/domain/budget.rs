//! Budgets: how many mails and how many wrong codes somebody may have. Counted durably, never refilled by a resend,
//! a new challenge or a restart.

use std::time::Duration;

use super::clock::Timestamp;

/// How many mails may go out for one subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendLimits {
    /// So many at once.
    pub burst: u32,
    /// Then one more each time this has passed.
    pub refill: Duration,
    /// And no more than this within 24 hours.
    pub per_day: u32,
}

impl SendLimits {
    /// So many times as much.
    #[must_use]
    pub fn times(self, factor: u32) -> Self {
        Self {
            burst: self.burst.saturating_mul(factor),
            refill: self.refill / factor.max(1),
            per_day: self.per_day.saturating_mul(factor),
        }
    }

    /// What others than those who go first may draw on: a quarter of what may go at once, and a tenth of a day's mails, stay
    /// in reserve. Where one may go at a time there is nothing to keep back of it.
    #[must_use]
    pub const fn without_reserve(self) -> Self {
        let burst = match self.burst {
            0 | 1 => self.burst,
            many => many - many.div_ceil(4),
        };
        Self {
            burst,
            per_day: self.per_day - self.per_day / 10,
            ..self
        }
    }

    /// Limits that hold back whatever either of two does.
    #[must_use]
    pub fn tighter(self, other: Self) -> Self {
        Self {
            burst: self.burst.min(other.burst),
            refill: self.refill.max(other.refill),
            per_day: self.per_day.min(other.per_day),
        }
    }
}

/// What a subject has used of its mails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendBudget {
    /// When the bucket will be full again (the "theoretical arrival time" of a leaky bucket): one moment says it all.
    pub full_at: Timestamp,
    /// When the present day began.
    pub day_began: Timestamp,
    /// Mails since then.
    pub today: u32,
}

impl SendBudget {
    /// How long a day of [`SendLimits::per_day`] is.
    pub const DAY: Duration = Duration::from_hours(24);

    /// The budget after one more mail, or the moment from which one is allowed.
    pub fn charge(self, limits: &SendLimits, now: Timestamp) -> Result<Self, Timestamp> {
        let new_day = now >= self.day_began.plus(Self::DAY);
        let (day_began, today) = if new_day {
            (now, 0)
        } else {
            (self.day_began, self.today)
        };
        if today >= limits.per_day {
            return Err(day_began.plus(Self::DAY));
        }
        let full_at = self.full_at.max(now).plus(limits.refill);
        let allowed_from = full_at.minus(limits.refill.saturating_mul(limits.burst));
        if now < allowed_from {
            Err(allowed_from)
        } else {
            Ok(Self {
                full_at,
                day_began,
                today: today + 1,
            })
        }
    }
}

/// How many wrong codes one user may have in a row, over all challenges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuessLimits {
    /// So many lock the user for a while (PCI DSS 4.0, 8.3.4).
    pub lock_after: u32,
    /// How long.
    pub lock_for: Duration,
    /// So many lock until an administrator unlocks (NIST SP 800-63B-4, 3.2.2).
    pub lock_for_good_after: u32,
}

impl GuessLimits {
    /// The same for a name, whether or not anybody has it: nobody would ask an administrator to unlock an invented one.
    #[must_use]
    pub fn of_name(self) -> Self {
        Self {
            lock_for_good_after: u32::MAX,
            ..self
        }
    }
}

/// A user's wrong codes since the last right one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuessBudget {
    /// In a row.
    pub failures: u32,
    /// Of these, those since the last lock began: what the next lock is judged by, whichever policy judges.
    pub since_lock: u32,
    /// Until when the user is locked.
    pub locked_until: Option<Lock>,
}

/// How long a lock holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Until this moment.
    Until(Timestamp),
    /// Until an administrator unlocks.
    ForGood,
}

impl GuessBudget {
    /// The lock that holds at `now`.
    #[must_use]
    pub fn lock(&self, now: Timestamp) -> Option<Lock> {
        self.locked_until.filter(|lock| match lock {
            Lock::Until(moment) => now < *moment,
            Lock::ForGood => true,
        })
    }

    /// After one more wrong code. As many as `lock_after` since the last lock, or more, lock again: events with other limits
    /// add to the same count, so that nobody passes a lock by going from one to another.
    #[must_use]
    pub fn fail(self, limits: &GuessLimits, now: Timestamp) -> Self {
        let failures = self.failures.saturating_add(1);
        let since_lock = self.since_lock.saturating_add(1);
        let locks = since_lock >= limits.lock_after;
        let locked_until = if failures >= limits.lock_for_good_after {
            Some(Lock::ForGood)
        } else if locks {
            Some(Lock::Until(now.plus(limits.lock_for)))
        } else {
            self.locked_until
        };
        Self {
            failures,
            since_lock: if locks { 0 } else { since_lock },
            locked_until,
        }
    }

    /// After a right code.
    #[must_use]
    pub fn succeed(self) -> Self {
        Self::default()
    }
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;

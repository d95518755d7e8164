//! How many mails may go through an account.

use std::time::Duration;

use crate::domain::{budget::SendLimits, preset::Preset};

const MINUTE: Duration = Duration::from_mins(1);

/// How many mails may go through an account; 0: as many as its provider lets it send, if the provider says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// In any minute.
    pub per_minute: u32,
    /// In a day, which begins with its first mail.
    pub per_day: u32,
}

impl Volume {
    /// The most that may be set.
    pub const MOST: u32 = 10_000_000;

    /// What an administrator wrote.
    pub(super) fn parse(number: i32) -> Result<u32, &'static str> {
        u32::try_from(number)
            .ok()
            .filter(|number| *number <= Self::MOST)
            .ok_or("must be between 0 and 10,000,000")
    }

    /// With the provider's limits where none are set.
    #[must_use]
    pub fn or_of(self, preset: &Preset) -> Self {
        let or = |own: u32, theirs: u32| if own == 0 { theirs } else { own };
        Self {
            per_minute: or(self.per_minute, preset.per_minute),
            per_day: or(self.per_day, preset.per_day),
        }
    }

    /// As limits to charge mails to; `None`: there are none.
    ///
    /// A tenth of a minute's mails may go at once and the others evenly over it, so that no minute, wherever it begins,
    /// sees more than there may be.
    #[must_use]
    pub fn limits(self) -> Option<SendLimits> {
        if self == Self::default() {
            return None;
        }
        let (burst, refill) = match self.per_minute {
            0 => (1, Duration::ZERO),
            1 => (1, MINUTE),
            many => (many.div_ceil(10), MINUTE / (many - many.div_ceil(10))),
        };
        let per_day = if self.per_day == 0 { u32::MAX } else { self.per_day };
        Some(SendLimits {
            burst,
            refill,
            per_day,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{budget::SendBudget, clock::Timestamp};

    /// The moments, in milliseconds, at which mails go that all wait from the beginning.
    fn sent(volume: Volume, count: usize) -> Vec<u64> {
        let limits = volume.limits().unwrap();
        let (mut budget, mut now) = (
            SendBudget::default(),
            Timestamp::default().plus(Duration::from_hours(240)),
        );
        let start = now;
        let mut moments = Vec::new();
        while moments.len() < count {
            match budget.charge(&limits, now) {
                Ok(after) => {
                    budget = after;
                    moments.push(u64::try_from(now.since(start).as_millis()).unwrap());
                }
                Err(allowed_from) => now = allowed_from,
            }
        }
        moments
    }

    #[test]
    fn no_minute_sees_more_than_there_may_be() {
        for per_minute in [1, 2, 3, 7, 60, 1000] {
            let moments = sent(
                Volume {
                    per_minute,
                    per_day: 0,
                },
                per_minute as usize * 3,
            );
            for (index, began) in moments.iter().enumerate() {
                let in_minute = moments[index..]
                    .iter()
                    .take_while(|moment| **moment < began + 60_000 - 1);
                assert!(
                    in_minute.count() <= per_minute as usize,
                    "{per_minute} at {began}"
                );
            }
            // And no more is held back than has to be: nearly as many, and a half at the least.
            let last = *moments.last().unwrap();
            let most = if per_minute < 10 { 300_000 } else { 200_000 };
            assert!(last <= most, "{per_minute}: {last}");
        }
    }

    #[test]
    fn a_day_without_a_minute_is_a_day() {
        let moments = sent(
            Volume {
                per_minute: 0,
                per_day: 3,
            },
            4,
        );
        assert_eq!(moments, [0, 0, 0, 24 * 3_600_000]);
    }

    #[test]
    fn the_provider_says_where_nobody_else_does() {
        let other = Preset::OTHER;
        assert_eq!(Volume::default().or_of(other).limits(), None);
        let strict = Preset::all().iter().find(|preset| preset.per_day > 0).unwrap();
        assert_eq!(Volume::default().or_of(strict).per_day, strict.per_day);
        let own = Volume {
            per_minute: 0,
            per_day: 5,
        };
        assert_eq!(own.or_of(strict).per_day, 5);
    }
}

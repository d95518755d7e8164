//! How long to wait before the next attempt: 1, 2, 4, 8, then 15 seconds, each a little off, so that mails which
//! failed together do not come back together.

use std::time::Duration;

use super::entropy::{Entropy, random_bytes};

const STEPS: [u64; 5] = [1_000, 2_000, 4_000, 8_000, 15_000];

/// A random share of the wait, 0 to 255 parts of 256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jitter(u8);

impl Jitter {
    /// None: the bare step.
    pub const NONE: Self = Self(128);

    /// A wait, up to a fifth shorter or longer.
    #[must_use]
    pub fn off(self, wait: Duration) -> Duration {
        wait * 4 / 5 + wait * 2 / 5 * u32::from(self.0) / 256
    }

    /// Some.
    #[must_use]
    pub fn random(entropy: &dyn Entropy) -> Self {
        let [byte] = random_bytes(entropy);
        Self(byte)
    }
}

/// The wait after failed attempt number `attempt`, counted from 1: its step, up to a fifth shorter or longer.
#[must_use]
pub fn retry_delay(attempt: u32, jitter: Jitter) -> Duration {
    let last = STEPS.len() - 1;
    let index = usize::try_from(attempt.saturating_sub(1))
        .unwrap_or(last)
        .min(last);
    let step = STEPS.get(index).copied().unwrap_or(15_000);
    let shortest = step - step / 5;
    Duration::from_millis(shortest + step * 2 / 5 * u64::from(jitter.0) / 256)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_fifteen_seconds() {
        let waits: Vec<u64> = (1..=7).map(|n| retry_delay(n, Jitter::NONE).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 15, 15, 15]);
    }

    #[test]
    fn strays_by_a_fifth_at_the_most() {
        for attempt in 0..10 {
            let step = retry_delay(attempt, Jitter::NONE);
            for byte in 0..=u8::MAX {
                let wait = retry_delay(attempt, Jitter(byte));
                assert!(
                    wait >= step * 4 / 5 && wait <= step * 6 / 5,
                    "{attempt} {byte} {wait:?}"
                );
            }
        }
    }
}

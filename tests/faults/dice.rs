//! Choices that can be made again: one seed for a run, printed, and taken from `MAILFACTOR_SEED` to repeat it.

use std::env;

use mailfactor::{domain::entropy::random_bytes, system::SystemEntropy};

/// `SplitMix64` (Steele, Lea, Flood 2014): small, and good enough to choose by.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Another sequence of the same run.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.next())
    }

    /// A number below this one.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit).unwrap()).unwrap()
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// The seed of this run. Shown when a test fails, as all it prints is.
pub(crate) fn seed() -> u64 {
    let given = env::var("MAILFACTOR_SEED").ok();
    let seed = given.map_or_else(
        || u64::from_le_bytes(random_bytes(&SystemEntropy)),
        |text| text.parse().expect("MAILFACTOR_SEED is a number"),
    );
    eprintln!("repeat with MAILFACTOR_SEED={seed}");
    seed
}

/// Whether the long run is wanted.
pub(crate) fn soak() -> bool {
    env::var("MAILFACTOR_SOAK").is_ok_and(|value| value == "1")
}

//! Randomness as an argument.

use std::fmt::Debug;

/// Gives random bytes fit for keys and identifiers.
pub trait Entropy: Send + Sync + Debug {
    /// Fills the whole buffer.
    fn fill(&self, buffer: &mut [u8]);
}

/// An array of random bytes.
pub fn random_bytes<const N: usize>(entropy: &dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes
}

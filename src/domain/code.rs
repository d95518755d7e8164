//! One-time codes, and the temporary passwords of recoveries: derived, never stored.
//!
//! Code number *n* of a challenge is a truncation of HMAC-SHA256 under a service key over the challenge's id, *n* and
//! the purpose. The truncation is that of RFC 4226, 5.3 (an offset taken from the last nibble), widened to 128 bits,
//! reduced to the alphabet with rejection, so that every code is equally likely.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{challenge::Purpose, id::ChallengeId, typed_code};

pub use super::code_spec::{Alphabet, CodeSpec, CodeSpecError};

/// A code, or what a user typed for one. Never printed by accident, wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Code(Vec<u8>);

/// A text that cannot be a code of this challenge.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be one code of {length} of the characters {alphabet}: type or paste it alone, as the mail shows it"
)]
pub struct NotACode {
    length: u8,
    alphabet: String,
}

impl Code {
    /// The most bytes of what a user typed.
    pub const MOST_TYPED: usize = typed_code::MOST_BYTES;

    /// Reads what a user typed or pasted, in whatever form people give codes; letters may be of any case, unless the alphabet has both.
    pub fn parse(text: &str, spec: &CodeSpec) -> Result<Self, NotACode> {
        let read = typed_code::read(text, spec);
        read.map(|mut code| Self(std::mem::take(&mut *code)))
            .ok_or_else(|| NotACode {
                length: spec.length(),
                alphabet: spec.alphabet().as_str().to_owned(),
            })
    }

    /// The code itself, for the mail and for nothing else.
    #[must_use]
    pub fn reveal(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }

    fn equals(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }

    /// The code of a number below [`CodeSpec::count`].
    fn spell(spec: &CodeSpec, mut number: u128) -> Self {
        let alphabet = spec.alphabet().as_str().as_bytes();
        let base = alphabet.len() as u128;
        let mut text = vec![0; usize::from(spec.length())];
        for slot in text.iter_mut().rev() {
            let digit = usize::try_from(number % base).unwrap_or_default();
            *slot = alphabet.get(digit).copied().unwrap_or_default();
            number /= base;
        }
        Self(text)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(..)")
    }
}

/// The service key that codes are derived under.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct CodeKey([u8; 32]);

impl CodeKey {
    /// From key material.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Code number `number` of a challenge.
    #[must_use]
    pub fn derive(&self, id: &ChallengeId, number: u32, purpose: Purpose, spec: &CodeSpec) -> Code {
        let count = spec.count();
        // The largest multiple of `count` that 128 bits hold: numbers from there on would favour low codes.
        let fair = u128::MAX - u128::MAX % count;
        let mut block = 0_u32;
        loop {
            let number = self.block(id, number, purpose, block);
            if number < fair {
                return Code::spell(spec, number % count);
            }
            block += 1;
        }
    }

    /// The numbers, 1 to `newest`, of the codes that equal `typed`: every code is compared, in constant time.
    #[must_use]
    pub fn matches(
        &self,
        typed: &Code,
        id: &ChallengeId,
        newest: u32,
        purpose: Purpose,
        spec: &CodeSpec,
    ) -> CodeNumbers {
        let mut numbers = CodeNumbers::default();
        for number in 1..=newest.min(CodeNumbers::MOST) {
            numbers.add(number, self.derive(id, number, purpose, spec).equals(typed));
        }
        numbers
    }

    fn block(&self, id: &ChallengeId, number: u32, purpose: Purpose, block: u32) -> u128 {
        // HMAC takes keys of any length; 32 bytes cannot be refused.
        let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.0) else {
            return 0;
        };
        mac.update(b"mailfactor code 1");
        mac.update(id.as_bytes());
        mac.update(&number.to_be_bytes());
        mac.update(&[purpose.tag()]);
        mac.update(&block.to_be_bytes());
        u128::from_be_bytes(truncate::<16>(&mac.finalize().into_bytes()))
    }
}

impl fmt::Debug for CodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeKey(..)")
    }
}

/// Dynamic truncation (RFC 4226, 5.3): `N` bytes from the offset that the low nibble of the last byte names.
/// Any offset up to 15 fits: 20 bytes of SHA-1 hold 4 more, 32 of SHA-256 hold 16 more.
fn truncate<const N: usize>(mac: &[u8]) -> [u8; N] {
    let offset = usize::from(mac.last().copied().unwrap_or_default() & 0x0f);
    mac.get(offset..offset + N)
        .and_then(|bytes| bytes.try_into().ok())
        .unwrap_or([0; N])
}

/// A set of code numbers, 1 to 32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CodeNumbers(u32);

impl CodeNumbers {
    /// The highest number a challenge may reach.
    pub const MOST: u32 = 32;

    fn add(&mut self, number: u32, present: Choice) {
        self.0 |= u32::from(present.unwrap_u8()) << (number - 1);
    }

    /// Whether a number between `from` and `to`, both included, is in the set.
    #[must_use]
    pub fn any_between(self, from: u32, to: u32) -> bool {
        (from.max(1)..=to.min(Self::MOST)).any(|number| self.0 & (1 << (number - 1)) != 0)
    }
}

#[cfg(test)]
#[path = "code_tests.rs"]
mod tests;

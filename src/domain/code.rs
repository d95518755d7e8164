//! One-time codes: derived, never stored.
//!
//! Code number *n* of a challenge is a truncation of HMAC-SHA256 under a service key over the challenge's id, *n* and
//! the purpose. The truncation is that of RFC 4226, 5.3 (an offset taken from the last nibble), widened to 128 bits,
//! reduced to the alphabet with rejection, so that every code is equally likely.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{challenge::Purpose, id::ChallengeId};

/// Why a code policy is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeSpecError {
    /// Too short to resist guessing, or too long to type.
    #[error("must give 6 to 10 characters and at least 19.9 bits (RFC 4226, 5.3; OWASP ASVS 5.0, 6.5.4)")]
    Length,
    /// Not an alphabet.
    #[error("must be 2 to 36 different characters of 0-9 and A-Z")]
    Alphabet,
}

/// The characters a code is made of: digits and capital letters, each once.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Alphabet(String);

impl Alphabet {
    /// The ten digits.
    #[must_use]
    pub fn digits() -> Self {
        Self("0123456789".into())
    }

    /// Capital letters without look-alikes, and without vowels that would spell words (RFC 8628, 6.1): 20 of them,
    /// 4.3 bits each.
    #[must_use]
    pub fn letters() -> Self {
        Self("BCDFGHJKLMNPQRSTVWXZ".into())
    }

    /// An alphabet of one's own. Letters in either case; they are kept as capitals.
    pub fn parse(text: &str) -> Result<Self, CodeSpecError> {
        let text = text.to_ascii_uppercase();
        let mut seen = [false; 128];
        for byte in text.bytes() {
            let slot = seen.get_mut(usize::from(byte)).ok_or(CodeSpecError::Alphabet)?;
            if *slot || !(byte.is_ascii_digit() || byte.is_ascii_uppercase()) {
                return Err(CodeSpecError::Alphabet);
            }
            *slot = true;
        }
        if (2..=36).contains(&text.len()) {
            Ok(Self(text))
        } else {
            Err(CodeSpecError::Alphabet)
        }
    }

    /// One by name, `digits` or `letters`, or an alphabet of one's own.
    pub fn named(text: &str) -> Result<Self, CodeSpecError> {
        match text {
            "digits" => Ok(Self::digits()),
            "letters" => Ok(Self::letters()),
            own => Self::parse(own),
        }
    }

    /// Its characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Alphabet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a code looks: so many characters of an alphabet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CodeSpec {
    alphabet: Alphabet,
    length: u8,
}

impl Default for CodeSpec {
    /// Six digits.
    fn default() -> Self {
        Self {
            alphabet: Alphabet::digits(),
            length: 6,
        }
    }
}

impl CodeSpec {
    /// A code of `length` characters: 6 to 10 of them, and 10^6 codes at the least.
    pub fn new(alphabet: Alphabet, length: u8) -> Result<Self, CodeSpecError> {
        let spec = Self { alphabet, length };
        if (6..=10).contains(&length) && spec.count() >= 1_000_000 {
            Ok(spec)
        } else {
            Err(CodeSpecError::Length)
        }
    }

    /// The characters.
    #[must_use]
    pub fn alphabet(&self) -> &Alphabet {
        &self.alphabet
    }

    /// How many of them.
    #[must_use]
    pub fn length(&self) -> u8 {
        self.length
    }

    /// How many different codes there are; at most 36^10, so it fits.
    fn count(&self) -> u128 {
        (self.alphabet.0.len() as u128).pow(u32::from(self.length))
    }

    fn spell(&self, mut number: u128) -> Code {
        let alphabet = self.alphabet.0.as_bytes();
        let base = alphabet.len() as u128;
        let mut text = vec![0; usize::from(self.length)];
        for slot in text.iter_mut().rev() {
            let digit = usize::try_from(number % base).unwrap_or_default();
            *slot = alphabet.get(digit).copied().unwrap_or_default();
            number /= base;
        }
        Code(text)
    }
}

/// A code, or what a user typed for one. Never printed by accident, wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Code(Vec<u8>);

/// A text that cannot be a code of this challenge.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be {length} of the characters {alphabet}")]
pub struct NotACode {
    length: u8,
    alphabet: String,
}

impl Code {
    /// Reads what a user typed: spaces and hyphens are ignored, letters may be of any case.
    pub fn parse(text: &str, spec: &CodeSpec) -> Result<Self, NotACode> {
        let refuse = || NotACode {
            length: spec.length,
            alphabet: spec.alphabet.0.clone(),
        };
        if text.len() > 64 {
            return Err(refuse());
        }
        let typed: Vec<u8> = text
            .chars()
            .filter(|character| !character.is_whitespace() && !is_hyphen(*character))
            .map(|character| u8::try_from(character.to_ascii_uppercase()).unwrap_or(0))
            .collect();
        let code = Self(typed);
        let fits = code.0.len() == usize::from(spec.length)
            && code
                .0
                .iter()
                .all(|byte| spec.alphabet.0.as_bytes().contains(byte));
        if fits { Ok(code) } else { Err(refuse()) }
    }

    /// The code itself, for the mail and for nothing else.
    #[must_use]
    pub fn reveal(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }

    fn equals(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(..)")
    }
}

fn is_hyphen(character: char) -> bool {
    matches!(character, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}')
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
                return spec.spell(number % count);
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

//! How codes and temporary passwords look: so many characters of an alphabet, and the bounds of that.

use std::fmt;

/// Why a code policy is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeSpecError {
    /// Too short to resist guessing, or too long to type.
    #[error("must give 6 to 10 characters and at least 19.9 bits (RFC 4226, 5.3; OWASP ASVS 5.0, 6.5.4)")]
    Length,
    /// Not an alphabet.
    #[error("must be 2 to 36 different characters of 0-9 and A-Z")]
    Alphabet,
    /// Too short for a password that nobody chose, or too long to type.
    #[error("must give at most 20 characters and at least 64 bits (NIST SP 800-63B-4, 4.2.1.1)")]
    Password,
    /// Not an alphabet of passwords.
    #[error("must be `mixed`, `letters`, `digits`, or 10 to 62 different characters of 0-9, A-Z and a-z")]
    PasswordAlphabet,
}

/// The characters a code is made of: digits and letters, each once.
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

    /// Digits, capital and small letters, without vowels and look-alikes: 47 of them, 5.5 bits each.
    #[must_use]
    pub fn mixed() -> Self {
        Self("23456789BCDFGHJKLMNPQRSTVWXZbcdfghjkmnpqrstvwxz".into())
    }

    /// One for codes. Letters in either case; they are kept as capitals.
    pub fn parse(text: &str) -> Result<Self, CodeSpecError> {
        let text = text.to_ascii_uppercase();
        if (2..=36).contains(&text.len()) && is_alphabet(&text) {
            Ok(Self(text))
        } else {
            Err(CodeSpecError::Alphabet)
        }
    }

    /// One for codes by name, `digits` or `letters`, or an alphabet of one's own.
    pub fn named(text: &str) -> Result<Self, CodeSpecError> {
        match text {
            "digits" => Ok(Self::digits()),
            "letters" => Ok(Self::letters()),
            own => Self::parse(own),
        }
    }

    /// One for temporary passwords by name, `mixed`, `letters` or `digits`, or an alphabet of one's own, kept as it is.
    pub fn password(text: &str) -> Result<Self, CodeSpecError> {
        match text {
            "mixed" => Ok(Self::mixed()),
            "letters" => Ok(Self::letters()),
            "digits" => Ok(Self::digits()),
            own if (10..=62).contains(&own.len()) && is_alphabet(own) => Ok(Self(own.to_owned())),
            _ => Err(CodeSpecError::PasswordAlphabet),
        }
    }

    /// Its characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it has no letters.
    pub(super) fn is_digits(&self) -> bool {
        self.0.bytes().all(|byte| byte.is_ascii_digit())
    }

    /// A typed character as the alphabet has it: in the case of its letters where that is one alone; and as the only one it
    /// has of those that look alike (`0` and `O`; `1`, `I` and `l`), unless it has the very character.
    pub(super) fn read(&self, typed: char) -> Option<u8> {
        let find = |character: char| {
            let byte = u8::try_from(self.fold(character)).ok()?;
            self.0.as_bytes().contains(&byte).then_some(byte)
        };
        let alike: &[char] = match typed {
            '0' | 'O' | 'o' => &['0', 'O', 'o'],
            '1' | 'I' | 'i' | 'l' => &['1', 'I', 'l'],
            _ => &[],
        };
        find(typed).or_else(|| {
            let mut known = alike.iter().filter_map(|character| find(*character));
            let first = known.next()?;
            known.all(|other| other == first).then_some(first)
        })
    }

    /// A typed character in the case of the alphabet's letters, where it has letters of one case alone.
    fn fold(&self, typed: char) -> char {
        let has = |case: fn(&u8) -> bool| self.0.as_bytes().iter().any(case);
        match (has(u8::is_ascii_uppercase), has(u8::is_ascii_lowercase)) {
            (true, true) => typed,
            (false, true) => typed.to_ascii_lowercase(),
            (_, false) => typed.to_ascii_uppercase(),
        }
    }
}

impl fmt::Debug for Alphabet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Digits and letters, each once.
fn is_alphabet(text: &str) -> bool {
    let mut before = [false; 128];
    text.bytes().all(|byte| {
        let first = before
            .get_mut(usize::from(byte))
            .is_some_and(|seen| !std::mem::replace(seen, true));
        first && byte.is_ascii_alphanumeric()
    })
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

    /// A temporary password of `length` characters: 20 at the most, and 2^64 passwords at the least.
    pub fn password(alphabet: Alphabet, length: u8) -> Result<Self, CodeSpecError> {
        let spec = Self { alphabet, length };
        if length <= 20 && spec.count() >= 1 << 64 {
            Ok(spec)
        } else {
            Err(CodeSpecError::Password)
        }
    }

    /// The usual temporary password: twelve characters of [`Alphabet::mixed`], 66 bits.
    #[must_use]
    pub fn temporary_password() -> Self {
        Self {
            alphabet: Alphabet::mixed(),
            length: 12,
        }
    }

    /// From what was kept of either. `None`: it is neither.
    #[must_use]
    pub fn kept(alphabet: &str, length: u8) -> Option<Self> {
        let alphabet = is_alphabet(alphabet).then(|| Alphabet(alphabet.to_owned()))?;
        let spec = Self::new(alphabet.clone(), length);
        spec.or_else(|_| Self::password(alphabet, length)).ok()
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

    /// How many different codes there are. At most 62^20, so it fits; what is longer is refused for its length.
    pub(super) fn count(&self) -> u128 {
        (self.alphabet.0.len() as u128).saturating_pow(self.length.into())
    }
}

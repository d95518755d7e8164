//! Identifiers: 128 bits in base64url. They carry no meaning, and but for [`EntryId`] no order.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use super::{
    clock::Timestamp,
    entropy::{Entropy, random_bytes},
};

/// A text that is no identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not an identifier: 22 characters of base64url are expected")]
pub struct IdError;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// From the bytes a store kept.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The bytes a store keeps.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let mut bytes = [0; 16];
                // The exact length first: it bounds the work and refuses second spellings of one id.
                if text.len() != 22 {
                    return Err(IdError);
                }
                match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
                    Ok(16) => Ok(Self(bytes)),
                    _ => Err(IdError),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        id!($(#[$doc])* $name);

        impl $name {
            /// A new one.
            #[must_use]
            pub fn random(entropy: &dyn Entropy) -> Self {
                Self(random_bytes(entropy))
            }
        }
    };
}

random_id!(
    /// Names a challenge. Random, so that nobody guesses another's (OWASP ASVS 5.0, 11.5.1).
    ChallengeId
);
id!(
    /// Names an outbox entry. Those made one after the other lie beside each other in an index, so that many are
    /// written as a few pages and not as one page each; nothing else relies on it.
    EntryId
);

impl EntryId {
    /// A new one, made at this moment: 64 bits of its microseconds, then 64 random ones.
    #[must_use]
    pub fn random(now: Timestamp, entropy: &dyn Entropy) -> Self {
        let [moment, random] = [now.as_micros().to_be_bytes(), random_bytes(entropy)];
        let mut id = [0; 16];
        id[..8].copy_from_slice(&moment);
        id[8..].copy_from_slice(&random);
        Self(id)
    }
}

random_id!(
    /// Names one lease of an outbox entry: a worker that holds an older one changes nothing.
    LeaseId
);
random_id!(
    /// Names a mail account.
    AccountId
);
random_id!(
    /// Names an audit event.
    AuditId
);
random_id!(
    /// Names a DKIM key of an account.
    DkimKeyId
);
random_id!(
    /// Names an inbox.
    InboxId
);

/// Digits and capital letters without vowels and look-alikes: 27 of them.
const REFERENCE: &[u8; 27] = b"23456789BCDFGHJKMNPQRSTVWXZ";

impl ChallengeId {
    /// What people tell several challenges apart by, on a screen and in a mail: four characters, such as `K7Q2`. It follows
    /// from the id, which does not follow from it, and opens nothing.
    #[must_use]
    pub fn reference(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(b"mailfactor reference 1");
        hash.update(self.0);
        let mut number = hash
            .finalize()
            .iter()
            .take(8)
            .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        let mut reference = String::with_capacity(4);
        for _ in 0..4 {
            let place = usize::try_from(number % 27).unwrap_or_default();
            number /= 27;
            reference.push(REFERENCE.get(place).copied().map_or('2', char::from));
        }
        reference
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_four_plain_characters_and_spread() {
        let all: std::collections::BTreeSet<String> = (0..=255_u8)
            .map(|byte| ChallengeId::from_bytes([byte; 16]).reference())
            .collect();
        assert!(all.len() > 250, "{}", all.len());
        for reference in &all {
            assert_eq!(reference.len(), 4);
            assert!(
                reference.bytes().all(|byte| REFERENCE.contains(&byte)),
                "{reference}"
            );
        }
    }
}

//! DKIM (RFC 6376): keys that sign mails, the record that publishes them, and what a signature covers.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};

use super::{
    account::Secret,
    address::{AddressError, ascii_domain},
    clock::Timestamp,
    id::{AccountId, DkimKeyId},
};

/// The most keys of an account: two algorithms, each with a key that is on its way in or out.
pub const MOST_KEYS: usize = 4;

/// How a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Ed25519 over SHA-256 (RFC 8463). Small and fast; not every mail server verifies it yet.
    Ed25519,
    /// RSA, PKCS #1 version 1.5, over SHA-256 (RFC 6376, 3.3.1): what every mail server verifies.
    Rsa,
}

impl Algorithm {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ed25519, Self::Rsa];

    /// Its name in a signature, in the store and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519-sha256",
            Self::Rsa => "rsa-sha256",
        }
    }

    /// The algorithm of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// What its keys are called in DNS.
    const fn key_type(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::Rsa => "rsa",
        }
    }
}

/// Where a key is published: a selector below a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The selector, in small letters.
    pub selector: String,
    /// The domain, in ASCII.
    pub domain: String,
}

/// What is wrong with a selector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be labels of a-z, 0-9 and `-`, parted by dots, 63 characters at the most")]
pub struct SelectorError;

impl Place {
    /// Checks a selector (RFC 6376, 3.1).
    pub fn selector(text: &str) -> Result<String, SelectorError> {
        let selector = text.to_ascii_lowercase();
        let label = |label: &str| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if selector.len() <= 63 && selector.split('.').all(label) {
            Ok(selector)
        } else {
            Err(SelectorError)
        }
    }

    /// Checks a domain.
    pub fn domain(text: &str) -> Result<String, AddressError> {
        let domain = ascii_domain(text)?;
        // With the longest selector it must still be a name (RFC 1035, 2.3.4).
        if domain.len() > 253 - 63 - "._domainkey.".len() {
            return Err(AddressError::Domain);
        }
        Ok(domain)
    }

    /// The name of its record.
    #[must_use]
    pub fn record_name(&self) -> String {
        format!("{}._domainkey.{}", self.selector, self.domain)
    }
}

/// A key of an account.
#[derive(Clone, PartialEq, Eq)]
pub struct DkimKey {
    /// Its identifier.
    pub id: DkimKeyId,
    /// Whose mails it signs.
    pub account: AccountId,
    /// Where it is published.
    pub place: Place,
    /// Whether it signs. A key is published first.
    pub enabled: bool,
    /// How it signs.
    pub algorithm: Algorithm,
    /// The public key as its record tells it: 32 bytes, or a `SubjectPublicKeyInfo` (RFC 5280, 4.1).
    pub public: Vec<u8>,
    /// The private key, PEM.
    pub secret: Secret,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Rises with each change, and is never given again.
    pub version: i64,
}

impl fmt::Debug for DkimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DkimKey({}, v{})", self.place.record_name(), self.version)
    }
}

impl DkimKey {
    /// The place its private key is sealed for.
    #[must_use]
    pub fn secret_place(id: &DkimKeyId) -> String {
        format!("dkim/{id}")
    }

    /// What its TXT record says (RFC 6376, 3.6.1; RFC 8463, 4). One text: DNS wants it in pieces of 255 characters.
    #[must_use]
    pub fn record(&self) -> String {
        let public = STANDARD.encode(&self.public);
        format!("v=DKIM1; k={}; p={public}", self.algorithm.key_type())
    }
}

/// Headers that are signed where they are, beside all that begin with `content-`.
const SIGNED: [&str; 11] = [
    "from",
    "to",
    "cc",
    "subject",
    "date",
    "message-id",
    "reply-to",
    "sender",
    "mime-version",
    "auto-submitted",
    "disposition-notification-to",
];

/// Headers that are signed once more than they are there: none may be added (RFC 6376, 5.4 and 8.15).
const SEALED: [&str; 8] = [
    "from",
    "to",
    "subject",
    "date",
    "message-id",
    "reply-to",
    "mime-version",
    "content-type",
];

/// A signature that lacks only its last tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsigned {
    /// The header, folded, up to and with `b=`.
    pub header: String,
    /// What the key signs: for Ed25519 the SHA-256 hash of it (RFC 8463, 3), for RSA itself, hashed on the way.
    pub data: Vec<u8>,
}

impl Unsigned {
    /// The header with its signature, ended by CR LF.
    #[must_use]
    pub fn signed(&self, signature: &[u8]) -> String {
        let signature = STANDARD.encode(signature);
        let mut header = self.header.clone();
        let mut rest = signature.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(rest.len().min(72));
            if rest.len() < signature.len() {
                header.push_str("\r\n ");
            }
            header.push_str(line);
            rest = after;
        }
        header.push_str("\r\n");
        header
    }
}

/// What to sign of a message (lines ended by CR LF), relaxed both ways, so that it survives what relays do to spaces. No
/// clock is read: a copy of a mail has the same signature. `None`: it is no message.
#[must_use]
pub fn unsigned(message: &str, place: &Place, algorithm: Algorithm, at: Timestamp) -> Option<Unsigned> {
    let (head, body) = message.split_once("\r\n\r\n")?;
    let headers = headers(head);
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in &headers {
        if SIGNED.contains(&name.as_str()) || name.starts_with("content-") {
            names.push(name);
        }
    }
    names.extend(SEALED);
    let mut header = format!(
        "DKIM-Signature: v=1; a={}; c=relaxed/relaxed; t={};\r\n d={};\r\n s={};\r\n h=",
        algorithm.name(),
        at.as_micros().max(0) / 1_000_000,
        place.domain,
        place.selector,
    );
    let mut width = 3;
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            header.push(':');
            width += 1;
        }
        if width + name.len() > 72 {
            header.push_str("\r\n  ");
            width = 2;
        }
        header.push_str(name);
        width += name.len();
    }
    let hash = STANDARD.encode(Sha256::digest(relaxed_body(body)));
    header.extend([";\r\n bh=", &hash, ";\r\n b="]);
    let mut data = String::new();
    let mut unused: Vec<Option<&(String, String)>> = headers.iter().map(Some).collect();
    for name in names {
        // The last one that is not yet signed (RFC 6376, 5.4.2); one more than there are adds nothing.
        let found = unused
            .iter_mut()
            .rev()
            .find(|header| header.is_some_and(|(known, _)| known == name));
        if let Some((name, value)) = found.and_then(Option::take) {
            data.extend([name.as_str(), ":", value, "\r\n"]);
        }
    }
    let (_, own) = header.split_once(':')?;
    data.extend(["dkim-signature:", &relaxed(own)]);
    let data = match algorithm {
        Algorithm::Ed25519 => Sha256::digest(data.as_bytes()).to_vec(),
        Algorithm::Rsa => data.into_bytes(),
    };
    Some(Unsigned { header, data })
}

/// The headers in their order, relaxed: names in small letters, values on one line.
fn headers(head: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for line in head.split("\r\n") {
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = found.last_mut() {
                value.push(' ');
                value.push_str(line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            found.push((name.trim_end().to_ascii_lowercase(), value.to_owned()));
        }
    }
    for (_, value) in &mut found {
        *value = relaxed(value);
    }
    found
}

/// Spaces, tabs and line ends in a row are one space, at the ends none (RFC 6376, 3.4.2).
fn relaxed(text: &str) -> String {
    let words = text
        .split([' ', '\t', '\r', '\n'])
        .filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// Spaces in a row are one, at line ends none; no empty lines at the end (RFC 6376, 3.4.4).
fn relaxed_body(body: &str) -> String {
    let mut relaxed = String::with_capacity(body.len());
    for line in body.split("\r\n") {
        let mut space = false;
        for character in line.trim_end_matches([' ', '\t']).chars() {
            match character {
                ' ' | '\t' => space = true,
                character => {
                    if std::mem::take(&mut space) {
                        relaxed.push(' ');
                    }
                    relaxed.push(character);
                }
            }
        }
        relaxed.push_str("\r\n");
    }
    let end = relaxed.trim_end_matches("\r\n").len();
    relaxed.truncate(end);
    if !relaxed.is_empty() {
        relaxed.push_str("\r\n");
    }
    relaxed
}

#[cfg(test)]
#[path = "dkim_tests.rs"]
mod tests;

//! E-mail addresses, strictly: what a mail server surely takes, and nothing that reads two ways.
//!
//! A dot-atom local part (RFC 5321, 4.1.2) of at most 64 octets (4.5.3.1.1), a domain name with at least two labels
//! that IDNA accepts (RFC 5891), 254 octets in all (RFC 3696, erratum 1690). No quoted local parts, no address
//! literals, no comments. A local part beyond ASCII (SMTPUTF8, RFC 6531) only where it is asked for.

use std::fmt;

use super::text::is_plain;

/// Which local parts are allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LocalPart {
    /// ASCII alone: every mail server takes it.
    #[default]
    Ascii,
    /// Any letters; the mail server must offer SMTPUTF8.
    Utf8,
}

/// Why a text is no address. The text itself is never repeated: it may be somebody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing there.
    #[error("is required")]
    Empty,
    /// No `@`, or nothing before or after it.
    #[error("must have the form name@domain")]
    Form,
    /// The local part is too long.
    #[error("has more than 64 octets before the @")]
    LocalTooLong,
    /// The local part has a character, or a dot in a place, that a dot-atom does not allow.
    #[error("has a character before the @ that is not allowed there")]
    Local,
    /// The local part goes beyond ASCII and the option for it is off.
    #[error("needs SMTPUTF8 for the part before the @, which is not enabled")]
    NeedsUtf8,
    /// The domain is no fully qualified domain name.
    #[error("has no valid domain name after the @")]
    Domain,
    /// The whole is too long.
    #[error("is longer than 254 octets")]
    TooLong,
}

/// An e-mail address. The domain is in its ASCII form, in lower case; the local part is as it was given.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EmailAddress {
    text: String,
    at: usize,
}

impl EmailAddress {
    /// Reads an address.
    pub fn parse(text: &str, rules: LocalPart) -> Result<Self, AddressError> {
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        // Bounds the work; the exact limit is checked on the ASCII form below.
        if text.len() > 1024 {
            return Err(AddressError::TooLong);
        }
        let (local, domain) = text.rsplit_once('@').ok_or(AddressError::Form)?;
        if local.is_empty() || domain.is_empty() {
            return Err(AddressError::Form);
        }
        check_local(local, rules)?;
        let domain = ascii_domain(domain)?;
        if local.len() + 1 + domain.len() > 254 {
            return Err(AddressError::TooLong);
        }
        Ok(Self {
            at: local.len(),
            text: format!("{local}@{domain}"),
        })
    }

    /// The whole address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What stands before the `@`.
    #[must_use]
    pub fn local(&self) -> &str {
        self.text.get(..self.at).unwrap_or_default()
    }

    /// What stands after the `@`, in ASCII and lower case.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.text.get(self.at + 1..).unwrap_or_default()
    }

    /// Whether a mail server must offer SMTPUTF8 to take it.
    #[must_use]
    pub fn needs_smtputf8(&self) -> bool {
        !self.local().is_ascii()
    }

    /// The form under which budgets count it: one mailbox, however it was capitalised.
    #[must_use]
    pub fn folded(&self) -> String {
        self.text.to_lowercase()
    }
}

impl fmt::Debug for EmailAddress {
    /// Says that there is one: addresses stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmailAddress(..)")
    }
}

/// `atext` of RFC 5322, 3.2.3.
fn is_atext(character: char) -> bool {
    character.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(character)
}

fn check_local(local: &str, rules: LocalPart) -> Result<(), AddressError> {
    if local.len() > 64 {
        return Err(AddressError::LocalTooLong);
    }
    for atom in local.split('.') {
        if atom.is_empty() {
            return Err(AddressError::Local);
        }
        for character in atom.chars() {
            let beyond_ascii = !character.is_ascii() && is_plain(character) && !character.is_whitespace();
            match rules {
                _ if is_atext(character) => {}
                LocalPart::Utf8 if beyond_ascii => {}
                LocalPart::Ascii if beyond_ascii => return Err(AddressError::NeedsUtf8),
                _ => return Err(AddressError::Local),
            }
        }
    }
    Ok(())
}

/// The ASCII form of a domain name with at least two labels, the last of which is no number.
pub fn ascii_domain(domain: &str) -> Result<String, AddressError> {
    let ascii = idna::domain_to_ascii_strict(domain).map_err(|_| AddressError::Domain)?;
    let labels: Vec<&str> = ascii.split('.').collect();
    let top = labels.last().copied().unwrap_or_default();
    let well_formed = labels.iter().all(|label| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    });
    let numeric_top = top.bytes().all(|byte| byte.is_ascii_digit());
    if labels.len() < 2 || !well_formed || numeric_top || ascii.len() > 253 {
        return Err(AddressError::Domain);
    }
    Ok(ascii)
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;

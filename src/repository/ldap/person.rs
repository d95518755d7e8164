//! What an entry says of a user.

use std::fmt::Write as _;

use super::{LdapAttributes, message::Entry};
use crate::{
    domain::{
        address::{AddressError, EmailAddress, LocalPart},
        locale::language_tag,
        text::check_line,
    },
    repository::{Found, Proof, User},
};

/// The attribute in which Exchange keeps all addresses of a user, each with its kind before it: `SMTP:` for the one that
/// mail comes from, `smtp:` for the others.
const PROXY_ADDRESSES: &str = "proxyAddresses";

/// The user of an entry.
pub(super) fn person(
    repository: &str,
    entry: &Entry,
    attributes: &LdapAttributes,
    local_part: LocalPart,
) -> Found {
    let address = attributes
        .emails
        .iter()
        .find_map(|attribute| address(entry, attribute, local_part));
    let Some(address) = address else {
        return Found::NoAddress;
    };
    let fits = |name: &&str| check_line(name, 128).is_ok() && !name.trim().is_empty();
    let first = |attribute: &Option<String>| entry.texts(attribute.as_deref().unwrap_or_default()).next();
    Found::User(Box::new(User {
        repository: repository.to_owned(),
        id: id(entry, &attributes.id),
        address,
        display_name: first(&attributes.display_name).filter(fits).map(str::to_owned),
        locale: first(&attributes.locale).and_then(language_tag),
        proof: Proof::new(entry.name.clone()),
    }))
}

/// The first usable address of an attribute, in the order that the server gives.
fn address(entry: &Entry, attribute: &str, local_part: LocalPart) -> Option<EmailAddress> {
    addresses(entry, attribute, local_part).find_map(Result::ok)
}

/// Why addresses of an entry cannot be used.
pub(super) fn unusable(
    entry: &Entry,
    attributes: &LdapAttributes,
    local_part: LocalPart,
) -> Vec<AddressError> {
    let all = attributes.emails.iter();
    let all = all.flat_map(|attribute| addresses(entry, attribute, local_part));
    all.filter_map(Result::err).collect()
}

fn addresses(
    entry: &Entry,
    attribute: &str,
    local_part: LocalPart,
) -> impl Iterator<Item = Result<EmailAddress, AddressError>> {
    let primary = attribute.eq_ignore_ascii_case(PROXY_ADDRESSES);
    entry.texts(attribute).filter_map(move |text| {
        let text = if primary {
            text.strip_prefix("SMTP:")?
        } else {
            text
        };
        Some(EmailAddress::parse(text.trim(), local_part))
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What names the user for good: a text as it is, anything else in hexadecimal; where there is nothing, the entry's name.
fn id(entry: &Entry, attribute: &str) -> String {
    // Some identifiers are sixteen bytes that may look like text: all of their kind are written alike.
    let binary = |value: &[u8]| value.len() == 16 || str::from_utf8(value).is_err();
    match entry.values(attribute).next() {
        Some(value) if binary(value) => hexadecimal(value),
        Some(value) if !value.is_empty() => String::from_utf8_lossy(value).into_owned(),
        _ => entry.name.to_lowercase(),
    }
}

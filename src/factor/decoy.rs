//! Decoys: what a caller that may not see users gets for a user who cannot be mailed.
//!
//! An address is invented from the name, always the same one for the same name, and everything is done as for a real
//! user: budgets are charged, the mail is sealed and written. Only that the mail is never sent and no code is right.

use super::{Desk, start::Addressee};
use crate::{
    domain::{
        address::{EmailAddress, LocalPart},
        keyring::{Keyring, Subject, SubjectKind},
    },
    repository::UserName,
};

impl Desk {
    /// Stands in for a user of this name.
    pub(super) fn decoy(&self, user: &UserName) -> Addressee {
        let name = user.folded();
        let senders = self.accounts.current();
        let domains = match self.settings.decoy_domains.as_slice() {
            [] => &senders.domains,
            configured => configured,
        };
        Addressee {
            // No repository has an empty name, so no real user shares these budgets.
            user: self.keyring.subject(SubjectKind::User, &["", &name]),
            found: None,
            // Of the name and not of the invented address: that may be somebody's, whose budget must not suffer.
            address: self.keyring.subject(SubjectKind::Decoy, &["mailbox", &name]),
            recipient: invent(&self.keyring, &name, domains),
            display_name: None,
            locale: None,
            confirms: None,
            decoy: true,
        }
    }
}

/// An address for a folded name: the name itself where it is one; else one that begins as the name does, in one of the
/// domains that real users have.
fn invent(keyring: &Keyring, name: &str, domains: &[String]) -> EmailAddress {
    // One hash, whatever the name looks like: the work is the same.
    let hash = keyring.subject(SubjectKind::Decoy, &["address", name]);
    if let Ok(address) = EmailAddress::parse(name, LocalPart::Ascii) {
        return address;
    }
    let local = local_part(name, &hash);
    let [.., last] = *hash.as_bytes();
    let start = usize::from(last);
    let candidates = (0..domains.len()).filter_map(|step| domains.get((start + step) % domains.len()));
    candidates
        .map(String::as_str)
        .chain(["example.com"])
        .find_map(|domain| EmailAddress::parse(&format!("{local}@{domain}"), LocalPart::Ascii).ok())
        .unwrap_or_else(|| unreachable!("letters at example.com are an address"))
}

/// Eight letters, the first of them the name's own where that is one.
fn local_part(name: &str, hash: &Subject) -> String {
    let letter = |byte: &u8| char::from(b'a' + byte % 26);
    let own = name.chars().next().filter(char::is_ascii_alphanumeric);
    let invented = hash.as_bytes().iter().map(letter);
    own.into_iter().chain(invented).take(8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::keyring::KeyId;

    fn keyring(byte: u8) -> Keyring {
        Keyring::new([(KeyId::parse("k").unwrap(), [byte; 32])]).unwrap()
    }

    fn invented(name: &str) -> String {
        let domains = [
            "example.org".to_owned(),
            "no domain".to_owned(),
            "example.net".to_owned(),
        ];
        invent(&keyring(1), name, &domains).as_str().to_owned()
    }

    #[test]
    fn an_address_is_invented_once_for_each_name() {
        assert_eq!(invented("bob"), invented("bob"));
        assert_ne!(invented("bob"), invented("bobby"));
        assert!(invented("bob").starts_with('b'));
        assert!(invented("7up").starts_with('7'));
        assert_eq!(invented("bob@firm.example.com"), "bob@firm.example.com");
        assert_ne!(
            invent(&keyring(1), "bob", &[]),
            invent(&keyring(2), "bob", &[]),
            "without the key nobody can tell which addresses are invented"
        );
    }

    #[test]
    fn domains_are_those_of_real_users_and_all_of_them() {
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..200 {
            let address = invented(&format!("user{number}"));
            seen.insert(address.split_once('@').unwrap().1.to_owned());
        }
        assert_eq!(
            seen.into_iter().collect::<Vec<_>>(),
            ["example.net", "example.org"]
        );
    }

    #[test]
    fn any_name_has_one() {
        for name in crate::repository::hostile_names() {
            assert!(
                EmailAddress::parse(&invented(&name), LocalPart::Ascii).is_ok(),
                "{name:?}"
            );
        }
    }
}

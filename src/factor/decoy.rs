//! What a caller that may not see users is told instead of the truth, and decoys: what it gets for a user who cannot be
//! mailed.
//!
//! All that such a caller learns depends on the name as it gave it, on what it asked before, and on nothing else: its budgets
//! are those of the name, and the recipient it is shown is made of the name. The user's own budgets hold too, in silence. For
//! a decoy everything is done as for a real user: budgets are charged, the mail is sealed and written. Only that the mail is
//! never sent and no code is right.

use super::{Desk, start::Addressee};
use crate::{
    domain::{
        address::{EmailAddress, LocalPart},
        caller::Caller,
        keyring::{Keyring, Subject, SubjectKind},
        mask,
    },
    repository::{NameForm, UserName},
};

/// What a caller that may not see users sees of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Veil {
    /// Whose budgets it is answered by.
    pub(super) name: Subject,
    /// The recipient as it is shown.
    pub(super) recipient: String,
}

impl Desk {
    /// What this caller sees of whoever has a name, or of nobody.
    pub(super) fn veil(&self, caller: &Caller, user: &UserName, form: &NameForm) -> Veil {
        Veil {
            name: name_of_caller(&self.keyring, SubjectKind::Name, caller, form),
            recipient: veiled_recipient(&self.keyring, &user.counted(), &self.settings.decoy_domains),
        }
    }

    /// Stands in for a user of this name.
    pub(super) fn decoy(&self, form: &NameForm) -> Addressee {
        let NameForm { repository, name } = form;
        Addressee {
            // No repository has an empty name, so no real user shares these budgets.
            user: self.keyring.subject(SubjectKind::User, &["", repository, name]),
            found: None,
            // Of the name and not of the invented address: that may be somebody's, whose budget must not suffer.
            address: self
                .keyring
                .subject(SubjectKind::Decoy, &["mailbox", repository, name]),
            recipient: invent(&self.keyring, name),
            display_name: None,
            locale: None,
            confirms: None,
            decoy: true,
            veil: None,
        }
    }
}

/// The keyed hash of a caller and of a name it gave.
pub(super) fn name_of_caller(
    keyring: &Keyring,
    kind: SubjectKind,
    caller: &Caller,
    form: &NameForm,
) -> Subject {
    keyring.subject(kind, &[&caller.id.to_string(), &form.repository, &form.name])
}

/// Whose budgets, of codes and of passwords, these callers are answered by for a name.
#[must_use]
pub fn names_of_callers(keyring: &Keyring, callers: &[Caller], form: &NameForm) -> Vec<Subject> {
    let kinds = [SubjectKind::Name, SubjectKind::NamePassword];
    let of_caller = |caller| kinds.map(|kind| name_of_caller(keyring, kind, caller, form));
    callers.iter().flat_map(of_caller).collect()
}

/// The recipient as it is shown for a name: nothing of any address. Where domains are configured, one of them, chosen by the
/// name: a domain that is added or removed changes it for few others.
fn veiled_recipient(keyring: &Keyring, name: &str, domains: &[String]) -> String {
    let rank = |domain: &&String| keyring.subject(SubjectKind::Decoy, &["domain", name, domain]);
    let domain = domains.iter().max_by_key(rank);
    mask::veiled(domain.map(String::as_str))
}

/// An address for a name, always the same one. No mail is ever sent to it.
fn invent(keyring: &Keyring, name: &str) -> EmailAddress {
    let hash = keyring.subject(SubjectKind::Decoy, &["address", name]);
    let letter = |byte: &u8| char::from(b'a' + byte % 26);
    let local: String = hash.as_bytes().iter().take(10).map(letter).collect();
    EmailAddress::parse(&format!("{local}@example.com"), LocalPart::Ascii)
        .unwrap_or_else(|_| unreachable!("letters at example.com are an address"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::keyring::KeyId;

    fn keyring(byte: u8) -> Keyring {
        Keyring::new([(KeyId::parse("k").unwrap(), [byte; 32])]).unwrap()
    }

    #[test]
    fn nothing_of_the_name_is_shown_and_no_domain_unless_domains_are_configured() {
        for name in crate::repository::hostile_names() {
            assert_eq!(veiled_recipient(&keyring(1), &name, &[]), "*****@*****");
            let one = ["firm.example".to_owned()];
            assert_eq!(veiled_recipient(&keyring(1), &name, &one), "*****@f*****.example");
        }
    }

    #[test]
    fn of_several_domains_all_are_shown_and_each_name_keeps_its_own() {
        let domains = |count: usize| -> Vec<String> {
            let all = ["a.example", "b.example", "c.example", "d.example"];
            all.iter().take(count).map(|&domain| domain.to_owned()).collect()
        };
        let shown = |name: &str, count| veiled_recipient(&keyring(1), name, &domains(count));
        let names: Vec<String> = (0..400).map(|number| format!("u{number}")).collect();
        let seen: std::collections::BTreeSet<String> = names.iter().map(|name| shown(name, 3)).collect();
        assert_eq!(seen.len(), 3);
        let moved = |name: &&String| shown(name, 3) != shown(name, 4);
        let moved: Vec<&String> = names.iter().filter(moved).collect();
        assert!((50..150).contains(&moved.len()), "{}", moved.len());
        // Whoever moved, moved to the new one.
        assert!(moved.iter().all(|name| shown(name, 4) == "*****@d*****.example"));
    }

    #[test]
    fn an_address_is_invented_once_for_each_name() {
        assert_eq!(invent(&keyring(1), "bob"), invent(&keyring(1), "bob"));
        assert_ne!(invent(&keyring(1), "bob"), invent(&keyring(1), "bobby"));
        assert_ne!(invent(&keyring(1), "bob"), invent(&keyring(2), "bob"));
    }
}

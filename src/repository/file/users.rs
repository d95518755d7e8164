//! The users of a file, by every name they have.

use std::collections::{HashMap, hash_map::Entry};

use super::super::{Found, Proof, User, UserName};
use crate::domain::address::{AddressError, EmailAddress};

/// The users of a file.
#[derive(Debug, Default)]
pub(super) struct Users {
    entries: Vec<Known>,
    names: HashMap<String, Named>,
    pub(super) unusable: Vec<Unusable>,
    pub(super) dropped: Vec<Dropped>,
}

/// One entry of the file.
#[derive(Debug)]
pub(super) struct Known {
    /// Which `[[user]]`, counted from 1.
    pub(super) entry: usize,
    /// Its name, folded.
    pub(super) id: String,
    /// Its first usable address.
    pub(super) address: Option<EmailAddress>,
    /// How to address it.
    pub(super) display_name: Option<String>,
    /// Its language.
    pub(super) locale: Option<String>,
}

/// Whom a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    One(usize),
    Several,
}

impl Users {
    /// Looks a name up: one hash, whether it is known or not.
    pub(super) fn find(&self, repository: &str, user: &UserName) -> Found {
        let index = match self.names.get(&user.folded()) {
            None => return Found::Unknown,
            Some(Named::Several) => return Found::Ambiguous,
            Some(Named::One(index)) => *index,
        };
        let Some(known) = self.entries.get(index) else {
            return Found::Unknown;
        };
        let Some(address) = known.address.clone() else {
            return Found::NoAddress;
        };
        Found::User(Box::new(User {
            repository: repository.to_owned(),
            id: known.id.clone(),
            address,
            display_name: known.display_name.clone(),
            locale: known.locale.clone(),
            proof: Proof::default(),
        }))
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.entries.len()
    }

    /// The addresses that no mail can go to.
    pub(super) fn unusable(&self) -> &[Unusable] {
        &self.unusable
    }

    /// What was left out.
    pub(super) fn dropped(&self) -> &[Dropped] {
        &self.dropped
    }

    /// Why addresses of a user cannot be used.
    pub(super) fn unusable_of(&self, user: &UserName) -> Vec<AddressError> {
        let Some(Named::One(index)) = self.names.get(&user.folded()) else {
            return Vec::new();
        };
        let Some(known) = self.entries.get(*index) else {
            return Vec::new();
        };
        let of_user = self.unusable.iter().filter(|at| at.entry == known.entry);
        of_user.map(|at| at.error).collect()
    }

    /// What somebody should mend: how many, and the first few of each.
    pub(super) fn flaws(&self) -> Vec<String> {
        const SHOWN: usize = 5;
        let mut flaws = Vec::new();
        if !self.unusable.is_empty() {
            let mute = self.entries.iter().filter(|user| user.address.is_none()).count();
            let first = self.unusable.iter().take(SHOWN).map(|at| {
                format!(
                    "line {}, user {}, address {}: {}",
                    at.line, at.entry, at.address, at.error
                )
            });
            flaws.push(format!(
                "{} address(es) cannot be used, {mute} user(s) have none that can ({})",
                self.unusable.len(),
                first.collect::<Vec<_>>().join("; ")
            ));
        }
        if !self.dropped.is_empty() {
            let first = self.dropped.iter().take(SHOWN);
            let first =
                first.map(|at| format!("line {}, user {}: {} {}", at.line, at.entry, at.field, at.what));
            flaws.push(format!(
                "{} field(s) are left out ({})",
                self.dropped.len(),
                first.collect::<Vec<_>>().join("; ")
            ));
        }
        flaws
    }

    /// Adds one, under its own name and its aliases.
    pub(super) fn add(&mut self, user: Known, aliases: Vec<String>) {
        let index = self.entries.len();
        let id = user.id.clone();
        self.entries.push(user);
        self.claim(id, index);
        for alias in aliases {
            self.claim(alias, index);
        }
    }

    /// A user whose own name is not unique is not found by an alias either: its budgets would be somebody else's too.
    pub(super) fn settle(mut self) -> Self {
        let shared: Vec<bool> = self
            .entries
            .iter()
            .map(|user| self.names.get(&user.id) == Some(&Named::Several))
            .collect();
        for named in self.names.values_mut() {
            if let Named::One(index) = *named
                && shared.get(index).copied().unwrap_or_default()
            {
                *named = Named::Several;
            }
        }
        self
    }

    fn claim(&mut self, name: String, index: usize) {
        match self.names.entry(name) {
            Entry::Vacant(free) => {
                free.insert(Named::One(index));
            }
            Entry::Occupied(mut taken) => {
                if *taken.get() != Named::One(index) {
                    taken.insert(Named::Several);
                }
            }
        }
    }
}

/// An address that no mail can go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unusable {
    /// Its line.
    pub(super) line: usize,
    /// Which `[[user]]`, counted from 1.
    pub(super) entry: usize,
    /// Which of that user's addresses, counted from 1.
    pub(super) address: usize,
    /// Why.
    pub(super) error: AddressError,
}

/// A field that says nothing of use. Its user goes without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dropped {
    /// Its line.
    pub(super) line: usize,
    /// Which `[[user]]`, counted from 1.
    pub(super) entry: usize,
    /// The field.
    pub(super) field: &'static str,
    /// What is wrong, without the value.
    pub(super) what: String,
}

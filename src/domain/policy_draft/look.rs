//! How codes look: length and alphabet, which belong together.

use crate::domain::{
    code::{Alphabet, CodeSpec, CodeSpecError},
    violation::Violations,
};

/// What is set of how codes look, each with its path.
pub(super) struct Look<'a> {
    pub(super) length: (Option<u8>, &'a str),
    pub(super) alphabet: (Option<&'a str>, &'a str),
}

impl Look<'_> {
    /// Length and alphabet belong together: what is not set here is as it was.
    pub(super) fn apply(
        &self,
        spec: &mut CodeSpec,
        read: fn(&str) -> Result<Alphabet, CodeSpecError>,
        make: fn(Alphabet, u8) -> Result<CodeSpec, CodeSpecError>,
        prefix: &str,
        faults: &mut Violations,
    ) {
        let ((length, length_path), (alphabet, alphabet_path)) = (self.length, self.alphabet);
        if length.is_none() && alphabet.is_none() {
            return;
        }
        let path = if length.is_some() {
            length_path
        } else {
            alphabet_path
        };
        let alphabet = match alphabet {
            None => Some(spec.alphabet().clone()),
            Some(text) => faults.check(&format!("{prefix}{alphabet_path}"), read(text)),
        };
        let fresh = alphabet.map(|alphabet| make(alphabet, length.unwrap_or(spec.length())));
        if let Some(fresh) = fresh.and_then(|fresh| faults.check(&format!("{prefix}{path}"), fresh)) {
            *spec = fresh;
        }
    }
}

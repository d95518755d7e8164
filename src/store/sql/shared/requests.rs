//! Request ids of guesses that share a commit: what each came to when it was seen first.

use std::collections::HashMap;

use super::super::{
    Failure,
    guess_requests::{self as rows, Kept},
    query::Write,
};
use crate::{
    domain::{challenge::Verdict, clock::Timestamp, keyring::Subject},
    store::{Guess, RequestKey},
};

/// What is known of the request ids of some guesses.
pub(super) struct Requests {
    known: HashMap<Subject, Kept>,
    new: Vec<Kept>,
}

/// A request id that was seen before.
pub(super) enum Seen {
    /// With the same contents: this was its verdict.
    Same(Verdict),
    /// With others.
    Other,
}

impl Requests {
    /// Of these guesses, whose challenges are held already.
    pub(super) async fn read(write: &mut Write, guesses: &[(usize, &Guess)]) -> Result<Self, Failure> {
        let asked = guesses.iter().filter_map(|(_, guess)| guess.request.as_ref());
        let mut ids: Vec<Subject> = asked.map(|request| request.id).collect();
        ids.sort_unstable();
        ids.dedup();
        let known = rows::read(write, &ids).await?;
        Ok(Self {
            known: known.into_iter().map(|kept| (kept.request.id, kept)).collect(),
            new: Vec::new(),
        })
    }

    /// What a guess came to before.
    pub(super) fn seen(&self, guess: &Guess) -> Option<Seen> {
        let RequestKey { id, contents } = guess.request.as_ref()?;
        let kept = self.known.get(id)?;
        Some(if kept.request.contents == *contents {
            Seen::Same(kept.verdict)
        } else {
            Seen::Other
        })
    }

    /// Notes what a guess came to. Only what was counted: all else counts nothing the next time either.
    pub(super) fn note(&mut self, guess: &Guess, verdict: Verdict, expires_at: Timestamp) {
        let counted = matches!(verdict, Verdict::Verified { .. } | Verdict::Wrong { .. });
        if let Some(request) = guess.request.filter(|_| counted) {
            let kept = Kept {
                request,
                verdict,
                expires_at,
            };
            self.known.insert(request.id, kept);
            self.new.push(kept);
        }
    }

    pub(super) async fn save(&self, write: &mut Write) -> Result<(), Failure> {
        rows::insert(write, &self.new).await
    }
}

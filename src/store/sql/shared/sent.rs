//! Which mails need not be looked for when their challenge is over: they were seen to be sent.
//!
//! A mail that was sent stays sent. Of a challenge that still has its first code there is no other mail, so nothing of it is
//! open to be withdrawn. Of all other challenges the outbox is asked.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::domain::{challenge::Challenge, id::ChallengeId};

/// How many are remembered: about 7 MB when it is full. At a hundred mails a second those of the last twenty minutes.
const MOST: usize = 131_072;

/// The challenges of which a mail was sent last.
#[derive(Default)]
pub(in crate::store::sql) struct Sent(Mutex<Last>);

#[derive(Default)]
struct Last {
    known: HashSet<ChallengeId>,
    /// The same, in the order they came.
    order: VecDeque<ChallengeId>,
}

impl Sent {
    /// Remembers them, once it is committed that their mails were sent.
    pub(super) fn note(&self, challenges: &[ChallengeId]) {
        if challenges.is_empty() {
            return;
        }
        let mut last = self.last();
        for challenge in challenges {
            if last.known.contains(challenge) {
                continue;
            }
            if last.order.len() == MOST
                && let Some(oldest) = last.order.pop_front()
            {
                last.known.remove(&oldest);
            }
            last.known.insert(*challenge);
            last.order.push_back(*challenge);
        }
    }

    /// Those of these challenges, which are over, of which a mail may be open.
    pub(super) fn perhaps_open<'c>(
        &self,
        challenges: impl Iterator<Item = &'c Challenge>,
    ) -> Vec<ChallengeId> {
        let last = self.last();
        let open =
            challenges.filter(|challenge| challenge.code_number > 1 || !last.known.contains(&challenge.id));
        open.map(|challenge| challenge.id).collect()
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::clock::Timestamp,
        store::contract::{challenge, unique},
    };

    #[test]
    fn only_what_was_sent_with_the_first_code_is_passed_over() {
        let sent = Sent::default();
        let [first, mut resent, unsent] = [1, 2, 3].map(|user| challenge(user, Timestamp::from_micros(0)));
        resent.code_number = 2;
        sent.note(&[first.id, resent.id, first.id]);
        let open = sent.perhaps_open([&first, &resent, &unsent].into_iter());
        assert_eq!(open, [resent.id, unsent.id]);
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let sent = Sent::default();
        let all: Vec<ChallengeId> = (0..=MOST).map(|_| ChallengeId::from_bytes(unique())).collect();
        sent.note(&all);
        let last = sent.last();
        assert_eq!((last.known.len(), last.order.len()), (MOST, MOST));
        assert!(!last.known.contains(&all[0]) && last.known.contains(&all[1]));
    }
}

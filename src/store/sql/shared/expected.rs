//! Guesses that end as was to be expected: right codes for challenges of which a pending copy is in memory.
//!
//! One statement writes all of them, and nothing is read before it. It passes over those of which the copy is out of date or
//! whose user has wrong codes to be forgiven: they are judged by their rows, as all others are.

use std::collections::{BTreeMap, HashMap};

use super::super::{Failure, bulk, challenge_rows as rows, query::Write};
use crate::{
    domain::{
        budget::GuessBudget,
        challenge::Verdict,
        clock::Timestamp,
        id::ChallengeId,
        judgement::{self, Counted},
        keyring::Sealed,
    },
    store::{Guess, Judged},
};

/// Some guesses with their places: those that were written, and those that are left to be judged.
pub(super) struct Parted<'g> {
    pub(super) done: Vec<(usize, Judged)>,
    pub(super) left: Vec<(usize, &'g Guess)>,
}

/// Writes those that end as expected.
pub(super) async fn confirm<'g>(
    write: &mut Write,
    guesses: &[(usize, &'g Guess)],
) -> Result<Parted<'g>, Failure> {
    let mut by_challenge: BTreeMap<ChallengeId, Vec<(usize, &'g Guess)>> = BTreeMap::new();
    for (place, guess) in guesses {
        by_challenge.entry(guess.id).or_default().push((*place, guess));
    }
    let (mut expected, mut left) = (Vec::new(), Vec::new());
    for together in by_challenge.into_values() {
        // Of several at one challenge each depends on those before it.
        match *together.as_slice() {
            [(place, guess)] => match verified(guess) {
                Some(success) => expected.push((place, guess, success)),
                None => left.push((place, guess)),
            },
            _ => left.extend(together),
        }
    }
    let mut written = save(write, &expected).await?;
    let mut done = Vec::with_capacity(expected.len());
    for (place, guess, mut success) in expected {
        if let Some(context) = written.remove(&guess.id) {
            success.context = Some(context);
            done.push((place, success));
        } else {
            left.push((place, guess));
        }
    }
    // In the order they came.
    left.sort_unstable_by_key(|(place, _)| *place);
    Ok(Parted { done, left })
}

/// What the guess comes to if the copy is right, where that is a success.
fn verified(guess: &Guess) -> Option<Judged> {
    let known = guess.known.as_deref()?;
    // What it confirms is written with it, and what a request id came to before is looked for.
    if known.confirms.is_some() || guess.request.is_some() || !known.accepts(guess.numbers) {
        return None;
    }
    let mut challenge = known.clone();
    let verdict = judgement::judge(
        &mut challenge,
        &mut Counted {
            told: GuessBudget::default(),
            silent: known.silent().map(|_| GuessBudget::default()),
        },
        guess.numbers,
        &guess.limits,
        guess.now,
    );
    matches!(verdict, Verdict::Verified { .. }).then_some(Judged {
        verdict,
        challenge,
        context: None,
        repeated: false,
    })
}

/// Those whose rows were as expected, with what their further codes would have been mailed with.
async fn save(
    write: &mut Write,
    expected: &[(usize, &Guess, Judged)],
) -> Result<HashMap<ChallengeId, Sealed>, Failure> {
    let written = bulk::put_and_fetch(
        write,
        "UPDATE challenges SET state = v.column2, verified_at = v.column3 FROM (VALUES ",
        expected,
        |(_, guess, Judged { challenge, .. })| {
            [
                guess.id.as_bytes().as_slice().into(),
                challenge.state.tag().into(),
                challenge.verified_at.map(Timestamp::as_micros).into(),
                i64::from(challenge.attempts).into(),
                i64::from(challenge.code_number).into(),
            ]
        },
        ") AS v WHERE challenges.id = v.column1 AND challenges.state = 1 AND challenges.attempts = v.column4 \
         AND challenges.code_number = v.column5 \
         AND NOT EXISTS (SELECT 1 FROM guess_budgets WHERE guess_budgets.user_hash = challenges.user_hash) \
         AND NOT EXISTS (SELECT 1 FROM guess_budgets WHERE guess_budgets.user_hash = challenges.name_hash) \
         RETURNING challenges.id, challenges.context",
    )
    .await?;
    let line = |row| Ok((rows::id(row)?, rows::context_of(row)?));
    written.iter().map(line).collect()
}

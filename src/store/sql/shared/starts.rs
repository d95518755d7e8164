//! Starts that share a commit.

use std::{borrow::Cow, collections::HashMap};

use super::{
    super::{Failure, budgets, bulk, challenge_rows as rows, outbox, query::Write},
    page::Page,
    sends::Sends,
};
use crate::{
    domain::{budget::GuessBudget, challenge::Challenge, clock::Timestamp, keyring::Subject},
    store::{RequestKey, Start, Started},
};

/// What earlier starts with the same request ids were, by request id: what was asked, and what it started.
type Known = HashMap<Subject, (Subject, Challenge)>;

/// Opens them one after the other, each if nothing speaks against it.
pub(super) async fn open(
    write: &mut Write,
    starts: &[(usize, &Start)],
    now: Timestamp,
) -> Result<Vec<(usize, Started)>, Failure> {
    if starts.is_empty() {
        return Ok(Vec::new());
    }
    let mut known = known(write, starts).await?;
    let counted = |(_, start): &(usize, &Start)| [Some(start.challenge.user), start.challenge.name];
    let mut users: Vec<Subject> = starts.iter().flat_map(counted).flatten().collect();
    users.sort_unstable();
    users.dedup();
    let guesses: Page<Subject, GuessBudget> = Page::read(budgets::read_all(write, &users).await?);
    let mut sends = Sends::read(write, starts).await?;
    let mut answers = Vec::with_capacity(starts.len());
    let mut opened: Vec<Cow<'_, Start>> = Vec::with_capacity(starts.len());
    for (place, start) in starts {
        let answer = decide(start, &known, &guesses, &mut sends);
        let written = match answer {
            Started::Opened => Some(Cow::Borrowed(*start)),
            Started::Muted => Some(Cow::Owned(muted(start))),
            _ => None,
        };
        if let Some(start) = written {
            if let Some(RequestKey { id, contents }) = start.request {
                known.insert(id, (contents, start.challenge.clone()));
            }
            opened.push(start);
        }
        answers.push((*place, answer));
    }
    sends.save(write).await?;
    insert(write, &opened, now).await?;
    Ok(answers)
}

/// A repeated request id is noticed before locks and budgets are.
fn decide(start: &Start, known: &Known, guesses: &Page<Subject, GuessBudget>, sends: &mut Sends) -> Started {
    let challenge = &start.challenge;
    if let Some(request) = &start.request
        && let Some((contents, begun)) = known.get(&request.id)
    {
        return if *contents == request.contents {
            Started::Repeated(Box::new(begun.clone()))
        } else {
            Started::RequestReused
        };
    }
    let lock = |subject: &Subject| guesses.get(subject)?.lock(challenge.created_at);
    if let Some(lock) = lock(&challenge.told()) {
        return Started::UserLocked(lock);
    }
    let locked = challenge.silent().is_some_and(|user| lock(&user).is_some());
    match sends.charge(&start.charges, challenge.created_at) {
        Ok(spent) if spent || locked => Started::Muted,
        Ok(_) => Started::Opened,
        Err(allowed_from) => Started::OverBudget(allowed_from),
    }
}

/// As of a decoy: nothing is sent, and no code is right.
fn muted(start: &Start) -> Start {
    let mut muted = start.clone();
    muted.challenge.decoy = true;
    muted.entry.decoy = true;
    muted
}

async fn known(write: &mut Write, starts: &[(usize, &Start)]) -> Result<Known, Failure> {
    let requests = starts.iter().filter_map(|(_, start)| start.request.as_ref());
    let mut ids: Vec<&[u8]> = requests.map(|request| request.id.as_bytes().as_slice()).collect();
    ids.sort_unstable();
    ids.dedup();
    let found = bulk::fetch(write, "SELECT * FROM challenges WHERE request_id IN (", &ids, ")").await?;
    found.iter().map(rows::requested).collect()
}

/// Another instance may have committed one of the request ids meanwhile: then these are done again.
async fn insert(write: &mut Write, opened: &[Cow<'_, Start>], now: Timestamp) -> Result<(), Failure> {
    let written = bulk::put(
        write,
        rows::INSERT,
        opened,
        |start| rows::values(start),
        " ON CONFLICT (request_id) DO NOTHING",
    )
    .await?;
    Failure::unless_all(written, opened.len())?;
    bulk::put(
        write,
        outbox::INSERT,
        opened,
        |start| outbox::values(&start.entry, now),
        "",
    )
    .await?;
    if opened
        .iter()
        .any(|start| outbox::is_left_to_anybody(&start.entry))
    {
        write.announce().await?;
    }
    Ok(())
}

//! Guesses that share a commit.

use std::collections::{BTreeMap, HashMap};

use super::{
    super::{
        Failure, budgets, bulk, challenge_rows as rows, confirmations,
        query::{Row, Write},
        rows::Columns,
    },
    expected::{self, Parted},
    page::Page,
    requests::{Requests, Seen},
    sent::Sent,
};
use crate::{
    domain::{
        budget::GuessBudget,
        challenge::{Challenge, Verdict},
        clock::Timestamp,
        id::{ChallengeId, EntryId},
        judgement::{self, Counted},
        keyring::{Sealed, Subject},
    },
    store::{Guess, Guessed, Judged},
};

/// What guesses came to.
pub(super) struct Answers {
    /// For each the answer.
    pub(super) answers: Vec<(usize, Option<Guessed>)>,
    /// The challenges that are over, and of which a mail may be open.
    pub(super) open: Vec<ChallengeId>,
}

/// Judges them: what ends as expected at once, the others one after the other.
pub(super) async fn judge(
    write: &mut Write,
    guesses: &[(usize, &Guess)],
    sent: &Sent,
) -> Result<Answers, Failure> {
    let Parted { done, left } = expected::confirm(write, guesses).await?;
    let judged = |judged| Some(Guessed::Judged(Box::new(judged)));
    let answers = done.into_iter().map(|(place, success)| (place, judged(success)));
    let mut answers: Vec<(usize, Option<Guessed>)> = answers.collect();
    if !left.is_empty() {
        answers.extend(by_their_rows(write, &left).await?);
    }
    let all = answers.iter().filter_map(|(_, answer)| match answer {
        Some(Guessed::Judged(judged)) if !judged.repeated => Some(judged),
        _ => None,
    });
    let over = all.filter(|judged| matches!(judged.verdict, Verdict::Verified { .. }));
    let open = sent.perhaps_open(over.map(|judged| &judged.challenge));
    Ok(Answers { answers, open })
}

/// Judges them one after the other, by what the store has of them.
async fn by_their_rows(
    write: &mut Write,
    guesses: &[(usize, &Guess)],
) -> Result<Vec<(usize, Option<Guessed>)>, Failure> {
    let (mut challenges, contexts) = challenges(write, guesses).await?;
    // Once the challenges are held: of several with one request id, wherever they came, one was there first.
    let mut requests = Requests::read(write, guesses).await?;
    let found = guesses.iter().filter_map(|(_, guess)| challenges.get(&guess.id));
    let counted = |challenge: &Challenge| [Some(challenge.user), challenge.name];
    let mut users: Vec<Subject> = found.flat_map(counted).flatten().collect();
    users.sort_unstable();
    users.dedup();
    let mut budgets = Page::read(budgets::read_all(write, &users).await?);
    let mut answers = Vec::with_capacity(guesses.len());
    let mut confirmed = Vec::new();
    for (place, guess) in guesses {
        let Some(mut challenge) = challenges.get(&guess.id).cloned() else {
            answers.push((*place, None));
            continue;
        };
        let judged = |verdict, challenge: Challenge, repeated| {
            let context = contexts.get(&challenge.id).cloned();
            let judged = Judged {
                verdict,
                challenge,
                context,
                repeated,
            };
            Some(Guessed::Judged(Box::new(judged)))
        };
        match requests.seen(guess) {
            None => {}
            Some(Seen::Same(verdict)) => {
                answers.push((*place, judged(verdict, challenge, true)));
                continue;
            }
            Some(Seen::Other) => {
                answers.push((*place, Some(Guessed::RequestReused)));
                continue;
            }
        }
        let budget = |subject: Subject| budgets.get(&subject).copied().unwrap_or_default();
        let mut counted = Counted {
            told: budget(challenge.told()),
            silent: challenge.silent().map(budget),
        };
        let verdict = judgement::judge(
            &mut challenge,
            &mut counted,
            guess.numbers,
            &guess.limits,
            guess.now,
        );
        if let (Verdict::Verified { at }, Some(address)) = (verdict, challenge.confirms) {
            confirmed.push((challenge.user, address, at));
        }
        let kept = |budget: GuessBudget| Some(budget).filter(|budget| *budget != GuessBudget::default());
        budgets.set(challenge.told(), kept(counted.told));
        if let (Some(user), Some(silent)) = (challenge.silent(), counted.silent) {
            budgets.set(user, kept(silent));
        }
        challenges.set(challenge.id, Some(challenge.clone()));
        requests.note(guess, verdict, challenge.expires_at);
        answers.push((*place, judged(verdict, challenge, false)));
    }
    save(write, &challenges).await?;
    requests.save(write).await?;
    save_budgets(write, &budgets).await?;
    for (user, address, at) in confirmed {
        confirmations::remember(write, user, address, at).await?;
    }
    Ok(answers)
}

/// What further codes of challenges are mailed with.
type Contexts = HashMap<ChallengeId, Sealed>;

/// The challenges that are guessed at: of those that are known already only what changes is read.
async fn challenges(
    write: &mut Write,
    guesses: &[(usize, &Guess)],
) -> Result<(Page<ChallengeId, Challenge>, Contexts), Failure> {
    let mut known: BTreeMap<ChallengeId, Option<&Challenge>> = BTreeMap::new();
    for (_, guess) in guesses {
        let challenge = known.entry(guess.id).or_default();
        *challenge = challenge.or(guess.known.as_deref());
    }
    let all: Vec<&[u8]> = known.keys().map(|id| id.as_bytes().as_slice()).collect();
    let locked = [") ORDER BY id", write.engine().for_update()].concat();
    let mut read = Vec::with_capacity(known.len());
    let mut contexts = HashMap::with_capacity(known.len());
    if known.values().all(Option::is_some) {
        let before = ["SELECT ", rows::MOVING, " FROM challenges WHERE id IN ("].concat();
        for row in &bulk::fetch(write, before, &all, &locked).await? {
            let id = rows::id(row)?;
            contexts.insert(id, rows::context_of(row)?);
            if let Some(Some(known)) = known.get(&id) {
                read.push((id, rows::moved(row, known)?));
            }
        }
    } else {
        for row in &bulk::fetch(write, "SELECT * FROM challenges WHERE id IN (", &all, &locked).await? {
            let challenge = rows::challenge(row)?;
            contexts.insert(challenge.id, rows::context_of(row)?);
            read.push((challenge.id, challenge));
        }
    }
    Ok((Page::read(read), contexts))
}

/// Each row is changed only if it is still what was judged.
async fn save(write: &mut Write, challenges: &Page<ChallengeId, Challenge>) -> Result<(), Failure> {
    let changed = challenges.changed();
    let written = bulk::put(
        write,
        "UPDATE challenges SET state = v.column2, attempts = v.column3, verified_at = v.column4 FROM (VALUES ",
        &changed,
        |(id, read, present)| {
            [
                id.as_bytes().as_slice().into(),
                present.state.tag().into(),
                i64::from(present.attempts).into(),
                present.verified_at.map(Timestamp::as_micros).into(),
                i64::from(read.attempts).into(),
                i64::from(read.code_number).into(),
            ]
        },
        ") AS v WHERE challenges.id = v.column1 AND challenges.state = 1 AND challenges.attempts = v.column5 \
         AND challenges.code_number = v.column6",
    )
    .await?;
    Failure::unless_all(written, changed.len())
}

async fn save_budgets(write: &mut Write, budgets: &Page<Subject, GuessBudget>) -> Result<(), Failure> {
    let made = budgets.made();
    let written = bulk::put(
        write,
        "INSERT INTO guess_budgets (user_hash, failures, since_lock, locked_until) VALUES ",
        &made,
        |(user, budget)| budgets::values(user, budget),
        " ON CONFLICT (user_hash) DO NOTHING",
    )
    .await?;
    Failure::unless_all(written, made.len())?;
    let changed = budgets.changed();
    let written = bulk::put(
        write,
        "UPDATE guess_budgets SET failures = v.column2, since_lock = v.column3, locked_until = v.column4 FROM (VALUES ",
        &changed,
        |(user, _, budget)| budgets::values(user, budget),
        ") AS v WHERE guess_budgets.user_hash = v.column1",
    )
    .await?;
    Failure::unless_all(written, changed.len())?;
    let removed: Vec<&[u8]> = budgets
        .removed()
        .into_iter()
        .map(|user| user.as_bytes().as_slice())
        .collect();
    bulk::execute(
        write,
        "DELETE FROM guess_budgets WHERE user_hash IN (",
        None,
        &removed,
        ")",
    )
    .await?;
    Ok(())
}

/// Withdraws what was not sent yet of challenges that are over. State 7 is withdrawn; a decoy's mail is never open to anybody.
pub(super) async fn withdraw(
    write: &mut Write,
    challenges: &[ChallengeId],
    now: Timestamp,
) -> Result<(), Failure> {
    let index = write.engine().by_index("outbox_challenge");
    let before = ["SELECT id FROM outbox", &index, " WHERE challenge IN ("].concat();
    let challenges: Vec<&[u8]> = challenges.iter().map(|id| id.as_bytes().as_slice()).collect();
    let open = bulk::fetch(write, before, &challenges, ") AND state IN (1, 3) AND decoy = 0").await?;
    let id = |row: &Row| Ok(EntryId::from_bytes(Columns::new("outbox", row).bytes("id")?));
    let mut entries: Vec<EntryId> = open.iter().map(id).collect::<Result<_, Failure>>()?;
    // In the order in which settlements lock them. What was settled meanwhile is passed over.
    entries.sort_unstable();
    let entries: Vec<&[u8]> = entries.iter().map(|id| id.as_bytes().as_slice()).collect();
    let after = [
        ") AND state IN (1, 3) ORDER BY id",
        write.engine().for_update(),
        ")",
    ]
    .concat();
    bulk::execute(
        write,
        "UPDATE outbox SET state = 7, next_attempt_at = NULL, changed_at = $1 WHERE id IN (\
         SELECT id FROM outbox WHERE id IN (",
        Some(now.as_micros()),
        &entries,
        &after,
    )
    .await?;
    Ok(())
}

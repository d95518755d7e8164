//! Shared commits: starts, guesses, leaves and settlements that come at the same time are one transaction.
//!
//! What they depend on is read together, the domain decides one after the other in the order they came, and what differs is
//! written together: a handful of statements and one commit, however many they are. Each is decided as if it had been
//! alone after those before it; guesses that end as expected ([`expected`]) count as before the others. Where another
//! transaction was at the same rows, all are done again. Where that fails too, or for a reason that may be one caller's (an
//! unreadable row), each is done in a transaction of its own, so that it fails only for that caller.
//!
//! Rows are locked in one order, so that transactions on one server seldom block each other: challenges, budgets for
//! guessing, budgets for sending, outbox; in each table by key. Where they do, because a table is written twice, the server
//! ends one of them within a second, and it is done again.

mod expected;
mod guesses;
mod leaves;
mod page;
mod requests;
mod sends;
mod sent;
mod settlements;
mod starts;

use std::{sync::Arc, time::Duration};

pub(super) use leaves::leave;
pub(super) use sent::Sent;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

use super::{
    Failure, SqlStore, dialect,
    gathering::{Asked, Gathering},
    unavailable,
};
use crate::{
    domain::id::{EntryId, LeaseId},
    store::{Guess, Guessed, Leave, Settlement, Start, Started, StoreError, StoreResult},
};

/// What is done in shared commits.
#[derive(Debug)]
pub(super) enum Job {
    /// [`crate::store::Challenges::start`].
    Start(Box<Start>),
    /// [`crate::store::Challenges::guess`].
    Guess(Box<Guess>),
    /// [`crate::store::Outbox::leave`], where nothing is charged to an account.
    Leave(EntryId, LeaseId),
    /// [`crate::store::Outbox::settle`].
    Settle(Box<Settlement>),
}

/// What it was answered with.
pub(super) enum Done {
    Started(Started),
    Guessed(Option<Guessed>),
    Left(Leave),
    Settled(bool),
}

/// A job that somebody waits for.
#[derive(Debug)]
pub(super) struct Due {
    job: Job,
    /// Until then. What is not committed by then never is: the caller was told so.
    by: Instant,
}

/// Those who wait for the next commit.
type Waiting = Gathering<Due, StoreResult<Done>>;

/// Those who wait, by what they may share a commit with.
pub(super) struct Queues {
    /// Starts and guesses; without [`Queues::mails`] leaves and settlements, too.
    calls: Waiting,
    mails: Option<Waiting>,
}

impl Queues {
    /// For an engine with one writer: everybody shares the next commit.
    pub(super) fn of_one_writer(tasks: &TaskTracker) -> Self {
        Self {
            calls: Waiting::new(tasks.clone(), 1),
            mails: None,
        }
    }

    /// For a server: while it commits, the next transaction is made ready. What becomes of mails is committed apart from
    /// the calls, which wait for each other at the budgets of their callers.
    pub(super) fn of_server(tasks: &TaskTracker, connections: u32) -> Self {
        let hands = if connections < ENOUGH_CONNECTIONS {
            1
        } else {
            HANDS
        };
        Self {
            calls: Waiting::new(tasks.clone(), hands),
            mails: Some(Waiting::new(tasks.clone(), 1)),
        }
    }

    /// Where it waits.
    fn place(&self, job: &Job) -> &Waiting {
        match (job, &self.mails) {
            (Job::Leave(..) | Job::Settle(_), Some(mails)) => mails,
            _ => &self.calls,
        }
    }
}

/// How many shared transactions with calls are under way at a server, at the most.
const HANDS: usize = 2;

/// With fewer connections there is one, and the others are for those who read.
const ENOUGH_CONNECTIONS: u32 = 6;

/// How much sooner than its caller a job gives up.
const MARGIN: Duration = Duration::from_millis(50);

/// How often one job is tried while other instances are at the same rows.
const TRIES: u32 = 5;

impl SqlStore {
    /// Does a job in the next commit.
    pub(super) async fn share(&self, job: Job) -> Result<Done, Failure> {
        let store = self.clone();
        let work = move |asked| {
            let store = store.clone();
            async move { store.commit_together(asked).await }
        };
        let by = Instant::now() + self.0.deadline.saturating_sub(MARGIN);
        match self.0.queues.place(&job).ask(Due { job, by }, work).await {
            Ok(answer) => Ok(answer?),
            Err(unanswered) => Err(unavailable(unanswered).into()),
        }
    }

    async fn commit_together(&self, asked: Vec<Asked<Due, StoreResult<Done>>>) {
        let (jobs, askers): (Vec<Due>, Vec<_>) = asked.into_iter().unzip();
        metrics::histogram!("mailfactor_store_shared_writes").record(jobs_as_number(jobs.len()));
        let all: Vec<&Due> = jobs.iter().collect();
        let mut done = self.in_time(&all).await;
        if done.as_ref().is_err_and(is_race) {
            // Whoever was faster has committed by now.
            done = self.in_time(&all).await;
        }
        match done {
            Ok(answers) => {
                for (asker, answer) in askers.into_iter().zip(answers) {
                    // Whoever has gone meanwhile finds it done.
                    let _ = asker.send(Ok(answer));
                }
            }
            Err(failure) if is_one_callers(&failure) => {
                for (asker, job) in askers.into_iter().zip(&jobs) {
                    let _ = asker.send(self.alone(job).await);
                }
            }
            Err(failure) => {
                let error = Arc::new(self.0.broken.note(failure));
                for asker in askers {
                    let _ = asker.send(Err(of_all(&error)));
                }
            }
        }
    }

    async fn alone(&self, job: &Due) -> StoreResult<Done> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.in_time(&[job]).await {
                Ok(mut answers) => return answers.pop().ok_or(StoreError::Corrupt("a shared commit")),
                Err(failure) if tries < TRIES && is_race(&failure) => {}
                Err(failure) => return Err(self.0.broken.note(failure)),
            }
        }
    }

    /// A transaction is given up when the first of those who share it gives up.
    async fn in_time(&self, due: &[&Due]) -> Result<Vec<Done>, Failure> {
        let jobs: Vec<&Job> = due.iter().map(|due| &due.job).collect();
        let first = due.iter().map(|due| due.by).min().unwrap_or_else(Instant::now);
        let done = timeout_at(first, self.commit_all(&jobs)).await;
        done.unwrap_or_else(|_| {
            self.0.broken.doubt();
            Err(Failure::Store(StoreError::Timeout(self.0.deadline)))
        })
    }

    async fn commit_all(&self, jobs: &[&Job]) -> Result<Vec<Done>, Failure> {
        let mut write = self.write().await?;
        let mut answers: Vec<Option<Done>> = jobs.iter().map(|_| None).collect();
        let (mut starts, mut guesses) = (Vec::new(), Vec::new());
        let (mut leaves, mut settlements) = (Vec::new(), Vec::new());
        for (place, job) in jobs.iter().enumerate() {
            match job {
                Job::Start(start) => starts.push((place, &**start)),
                Job::Guess(guess) => guesses.push((place, &**guess)),
                Job::Leave(entry, lease) => leaves.push((place, (*entry, *lease))),
                Job::Settle(settlement) => settlements.push((place, &**settlement)),
            }
        }
        leaves.sort_unstable_by_key(|(_, (entry, _))| *entry);
        settlements.sort_unstable_by_key(|(_, settlement)| settlement.id);
        // Whatever is written by the store's clock is written as of now.
        let now = self.now(&mut write).await?;
        let judged = guesses::judge(&mut write, &guesses, &self.0.sent).await?;
        for (place, guessed) in judged.answers {
            answers[place] = Some(Done::Guessed(guessed));
        }
        for (place, started) in starts::open(&mut write, &starts, now).await? {
            answers[place] = Some(Done::Started(started));
        }
        guesses::withdraw(&mut write, &judged.open, now).await?;
        for (place, left) in leaves::grant(&mut write, &leaves, now).await? {
            answers[place] = Some(Done::Left(left));
        }
        let settled = settlements::settle(&mut write, &settlements, now).await?;
        for (place, settled) in settled.answers {
            answers[place] = Some(Done::Settled(settled));
        }
        failpoint!("commit.before");
        write.commit().await?;
        failpoint!("commit.after");
        self.0.sent.note(&settled.sent);
        let answers: Option<Vec<Done>> = answers.into_iter().collect();
        Ok(answers.ok_or(StoreError::Corrupt("a shared commit"))?)
    }
}

/// One failed commit fails all who shared it.
fn of_all(error: &Arc<StoreError>) -> StoreError {
    match **error {
        StoreError::Timeout(limit) => StoreError::Timeout(limit),
        _ => unavailable(Arc::clone(error)),
    }
}

/// Whether a failure may be the fault of one of those who shared a commit.
fn is_one_callers(failure: &Failure) -> bool {
    match failure {
        Failure::Store(StoreError::Corrupt(_)) | Failure::Raced => true,
        Failure::Store(_) => false,
        Failure::Sql(error) => dialect::leaves_connections_whole(error) && !dialect::is_busy(error),
    }
}

/// Whether another instance was at the same rows.
fn is_race(failure: &Failure) -> bool {
    match failure {
        Failure::Raced => true,
        Failure::Store(_) => false,
        Failure::Sql(error) => dialect::is_race(error),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a few hundred at the most")]
fn jobs_as_number(jobs: usize) -> f64 {
    jobs as f64
}

//! Callers at work: they start challenges and go on with them as the dice say, until they are told to stop.

use std::{sync::Arc, time::Duration};

use mailfactor::pb::v1 as pb;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{
    dice::Dice,
    fleet::{Fleet, address, name},
    ledger::Ledger,
};
use crate::harness::{client::Client, in_time, secrets};

/// How long callers wait for a mail before they give up on its code; the mail is owed all the same.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long callers wait for an answer.
const DEADLINE: Duration = Duration::from_secs(10);
/// What a caller thinks before a start, in milliseconds, on the average and times the callers there are: however fast the
/// machine, all of them together start no more than [`STARTS_A_SECOND`].
const THINKS: usize = 8;
/// More than all callers of a load start in a second.
const STARTS_A_SECOND: usize = 150;
/// Guesses that are wrong.
const WRONG: &str = "BBBBBBBBBB";

/// Users enough for a load that lasts so long: each of them starts one challenge.
pub(crate) fn users_for(seconds: usize) -> usize {
    seconds * STARTS_A_SECOND
}

/// The load, while it lasts.
pub(crate) struct Load {
    acknowledged: watch::Receiver<usize>,
    end: CancellationToken,
    tasks: JoinSet<()>,
}

impl Load {
    /// So many callers at a time, on a ledger that may have been begun.
    pub(crate) fn begin(fleet: &Arc<Fleet>, ledger: &Arc<Ledger>, parallel: usize, dice: &mut Dice) -> Self {
        let end = CancellationToken::new();
        let (count, acknowledged) = watch::channel(0);
        let mut tasks = JoinSet::new();
        for _ in 0..parallel {
            let mut caller = Caller {
                fleet: Arc::clone(fleet),
                ledger: Arc::clone(ledger),
                dice: dice.fork(),
                thinks: 2 * THINKS * parallel,
                count: count.clone(),
            };
            let end = end.clone();
            tasks.spawn(async move {
                while !end.is_cancelled() {
                    let user = caller.ledger.user();
                    assert!(
                        user < caller.fleet.users,
                        "the load lasted longer than its users: give it more"
                    );
                    caller.flow(user).await;
                    if let Some((user, challenge)) = caller.ledger.resend_due() {
                        caller.resend(user, &challenge).await;
                    }
                }
            });
        }
        Self {
            acknowledged,
            end,
            tasks,
        }
    }

    /// Waits until so many starts are acknowledged since it was begun. It fails where none is for a long time.
    pub(crate) async fn acknowledged(&mut self, wanted: usize) {
        while self.count() < wanted {
            let next = in_time(self.acknowledged.changed()).await;
            next.expect("the load ended");
        }
    }

    /// Starts acknowledged since it was begun.
    pub(crate) fn count(&self) -> usize {
        *self.acknowledged.borrow()
    }

    /// Ends it and waits for the calls under way. Fails where a caller was told something wrong.
    pub(crate) async fn stop(self) {
        self.end.cancel();
        in_time(self.tasks.join_all()).await;
    }
}

struct Caller {
    fleet: Arc<Fleet>,
    ledger: Arc<Ledger>,
    dice: Dice,
    /// Up to so many milliseconds before each start.
    thinks: usize,
    count: watch::Sender<usize>,
}

impl Caller {
    async fn flow(&mut self, user: usize) {
        let thinks = u64::try_from(self.dice.below(self.thinks)).unwrap();
        tokio::time::sleep(Duration::from_millis(thinks)).await;
        let client = self.client().await;
        let name = name(user);
        let Some(challenge) = self.call(client.start(&name)).await else {
            return;
        };
        self.ledger.started(user, &challenge);
        self.count.send_modify(|count| *count += 1);
        let id = &challenge.challenge_id;
        match self.dice.below(8) {
            0 => self.guess(user, id).await,
            1 | 2 => self.right(user, id, 1).await,
            3 => self.right(user, id, 4).await,
            4 => self.cancel(user, id).await,
            5 => self.ledger.resend_later(user, &challenge),
            // The mail is all that is wanted.
            _ => {}
        }
    }

    /// Wrong codes, and perhaps more than there are attempts.
    async fn guess(&mut self, user: usize, id: &str) {
        for _ in 0..=self.dice.below(7) {
            let client = self.client().await;
            let verdict = self.call(client.verify(id, WRONG)).await;
            match verdict.map(|verdict| verdict.result()) {
                None => self.ledger.note(user, |account| account.wrong_unanswered += 1),
                Some(pb::VerifyResult::WrongCode) => self.ledger.note(user, |account| account.wrong += 1),
                Some(pb::VerifyResult::ChallengeLocked) => {}
                Some(other) => panic!("a wrong code of user {user} is called {other:?}"),
            }
        }
    }

    /// The right code, so many times at once.
    async fn right(&mut self, user: usize, id: &str, times: usize) {
        let Ok(mail) = timeout(PATIENCE, self.fleet.smtp.wait_for_mail_to(&address(user))).await else {
            return;
        };
        let code = secrets::code(&mail.data);
        let mut calls = Vec::new();
        for _ in 0..times {
            let client = self.client().await;
            let (id, code) = (id.to_owned(), code.clone());
            calls.push(async move { client.verify(&id, &code).await });
        }
        let calls = calls.into_iter().map(|call| self.call(call));
        for verdict in futures_util::future::join_all(calls).await {
            match verdict.map(|verdict| verdict.result()) {
                None => self.ledger.note(user, |account| account.right_unanswered += 1),
                Some(pb::VerifyResult::Verified) => self.ledger.note(user, |account| account.verified += 1),
                Some(pb::VerifyResult::AlreadyUsed) => self.ledger.note(user, |account| account.used += 1),
                Some(other) => panic!("the right code of user {user} is called {other:?}"),
            }
        }
    }

    async fn cancel(&mut self, user: usize, id: &str) {
        // Acknowledged or not, it may be.
        self.ledger.note(user, |account| account.cancelled = true);
        let client = self.client().await;
        let request = pb::CancelChallengeRequest {
            challenge_id: id.to_owned(),
        };
        self.call(async { client.challenges.clone().cancel_challenge(request).await })
            .await;
    }

    /// A second mail; then its code.
    async fn resend(&mut self, user: usize, id: &str) {
        let client = self.client().await;
        let answer = self.call(client.resend(id)).await;
        self.ledger.note(user, |account| match &answer {
            Some(_) => account.mails += 1,
            None => account.resend_unanswered = true,
        });
        if answer.is_some() {
            self.right(user, id, 1).await;
        }
    }

    async fn client(&mut self) -> Client {
        let nth = self.dice.below(1 << 16);
        self.fleet.client(nth).await
    }

    /// The answer, if there is one.
    async fn call<T>(&self, call: impl Future<Output = Result<T, Status>>) -> Option<T> {
        let since = Instant::now();
        let answer = timeout(DEADLINE, call).await;
        match answer {
            Ok(Ok(answer)) => Some(answer),
            Ok(Err(status)) => {
                self.ledger.unanswered(&status, since.elapsed());
                None
            }
            Err(_) => {
                let silence = Status::cancelled("no answer in time");
                self.ledger.unanswered(&silence, since.elapsed());
                None
            }
        }
    }
}

//! Challenges in SQL. Every change is one transaction: what it depends on is read inside it, and the UPDATE itself names
//! the condition once more, so that two instances on one database cannot both succeed.

use async_trait::async_trait;

use super::{Failure, SqlStore, Write, budgets, challenge_rows as rows, confirmations, outbox};
use crate::{
    domain::{
        budget::Lock,
        challenge::{Challenge, Standing, State, Verdict},
        clock::Timestamp,
        id::ChallengeId,
    },
    store::{Challenges, Guess, Guessed, Resend, Resent, Start, Started, StoreResult},
};

#[async_trait]
impl Challenges for SqlStore {
    async fn start(&self, start: Start) -> StoreResult<Started> {
        self.operation("challenges.start", self.try_start(&start)).await
    }

    async fn resend(&self, resend: Resend) -> StoreResult<Option<Resent>> {
        self.operation("challenges.resend", self.try_resend(&resend))
            .await
    }

    async fn guess(&self, guess: Guess) -> StoreResult<Option<Guessed>> {
        self.operation("challenges.guess", self.try_guess(&guess)).await
    }

    async fn cancel(&self, id: ChallengeId, now: Timestamp) -> StoreResult<Option<Challenge>> {
        self.operation("challenges.cancel", async {
            let mut write = self.write().await?;
            let challenge = match rows::close(&mut write, id, State::Cancelled, now).await? {
                Some(cancelled) => Some(cancelled),
                None => rows::find(&mut write, id).await?,
            };
            write.commit().await?;
            Ok(challenge)
        })
        .await
    }

    async fn find(&self, id: ChallengeId) -> StoreResult<Option<Challenge>> {
        self.operation("challenges.find", async {
            rows::find(&mut *self.reader().await?, id).await
        })
        .await
    }

    async fn purge(&self, expired_before: Timestamp, limit: u32) -> StoreResult<u64> {
        self.operation("challenges.purge", async {
            let mut write = self.write().await?;
            let purged = rows::purge(&mut write, expired_before, limit).await?;
            budgets::forget_refilled(&mut write, expired_before, limit).await?;
            confirmations::purge(&mut write, expired_before, limit).await?;
            write.commit().await?;
            Ok(purged)
        })
        .await
    }
}

impl SqlStore {
    async fn try_start(&self, start: &Start) -> Result<Started, Failure> {
        let mut write = self.write().await?;
        if let Some(known) = rows::repeated(&mut write, start.request).await? {
            return Ok(known);
        }
        let challenge = &start.challenge;
        let now = challenge.created_at;
        if let Some(lock) = budgets::user_lock(&mut write, challenge.user, now).await? {
            return Ok(Started::UserLocked(lock));
        }
        if let Err(allowed_from) = budgets::charge(&mut write, &start.charges, now).await? {
            return Ok(Started::OverBudget(allowed_from));
        }
        if !rows::insert(&mut write, challenge, start.request).await? {
            return self.lost_race(write, start).await;
        }
        let leased_from = self.now(&mut write).await?;
        outbox::insert(&mut write, &start.entry, leased_from).await?;
        write.commit().await?;
        Ok(Started::Opened)
    }

    /// Another instance committed the same request id between our look and our write: ours is undone, theirs is told.
    async fn lost_race(&self, write: Write, start: &Start) -> Result<Started, Failure> {
        drop(write);
        let mut again = self.write().await?;
        rows::repeated(&mut again, start.request)
            .await?
            .ok_or_else(rows::unreadable)
    }

    async fn try_resend(&self, resend: &Resend) -> Result<Option<Resent>, Failure> {
        let mut write = self.write().await?;
        let Some(challenge) = rows::find_for_update(&mut write, resend.id).await? else {
            return Ok(None);
        };
        let pending = challenge.standing(resend.now) == Standing::Pending;
        let next = challenge.code_number + 1 == resend.number && resend.number <= challenge.most_codes;
        if !pending || !next || resend.now < challenge.resend_at {
            return Ok(Some(Resent::Refused(Box::new(challenge))));
        }
        if let Some(lock) = budgets::user_lock(&mut write, challenge.user, resend.now).await? {
            return Ok(Some(Resent::UserLocked(lock)));
        }
        if let Err(allowed_from) = budgets::charge(&mut write, &resend.charges, resend.now).await? {
            return Ok(Some(Resent::OverBudget(allowed_from)));
        }
        let moved_on = rows::next_code(&mut write, resend).await?;
        // The row was held since it was read.
        let challenge = moved_on.ok_or_else(rows::unreadable)?;
        let leased_from = self.now(&mut write).await?;
        outbox::withdraw(&mut write, resend.id, leased_from).await?;
        outbox::insert(&mut write, &resend.entry, leased_from).await?;
        write.commit().await?;
        Ok(Some(Resent::Opened(Box::new(challenge))))
    }

    async fn try_guess(&self, guess: &Guess) -> Result<Option<Guessed>, Failure> {
        let mut write = self.write().await?;
        let Some(challenge) = rows::find_for_update(&mut write, guess.id).await? else {
            return Ok(None);
        };
        let answer = |verdict, challenge| Ok(Some(Guessed { verdict, challenge }));
        if let Some(verdict) = challenge.closed(guess.now) {
            return answer(verdict, challenge);
        }
        // Not even a right code is told apart while the user is locked.
        if let Some(lock) = budgets::user_lock(&mut write, challenge.user, guess.now).await? {
            return answer(user_locked(lock), challenge);
        }
        let right = challenge.accepts(guess.numbers);
        let changed = if right {
            budgets::clear(&mut write, challenge.user).await?;
            if let Some(address) = challenge.confirms {
                confirmations::remember(&mut write, challenge.user, address, guess.now).await?;
            }
            rows::close(&mut write, guess.id, State::Verified, guess.now).await?
        } else {
            budgets::fail(&mut write, challenge.user, &guess.limits, guess.now).await?;
            rows::count_wrong(&mut write, guess.id, guess.now).await?
        };
        // The row was held since it was read: pending, in time, with attempts left.
        let challenge = changed.ok_or_else(rows::unreadable)?;
        write.commit().await?;
        let verdict = if right {
            Verdict::Verified { at: guess.now }
        } else {
            Verdict::Wrong {
                attempts_left: challenge.attempts_left(),
            }
        };
        answer(verdict, challenge)
    }
}

fn user_locked(lock: Lock) -> Verdict {
    Verdict::UserLocked {
        until: match lock {
            Lock::Until(moment) => Some(moment),
            Lock::ForGood => None,
        },
    }
}

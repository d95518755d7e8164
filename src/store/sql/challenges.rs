//! Challenges in SQL. What a change depends on is read inside its transaction, and the UPDATE itself names the condition
//! once more, so that two instances on one database cannot both succeed. Starts and guesses share commits ([`super::shared`]).

use async_trait::async_trait;

use super::{
    Failure, SqlStore, budgets, challenge_rows as rows, confirmations, guess_requests, outbox,
    shared::{Done, Job},
    unreadable,
};
use crate::{
    domain::{
        challenge::{Challenge, Standing, State},
        clock::Timestamp,
        id::ChallengeId,
        keyring::Sealed,
    },
    store::{Challenges, Guess, Guessed, NewEntry, Resend, Resent, Start, Started, StoreResult},
};

#[async_trait]
impl Challenges for SqlStore {
    async fn start(&self, start: Start) -> StoreResult<Started> {
        self.operation("challenges.start", async {
            match self.share(Job::Start(Box::new(start))).await? {
                Done::Started(started) => Ok(started),
                Done::Guessed(_) | Done::Left(_) | Done::Settled(_) => Err(unreadable("challenges")),
            }
        })
        .await
    }

    async fn resend(&self, resend: Resend) -> StoreResult<Option<Resent>> {
        self.operation("challenges.resend", self.try_resend(&resend))
            .await
    }

    async fn guess(&self, guess: Guess) -> StoreResult<Option<Guessed>> {
        self.operation("challenges.guess", async {
            match self.share(Job::Guess(Box::new(guess))).await? {
                Done::Guessed(guessed) => Ok(guessed),
                Done::Started(_) | Done::Left(_) | Done::Settled(_) => Err(unreadable("challenges")),
            }
        })
        .await
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

    async fn context(&self, id: ChallengeId) -> StoreResult<Option<Sealed>> {
        self.operation("challenges.context", async {
            rows::context(&mut *self.reader().await?, id).await
        })
        .await
    }

    async fn purge_decoys(&self, expired_before: Timestamp, limit: u32) -> StoreResult<u64> {
        self.operation("challenges.purge_decoys", async {
            let mut write = self.write().await?;
            let purged = rows::purge_decoys(&mut write, expired_before, limit).await?;
            write.commit().await?;
            Ok(purged)
        })
        .await
    }

    async fn purge(&self, expired_before: Timestamp, limit: u32) -> StoreResult<u64> {
        self.operation("challenges.purge", async {
            let mut write = self.write().await?;
            let purged = rows::purge(&mut write, expired_before, limit).await?;
            guess_requests::purge(&mut write, expired_before, limit).await?;
            budgets::forget_refilled(&mut write, expired_before, limit).await?;
            confirmations::purge(&mut write, expired_before, limit).await?;
            write.commit().await?;
            Ok(purged)
        })
        .await
    }
}

impl SqlStore {
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
        let told = challenge.told();
        if let Some(lock) = budgets::user_lock(&mut write, told, resend.now).await? {
            return Ok(Some(Resent::UserLocked(lock)));
        }
        let locked = match challenge.silent() {
            Some(user) => budgets::user_lock(&mut write, user, resend.now).await?.is_some(),
            None => false,
        };
        let spent = match budgets::charge(&mut write, &resend.charges, resend.now).await? {
            Ok(spent) => spent,
            Err(allowed_from) => return Ok(Some(Resent::OverBudget(allowed_from))),
        };
        let moved_on = rows::next_code(&mut write, resend).await?;
        // The row was held since it was read.
        let challenge = moved_on.ok_or_else(|| unreadable("challenges"))?;
        let leased_from = self.now(&mut write).await?;
        outbox::withdraw(&mut write, resend.id, leased_from).await?;
        let muted = spent || locked;
        let entry = NewEntry {
            decoy: resend.entry.decoy || muted,
            ..resend.entry.clone()
        };
        outbox::insert(&mut write, &entry, leased_from).await?;
        write.commit().await?;
        let challenge = Box::new(challenge);
        Ok(Some(if muted {
            Resent::Muted(challenge)
        } else {
            Resent::Opened(challenge)
        }))
    }
}

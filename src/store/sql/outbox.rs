//! The outbox in SQL: what a worker does with mails. Every write of a lease's holder names the lease and looks whether
//! it changed a row: a worker that comes late changes nothing. What reports read is in [`super::outbox_report`].

use async_trait::async_trait;

use super::{
    Failure, SqlStore, audit, budgets, bulk, flag, outbox_changes as changes, outbox_pages as pages,
    outbox_report as report, outbox_requeue as requeue, outbox_work as work,
    query::{Connection, Value, query},
    shared::{self, Done, Job},
    unreadable,
};
use crate::{
    domain::{
        audit::{Fields, Note, Object},
        clock::Timestamp,
        delivery::DeliveryState,
        id::{ChallengeId, EntryId, LeaseId},
        mail_queue::MailQueue,
    },
    store::{
        AttemptRecord, ChangeKey, Changed, Charge, Claimed, Entry, EntryFilter, LEASE, Leave, NewEntry,
        Outbox, PageKey, QueueDepth, Requeued, Settlement, StoreResult,
    },
};

#[async_trait]
impl Outbox for SqlStore {
    async fn enqueue(&self, entry: NewEntry) -> StoreResult<()> {
        self.operation("outbox.enqueue", async {
            let mut write = self.write().await?;
            let now = self.now(&mut write).await?;
            insert(&mut write, &entry, now).await?;
            Ok(write.commit().await?)
        })
        .await
    }

    async fn claim_of(
        &self,
        only_preferred: bool,
        limit: u32,
        leases: Vec<LeaseId>,
    ) -> StoreResult<Vec<Claimed>> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(leases.len());
        if limit == 0 {
            return Ok(Vec::new());
        }
        self.operation("outbox.claim", async {
            // An idle worker asks often: it does not take the writer to learn that nothing is due.
            let mut reader = self.reader().await?;
            let now = self.now(&mut reader).await?;
            if work::due(&mut reader, now, only_preferred, 1).await?.is_empty() {
                return Ok(Vec::new());
            }
            drop(reader);
            let mut write = self.write().await?;
            let now = self.now(&mut write).await?;
            let due = work::due(&mut write, now, only_preferred, limit).await?;
            let due: Vec<(EntryId, LeaseId)> = due.into_iter().zip(leases).collect();
            let claimed = work::lease(&mut write, &due, now).await?;
            write.commit().await?;
            Ok(claimed)
        })
        .await
    }

    async fn leave(&self, id: EntryId, lease: LeaseId, toll: Option<Charge>) -> StoreResult<Leave> {
        self.operation("outbox.leave", async {
            if toll.is_none() {
                return match self.share(Job::Leave(id, lease)).await? {
                    Done::Left(answer) => Ok(answer),
                    Done::Started(_) | Done::Guessed(_) | Done::Settled(_) => Err(unreadable("outbox")),
                };
            }
            // What is charged is given up with the transaction where it is too much: that one is nobody else's.
            let mut write = self.write().await?;
            let now = self.now(&mut write).await?;
            let answer = shared::leave(&mut write, id, lease, now).await?;
            if answer == Leave::Granted
                && let Err(allowed_from) = budgets::charge(&mut write, toll.as_slice(), now).await?
            {
                // Given up with the transaction: nothing was charged.
                return Ok(Leave::Spent(allowed_from));
            }
            write.commit().await?;
            Ok(answer)
        })
        .await
    }

    async fn ahead(&self, queue: MailQueue, submitted_at: Timestamp) -> StoreResult<u32> {
        self.operation("outbox.ahead", async {
            work::ahead(&mut *self.reader().await?, queue, submitted_at).await
        })
        .await
    }

    async fn settle(&self, settlement: Settlement) -> StoreResult<bool> {
        self.operation("outbox.settle", async {
            match self.share(Job::Settle(Box::new(settlement))).await? {
                Done::Settled(settled) => Ok(settled),
                Done::Started(_) | Done::Guessed(_) | Done::Left(_) => Err(unreadable("outbox")),
            }
        })
        .await
    }

    async fn release(&self, mut leased: Vec<(EntryId, LeaseId)>) -> StoreResult<()> {
        self.operation("outbox.release", async {
            let mut write = self.write().await?;
            leased.sort_unstable();
            for (id, lease) in leased {
                work::release(&mut write, id, lease).await?;
            }
            write.announce().await?;
            Ok(write.commit().await?)
        })
        .await
    }

    async fn release_all(&self) -> StoreResult<u64> {
        self.operation("outbox.release_all", async {
            let mut write = self.write().await?;
            let released = work::release_all(&mut write).await?;
            write.commit().await?;
            Ok(released)
        })
        .await
    }

    async fn expire(&self, now: Timestamp, limit: u32) -> StoreResult<Vec<Option<ChallengeId>>> {
        self.operation("outbox.expire", async {
            // Most of the time there is nothing to end.
            if !work::any_expired(&mut *self.reader().await?, now).await? {
                return Ok(Vec::new());
            }
            let mut write = self.write().await?;
            let leases_at = self.now(&mut write).await?;
            let expired = work::expire(&mut write, now, leases_at, limit).await?;
            write.commit().await?;
            Ok(expired)
        })
        .await
    }

    async fn withdraw(&self, challenge: ChallengeId) -> StoreResult<()> {
        self.operation("outbox.withdraw", async {
            // Most mails are sent by then.
            if !work::any_open(&mut *self.reader().await?, challenge).await? {
                return Ok(());
            }
            let mut write = self.write().await?;
            let now = self.now(&mut write).await?;
            withdraw(&mut write, challenge, now).await?;
            Ok(write.commit().await?)
        })
        .await
    }

    async fn requeue(&self, id: EntryId, now: Timestamp, note: &Note) -> StoreResult<Requeued> {
        self.operation("outbox.requeue", async {
            let mut write = self.write().await?;
            let changed_at = self.now(&mut write).await?;
            let answer = requeue::requeue(&mut write, id, now, changed_at).await?;
            if let Requeued::Due(entry) = &answer {
                let change = Fields::change(&DeliveryState::Failed.into(), &entry.state.into());
                let object = Object::entry(id, &entry.masked_recipient);
                audit::commit(self, write, note, object, change).await?;
            }
            Ok(answer)
        })
        .await
    }

    async fn newest(&self, challenge: ChallengeId) -> StoreResult<Option<Entry>> {
        self.operation("outbox.newest", async {
            report::newest(&mut *self.reader().await?, challenge).await
        })
        .await
    }

    async fn find(&self, id: EntryId) -> StoreResult<Option<Entry>> {
        self.operation("outbox.find", async {
            report::find(&mut *self.reader().await?, id).await
        })
        .await
    }

    async fn attempts(&self, id: EntryId) -> StoreResult<Vec<AttemptRecord>> {
        self.operation("outbox.attempts", async {
            report::attempts(&mut *self.reader().await?, id).await
        })
        .await
    }

    async fn list(
        &self,
        filter: &EntryFilter,
        after: Option<PageKey>,
        limit: u32,
    ) -> StoreResult<Vec<Entry>> {
        self.operation("outbox.list", async {
            pages::list(&mut *self.reader().await?, filter, after, limit).await
        })
        .await
    }

    async fn changed(
        &self,
        filter: &EntryFilter,
        from: Timestamp,
        after: Option<ChangeKey>,
        limit: u32,
    ) -> StoreResult<Changed> {
        self.operation("outbox.changed", async {
            let mut reader = self.reader().await?;
            // Before the look: what is written meanwhile is found by the next one.
            let as_of = self.now(&mut reader).await?;
            let entries = match limit {
                0 => Vec::new(),
                limit => changes::page(&mut reader, filter, from, after, limit).await?,
            };
            Ok(Changed { entries, as_of })
        })
        .await
    }

    async fn depth(&self) -> StoreResult<QueueDepth> {
        self.operation("outbox.depth", async {
            report::depth(&mut *self.reader().await?).await
        })
        .await
    }

    async fn purge_decoys(&self, expired_before: Timestamp, limit: u32) -> StoreResult<u64> {
        self.operation("outbox.purge_decoys", async {
            let mut write = self.write().await?;
            let purged = work::purge_decoys(&mut write, expired_before, limit).await?;
            write.commit().await?;
            Ok(purged)
        })
        .await
    }

    async fn purge(&self, submitted_before: Timestamp, limit: u32) -> StoreResult<u64> {
        self.operation("outbox.purge", async {
            let mut write = self.write().await?;
            let purged = work::purge(&mut write, submitted_before, limit).await?;
            write.commit().await?;
            Ok(purged)
        })
        .await
    }
}

/// Writes mails, whose rows of [`values`] follow.
pub(super) const INSERT: &str = "INSERT INTO outbox (id, kind, challenge, decoy, state, submitted_at, expires_at, \
    next_attempt_at, masked_recipient, subject, account, attempts, last_error, message_id, mail, lease, leased_until, \
    charged, unsure, recipient_hash, changed_at, queue) VALUES ";

/// How many values a row has.
pub(super) const COLUMNS: usize = 22;

/// The row of a new mail. With a lease it counts from the start as a copy of unknown fate: its holder may send it at once,
/// and whoever takes it over after a crash knows that it may have been sent.
pub(super) fn values(entry: &NewEntry, now: Timestamp) -> [Value<'_>; COLUMNS] {
    let leased = flag(entry.lease.is_some());
    [
        entry.id.as_bytes().as_slice().into(),
        entry.kind.tag().into(),
        entry.challenge.as_ref().map(|id| id.as_bytes().as_slice()).into(),
        flag(entry.decoy).into(),
        DeliveryState::Queued.tag().into(),
        entry.submitted_at.as_micros().into(),
        entry.expires_at.as_micros().into(),
        now.as_micros().into(),
        (&entry.masked_recipient).into(),
        "".into(),
        "".into(),
        0.into(),
        "".into(),
        (&entry.message_id).into(),
        entry.mail.as_bytes().into(),
        entry
            .lease
            .as_ref()
            .map(|lease| lease.as_bytes().as_slice())
            .into(),
        entry.lease.map_or(0, |_| now.plus(LEASE).as_micros()).into(),
        leased.into(),
        leased.into(),
        entry.recipient.as_bytes().as_slice().into(),
        now.as_micros().into(),
        entry.queue.number().into(),
    ]
}

/// Whether a mail waits for whoever comes first.
pub(super) fn is_left_to_anybody(entry: &NewEntry) -> bool {
    entry.lease.is_none() && !entry.decoy
}

/// Writes a mail.
pub(super) async fn insert(
    connection: &mut Connection,
    entry: &NewEntry,
    now: Timestamp,
) -> Result<(), Failure> {
    bulk::put(connection, INSERT, &[entry], |entry| values(entry, now), "").await?;
    if is_left_to_anybody(entry) {
        connection.announce().await?;
    }
    Ok(())
}

/// Withdraws a challenge's open mails. A lease stays where it is: its holder gets no leave any more, but may still
/// record what it had already sent.
pub(super) async fn withdraw(
    connection: &mut Connection,
    challenge: ChallengeId,
    now: Timestamp,
) -> Result<(), Failure> {
    query(
        "UPDATE outbox SET state = 7, next_attempt_at = NULL, changed_at = $2 \
         WHERE challenge = $1 AND state IN (1, 3)",
    )
    .bind(challenge.as_bytes().as_slice())
    .bind(now.as_micros())
    .execute(connection)
    .await?;
    Ok(())
}

//! The statements behind a worker's steps. States: 1 queued, 2 sent, 3 deferred, 4 failed, 6 expired, 7 withdrawn;
//! (A mail that is settled as sent and has come back already is 5, bounced: report 1 says so.)
//! `state IN (1, 3)` is what the partial indexes say, word for word, so that they are used.

use std::collections::HashMap;

use super::{
    Failure, bulk,
    query::{Connection, Row, query},
    rows::Columns,
};
use crate::{
    domain::{
        clock::Timestamp,
        id::{ChallengeId, EntryId, LeaseId},
        keyring::Sealed,
        mail_queue::MailQueue,
    },
    store::{Claimed, LEASE},
};

const TABLE: &str = "outbox";

/// The mails that may be claimed: those of callers that go first before the others, and among equals one of each caller in
/// turn, the one that is due longest first. Of a long backlog its beginning is looked at.
pub(super) async fn due(
    connection: &mut Connection,
    now: Timestamp,
    only_preferred: bool,
    limit: usize,
) -> Result<Vec<EntryId>, Failure> {
    let engine = connection.engine();
    let index = engine.by_index("outbox_due");
    let backlog = |queues: &str| {
        format!(
            "SELECT * FROM (SELECT id, queue, next_attempt_at FROM outbox{index} WHERE state IN (1, 3) AND decoy = 0 \
             AND next_attempt_at <= $1 AND leased_until <= $1 AND expires_at > $1 AND {queues} \
             ORDER BY next_attempt_at LIMIT 1000) AS backlog"
        )
    };
    let others = if only_preferred {
        String::new()
    } else {
        format!(" UNION ALL {}", backlog("queue > 0"))
    };
    let statement = format!(
        "SELECT outbox.id FROM outbox JOIN (SELECT id, queue, next_attempt_at, \
         ROW_NUMBER() OVER (PARTITION BY queue ORDER BY next_attempt_at) AS turn FROM ({}{others}) AS due) AS due \
         ON outbox.id = due.id ORDER BY CASE WHEN due.queue > 0 THEN 1 ELSE 0 END, due.turn, due.next_attempt_at \
         LIMIT $2{}",
        backlog("queue <= 0"),
        engine.skip_locked("outbox"),
    );
    let rows = query(statement)
        .bind(now.as_micros())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await?;
    let id = |row: &Row| Ok(EntryId::from_bytes(Columns::new(TABLE, row).bytes("id")?));
    rows.iter().map(id).collect()
}

/// Leases those of them that are still free, in their order.
pub(super) async fn lease(
    connection: &mut Connection,
    due: &[(EntryId, LeaseId)],
    now: Timestamp,
) -> Result<Vec<Claimed>, Failure> {
    let leased_until = now.plus(LEASE);
    let rows = bulk::put_and_fetch(
        connection,
        "UPDATE outbox SET lease = v.column2, leased_until = v.column3, charged = 0 FROM (VALUES ",
        due,
        |(id, lease)| {
            [
                id.as_bytes().as_slice().into(),
                lease.as_bytes().as_slice().into(),
                leased_until.as_micros().into(),
                now.as_micros().into(),
            ]
        },
        ") AS v WHERE outbox.id = v.column1 AND outbox.state IN (1, 3) AND outbox.leased_until <= v.column4 \
         RETURNING id, lease, challenge, submitted_at, expires_at, message_id, attempts, unsure, queue, mail",
    )
    .await?;
    let mut leased = HashMap::with_capacity(rows.len());
    for row in &rows {
        let claimed = claimed(&Columns::new(TABLE, row), leased_until)?;
        leased.insert(claimed.id, claimed);
    }
    Ok(due.iter().filter_map(|(id, _)| leased.remove(id)).collect())
}

fn claimed(columns: &Columns<'_>, leased_until: Timestamp) -> Result<Claimed, Failure> {
    Ok(Claimed {
        id: EntryId::from_bytes(columns.bytes("id")?),
        lease: LeaseId::from_bytes(columns.bytes("lease")?),
        leased_until,
        challenge: columns.bytes_if_any("challenge")?.map(ChallengeId::from_bytes),
        submitted_at: columns.time("submitted_at")?,
        expires_at: columns.time("expires_at")?,
        message_id: columns.text("message_id")?,
        attempts: columns.count("attempts")?,
        unsure: columns.count("unsure")?,
        charged: false,
        queue: MailQueue::from_number(columns.number("queue")?),
        place: None,
        mail: Sealed::from_bytes(columns.blob("mail")?),
    })
}

/// How many unsent mails of a queue were submitted before this moment, as far as a thousand.
pub(super) async fn ahead(
    connection: &mut Connection,
    queue: MailQueue,
    submitted_at: Timestamp,
) -> Result<u32, Failure> {
    const BEFORE: &str = "SELECT COUNT(*) AS ahead FROM (SELECT 1 FROM outbox";
    const CONDITION: &str =
        " WHERE state IN (1, 3) AND decoy = 0 AND queue = $1 AND submitted_at < $2 LIMIT 1000) AS mails";
    let index = connection.engine().by_index("outbox_due");
    let row = query([BEFORE, &index, CONDITION].concat())
        .bind(queue.number())
        .bind(submitted_at.as_micros())
        .fetch_one(connection)
        .await?;
    Ok(Columns::new(TABLE, &row).count("ahead")?)
}

/// Whether a mail is still owed, and under this lease.
pub(super) async fn holds(
    connection: &mut Connection,
    id: EntryId,
    lease: LeaseId,
    now: Timestamp,
) -> Result<bool, Failure> {
    let held =
        query("SELECT 1 FROM outbox WHERE id = $1 AND lease = $2 AND leased_until > $3 AND state IN (1, 3)")
            .bind(id.as_bytes().as_slice())
            .bind(lease.as_bytes().as_slice())
            .bind(now.as_micros())
            .fetch_optional(connection)
            .await?;
    Ok(held.is_some())
}

/// Gives a mail back that was not begun: a copy charged for this lease was never sent.
pub(super) async fn release(connection: &mut Connection, id: EntryId, lease: LeaseId) -> Result<(), Failure> {
    query(
        "UPDATE outbox SET lease = NULL, leased_until = 0, unsure = unsure - charged, charged = 0 \
         WHERE id = $1 AND lease = $2",
    )
    .bind(id.as_bytes().as_slice())
    .bind(lease.as_bytes().as_slice())
    .execute(connection)
    .await?;
    Ok(())
}

/// Gives back all leases. What their holders had sent nobody knows, so the charged copies stay charged.
pub(super) async fn release_all(connection: &mut Connection) -> Result<u64, Failure> {
    let released = query(
        "UPDATE outbox SET lease = NULL, leased_until = 0, charged = 0 \
         WHERE state IN (1, 3) AND decoy = 0 AND lease IS NOT NULL",
    )
    .execute(connection)
    .await?;
    Ok(released)
}

pub(super) async fn any_expired(connection: &mut Connection, now: Timestamp) -> Result<bool, Failure> {
    const CONDITION: &str = " WHERE state IN (1, 3) AND decoy = 0 AND expires_at <= $1 LIMIT 1";
    let statement = [
        "SELECT 1 FROM outbox",
        &connection.engine().by_index("outbox_expiring"),
        CONDITION,
    ]
    .concat();
    let any = query(statement)
        .bind(now.as_micros())
        .fetch_optional(connection)
        .await?;
    Ok(any.is_some())
}

/// Ends mails whose time is over. `leases_at` is the store's clock: one that is being sent is left to its holder.
pub(super) async fn expire(
    connection: &mut Connection,
    now: Timestamp,
    leases_at: Timestamp,
    limit: u32,
) -> Result<Vec<Option<ChallengeId>>, Failure> {
    const UPDATE: &str = "UPDATE outbox SET state = 6, next_attempt_at = NULL, lease = NULL, leased_until = 0, \
         changed_at = $2 WHERE id IN (SELECT id FROM outbox";
    const CONDITION: &str = " WHERE state IN (1, 3) AND decoy = 0 AND expires_at <= $1 AND leased_until <= $2 \
         ORDER BY expires_at LIMIT $3) RETURNING challenge";
    let statement = [
        UPDATE,
        &connection.engine().by_index("outbox_expiring"),
        CONDITION,
    ]
    .concat();
    let rows = query(statement)
        .bind(now.as_micros())
        .bind(leases_at.as_micros())
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    let challenge = |row: &Row| {
        Ok(Columns::new(TABLE, row)
            .bytes_if_any("challenge")?
            .map(ChallengeId::from_bytes))
    };
    rows.iter().map(challenge).collect()
}

pub(super) async fn any_open(connection: &mut Connection, challenge: ChallengeId) -> Result<bool, Failure> {
    let any = query("SELECT 1 FROM outbox WHERE challenge = $1 AND state IN (1, 3) LIMIT 1")
        .bind(challenge.as_bytes().as_slice())
        .fetch_optional(connection)
        .await?;
    Ok(any.is_some())
}

/// Forgets decoys whose time is over: nobody can ask what became of them.
pub(super) async fn purge_decoys(
    connection: &mut Connection,
    expired_before: Timestamp,
    limit: u32,
) -> Result<u64, Failure> {
    let purged = query(
        "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox \
         WHERE decoy = 1 AND expires_at < $1 ORDER BY expires_at LIMIT $2)",
    )
    .bind(expired_before.as_micros())
    .bind(i64::from(limit))
    .execute(connection)
    .await?;
    Ok(purged)
}

/// The oldest rows that may go.
pub(super) const PURGE: &str = "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE submitted_at < $1 \
    AND (state NOT IN (1, 3) OR decoy = 1) ORDER BY submitted_at LIMIT $2) RETURNING 1";

/// Forgets closed mails, and decoys, which never close.
pub(super) async fn purge(
    connection: &mut Connection,
    submitted_before: Timestamp,
    limit: u32,
) -> Result<u64, Failure> {
    let rows = query(PURGE)
        .bind(submitted_before.as_micros())
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    // Counted as rows that come back: the attempts deleted with them are not meant.
    Ok(rows.len() as u64)
}

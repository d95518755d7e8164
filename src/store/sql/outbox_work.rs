//! The statements behind a worker's steps. States: 1 queued, 2 sent, 3 deferred, 4 failed, 6 expired, 7 withdrawn;
//! (A mail that is settled as sent and has come back already is 5, bounced: report 1 says so.)
//! `state IN (1, 3)` is what the partial indexes say, word for word, so that they are used.

use super::{
    Failure,
    query::{Connection, Row, query},
    rows::Columns,
};
use crate::{
    domain::{
        clock::Timestamp,
        delivery::MOST_UNSURE,
        id::{ChallengeId, EntryId, LeaseId},
        keyring::Sealed,
    },
    store::{Claimed, LEASE, Leave},
};

const TABLE: &str = "outbox";

/// The mails that may be claimed, the one that is due longest first.
pub(super) async fn due(
    connection: &mut Connection,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<EntryId>, Failure> {
    const STATEMENT: &str = " WHERE state IN (1, 3) AND decoy = 0 \
        AND next_attempt_at <= $1 AND leased_until <= $1 AND expires_at > $1 ORDER BY next_attempt_at LIMIT $2";
    let engine = connection.engine();
    let index = engine.by_index("outbox_due");
    let rows = query(["SELECT id FROM outbox", &index, STATEMENT, engine.skip_locked()].concat())
        .bind(now.as_micros())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await?;
    let id = |row: &Row| Ok(EntryId::from_bytes(Columns::new(TABLE, row).bytes("id")?));
    rows.iter().map(id).collect()
}

/// Leases one of them.
pub(super) async fn lease(
    connection: &mut Connection,
    id: EntryId,
    lease: LeaseId,
    now: Timestamp,
) -> Result<Option<Claimed>, Failure> {
    let leased_until = now.plus(LEASE);
    let row = query(
        "UPDATE outbox SET lease = $2, leased_until = $3, charged = 0 \
         WHERE id = $1 AND state IN (1, 3) AND leased_until <= $4 \
         RETURNING challenge, submitted_at, expires_at, message_id, attempts, unsure, mail",
    )
    .bind(id.as_bytes().as_slice())
    .bind(lease.as_bytes().as_slice())
    .bind(leased_until.as_micros())
    .bind(now.as_micros())
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let columns = Columns::new(TABLE, &row);
    Ok(Some(Claimed {
        id,
        lease,
        leased_until,
        challenge: columns.bytes_if_any("challenge")?.map(ChallengeId::from_bytes),
        submitted_at: columns.time("submitted_at")?,
        expires_at: columns.time("expires_at")?,
        message_id: columns.text("message_id")?,
        attempts: columns.count("attempts")?,
        unsure: columns.count("unsure")?,
        charged: false,
        mail: Sealed::from_bytes(columns.blob("mail")?),
    }))
}

/// Charges one more copy of unknown fate, if the lease still holds and has not charged it before.
pub(super) async fn leave(
    connection: &mut Connection,
    id: EntryId,
    lease: LeaseId,
    now: Timestamp,
) -> Result<Leave, Failure> {
    let granted = query(
        "UPDATE outbox SET unsure = unsure + 1 - charged, charged = 1 \
         WHERE id = $1 AND lease = $2 AND leased_until > $3 AND state IN (1, 3) AND (unsure < $4 OR charged = 1)",
    )
    .bind(id.as_bytes().as_slice())
    .bind(lease.as_bytes().as_slice())
    .bind(now.as_micros())
    .bind(i64::from(MOST_UNSURE))
    .execute(&mut *connection)
    .await?;
    if granted == 1 {
        return Ok(Leave::Granted);
    }
    let held =
        query("SELECT 1 FROM outbox WHERE id = $1 AND lease = $2 AND leased_until > $3 AND state IN (1, 3)")
            .bind(id.as_bytes().as_slice())
            .bind(lease.as_bytes().as_slice())
            .bind(now.as_micros())
            .fetch_optional(connection)
            .await?;
    Ok(held.map_or(Leave::Lost, |_| Leave::Exhausted))
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

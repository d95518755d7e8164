//! Trying a failed mail again.

use super::{
    Failure, challenge_rows, outbox_report as report,
    query::{Connection, query},
};
use crate::{
    domain::{challenge::Standing, clock::Timestamp, delivery::DeliveryState, id::EntryId},
    store::{Entry, Requeued},
};

/// Makes a failed mail due, if its code still lives. The write says again what the look found.
pub(super) async fn requeue(
    connection: &mut Connection,
    id: EntryId,
    now: Timestamp,
    changed_at: Timestamp,
) -> Result<Requeued, Failure> {
    let Some(entry) = report::find(connection, id).await? else {
        return Ok(Requeued::Unknown);
    };
    if entry.state != DeliveryState::Failed {
        return Ok(Requeued::NotFailed);
    }
    if entry.expires_at <= now || !carries_a_living_code(connection, &entry, now).await? {
        return Ok(Requeued::Expired);
    }
    let changed = query(
        "UPDATE outbox SET state = 3, next_attempt_at = $2, unsure = 0, charged = 0, lease = NULL, \
         leased_until = 0, changed_at = $3 WHERE id = $1 AND state = 4 AND decoy = 0",
    )
    .bind(id.as_bytes().as_slice())
    .bind(changed_at.as_micros())
    .bind(changed_at.as_micros())
    .execute(&mut *connection)
    .await?;
    if changed == 0 {
        return Ok(Requeued::NotFailed);
    }
    connection.announce().await?;
    let due = report::find(connection, id).await?;
    Ok(due.map_or(Requeued::Unknown, |entry| Requeued::Due(Box::new(entry))))
}

/// Whether somebody could still use what the mail carries. A test message carries no code.
async fn carries_a_living_code(
    connection: &mut Connection,
    entry: &Entry,
    now: Timestamp,
) -> Result<bool, Failure> {
    let Some(challenge) = entry.challenge else {
        return Ok(true);
    };
    let pending = challenge_rows::find_for_update(connection, challenge)
        .await?
        .is_some_and(|challenge| challenge.standing(now) == Standing::Pending);
    let newest = report::newest(connection, challenge).await?;
    Ok(pending && newest.is_some_and(|newest| newest.id == entry.id))
}

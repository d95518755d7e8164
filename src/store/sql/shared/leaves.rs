//! Leaves to transmit that share a commit.

use std::collections::HashSet;

use super::super::{
    Failure, bulk, outbox_work as work,
    query::{Value, Write},
    rows::Columns,
};
use crate::{
    domain::{
        clock::Timestamp,
        delivery::MOST_UNSURE,
        id::{EntryId, LeaseId},
    },
    store::Leave,
};

const TABLE: &str = "outbox";

/// Charges each one more copy of unknown fate, if its lease still holds and has not charged it before.
pub(super) async fn grant(
    write: &mut Write,
    leaves: &[(usize, (EntryId, LeaseId))],
    now: Timestamp,
) -> Result<Vec<(usize, Leave)>, Failure> {
    let rows = bulk::put_and_fetch(
        write,
        "UPDATE outbox SET unsure = outbox.unsure + 1 - outbox.charged, charged = 1 FROM (VALUES ",
        leaves,
        |(_, (id, lease))| values(id, lease, now),
        ") AS v WHERE outbox.id = v.column1 AND outbox.lease = v.column2 AND outbox.leased_until > v.column3 \
         AND outbox.state IN (1, 3) AND (outbox.unsure < v.column4 OR outbox.charged = 1) RETURNING id, lease",
    )
    .await?;
    let mut granted = HashSet::with_capacity(rows.len());
    for row in &rows {
        let columns = Columns::new(TABLE, row);
        granted.insert((
            EntryId::from_bytes(columns.bytes("id")?),
            LeaseId::from_bytes(columns.bytes("lease")?),
        ));
    }
    let mut answers = Vec::with_capacity(leaves.len());
    for (place, leave) in leaves {
        let answer = if granted.contains(leave) {
            Leave::Granted
        } else if work::holds(write, leave.0, leave.1, now).await? {
            Leave::Exhausted
        } else {
            Leave::Lost
        };
        answers.push((*place, answer));
    }
    Ok(answers)
}

/// The same for one that shares its commit with nobody.
pub(in crate::store::sql) async fn leave(
    write: &mut Write,
    id: EntryId,
    lease: LeaseId,
    now: Timestamp,
) -> Result<Leave, Failure> {
    let granted = grant(write, &[(0, (id, lease))], now).await?;
    Ok(granted.into_iter().next().map_or(Leave::Lost, |(_, leave)| leave))
}

fn values<'a>(id: &'a EntryId, lease: &'a LeaseId, now: Timestamp) -> [Value<'a>; 4] {
    [
        id.as_bytes().as_slice().into(),
        lease.as_bytes().as_slice().into(),
        now.as_micros().into(),
        i64::from(MOST_UNSURE).into(),
    ]
}

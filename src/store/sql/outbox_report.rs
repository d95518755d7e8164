//! What reports read of the outbox.

use std::time::Duration;

use super::{
    Failure,
    query::{Connection, Row, query},
    rows::Columns,
};
use crate::{
    domain::{
        delivery::{DeliveryState, Stage},
        id::{ChallengeId, EntryId},
    },
    store::{AttemptRecord, Entry, MailKind, QueueDepth},
};

const TABLE: &str = "outbox";

/// Everything but the sealed mail.
macro_rules! columns {
    () => {
        concat!(
            "id, kind, challenge, state, submitted_at, sent_at, expires_at, next_attempt_at, masked_recipient, ",
            "subject, account, sender, attempts, last_error, message_id, changed_at"
        )
    };
}

macro_rules! entries {
    ($condition:literal) => {
        concat!("SELECT ", columns!(), " FROM outbox WHERE ", $condition)
    };
}

/// The columns that [`entry`] reads.
pub(super) const COLUMNS: &str = columns!();

pub(super) async fn newest(
    connection: &mut Connection,
    challenge: ChallengeId,
) -> Result<Option<Entry>, Failure> {
    let row = query(entries!(
        "challenge = $1 ORDER BY submitted_at DESC, id DESC LIMIT 1"
    ))
    .bind(challenge.as_bytes().as_slice())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(entry).transpose()
}

pub(super) async fn find(connection: &mut Connection, id: EntryId) -> Result<Option<Entry>, Failure> {
    let row = query(entries!("id = $1 AND decoy = 0"))
        .bind(id.as_bytes().as_slice())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(entry).transpose()
}

pub(super) async fn depth(connection: &mut Connection) -> Result<QueueDepth, Failure> {
    let row = query(
        "SELECT COUNT(*) AS waiting, MIN(submitted_at) AS oldest FROM outbox \
         WHERE state IN (1, 3) AND decoy = 0",
    )
    .fetch_one(connection)
    .await?;
    let columns = Columns::new(TABLE, &row);
    Ok(QueueDepth {
        waiting: columns.count("waiting")?,
        oldest: columns.time_if_any("oldest")?,
    })
}

pub(super) async fn attempts(
    connection: &mut Connection,
    entry: EntryId,
) -> Result<Vec<AttemptRecord>, Failure> {
    let rows = query(
        "SELECT number, started_at, duration, account, stage, reply_code, reply, outcome FROM attempts \
         WHERE entry = $1 ORDER BY number",
    )
    .bind(entry.as_bytes().as_slice())
    .fetch_all(connection)
    .await?;
    rows.iter().map(attempt).collect()
}

/// An entry of a row.
pub(super) fn entry(row: &Row) -> Result<Entry, Failure> {
    let columns = Columns::new(TABLE, row);
    let state = columns.known(DeliveryState::from_tag(columns.number("state")?))?;
    let next_attempt_at = columns.time_if_any("next_attempt_at")?;
    Ok(Entry {
        id: EntryId::from_bytes(columns.bytes("id")?),
        kind: columns.known(MailKind::from_tag(columns.number("kind")?))?,
        challenge: columns.bytes_if_any("challenge")?.map(ChallengeId::from_bytes),
        state,
        submitted_at: columns.time("submitted_at")?,
        sent_at: columns.time_if_any("sent_at")?,
        expires_at: columns.time("expires_at")?,
        next_attempt_at: next_attempt_at.filter(|_| state.is_open()),
        masked_recipient: columns.text("masked_recipient")?,
        subject: columns.text("subject")?,
        account: columns.text("account")?,
        sender: columns.text("sender")?,
        attempts: columns.count("attempts")?,
        last_error: columns.text("last_error")?,
        message_id: columns.text("message_id")?,
        changed_at: columns.time("changed_at")?,
    })
}

fn attempt(row: &Row) -> Result<AttemptRecord, Failure> {
    let columns = Columns::new("attempts", row);
    let reply_code = columns.number_if_any("reply_code")?;
    Ok(AttemptRecord {
        number: columns.count("number")?,
        started_at: columns.time("started_at")?,
        duration: Duration::from_micros(columns.count("duration")?),
        account: columns.text("account")?,
        stage: columns.known(Stage::from_name(&columns.text("stage")?))?,
        reply_code: columns.known(reply_code.map(u16::try_from).transpose().ok())?,
        reply: columns.text("reply")?,
        outcome: columns.known(DeliveryState::from_tag(columns.number("outcome")?))?,
    })
}

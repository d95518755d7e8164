//! What reports read of the outbox.

use std::time::Duration;

use sqlx::QueryBuilder;

use super::{
    Failure,
    dialect::{Connection, Db, Row},
    rows::Columns,
};
use crate::{
    domain::{
        delivery::{DeliveryState, Stage},
        id::{ChallengeId, EntryId},
    },
    store::{AttemptRecord, Entry, EntryFilter, MailKind, PageKey, QueueDepth},
};

const TABLE: &str = "outbox";

/// Everything but the sealed mail.
macro_rules! entries {
    ($condition:literal) => {
        concat!(
            "SELECT id, kind, challenge, state, submitted_at, sent_at, expires_at, next_attempt_at, ",
            "masked_recipient, subject, account, attempts, last_error, message_id FROM outbox WHERE ",
            $condition
        )
    };
}

pub(super) async fn newest(
    connection: &mut Connection,
    challenge: ChallengeId,
) -> Result<Option<Entry>, Failure> {
    let row = sqlx::query(entries!(
        "challenge = $1 ORDER BY submitted_at DESC, id DESC LIMIT 1"
    ))
    .bind(challenge.as_bytes().as_slice())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(entry).transpose()
}

pub(super) async fn find(connection: &mut Connection, id: EntryId) -> Result<Option<Entry>, Failure> {
    let row = sqlx::query(entries!("id = $1 AND decoy = 0"))
        .bind(id.as_bytes().as_slice())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(entry).transpose()
}

pub(super) async fn list(
    connection: &mut Connection,
    filter: &EntryFilter,
    after: Option<PageKey>,
    limit: u32,
) -> Result<Vec<Entry>, Failure> {
    let mut query = QueryBuilder::<Db>::new(entries!("decoy = 0"));
    if !filter.states.is_empty() {
        query.push(" AND state IN (");
        let mut tags = query.separated(", ");
        for state in &filter.states {
            tags.push_bind(state.tag());
        }
        query.push(")");
    }
    if let Some(account) = &filter.account {
        query.push(" AND account = ").push_bind(account);
    }
    if let Some(from) = filter.from {
        query.push(" AND submitted_at >= ").push_bind(from.as_micros());
    }
    if let Some(until) = filter.until {
        query.push(" AND submitted_at < ").push_bind(until.as_micros());
    }
    if let Some(after) = &after {
        query.push(" AND (submitted_at, id) < (");
        query.push_bind(after.submitted_at.as_micros()).push(", ");
        query.push_bind(after.id.as_bytes().as_slice()).push(")");
    }
    query.push(" ORDER BY submitted_at DESC, id DESC LIMIT ");
    query.push_bind(i64::from(limit));
    // The text depends on the filter: kept statements would push out those of every day.
    let rows = query.build().persistent(false).fetch_all(connection).await?;
    rows.iter().map(entry).collect()
}

pub(super) async fn depth(connection: &mut Connection) -> Result<QueueDepth, Failure> {
    let row = sqlx::query(
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
    let rows = sqlx::query(
        "SELECT number, started_at, duration, account, stage, reply_code, reply, outcome FROM attempts \
         WHERE entry = $1 ORDER BY number",
    )
    .bind(entry.as_bytes().as_slice())
    .fetch_all(connection)
    .await?;
    rows.iter().map(attempt).collect()
}

fn entry(row: &Row) -> Result<Entry, Failure> {
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
        attempts: columns.count("attempts")?,
        last_error: columns.text("last_error")?,
        message_id: columns.text("message_id")?,
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

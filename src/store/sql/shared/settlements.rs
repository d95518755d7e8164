//! Settlements that share a commit. States: 2 sent, 5 bounced, 7 withdrawn.

use std::collections::{HashMap, HashSet};

use super::super::{
    Failure, bulk,
    query::{Value, Write},
    rows::Columns,
};
use crate::{
    domain::{
        clock::Timestamp,
        delivery::{DeliveryState, SendFailure},
        id::{ChallengeId, EntryId},
    },
    store::{AttemptRecord, Outcome, Settlement},
};

const TABLE: &str = "outbox";

/// How they were settled.
pub(super) struct Settled {
    /// For each whether its lease still held.
    pub(super) answers: Vec<(usize, bool)>,
    /// The challenges whose mails were sent.
    pub(super) sent: Vec<ChallengeId>,
}

/// Records what became of mails and gives their leases up. A mail that was withdrawn meanwhile stays so, unless it had
/// been sent; one that is said to be sent and has come back already (report 1) is bounced.
pub(super) async fn settle(
    write: &mut Write,
    settlements: &[(usize, &Settlement)],
    now: Timestamp,
) -> Result<Settled, Failure> {
    let mut ids = HashSet::with_capacity(settlements.len());
    if !settlements
        .iter()
        .all(|(_, settlement)| ids.insert(settlement.id))
    {
        // Said twice, because the first answer was late: one after the other.
        return Err(Failure::Raced);
    }
    let rows = bulk::put_and_fetch(
        write,
        "UPDATE outbox SET \
         state = CASE WHEN outbox.state = 7 AND v.column3 <> 2 THEN 7 WHEN v.column3 = 2 AND EXISTS \
         (SELECT 1 FROM reports WHERE reports.entry = outbox.id AND reports.kind = 1) THEN 5 ELSE v.column3 END, \
         sent_at = v.column4, next_attempt_at = CASE WHEN outbox.state = 7 THEN NULL ELSE v.column5 END, \
         last_error = v.column6, subject = COALESCE(v.column7, outbox.subject), \
         account = COALESCE(v.column8, outbox.account), attempts = outbox.attempts + v.column9, \
         unsure = CASE WHEN outbox.unsure > v.column10 THEN outbox.unsure - v.column10 ELSE 0 END, \
         sender = COALESCE(v.column11, outbox.sender), changed_at = v.column12, charged = 0, lease = NULL, \
         leased_until = 0 FROM (VALUES ",
        settlements,
        |(_, settlement)| values(settlement, now),
        ") AS v WHERE outbox.id = v.column1 AND outbox.lease = v.column2 RETURNING id, attempts, challenge",
    )
    .await?;
    let mut made: HashMap<EntryId, u32> = HashMap::with_capacity(rows.len());
    let mut challenges: HashMap<EntryId, ChallengeId> = HashMap::with_capacity(rows.len());
    for row in &rows {
        let columns = Columns::new(TABLE, row);
        let id = EntryId::from_bytes(columns.bytes("id")?);
        made.insert(id, columns.count("attempts")?);
        if let Some(challenge) = columns.bytes_if_any("challenge")? {
            challenges.insert(id, ChallengeId::from_bytes(challenge));
        }
    }
    record(write, settlements, &made).await?;
    let settled = settlements.iter();
    let answers = settled.map(|(place, settlement)| (*place, made.contains_key(&settlement.id)));
    let sent = settlements
        .iter()
        .filter(|(_, settlement)| matches!(settlement.outcome, Outcome::Sent { .. }));
    Ok(Settled {
        answers: answers.collect(),
        sent: sent
            .filter_map(|(_, settlement)| challenges.get(&settlement.id).copied())
            .collect(),
    })
}

fn values(settlement: &Settlement, now: Timestamp) -> [Value<'_>; 12] {
    let (state, sent_at, next_attempt_at, failure) = match &settlement.outcome {
        Outcome::Sent { at } => (DeliveryState::Sent, Some(*at), None, None),
        Outcome::Retry { at, failure } => (DeliveryState::Deferred, None, Some(*at), Some(failure)),
        Outcome::Failed { failure } => (DeliveryState::Failed, None, None, Some(failure)),
        Outcome::Expired { failure } => (DeliveryState::Expired, None, None, failure.as_ref()),
    };
    let account = settlement.attempts.last().map(|attempt| attempt.account.as_str());
    [
        settlement.id.as_bytes().as_slice().into(),
        settlement.lease.as_bytes().as_slice().into(),
        state.tag().into(),
        sent_at.map(Timestamp::as_micros).into(),
        next_attempt_at.map(Timestamp::as_micros).into(),
        failure.map(SendFailure::to_string).unwrap_or_default().into(),
        settlement.subject.as_deref().into(),
        account.into(),
        i64::try_from(settlement.attempts.len())
            .unwrap_or(i64::MAX)
            .into(),
        i64::from(settlement.fate_known).into(),
        settlement.sender.as_deref().into(),
        now.as_micros().into(),
    ]
}

/// Keeps the attempts, numbered on from those before.
async fn record(
    write: &mut Write,
    settlements: &[(usize, &Settlement)],
    made: &HashMap<EntryId, u32>,
) -> Result<(), Failure> {
    let mut attempts: Vec<(EntryId, u32, &AttemptRecord)> = Vec::with_capacity(settlements.len());
    for (_, settlement) in settlements {
        let Some(made) = made.get(&settlement.id) else {
            continue;
        };
        let before = made.saturating_sub(u32::try_from(settlement.attempts.len()).unwrap_or(u32::MAX));
        let numbered = (before + 1..).zip(&settlement.attempts);
        attempts.extend(numbered.map(|(number, attempt)| (settlement.id, number, attempt)));
    }
    bulk::put(
        write,
        "INSERT INTO attempts (entry, number, started_at, duration, account, stage, reply_code, reply, outcome) VALUES ",
        &attempts,
        |(entry, number, attempt)| {
            [
                entry.as_bytes().as_slice().into(),
                i64::from(*number).into(),
                attempt.started_at.as_micros().into(),
                i64::try_from(attempt.duration.as_micros()).unwrap_or(i64::MAX).into(),
                (&attempt.account).into(),
                attempt.stage.name().into(),
                attempt.reply_code.map(i64::from).into(),
                (&attempt.reply).into(),
                attempt.outcome.tag().into(),
            ]
        },
        "",
    )
    .await?;
    Ok(())
}

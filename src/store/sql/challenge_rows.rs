//! The table of challenges: its statements and what its rows mean.

use super::{
    Failure, flag,
    query::{Connection, Row, query},
    rows::Columns,
};
use crate::{
    domain::{
        caller::CallerId,
        challenge::{Challenge, Purpose, State},
        clock::Timestamp,
        code::CodeSpec,
        id::ChallengeId,
        keyring::{KeyId, Sealed, Subject},
    },
    store::{RequestKey, Resend, Started, StoreError},
};

const TABLE: &str = "challenges";

/// A row that was there a moment ago is not what it was.
pub(super) fn unreadable() -> Failure {
    Failure::Store(StoreError::Corrupt(TABLE))
}

pub(super) async fn find(connection: &mut Connection, id: ChallengeId) -> Result<Option<Challenge>, Failure> {
    let row = query("SELECT * FROM challenges WHERE id = $1")
        .bind(id.as_bytes().as_slice())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(challenge).transpose()
}

/// The same, inside a transaction that is about to change it.
pub(super) async fn find_for_update(
    connection: &mut Connection,
    id: ChallengeId,
) -> Result<Option<Challenge>, Failure> {
    const STATEMENT: &str = "SELECT * FROM challenges WHERE id = $1";
    let statement = [STATEMENT, connection.engine().for_update()].concat();
    let row = query(statement)
        .bind(id.as_bytes().as_slice())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(challenge).transpose()
}

/// What an earlier start with this request id is answered with.
pub(super) async fn repeated(
    connection: &mut Connection,
    request: Option<RequestKey>,
) -> Result<Option<Started>, Failure> {
    let Some(request) = request else {
        return Ok(None);
    };
    let row = query("SELECT * FROM challenges WHERE request_id = $1")
        .bind(request.id.as_bytes().as_slice())
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    if Columns::new(TABLE, &row).subject("request_contents")? == request.contents {
        Ok(Some(Started::Repeated(Box::new(challenge(&row)?))))
    } else {
        Ok(Some(Started::RequestReused))
    }
}

/// Writes a new challenge. `false`: its request id is taken, and nothing was written.
pub(super) async fn insert(
    connection: &mut Connection,
    challenge: &Challenge,
    request: Option<RequestKey>,
) -> Result<bool, Failure> {
    let inserted = query(
        "INSERT INTO challenges (id, caller, purpose, alphabet, code_length, code_key, user_hash, address_hash, \
         decoy, state, code_number, most_codes, codes_before, attempts, most_attempts, created_at, expires_at, \
         resend_at, verified_at, masked_recipient, event, endpoint, context, request_id, request_contents, confirms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, \
         $22, $23, $24, $25, $26) ON CONFLICT (request_id) DO NOTHING",
    )
    .bind(challenge.id.as_bytes().as_slice())
    .bind(challenge.caller.to_string())
    .bind(i64::from(challenge.purpose.tag()))
    .bind(challenge.spec.alphabet().as_str())
    .bind(i64::from(challenge.spec.length()))
    .bind(challenge.key.as_str())
    .bind(challenge.user.as_bytes().as_slice())
    .bind(challenge.address.as_bytes().as_slice())
    .bind(flag(challenge.decoy))
    .bind(challenge.state.tag())
    .bind(i64::from(challenge.code_number))
    .bind(i64::from(challenge.most_codes))
    .bind(i64::from(challenge.codes_before))
    .bind(i64::from(challenge.attempts))
    .bind(i64::from(challenge.most_attempts))
    .bind(challenge.created_at.as_micros())
    .bind(challenge.expires_at.as_micros())
    .bind(challenge.resend_at.as_micros())
    .bind(challenge.verified_at.map(Timestamp::as_micros))
    .bind(&challenge.masked_recipient)
    .bind(&challenge.event)
    .bind(&challenge.endpoint)
    .bind(challenge.context.as_bytes())
    .bind(request.as_ref().map(|request| request.id.as_bytes().as_slice()))
    .bind(request.as_ref().map(|request| request.contents.as_bytes().as_slice()))
    .bind(challenge.confirms.as_ref().map(|address| address.as_bytes().as_slice()))
    .execute(connection)
    .await?;
    Ok(inserted == 1)
}

/// Moves a pending challenge on to its next code.
pub(super) async fn next_code(
    connection: &mut Connection,
    resend: &Resend,
) -> Result<Option<Challenge>, Failure> {
    let row = query(
        "UPDATE challenges SET code_number = $2, resend_at = $3 \
         WHERE id = $1 AND state = 1 AND code_number = $2 - 1 AND resend_at <= $4 AND expires_at > $4 RETURNING *",
    )
    .bind(resend.id.as_bytes().as_slice())
    .bind(i64::from(resend.number))
    .bind(resend.resend_at.as_micros())
    .bind(resend.now.as_micros())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(challenge).transpose()
}

/// Closes a pending challenge that is in time.
pub(super) async fn close(
    connection: &mut Connection,
    id: ChallengeId,
    state: State,
    now: Timestamp,
) -> Result<Option<Challenge>, Failure> {
    let verified_at = (state == State::Verified).then(|| now.as_micros());
    let row = query(
        "UPDATE challenges SET state = $2, verified_at = $3 \
         WHERE id = $1 AND state = 1 AND attempts < most_attempts AND expires_at > $4 RETURNING *",
    )
    .bind(id.as_bytes().as_slice())
    .bind(state.tag())
    .bind(verified_at)
    .bind(now.as_micros())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(challenge).transpose()
}

/// Counts a wrong code; the last one locks the challenge (state 4).
pub(super) async fn count_wrong(
    connection: &mut Connection,
    id: ChallengeId,
    now: Timestamp,
) -> Result<Option<Challenge>, Failure> {
    let row = query(
        "UPDATE challenges SET attempts = attempts + 1, \
         state = CASE WHEN attempts + 1 >= most_attempts THEN 4 ELSE state END \
         WHERE id = $1 AND state = 1 AND attempts < most_attempts AND expires_at > $2 RETURNING *",
    )
    .bind(id.as_bytes().as_slice())
    .bind(now.as_micros())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(challenge).transpose()
}

pub(super) async fn purge(
    connection: &mut Connection,
    expired_before: Timestamp,
    limit: u32,
) -> Result<u64, Failure> {
    let purged = query(
        "DELETE FROM challenges WHERE id IN (\
         SELECT id FROM challenges WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)",
    )
    .bind(expired_before.as_micros())
    .bind(i64::from(limit))
    .execute(connection)
    .await?;
    Ok(purged)
}

fn challenge(row: &Row) -> Result<Challenge, Failure> {
    let columns = Columns::new(TABLE, row);
    let alphabet = columns.text("alphabet")?;
    Ok(Challenge {
        id: ChallengeId::from_bytes(columns.bytes("id")?),
        caller: columns.known(CallerId::parse(&columns.text("caller")?))?,
        purpose: columns.known(Purpose::from_tag(columns.number("purpose")?))?,
        spec: columns.known(CodeSpec::kept(&alphabet, columns.count("code_length")?))?,
        key: columns.known(KeyId::parse(&columns.text("code_key")?).ok())?,
        user: columns.subject("user_hash")?,
        address: columns.subject("address_hash")?,
        decoy: columns.flag("decoy")?,
        state: columns.known(State::from_tag(columns.number("state")?))?,
        code_number: columns.count("code_number")?,
        most_codes: columns.count("most_codes")?,
        codes_before: columns.count("codes_before")?,
        attempts: columns.count("attempts")?,
        most_attempts: columns.count("most_attempts")?,
        created_at: columns.time("created_at")?,
        expires_at: columns.time("expires_at")?,
        resend_at: columns.time("resend_at")?,
        verified_at: columns.time_if_any("verified_at")?,
        masked_recipient: columns.text("masked_recipient")?,
        event: columns.text("event")?,
        endpoint: columns.text("endpoint")?,
        context: Sealed::from_bytes(columns.blob("context")?),
        confirms: columns.bytes_if_any("confirms")?.map(Subject::from_bytes),
    })
}

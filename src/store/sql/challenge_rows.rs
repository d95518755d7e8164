//! The table of challenges: its statements and what its rows mean.

use super::{
    Failure, flag,
    query::{Connection, Row, Value, query},
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
    store::{Resend, Start},
};

const TABLE: &str = "challenges";

pub(super) async fn find(connection: &mut Connection, id: ChallengeId) -> Result<Option<Challenge>, Failure> {
    let row = query("SELECT * FROM challenges WHERE id = $1")
        .bind(id.as_bytes().as_slice())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(challenge).transpose()
}

/// What its further codes are mailed with.
pub(super) async fn context(connection: &mut Connection, id: ChallengeId) -> Result<Option<Sealed>, Failure> {
    let row = query("SELECT context FROM challenges WHERE id = $1")
        .bind(id.as_bytes().as_slice())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(context_of).transpose()
}

/// The same as [`find`], inside a transaction that is about to change it.
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

/// A challenge that was started with a request id: that, and what was asked.
pub(super) fn requested(row: &Row) -> Result<(Subject, (Subject, Challenge)), Failure> {
    let columns = Columns::new(TABLE, row);
    let contents = columns.subject("request_contents")?;
    Ok((columns.subject("request_id")?, (contents, challenge(row)?)))
}

/// Writes new challenges, whose rows of [`values`] follow.
pub(super) const INSERT: &str = "INSERT INTO challenges (id, caller, purpose, alphabet, code_length, code_key, \
    user_hash, address_hash, decoy, state, code_number, most_codes, codes_before, attempts, most_attempts, created_at, \
    expires_at, resend_at, verified_at, masked_recipient, event, endpoint, context, request_id, request_contents, \
    confirms, name_hash) VALUES ";

/// The row of a new challenge.
pub(super) fn values(start: &Start) -> [Value<'_>; 27] {
    let (challenge, request) = (&start.challenge, start.request.as_ref());
    [
        challenge.id.as_bytes().as_slice().into(),
        challenge.caller.to_string().into(),
        i64::from(challenge.purpose.tag()).into(),
        challenge.spec.alphabet().as_str().into(),
        i64::from(challenge.spec.length()).into(),
        challenge.key.as_str().into(),
        challenge.user.as_bytes().as_slice().into(),
        challenge.address.as_bytes().as_slice().into(),
        flag(challenge.decoy).into(),
        challenge.state.tag().into(),
        i64::from(challenge.code_number).into(),
        i64::from(challenge.most_codes).into(),
        i64::from(challenge.codes_before).into(),
        i64::from(challenge.attempts).into(),
        i64::from(challenge.most_attempts).into(),
        challenge.created_at.as_micros().into(),
        challenge.expires_at.as_micros().into(),
        challenge.resend_at.as_micros().into(),
        challenge.verified_at.map(Timestamp::as_micros).into(),
        (&challenge.masked_recipient).into(),
        (&challenge.event).into(),
        (&challenge.endpoint).into(),
        start.context.as_bytes().into(),
        request.map(|request| request.id.as_bytes().as_slice()).into(),
        request
            .map(|request| request.contents.as_bytes().as_slice())
            .into(),
        challenge
            .confirms
            .as_ref()
            .map(|address| address.as_bytes().as_slice())
            .into(),
        challenge
            .name
            .as_ref()
            .map(|name| name.as_bytes().as_slice())
            .into(),
    ]
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

pub(super) async fn purge_decoys(
    connection: &mut Connection,
    expired_before: Timestamp,
    limit: u32,
) -> Result<u64, Failure> {
    let purged = query(
        "DELETE FROM challenges WHERE id IN (SELECT id FROM challenges \
         WHERE decoy = 1 AND request_id IS NULL AND expires_at < $1 ORDER BY expires_at LIMIT $2)",
    )
    .bind(expired_before.as_micros())
    .bind(i64::from(limit))
    .execute(connection)
    .await?;
    Ok(purged)
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

/// The columns of what changes in the life of a challenge, its name, and what its further codes are mailed with.
pub(super) const MOVING: &str = "id, state, code_number, attempts, resend_at, verified_at, context";

/// What never changes of a challenge as it is known, the rest as the row of [`MOVING`] has it.
pub(super) fn moved(row: &Row, known: &Challenge) -> Result<Challenge, Failure> {
    let columns = Columns::new(TABLE, row);
    Ok(Challenge {
        state: columns.known(State::from_tag(columns.number("state")?))?,
        code_number: columns.count("code_number")?,
        attempts: columns.count("attempts")?,
        resend_at: columns.time("resend_at")?,
        verified_at: columns.time_if_any("verified_at")?,
        ..known.clone()
    })
}

/// What further codes of a row's challenge are mailed with.
pub(super) fn context_of(row: &Row) -> Result<Sealed, Failure> {
    Ok(Sealed::from_bytes(Columns::new(TABLE, row).blob("context")?))
}

/// The name of a challenge of a row.
pub(super) fn id(row: &Row) -> Result<ChallengeId, Failure> {
    Ok(ChallengeId::from_bytes(Columns::new(TABLE, row).bytes("id")?))
}

/// A challenge of a row.
pub(super) fn challenge(row: &Row) -> Result<Challenge, Failure> {
    let columns = Columns::new(TABLE, row);
    let alphabet = columns.text("alphabet")?;
    Ok(Challenge {
        id: ChallengeId::from_bytes(columns.bytes("id")?),
        caller: columns.known(CallerId::parse(&columns.text("caller")?))?,
        purpose: columns.known(Purpose::from_tag(columns.number("purpose")?))?,
        spec: columns.known(CodeSpec::kept(&alphabet, columns.count("code_length")?))?,
        key: columns.known(KeyId::parse(&columns.text("code_key")?).ok())?,
        user: columns.subject("user_hash")?,
        name: columns.bytes_if_any("name_hash")?.map(Subject::from_bytes),
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
        confirms: columns.bytes_if_any("confirms")?.map(Subject::from_bytes),
    })
}

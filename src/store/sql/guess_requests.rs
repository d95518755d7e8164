//! The table of request ids of guesses: what each counted, so that it is counted once.

use super::{
    Failure, bulk,
    query::{Connection, Row, Value, Write, query},
    rows::Columns,
};
use crate::{
    domain::{challenge::Verdict, clock::Timestamp, keyring::Subject},
    store::RequestKey,
};

const TABLE: &str = "guess_requests";

const VERIFIED: i64 = 1;
const WRONG: i64 = 2;

/// What a request id came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    /// The request id, and what was asked.
    pub(super) request: RequestKey,
    /// The verdict.
    pub(super) verdict: Verdict,
    /// When its challenge expires: it is kept as long as that.
    pub(super) expires_at: Timestamp,
}

/// What is kept of these request ids.
pub(super) async fn read(write: &mut Write, ids: &[Subject]) -> Result<Vec<Kept>, Failure> {
    let ids: Vec<&[u8]> = ids.iter().map(|id| id.as_bytes().as_slice()).collect();
    let found = bulk::fetch(write, "SELECT * FROM guess_requests WHERE id IN (", &ids, ")").await?;
    found.iter().map(kept).collect()
}

/// Keeps new ones. Their challenges are held, so that nobody else keeps one of them meanwhile.
pub(super) async fn insert(write: &mut Write, new: &[Kept]) -> Result<(), Failure> {
    let written = bulk::put(
        write,
        "INSERT INTO guess_requests (id, contents, verdict, attempts_left, verified_at, expires_at) VALUES ",
        new,
        values,
        " ON CONFLICT (id) DO NOTHING",
    )
    .await?;
    Failure::unless_all(written, new.len())
}

fn values(kept: &Kept) -> [Value<'_>; 6] {
    let (verdict, attempts_left, verified_at) = match kept.verdict {
        Verdict::Verified { at } => (VERIFIED, 0, Some(at.as_micros())),
        Verdict::Wrong { attempts_left } => (WRONG, attempts_left, None),
        // Nothing else is counted; should it come here, it can be read by nobody.
        _ => (0, 0, None),
    };
    [
        kept.request.id.as_bytes().as_slice().into(),
        kept.request.contents.as_bytes().as_slice().into(),
        verdict.into(),
        i64::from(attempts_left).into(),
        verified_at.into(),
        kept.expires_at.as_micros().into(),
    ]
}

fn kept(row: &Row) -> Result<Kept, Failure> {
    let columns = Columns::new(TABLE, row);
    let verdict = match columns.number("verdict")? {
        VERIFIED => Verdict::Verified {
            at: columns.time("verified_at")?,
        },
        WRONG => Verdict::Wrong {
            attempts_left: columns.count("attempts_left")?,
        },
        _ => return Err(columns.corrupt().into()),
    };
    Ok(Kept {
        request: RequestKey {
            id: columns.subject("id")?,
            contents: columns.subject("contents")?,
        },
        verdict,
        expires_at: columns.time("expires_at")?,
    })
}

/// Forgets those whose challenges expired before a moment: at most so many challenges' worth of them.
pub(super) async fn purge(connection: &mut Connection, moment: Timestamp, limit: u32) -> Result<(), Failure> {
    query(
        "DELETE FROM guess_requests WHERE id IN (\
         SELECT id FROM guess_requests WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)",
    )
    .bind(moment.as_micros())
    .bind(i64::from(limit) * MOST_EACH)
    .execute(connection)
    .await?;
    Ok(())
}

/// What one challenge may leave here: each of its attempts, and the right code.
const MOST_EACH: i64 = 11;

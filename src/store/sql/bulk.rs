//! Statements about many rows at once: one journey to the database for all of them.
//!
//! The rows are cut into a few sizes, so that there are few texts and each stays prepared.

use std::{borrow::Cow, fmt::Write as _};

use super::{
    Failure,
    query::{Connection, Query, Row, Value, query},
};

/// From the largest down. Each row has at most 32 values: 64 rows stay far below what either engine takes.
const SIZES: [usize; 4] = [64, 16, 4, 1];

/// The items in few sizes, in order.
pub(super) fn chunks<T>(mut items: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|size| *size <= items.len())?;
        let (chunk, rest) = items.split_at(size);
        items = rest;
        Some(chunk)
    })
}

/// All rows whose key is among these: `SELECT ... WHERE key IN (` stands before the keys, `) ...` after them.
pub(super) async fn fetch<K: AsRef<[u8]>>(
    connection: &mut Connection,
    before: impl Into<Cow<'static, str>>,
    keys: &[K],
    after: &str,
) -> Result<Vec<Row>, Failure> {
    let before = before.into();
    let mut rows = Vec::with_capacity(keys.len());
    for chunk in chunks(keys) {
        let mut query = query(before.clone());
        query.push_list(chunk.iter().map(AsRef::as_ref)).push(after);
        rows.extend(query.fetch_all(connection).await?);
    }
    Ok(rows)
}

/// The same for a statement that changes rows: says how many. `$1` is `first`, where there is one.
pub(super) async fn execute<K: AsRef<[u8]>>(
    connection: &mut Connection,
    before: &'static str,
    first: Option<i64>,
    keys: &[K],
    after: &'static str,
) -> Result<u64, Failure> {
    let mut changed = 0;
    for chunk in chunks(keys) {
        let mut query = query(before).bind_all(first.map(Value::from));
        query.push_list(chunk.iter().map(AsRef::as_ref)).push(after);
        changed += query.execute(connection).await?;
    }
    Ok(changed)
}

/// Runs a statement whose rows of values stand between `before` and `after`: says how many rows it changed.
pub(super) async fn put<T, const N: usize>(
    connection: &mut Connection,
    before: &'static str,
    items: &[T],
    row: impl for<'t> Fn(&'t T) -> [Value<'t>; N],
    after: &'static str,
) -> Result<u64, Failure> {
    let mut changed = 0;
    for chunk in chunks(items) {
        changed += with_rows(before, chunk, &row, after).execute(connection).await?;
    }
    Ok(changed)
}

/// The same for a statement that answers with rows.
pub(super) async fn put_and_fetch<T, const N: usize>(
    connection: &mut Connection,
    before: &'static str,
    items: &[T],
    row: impl for<'t> Fn(&'t T) -> [Value<'t>; N],
    after: &'static str,
) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::with_capacity(items.len());
    for chunk in chunks(items) {
        rows.extend(
            with_rows(before, chunk, &row, after)
                .fetch_all(connection)
                .await?,
        );
    }
    Ok(rows)
}

fn with_rows<'t, T, const N: usize>(
    before: &'static str,
    items: &'t [T],
    row: &impl for<'r> Fn(&'r T) -> [Value<'r>; N],
    after: &'static str,
) -> Query<'t> {
    let mut text = String::with_capacity(before.len() + after.len() + items.len() * N * 6);
    text.push_str(before);
    let mut place = 0;
    for at in 0..items.len() {
        for column in 0..N {
            place += 1;
            let separator = match (column, at) {
                (0, 0) => "(",
                (0, _) => "), (",
                _ => ", ",
            };
            // Writing to a string does not fail.
            let _ = write!(text, "{separator}${place}");
        }
    }
    text.push(')');
    text.push_str(after);
    query(text).bind_all(items.iter().flat_map(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_few_and_nothing_is_left_out() {
        for length in [0, 1, 3, 4, 21, 64, 85, 200] {
            let items: Vec<usize> = (0..length).collect();
            let chunks: Vec<&[usize]> = chunks(&items).collect();
            assert!(chunks.iter().all(|chunk| SIZES.contains(&chunk.len())));
            assert_eq!(chunks.concat(), items);
        }
    }

    #[test]
    fn values_stand_where_their_places_are() {
        fn row(item: &i64) -> [Value<'_>; 2] {
            [(*item).into(), (item * 10).into()]
        }
        let query = with_rows("VALUES ", &[1, 2], &row, " ON CONFLICT DO NOTHING");
        assert_eq!(query.text(), "VALUES ($1, $2), ($3, $4) ON CONFLICT DO NOTHING");
        assert_eq!(query.values(), 4);
    }
}

//! Statements about many rows at once: one journey to the database for all of them.
//!
//! The rows come in a few sizes, so that there are few texts and each stays prepared. Where nothing comes of it that a row is
//! named twice, the last one is repeated up to the next size; new rows are cut into sizes.

use std::borrow::Cow;

use super::{
    Failure,
    dialect::Engine,
    query::{Connection, Query, Row, Value, query},
};

/// The largest size; the others are the powers of two below it. Each row has at most 32 values: that many rows stay far
/// below what either engine takes.
const MOST: usize = 64;

/// The items in few sizes, in order: what may be filled up need not be one of them yet.
fn cut<T>(mut items: &[T], may_be_filled: bool) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let power = items.len().checked_ilog2()?;
        let size = if may_be_filled { items.len() } else { 1 << power };
        let (chunk, rest) = items.split_at(size.min(MOST));
        items = rest;
        Some(chunk)
    })
}

/// The items, and the last one again until they are as many as the next size.
fn filled<T>(items: &[T]) -> impl Iterator<Item = &T> + Clone {
    let missing = items.len().next_power_of_two() - items.len();
    items.iter().chain(items.last().into_iter().cycle().take(missing))
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
    for chunk in cut(keys, true) {
        let query = with_keys(connection.engine(), &before, None, chunk, after);
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
    after: &str,
) -> Result<u64, Failure> {
    let mut changed = 0;
    for chunk in cut(keys, true) {
        let query = with_keys(connection.engine(), before, first, chunk, after);
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
    for chunk in cut(items, may_repeat(before)) {
        let query = with_rows(connection.engine(), before, chunk, &row, after);
        changed += query.execute(connection).await?;
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
    for chunk in cut(items, may_repeat(before)) {
        let query = with_rows(connection.engine(), before, chunk, &row, after);
        rows.extend(query.fetch_all(connection).await?);
    }
    Ok(rows)
}

/// A row that is changed twice in the same way is changed once; one that is made twice is a conflict.
fn may_repeat(statement: &str) -> bool {
    !statement.starts_with("INSERT")
}

fn with_keys<'k, K: AsRef<[u8]>>(
    engine: Engine,
    before: &str,
    first: Option<i64>,
    keys: &'k [K],
    after: &str,
) -> Query<'k> {
    let mut text = String::with_capacity(before.len() + after.len() + keys.len() * 6);
    let mut place = 0;
    match before.split_once("$1") {
        Some((before, rest)) => {
            text.push_str(before);
            engine.place(&mut place, &mut text);
            text.push_str(rest);
        }
        None => text.push_str(before),
    }
    let keys = filled(keys);
    for at in 0..keys.clone().count() {
        text.push_str(if at == 0 { "" } else { ", " });
        engine.place(&mut place, &mut text);
    }
    text.push_str(after);
    let keys = keys.map(|key| Value::from(key.as_ref()));
    query(text).bind_all(first.map(Value::from).into_iter().chain(keys))
}

fn with_rows<'t, T, const N: usize>(
    engine: Engine,
    before: &str,
    items: &'t [T],
    row: &impl for<'r> Fn(&'r T) -> [Value<'r>; N],
    after: &str,
) -> Query<'t> {
    let mut text = String::with_capacity(before.len() + after.len() + items.len() * N * 6);
    // Both INSERT and UPDATE have six letters.
    let (verb, rest) = before.split_at(6);
    text.push_str(verb);
    text.push_str(engine.or_fail());
    text.push_str(rest);
    let mut place = 0;
    // Of a number of rows that is a size nothing is repeated.
    let items = filled(items);
    for at in 0..items.clone().count() {
        for column in 0..N {
            text.push_str(match (column, at) {
                (0, 0) => "(",
                (0, _) => "), (",
                _ => ", ",
            });
            engine.place(&mut place, &mut text);
        }
    }
    text.push(')');
    text.push_str(after);
    query(text).bind_all(items.flat_map(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_few_and_nothing_is_left_out() {
        for length in [0, 1, 3, 4, 21, 64, 85, 200] {
            let items: Vec<usize> = (0..length).collect();
            let chunks: Vec<&[usize]> = cut(&items, false).collect();
            assert!(chunks.iter().all(|chunk| chunk.len().is_power_of_two()));
            assert_eq!(chunks.concat(), items);
            let chunks: Vec<&[usize]> = cut(&items, true).collect();
            assert_eq!(chunks.len(), length.div_ceil(MOST));
            assert_eq!(chunks.concat(), items);
            for chunk in chunks {
                let all: Vec<usize> = filled(chunk).copied().collect();
                let (own, repeated) = all.split_at(chunk.len());
                assert!(all.len().is_power_of_two() && all.len() <= MOST);
                assert_eq!(own, chunk);
                assert!(repeated.iter().all(|item| Some(item) == chunk.last()));
            }
        }
    }

    #[test]
    fn values_stand_where_their_places_are() {
        fn row(item: &i64) -> [Value<'_>; 2] {
            [(*item).into(), (item * 10).into()]
        }
        let texts = [Engine::Postgres, Engine::Sqlite].map(|engine| {
            let rows = with_rows(
                engine,
                "INSERT INTO t VALUES ",
                &[1, 2],
                &row,
                " ON CONFLICT DO NOTHING",
            );
            assert_eq!(rows.values(), 4);
            let keys = with_keys(engine, "SET a = $1 WHERE b IN (", Some(7), &[b"k", b"l"], ")");
            assert_eq!(keys.values(), 3);
            [rows.text().to_owned(), keys.text().to_owned()]
        });
        assert_eq!(
            texts,
            [
                [
                    "INSERT INTO t VALUES ($1, $2), ($3, $4) ON CONFLICT DO NOTHING",
                    "SET a = $1 WHERE b IN ($2, $3)"
                ],
                [
                    "INSERT OR FAIL INTO t VALUES (?, ?), (?, ?) ON CONFLICT DO NOTHING",
                    "SET a = ? WHERE b IN (?, ?)"
                ],
            ]
        );
    }
}

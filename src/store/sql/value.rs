//! What goes into a statement and comes out of a row, for every engine.
//!
//! Values are of four kinds: whole numbers, texts, bytes, and each of them missing; a missing one has a kind too, because
//! PostgreSQL asks for it.

use std::borrow::Cow;

use sqlx::{Row as _, postgres::PgRow, sqlite::SqliteRow};

type Result<T> = std::result::Result<T, sqlx::Error>;

/// A value of a statement.
#[derive(Clone, Debug)]
pub(super) enum Value<'q> {
    Number(Option<i64>),
    Text(Option<Cow<'q, str>>),
    Bytes(Option<Cow<'q, [u8]>>),
}

/// A row of an answer.
pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

#[cfg(test)]
impl Row {
    /// The value of a column that is there.
    pub(super) fn get<T: Cell>(&self, column: &str) -> T {
        T::of(self, column).unwrap()
    }
}

/// What a column may hold.
pub(super) trait Cell: Sized {
    /// The value of a column of a row.
    fn of(row: &Row, column: &str) -> Result<Self>;
}

macro_rules! cell {
    ($($type:ty),*) => {$(
        impl Cell for $type {
            fn of(row: &Row, column: &str) -> Result<Self> {
                match row {
                    Row::Sqlite(row) => row.try_get(column),
                    Row::Postgres(row) => row.try_get(column),
                }
            }
        }
    )*};
}

cell!(i64, Option<i64>, String, Option<String>, Vec<u8>, Option<Vec<u8>>);

macro_rules! value {
    ($kind:ident, $type:ty) => {
        impl<'q> From<$type> for Value<'q> {
            fn from(value: $type) -> Self {
                Self::$kind(Some(value.into()))
            }
        }

        impl<'q> From<Option<$type>> for Value<'q> {
            fn from(value: Option<$type>) -> Self {
                Self::$kind(value.map(Into::into))
            }
        }
    };
}

value!(Number, i64);
value!(Text, &'q str);
value!(Text, &'q String);
value!(Text, String);
value!(Bytes, &'q [u8]);
value!(Bytes, &'q Vec<u8>);
value!(Bytes, Vec<u8>);

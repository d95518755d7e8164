//! A statement with its values, and the connection that takes it: the same for every engine.
//!
//! The statements are one set for all engines (see [`super::dialect`] for what differs). Values are of four kinds: whole
//! numbers, texts, bytes, and each of them missing; a missing one has a kind too, because PostgreSQL asks for it.

use std::{
    borrow::Cow,
    ops::{Deref, DerefMut},
};

use sqlx::{
    AssertSqlSafe, Executor as _, Postgres, Row as _, Sqlite, Transaction,
    pool::PoolConnection,
    postgres::PgRow,
    sqlite::{SqliteConnection, SqliteRow},
};

use super::{dialect::Engine, server::Lent};
use crate::domain::clock::Timestamp;

type Result<T> = std::result::Result<T, sqlx::Error>;

/// A connection of one of the engines, in a transaction or not.
pub(super) enum Connection {
    Sqlite(PoolConnection<Sqlite>),
    SqliteWrite(Transaction<'static, Sqlite>),
    Postgres(Lent),
}

/// A connection to read from.
pub(super) struct Read(pub(super) Connection);

/// A transaction that writes. Dropped without a commit, it is undone before its connection does anything else.
pub(super) struct Write(pub(super) Connection);

enum Link<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut Lent),
}

impl Connection {
    fn link(&mut self) -> Link<'_> {
        match self {
            Self::Sqlite(connection) => Link::Sqlite(connection),
            Self::SqliteWrite(transaction) => Link::Sqlite(transaction),
            Self::Postgres(lent) => Link::Postgres(lent),
        }
    }

    /// Which engine it speaks to.
    pub(super) fn engine(&self) -> Engine {
        match self {
            Self::Sqlite(_) | Self::SqliteWrite(_) => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
        }
    }

    /// When its transaction began, on the server's clock.
    pub(super) fn began_at(&self) -> Option<Timestamp> {
        match self {
            Self::Postgres(lent) => lent.began_at(),
            Self::Sqlite(_) | Self::SqliteWrite(_) => None,
        }
    }

    /// Tells other instances of a mail that is due and that nobody has taken. A file has no other instances.
    pub(super) async fn announce(&mut self) -> Result<()> {
        match self {
            Self::Postgres(lent) => lent.announce().await,
            Self::Sqlite(_) | Self::SqliteWrite(_) => Ok(()),
        }
    }

    /// SQLite's own, for what only it can do.
    #[cfg(test)]
    pub(super) fn sqlite(&mut self) -> &mut SqliteConnection {
        match self.link() {
            Link::Sqlite(connection) => connection,
            Link::Postgres(_) => panic!("not SQLite"),
        }
    }

    /// Runs a script of several statements, without values.
    pub(super) async fn run_script(&mut self, script: Cow<'static, str>) -> Result<()> {
        let script = sqlx::raw_sql(AssertSqlSafe(script));
        match self.link() {
            Link::Sqlite(connection) => connection.execute(script).await.map(drop),
            Link::Postgres(lent) => {
                let done = lent.begun()?.execute(script).await;
                lent.done(done).map(drop)
            }
        }
    }
}

impl Write {
    /// Makes what was written last.
    pub(super) async fn commit(self) -> Result<()> {
        match self.0 {
            Connection::SqliteWrite(transaction) => transaction.commit().await,
            Connection::Postgres(lent) => lent.commit().await,
            // Not in a transaction, each statement was its own.
            Connection::Sqlite(_) => Ok(()),
        }
    }

    /// Undoes what was written.
    #[cfg(test)]
    pub(super) async fn rollback(self) -> Result<()> {
        match self.0 {
            Connection::SqliteWrite(transaction) => transaction.rollback().await,
            // As it is dropped.
            Connection::Sqlite(_) | Connection::Postgres(_) => Ok(()),
        }
    }
}

impl Deref for Read {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl DerefMut for Read {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}

impl Deref for Write {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl DerefMut for Write {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}

/// A value of a statement.
#[derive(Clone, Debug)]
pub(super) enum Value<'q> {
    Number(Option<i64>),
    Text(Option<Cow<'q, str>>),
    Bytes(Option<Cow<'q, [u8]>>),
}

/// A statement and its values, in the order of its `$1`, `$2`...
#[derive(Clone, Debug)]
pub(super) struct Query<'q> {
    text: Cow<'static, str>,
    values: Vec<Value<'q>>,
    kept: bool,
}

/// A statement of fixed text. The connection keeps it prepared.
pub(super) fn query<'q>(text: impl Into<Cow<'static, str>>) -> Query<'q> {
    Query {
        text: text.into(),
        values: Vec::new(),
        kept: true,
    }
}

/// A statement whose text depends on what is asked for: kept prepared, it would push out those of every day.
pub(super) fn passing_query<'q>(beginning: impl Into<Cow<'static, str>>) -> Query<'q> {
    Query {
        kept: false,
        ..query(beginning)
    }
}

macro_rules! run {
    ($query:expr, $connection:expr, $method:ident, $each:expr, $done:expr) => {{
        let Query { text, values, kept } = $query;
        match $connection.link() {
            Link::Sqlite(connection) => {
                let mut statement = sqlx::query::<Sqlite>(AssertSqlSafe(text)).persistent(kept);
                for value in values {
                    statement = match value {
                        Value::Number(value) => statement.bind(value),
                        Value::Text(value) => statement.bind(value.map(Cow::into_owned)),
                        Value::Bytes(value) => statement.bind(value.map(Cow::into_owned)),
                    };
                }
                statement.$method(connection).await.map($each)
            }
            Link::Postgres(lent) => {
                let mut statement = sqlx::query::<Postgres>(AssertSqlSafe(text)).persistent(kept);
                for value in values {
                    statement = match value {
                        Value::Number(value) => statement.bind(value),
                        Value::Text(value) => statement.bind(value.map(without_nul)),
                        Value::Bytes(value) => statement.bind(value.map(Cow::into_owned)),
                    };
                }
                let done = statement.$method(lent.begun()?).await;
                lent.done(done).map($done)
            }
        }
    }};
}

/// PostgreSQL keeps no NUL in a text, which a mail server may well send.
fn without_nul(text: Cow<'_, str>) -> String {
    if text.contains('\0') {
        text.replace('\0', "\u{fffd}")
    } else {
        text.into_owned()
    }
}

impl<'q> Query<'q> {
    /// The next value.
    pub(super) fn bind(mut self, value: impl Into<Value<'q>>) -> Self {
        self.values.push(value.into());
        self
    }

    /// The next values.
    pub(super) fn bind_all(mut self, values: impl IntoIterator<Item = Value<'q>>) -> Self {
        self.values.extend(values);
        self
    }

    /// The text.
    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// How many values there are.
    #[cfg(test)]
    pub(super) fn values(&self) -> usize {
        self.values.len()
    }

    /// More text.
    pub(super) fn push(&mut self, text: &str) -> &mut Self {
        self.text.to_mut().push_str(text);
        self
    }

    /// The next value, where the text stands.
    pub(super) fn push_bind(&mut self, value: impl Into<Value<'q>>) -> &mut Self {
        self.values.push(value.into());
        let place = format!("${}", self.values.len());
        self.push(&place)
    }

    /// More values, where the text stands, with commas between them.
    pub(super) fn push_list<V: Into<Value<'q>>>(&mut self, values: impl IntoIterator<Item = V>) -> &mut Self {
        for (at, value) in values.into_iter().enumerate() {
            if at > 0 {
                self.push(", ");
            }
            self.push_bind(value);
        }
        self
    }

    /// How many rows it changed.
    pub(super) async fn execute(self, connection: &mut Connection) -> Result<u64> {
        run!(self, connection, execute, |done| done.rows_affected(), |done| {
            done.rows_affected()
        })
    }

    /// Its one row.
    pub(super) async fn fetch_one(self, connection: &mut Connection) -> Result<Row> {
        run!(self, connection, fetch_one, Row::Sqlite, Row::Postgres)
    }

    /// The number that its one row consists of.
    pub(super) async fn fetch_number(self, connection: &mut Connection) -> Result<i64> {
        match self.fetch_one(connection).await? {
            Row::Sqlite(row) => row.try_get(0),
            Row::Postgres(row) => row.try_get(0),
        }
    }

    /// Its row, if there is one.
    pub(super) async fn fetch_optional(self, connection: &mut Connection) -> Result<Option<Row>> {
        run!(
            self,
            connection,
            fetch_optional,
            |row| row.map(Row::Sqlite),
            |row| row.map(Row::Postgres)
        )
    }

    /// All its rows.
    pub(super) async fn fetch_all(self, connection: &mut Connection) -> Result<Vec<Row>> {
        run!(
            self,
            connection,
            fetch_all,
            |rows| rows.into_iter().map(Row::Sqlite).collect(),
            |rows| rows.into_iter().map(Row::Postgres).collect()
        )
    }
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

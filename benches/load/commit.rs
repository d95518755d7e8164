//! One bare commit: what a single durable write costs on this disk, with sqlx and the store's own settings.

use std::path::Path;

use sqlx::{
    ConnectOptions as _, Connection as _, Executor as _, PgConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::time::Instant;

use super::{Outcome, drive::percentile, report::micros};

/// So many rows, so that not always the same page is written.
const ROWS: usize = 1_000;

/// Commits one after the other, each an update of one row, in a file below a directory or at the URL of a PostgreSQL; tells
/// the median in microseconds.
pub(crate) async fn measure(place: &str, commits: usize) -> Outcome<()> {
    if place.starts_with("postgres") {
        return on_server(place, commits).await;
    }
    let home = tempfile::Builder::new()
        .prefix("commit-")
        .tempdir_in(Path::new(place))?;
    let mut connection = SqliteConnectOptions::new()
        .filename(home.path().join("bare.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .pragma("journal_size_limit", "67108864")
        .disable_statement_logging()
        .connect()
        .await?;
    connection
        .execute("CREATE TABLE bare (id INTEGER PRIMARY KEY, state INTEGER NOT NULL, filling BLOB NOT NULL) STRICT")
        .await?;
    for row in 0..ROWS {
        sqlx::query("INSERT INTO bare VALUES ($1, 0, randomblob(400))")
            .bind(i64::try_from(row)?)
            .execute(&mut connection)
            .await?;
    }
    let mut times = Vec::with_capacity(commits);
    for number in 0..commits {
        let began = Instant::now();
        let mut write = connection.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("UPDATE bare SET state = state + 1 WHERE id = $1")
            .bind(i64::try_from(number % ROWS)?)
            .execute(&mut *write)
            .await?;
        write.commit().await?;
        times.push(began.elapsed());
    }
    tell(times);
    Ok(())
}

async fn on_server(url: &str, commits: usize) -> Outcome<()> {
    let mut connection = PgConnection::connect(url).await?;
    connection.execute("DROP TABLE IF EXISTS bare").await?;
    connection
        .execute("CREATE TABLE bare (id BIGINT PRIMARY KEY, state BIGINT NOT NULL, filling BYTEA NOT NULL)")
        .await?;
    let fill =
        "INSERT INTO bare SELECT i, 0, decode(repeat('5a', 400), 'hex') FROM generate_series(0, $1) AS i";
    sqlx::query(fill)
        .bind(i64::try_from(ROWS)?)
        .execute(&mut connection)
        .await?;
    let mut times = Vec::with_capacity(commits);
    for number in 0..commits {
        let began = Instant::now();
        let mut write = connection.begin().await?;
        sqlx::query("UPDATE bare SET state = state + 1 WHERE id = $1")
            .bind(i64::try_from(number % ROWS)?)
            .execute(&mut *write)
            .await?;
        write.commit().await?;
        times.push(began.elapsed());
    }
    connection.execute("DROP TABLE bare").await?;
    connection.close().await?;
    tell(times);
    Ok(())
}

fn tell(mut times: Vec<std::time::Duration>) {
    times.sort_unstable();
    println!("{}", micros(percentile(&times, 50)));
}

//! One bare commit: what a single durable write costs on this disk, with sqlx and the store's own settings.

use std::path::Path;

use sqlx::{
    ConnectOptions as _, Connection as _,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::time::Instant;

use super::{Outcome, drive::percentile, report::micros};

/// So many rows, so that not always the same page is written.
const ROWS: i64 = 1_000;

/// Commits one after the other, each an update of one row; tells the median in microseconds.
pub(crate) async fn measure(directory: &Path, commits: usize) -> Outcome<()> {
    let home = tempfile::Builder::new().prefix("commit-").tempdir_in(directory)?;
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
    sqlx::query(
        "CREATE TABLE rows (id INTEGER PRIMARY KEY, state INTEGER NOT NULL, filling BLOB NOT NULL) STRICT",
    )
    .execute(&mut connection)
    .await?;
    sqlx::query(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) \
         INSERT INTO rows SELECT i, 0, randomblob(400) FROM n",
    )
    .bind(ROWS)
    .execute(&mut connection)
    .await?;
    let mut times = Vec::with_capacity(commits);
    for number in 0..commits {
        let row = i64::try_from(number)? % ROWS + 1;
        let began = Instant::now();
        let mut write = connection.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("UPDATE rows SET state = state + 1 WHERE id = $1")
            .bind(row)
            .execute(&mut *write)
            .await?;
        write.commit().await?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    println!("{}", micros(percentile(&times, 50)));
    Ok(())
}

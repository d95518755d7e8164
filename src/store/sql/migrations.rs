//! The schema, version by version. Each script is applied once, in one transaction with the note that it was.

use sqlx::{Row as _, raw_sql};

use super::{
    Failure, SqlStore,
    dialect::{Connection, HAS_TABLE},
};
use crate::{
    domain::clock::Timestamp,
    store::{StoreError, StoreResult},
};

struct Migration {
    version: i64,
    name: &'static str,
    script: &'static str,
}

const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "start",
        script: include_str!("schema/0001_start.sql"),
    },
    Migration {
        version: 3,
        name: "accounts",
        script: include_str!("schema/0003_accounts.sql"),
    },
];

const NOTES: &str = "CREATE TABLE IF NOT EXISTS schema_versions (\
    version INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL)";

impl SqlStore {
    /// Brings the schema up to date; says how many steps that took. Several processes may do so at once.
    pub async fn migrate(&self) -> StoreResult<usize> {
        self.operation("migrate", async {
            let mut write = self.write().await?;
            sqlx::query(NOTES).execute(&mut *write).await?;
            let pending = pending(&mut write).await?;
            let now = self.now(&mut write).await?;
            for migration in pending {
                apply(&mut write, migration, now).await?;
            }
            write.commit().await?;
            Ok(pending.len())
        })
        .await
    }

    /// How many steps the schema is behind.
    pub async fn pending_migrations(&self) -> StoreResult<usize> {
        self.operation("pending_migrations", async {
            let mut reader = self.reader().await?;
            let notes = sqlx::query(HAS_TABLE).bind("schema_versions");
            if notes.fetch_optional(&mut *reader).await?.is_none() {
                return Ok(MIGRATIONS.len());
            }
            Ok(pending(&mut reader).await?.len())
        })
        .await
    }
}

/// The steps that are not noted. A step that this version does not know was made by a newer one: hands off.
async fn pending(connection: &mut Connection) -> Result<&'static [Migration], Failure> {
    let row = sqlx::query("SELECT COALESCE(MAX(version), 0) FROM schema_versions")
        .fetch_one(connection)
        .await?;
    let version: i64 = row.try_get(0)?;
    let newest = MIGRATIONS.last().map_or(0, |migration| migration.version);
    let applied = MIGRATIONS.partition_point(|migration| migration.version <= version);
    MIGRATIONS
        .get(applied..)
        .filter(|_| version <= newest)
        .ok_or(Failure::Store(StoreError::Corrupt("a schema of a newer version")))
}

async fn apply(connection: &mut Connection, migration: &Migration, now: Timestamp) -> Result<(), Failure> {
    raw_sql(migration.script).execute(&mut *connection).await?;
    sqlx::query("INSERT INTO schema_versions (version, name, applied_at) VALUES ($1, $2, $3)")
        .bind(migration.version)
        .bind(migration.name)
        .bind(now.as_micros())
        .execute(connection)
        .await?;
    tracing::info!(
        schema.version = migration.version,
        schema.name = migration.name,
        "schema brought up to date"
    );
    Ok(())
}

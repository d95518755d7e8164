//! The schema, version by version. Each script is applied once, in one transaction with the note that it was.

use super::{
    Failure, SqlStore,
    query::{Connection, query},
    rows::Columns,
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

/// In the order they are applied. Numbers may be missing: they were given out before the scripts were written.
const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "start",
        script: include_str!("schema/0001_start.sql"),
    },
    Migration {
        version: 2,
        name: "outbox",
        script: include_str!("schema/0002_outbox.sql"),
    },
    Migration {
        version: 3,
        name: "accounts",
        script: include_str!("schema/0003_accounts.sql"),
    },
    Migration {
        version: 4,
        name: "templates",
        script: include_str!("schema/0004_templates.sql"),
    },
    Migration {
        version: 5,
        name: "policies",
        script: include_str!("schema/0005_policies.sql"),
    },
    Migration {
        version: 6,
        name: "refresh_tokens",
        script: include_str!("schema/0006_refresh_tokens.sql"),
    },
    Migration {
        version: 7,
        name: "confirmations",
        script: include_str!("schema/0007_confirmations.sql"),
    },
    Migration {
        version: 8,
        name: "audit",
        script: include_str!("schema/0008_audit.sql"),
    },
    Migration {
        version: 9,
        name: "dkim",
        script: include_str!("schema/0009_dkim.sql"),
    },
    Migration {
        version: 10,
        name: "tests",
        script: include_str!("schema/0010_tests.sql"),
    },
    Migration {
        version: 11,
        name: "inboxes",
        script: include_str!("schema/0011_inboxes.sql"),
    },
    Migration {
        version: 12,
        name: "changes",
        script: include_str!("schema/0012_changes.sql"),
    },
    Migration {
        version: 13,
        name: "volume",
        script: include_str!("schema/0013_volume.sql"),
    },
    Migration {
        version: 14,
        name: "client_certificates",
        script: include_str!("schema/0014_client_certificates.sql"),
    },
];

const NOTES: &str = "CREATE TABLE IF NOT EXISTS schema_versions (\
    version INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL)";

impl SqlStore {
    /// Brings the schema up to date; says how many steps that took. Several processes may do so at once.
    pub async fn migrate(&self) -> StoreResult<usize> {
        self.operation("migrate", async {
            let mut write = self.write().await?;
            query(NOTES).execute(&mut *write).await?;
            let pending = pending(&mut write).await?;
            let now = self.now(&mut write).await?;
            for migration in &pending {
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
            let notes = query(reader.engine().has_table()).bind("schema_versions");
            if notes.fetch_optional(&mut *reader).await?.is_none() {
                return Ok(MIGRATIONS.len());
            }
            Ok(pending(&mut reader).await?.len())
        })
        .await
    }
}

/// The steps that are not noted. A step that this version does not know was made by a newer one: hands off.
async fn pending(connection: &mut Connection) -> Result<Vec<&'static Migration>, Failure> {
    let rows = query("SELECT version FROM schema_versions")
        .fetch_all(connection)
        .await?;
    let version = |row| Columns::new("schema_versions", row).number("version");
    let applied: Vec<i64> = rows.iter().map(version).collect::<StoreResult<_>>()?;
    let known = |version: &i64| MIGRATIONS.iter().any(|migration| migration.version == *version);
    if !applied.iter().all(known) {
        return Err(Failure::Store(StoreError::Corrupt("a schema of a newer version")));
    }
    let missing = MIGRATIONS
        .iter()
        .filter(|migration| !applied.contains(&migration.version));
    Ok(missing.collect())
}

async fn apply(connection: &mut Connection, migration: &Migration, now: Timestamp) -> Result<(), Failure> {
    let script = connection.engine().script(migration.script);
    connection.run_script(script).await?;
    query("INSERT INTO schema_versions (version, name, applied_at) VALUES ($1, $2, $3)")
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

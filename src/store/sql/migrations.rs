//! The schema, version by version. Each script is applied once, in one transaction with the note that it was.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::{
    Failure, SqlStore, dialect,
    pools::Pool,
    query::{Connection, passing_query, query},
    rows::Columns,
    server::Server,
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
    Migration {
        version: 15,
        name: "versions",
        script: include_str!("schema/0015_versions.sql"),
    },
    Migration {
        version: 16,
        name: "mail_queues",
        script: include_str!("schema/0016_mail_queues.sql"),
    },
    Migration {
        version: 17,
        name: "decoys",
        script: include_str!("schema/0017_decoys.sql"),
    },
    Migration {
        version: 23,
        name: "names",
        script: include_str!("schema/0023_names.sql"),
    },
    Migration {
        version: 26,
        name: "failures_since_lock",
        script: include_str!("schema/0026_failures_since_lock.sql"),
    },
    Migration {
        version: 30,
        name: "guess_requests",
        script: include_str!("schema/0030_guess_requests.sql"),
    },
];

/// Begins the script of a step that older versions, which do not know it, can work beside.
const BESIDE: &str = "-- Versions before this one may work beside it.\n";

const NOTES: &str = "CREATE TABLE IF NOT EXISTS schema_versions (\
    version INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL)";

/// Held on a server by whoever brings the schema up to date, so that of several instances that start one does.
const LOCK: &str = "SELECT pg_advisory_lock(7308604759780548964)";

/// How long a step on a server waits for statements that use a table it changes. Those that come later wait behind it.
const POLITE: &str = "SET lock_timeout = '1s'";

/// How often it tries to get in between them.
const TRIES: u32 = 30;

/// How long bringing a schema up to date on a server may take, waiting for others included: tables may be large.
const PATIENCE: Duration = Duration::from_hours(1);

impl SqlStore {
    /// Brings the schema up to date; says how many steps that took. Several processes may do so at once.
    pub async fn migrate(&self) -> StoreResult<usize> {
        // Nothing to do is the rule, and asks for no lock.
        if self.pending_migrations().await? == 0 {
            return Ok(0);
        }
        match &self.0.writer {
            Pool::Sqlite(_) => {
                self.operation("migrate", async {
                    let mut write = self.write().await?;
                    let steps = catch_up(self, &mut write).await?;
                    write.commit().await?;
                    Ok(steps)
                })
                .await
            }
            Pool::Postgres(server) => match timeout(PATIENCE, self.migrate_server(server)).await {
                Ok(result) => result.map_err(|failure| self.0.broken.note(failure)),
                Err(_) => Err(StoreError::Timeout(PATIENCE)),
            },
        }
    }

    /// Not in the time of an operation: it may wait for another instance, and for its own steps.
    async fn migrate_server(&self, server: &Server) -> Result<usize, Failure> {
        let mut lent = server.patient().await?;
        lent.run(LOCK).await?;
        lent.run(POLITE).await?;
        let mut connection = Connection::Postgres(lent);
        for tries in 1.. {
            connection.run_script("BEGIN".into()).await?;
            match catch_up(self, &mut connection).await {
                Ok(steps) => {
                    connection.run_script("COMMIT".into()).await?;
                    return Ok(steps);
                }
                Err(Failure::Sql(error)) if tries < TRIES && in_the_way(&error) => {
                    connection.run_script("ROLLBACK".into()).await?;
                    // Those that waited behind it come first.
                    sleep(Duration::from_millis(500)).await;
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(0)
    }

    /// How many steps the schema is behind.
    pub async fn pending_migrations(&self) -> StoreResult<usize> {
        self.operation("pending_migrations", async {
            let mut reader = self.reader().await?;
            let notes = query(reader.engine().has_table()).bind("schema_versions");
            if notes.fetch_optional(&mut reader).await?.is_none() {
                return Ok(MIGRATIONS.len());
            }
            Ok(pending(&mut reader).await?.len())
        })
        .await
    }
}

/// Whether a step failed because of others at work.
fn in_the_way(error: &sqlx::Error) -> bool {
    dialect::is_race(error) || dialect::is_busy(error)
}

/// Applies the steps that are not noted, and notes them.
async fn catch_up(store: &SqlStore, connection: &mut Connection) -> Result<usize, Failure> {
    connection.run_script(connection.engine().script(NOTES)).await?;
    let pending = pending(connection).await?;
    let now = store.now(connection).await?;
    for migration in &pending {
        apply(connection, migration, now).await?;
    }
    for migration in pending
        .iter()
        .filter(|migration| migration.script.starts_with(BESIDE))
    {
        query("UPDATE schema_versions SET beside = 1 WHERE version = $1")
            .bind(migration.version)
            .execute(connection)
            .await?;
    }
    Ok(pending.len())
}

/// The steps that are not noted. One that this version does not know was made by a newer one: hands off, unless that said
/// that older ones may go on.
async fn pending(connection: &mut Connection) -> Result<Vec<&'static Migration>, Failure> {
    // Not kept prepared: a step adds a column.
    let rows = passing_query("SELECT * FROM schema_versions")
        .fetch_all(connection)
        .await?;
    let mut applied = Vec::with_capacity(rows.len());
    for row in &rows {
        let columns = Columns::new("schema_versions", row);
        let version = columns.number("version")?;
        let known = MIGRATIONS.iter().any(|migration| migration.version == version);
        // The column is not there before the step that adds it.
        if !known && !columns.flag("beside").unwrap_or_default() {
            return Err(Failure::Store(StoreError::Corrupt("a schema of a newer version")));
        }
        applied.push(version);
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

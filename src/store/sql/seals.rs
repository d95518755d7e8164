//! Sealed values in SQL: the columns that hold them. What is sealed begins with the name of its key.

use async_trait::async_trait;
use sqlx::AssertSqlSafe;

use super::{Failure, SqlStore, rows::Columns};
use crate::{
    domain::keyring::{KeyId, Sealed},
    store::{SealedKind, SealedValue, Seals, StoreResult},
};

/// Where a kind lies: the table, the column, and which rows have one.
struct Place {
    table: &'static str,
    column: &'static str,
    only: &'static str,
}

const fn place(kind: SealedKind) -> Place {
    match kind {
        SealedKind::Account => Place {
            table: "accounts",
            column: "secret",
            only: "secret_kind = 'sealed'",
        },
        SealedKind::Mail => Place {
            table: "outbox",
            column: "mail",
            only: "length(mail) > 0",
        },
        SealedKind::Context => Place {
            table: "challenges",
            column: "context",
            only: "length(context) > 0",
        },
        SealedKind::Inbox => Place {
            table: "inboxes",
            column: "secret",
            only: "secret_kind = 'sealed'",
        },
    }
}

#[async_trait]
impl Seals for SqlStore {
    async fn sealed_otherwise(
        &self,
        kind: SealedKind,
        key: &KeyId,
        after: Option<[u8; 16]>,
        most: u32,
    ) -> StoreResult<Vec<SealedValue>> {
        let Place { table, column, only } = place(kind);
        let prefix = Sealed::prefix(key);
        self.operation("seals.sealed_otherwise", async {
            let statement = format!(
                "SELECT id, {column} AS sealed FROM {table} \
                 WHERE {only} AND id > $1 AND substr({column}, 1, $2) <> $3 ORDER BY id LIMIT $4"
            );
            let mut reader = self.reader().await?;
            let rows = sqlx::query(AssertSqlSafe(statement))
                .bind(after.map(|id| id.to_vec()).unwrap_or_default())
                .bind(i64::try_from(prefix.len()).unwrap_or(i64::MAX))
                .bind(prefix)
                .bind(i64::from(most))
                .fetch_all(&mut *reader)
                .await?;
            let values = rows.iter().map(|row| {
                let columns = Columns::new(table, row);
                Ok(SealedValue {
                    owner: columns.bytes("id")?,
                    value: Sealed::from_bytes(columns.blob("sealed")?),
                })
            });
            Ok(values.collect::<StoreResult<_>>()?)
        })
        .await
    }

    async fn reseal(&self, kind: SealedKind, values: Vec<(SealedValue, Sealed)>) -> StoreResult<u64> {
        let Place { table, column, .. } = place(kind);
        self.operation("seals.reseal", async {
            let mut write = self.write().await?;
            let mut changed = 0;
            for (old, new) in &values {
                let statement = format!("UPDATE {table} SET {column} = $2 WHERE id = $1 AND {column} = $3");
                let updated = sqlx::query(AssertSqlSafe(statement))
                    .bind(old.owner.as_slice())
                    .bind(new.as_bytes())
                    .bind(old.value.as_bytes())
                    .execute(&mut *write)
                    .await?;
                changed += updated.rows_affected();
            }
            write.commit().await?;
            Ok::<_, Failure>(changed)
        })
        .await
    }
}

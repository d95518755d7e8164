//! Sealed values in SQL: the columns that hold them. What is sealed begins with the name of its key.

use async_trait::async_trait;

use super::{Failure, SqlStore, oauth_rows, query::query, rows::Columns};
use crate::{
    domain::{
        id::AccountId,
        keyring::{KeyId, Sealed},
        oauth::Oauth,
    },
    store::{SealedKind, SealedValue, Seals, StoreResult},
};

/// Where a kind lies: the table, the column, and which rows have one.
struct Place {
    table: &'static str,
    id: &'static str,
    column: &'static str,
    only: &'static str,
}

const fn place(kind: SealedKind) -> Place {
    match kind {
        SealedKind::Account => Place {
            table: "accounts",
            id: "id",
            column: "secret",
            only: "secret_kind = 'sealed'",
        },
        SealedKind::ClientKey => Place {
            table: "accounts",
            id: "id",
            column: "client_key",
            only: "client_key_kind = 'sealed'",
        },
        SealedKind::Dkim => Place {
            table: "dkim_keys",
            id: "id",
            column: "secret",
            only: "secret_kind = 'sealed'",
        },
        SealedKind::Mail => Place {
            table: "outbox",
            id: "id",
            column: "mail",
            only: "length(mail) > 0",
        },
        SealedKind::Context => Place {
            table: "challenges",
            id: "id",
            column: "context",
            only: "length(context) > 0",
        },
        SealedKind::RefreshToken => Place {
            table: "refresh_tokens",
            id: "given",
            column: "token",
            only: "token IS NOT NULL",
        },
        SealedKind::Inbox => Place {
            table: "inboxes",
            id: "id",
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
        after: Option<Vec<u8>>,
        most: u32,
    ) -> StoreResult<Vec<SealedValue>> {
        let Place {
            table,
            id,
            column,
            only,
        } = place(kind);
        let prefix = Sealed::prefix(key);
        self.operation("seals.sealed_otherwise", async {
            let statement = format!(
                "SELECT {id} AS owner, {column} AS sealed FROM {table} \
                 WHERE {only} AND {id} > $1 AND substr({column}, 1, CAST($2 AS INTEGER)) <> $3 ORDER BY {id} LIMIT $4"
            );
            let mut reader = self.reader().await?;
            let rows = query(statement)
                .bind(after.unwrap_or_default())
                .bind(i64::try_from(prefix.len()).unwrap_or(i64::MAX))
                .bind(prefix)
                .bind(i64::from(most))
                .fetch_all(&mut reader)
                .await?;
            let values = rows.iter().map(|row| {
                let columns = Columns::new(table, row);
                Ok(SealedValue {
                    owner: columns.blob("owner")?,
                    value: Sealed::from_bytes(columns.blob("sealed")?),
                })
            });
            Ok(values.collect::<StoreResult<_>>()?)
        })
        .await
    }

    async fn reseal_oauth(&self, account: AccountId, old: &Oauth, new: &Oauth) -> StoreResult<bool> {
        self.operation("seals.reseal_oauth", async {
            let mut write = self.write().await?;
            let updated = query("UPDATE accounts SET secret = $2 WHERE id = $1 AND secret = $3")
                .bind(account.as_bytes().as_slice())
                .bind(oauth_rows::to_bytes(new))
                .bind(oauth_rows::to_bytes(old))
                .execute(&mut write)
                .await?;
            write.commit().await?;
            Ok(updated == 1)
        })
        .await
    }

    async fn reseal(&self, kind: SealedKind, values: Vec<(SealedValue, Sealed)>) -> StoreResult<u64> {
        let Place {
            table, id, column, ..
        } = place(kind);
        self.operation("seals.reseal", async {
            let mut write = self.write().await?;
            let mut changed = 0;
            for (old, new) in &values {
                let statement = format!("UPDATE {table} SET {column} = $2 WHERE {id} = $1 AND {column} = $3");
                let updated = query(statement)
                    .bind(&old.owner)
                    .bind(new.as_bytes())
                    .bind(old.value.as_bytes())
                    .execute(&mut write)
                    .await?;
                changed += updated;
            }
            write.commit().await?;
            Ok::<_, Failure>(changed)
        })
        .await
    }
}

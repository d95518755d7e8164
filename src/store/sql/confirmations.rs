//! Confirmations in SQL.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    Failure, SqlStore, audit,
    query::{Connection, query},
    rows::Columns,
};
use crate::{
    domain::{
        audit::{Fields, Note, Object},
        clock::Timestamp,
        keyring::Subject,
    },
    store::{Confirmations, StoreResult},
};

const TABLE: &str = "confirmations";

/// How long they are kept: no policy lets them count for longer.
const KEPT: Duration = Duration::from_hours(24 * 366);

#[async_trait]
impl Confirmations for SqlStore {
    async fn confirmed_at(&self, user: Subject, address: Subject) -> StoreResult<Option<Timestamp>> {
        self.operation("confirmations.confirmed_at", async {
            let row =
                query("SELECT confirmed_at FROM confirmations WHERE user_hash = $1 AND address_hash = $2")
                    .bind(user.as_bytes().as_slice())
                    .bind(address.as_bytes().as_slice())
                    .fetch_optional(&mut *self.reader().await?)
                    .await?;
            let confirmed_at = row.map(|row| Columns::new(TABLE, &row).time("confirmed_at"));
            Ok(confirmed_at.transpose()?)
        })
        .await
    }

    async fn confirmed(&self, user: Subject) -> StoreResult<u64> {
        self.operation("confirmations.confirmed", async {
            let row = query("SELECT COUNT(*) AS confirmed FROM confirmations WHERE user_hash = $1")
                .bind(user.as_bytes().as_slice())
                .fetch_one(&mut *self.reader().await?)
                .await?;
            Ok(Columns::new(TABLE, &row).count("confirmed")?)
        })
        .await
    }

    async fn forget_confirmed(&self, user: Subject, name: &str, note: &Note) -> StoreResult<u64> {
        self.operation("confirmations.forget_confirmed", async {
            let mut write = self.write().await?;
            let forgotten = query("DELETE FROM confirmations WHERE user_hash = $1")
                .bind(user.as_bytes().as_slice())
                .execute(&mut write)
                .await?;
            if forgotten > 0 {
                let before = Fields::new().with("confirmed_addresses", forgotten);
                let change = Fields::change(&before, &Fields::new());
                audit::commit(self, write, note, Object::user(&user, name), change).await?;
            }
            Ok(forgotten)
        })
        .await
    }
}

/// Notes that a user read mail at an address.
pub(super) async fn remember(
    connection: &mut Connection,
    user: Subject,
    address: Subject,
    now: Timestamp,
) -> Result<(), Failure> {
    query(
        "INSERT INTO confirmations (user_hash, address_hash, confirmed_at) VALUES ($1, $2, $3) \
         ON CONFLICT (user_hash, address_hash) DO UPDATE SET confirmed_at = $3",
    )
    .bind(user.as_bytes().as_slice())
    .bind(address.as_bytes().as_slice())
    .bind(now.as_micros())
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets what no policy counts any more, at most `limit`.
pub(super) async fn purge(connection: &mut Connection, moment: Timestamp, limit: u32) -> Result<(), Failure> {
    query(
        "DELETE FROM confirmations WHERE (user_hash, address_hash) IN (\
         SELECT user_hash, address_hash FROM confirmations WHERE confirmed_at < $1 \
         ORDER BY confirmed_at LIMIT $2)",
    )
    .bind(moment.minus(KEPT).as_micros())
    .bind(i64::from(limit))
    .execute(connection)
    .await?;
    Ok(())
}

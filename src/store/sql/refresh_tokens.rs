//! Replaced refresh tokens in SQL.

use std::time::Duration;

use async_trait::async_trait;

use super::{SqlStore, query::query, rows::Columns};
use crate::{
    domain::{
        id::LeaseId,
        keyring::{Sealed, Subject},
    },
    store::{REFRESH_TURN, RefreshTokens, RefreshTurn, StoreResult},
};

const TABLE: &str = "refresh_tokens";

/// What was not used for so long is forgotten: no provider keeps a token good that long unused.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(400 * 24);

#[async_trait]
impl RefreshTokens for SqlStore {
    async fn take_turn(&self, given: Subject, turn: LeaseId) -> StoreResult<RefreshTurn> {
        self.operation("refresh_tokens.take_turn", async {
            let mut write = self.write().await?;
            let now = self.now(&mut write).await?;
            let row = query(
                "INSERT INTO refresh_tokens (given, turn, turn_until, used_at) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (given) DO UPDATE SET turn = $2, turn_until = $3, used_at = $4 \
                 WHERE refresh_tokens.turn_until <= $4 \
                 RETURNING token",
            )
            .bind(given.as_bytes().as_slice())
            .bind(turn.as_bytes().as_slice())
            .bind(now.plus(REFRESH_TURN).as_micros())
            .bind(now.as_micros())
            .fetch_optional(&mut write)
            .await?;
            let Some(row) = row else {
                return Ok(RefreshTurn::Taken);
            };
            let token = Columns::new(TABLE, &row).blob_if_any("token")?;
            write.commit().await?;
            Ok(RefreshTurn::Yours(token.map(Sealed::from_bytes)))
        })
        .await
    }

    async fn end_turn(&self, given: Subject, turn: LeaseId, replaced: Option<Sealed>) -> StoreResult<bool> {
        self.operation("refresh_tokens.end_turn", async {
            let mut write = self.write().await?;
            let now = self.now(&mut write).await?;
            let written = query(
                "UPDATE refresh_tokens SET token = COALESCE($3, token), turn_until = 0 \
                 WHERE given = $1 AND turn = $2 AND turn_until > 0",
            )
            .bind(given.as_bytes().as_slice())
            .bind(turn.as_bytes().as_slice())
            .bind(replaced.as_ref().map(Sealed::as_bytes))
            .execute(&mut write)
            .await?;
            query("DELETE FROM refresh_tokens WHERE used_at < $1")
                .bind(now.minus(FORGOTTEN_AFTER).as_micros())
                .execute(&mut write)
                .await?;
            write.commit().await?;
            Ok(written == 1)
        })
        .await
    }
}

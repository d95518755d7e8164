//! DKIM keys in SQL.

use async_trait::async_trait;

use super::{
    Failure, SqlStore, account_rows, audit, flag,
    query::{Connection, Row, query},
    rows::Columns,
    secrets,
};
use crate::{
    domain::{
        audit::{Fields, Note, Object},
        clock::Timestamp,
        dkim::{Algorithm, DkimKey, MOST_KEYS, Place},
        id::{AccountId, DkimKeyId},
    },
    store::{DkimKeys, DkimWrite, StoreResult},
};

const TABLE: &str = "dkim_keys";

#[async_trait]
impl DkimKeys for SqlStore {
    async fn save_dkim_key(
        &self,
        key: DkimKey,
        version: Option<i64>,
        now: Timestamp,
        note: &Note,
    ) -> StoreResult<DkimWrite> {
        self.operation("dkim.save", async {
            let mut write = self.write().await?;
            // With its row locked, its keys are nobody else's to count and change.
            if account_rows::find_for_update(&mut write, key.account).await?.is_none() {
                return Ok(DkimWrite::Unknown);
            }
            let known = list(&mut write, key.account).await?;
            let before = known.iter().find(|known| known.place.selector == key.place.selector);
            if version.is_some() && version != before.map(|key| key.version) {
                return Ok(DkimWrite::Stale);
            }
            if before.is_none() && known.len() >= MOST_KEYS {
                return Ok(DkimWrite::Full);
            }
            let was = before.map(Fields::from);
            let least = before.map_or(1, |key| key.version + 1);
            let key = DkimKey {
                updated_at: now,
                // The time, so that a key that was removed does not come back under a version that was used.
                version: least.max(now.as_micros()),
                ..key
            };
            let (kind, secret) = secrets::parts(&key.secret);
            query(
                "INSERT INTO dkim_keys (account, selector, domain, enabled, algorithm, public_key, secret_kind, secret, \
                 updated_at, version, id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
                 ON CONFLICT (account, selector) DO UPDATE SET domain = excluded.domain, enabled = excluded.enabled, \
                 algorithm = excluded.algorithm, public_key = excluded.public_key, \
                 secret_kind = excluded.secret_kind, secret = excluded.secret, updated_at = excluded.updated_at, \
                 version = excluded.version, id = excluded.id",
            )
            .bind(key.account.as_bytes().as_slice())
            .bind(key.place.selector.as_str())
            .bind(key.place.domain.as_str())
            .bind(flag(key.enabled))
            .bind(key.algorithm.name())
            .bind(key.public.as_slice())
            .bind(kind)
            .bind(secret)
            .bind(key.updated_at.as_micros())
            .bind(key.version)
            .bind(key.id.as_bytes().as_slice())
            .execute(&mut write)
            .await?;
            let change = Fields::change(&was.unwrap_or_default(), &(&key).into());
            audit::commit(self, write, note, Object::dkim(&key), change).await?;
            Ok(DkimWrite::Saved(Box::new(key)))
        })
        .await
    }

    async fn remove_dkim_key(
        &self,
        account: AccountId,
        selector: String,
        version: Option<i64>,
        note: &Note,
    ) -> StoreResult<DkimWrite> {
        self.operation("dkim.remove", async {
            let mut write = self.write().await?;
            let known = list(&mut write, account).await?;
            let Some(key) = known.into_iter().find(|key| key.place.selector == selector) else {
                return Ok(DkimWrite::Unknown);
            };
            if version.is_some_and(|version| version != key.version) {
                return Ok(DkimWrite::Stale);
            }
            query("DELETE FROM dkim_keys WHERE account = $1 AND selector = $2")
                .bind(account.as_bytes().as_slice())
                .bind(selector)
                .execute(&mut write)
                .await?;
            let change = Fields::change(&(&key).into(), &Fields::new());
            audit::commit(self, write, note, Object::dkim(&key), change).await?;
            Ok(DkimWrite::Saved(Box::new(key)))
        })
        .await
    }

    async fn dkim_keys(&self, account: AccountId) -> StoreResult<Vec<DkimKey>> {
        self.operation("dkim.list", async {
            list(&mut *self.reader().await?, account).await
        })
        .await
    }
}

async fn list(connection: &mut Connection, account: AccountId) -> Result<Vec<DkimKey>, Failure> {
    let rows = query("SELECT * FROM dkim_keys WHERE account = $1 ORDER BY selector")
        .bind(account.as_bytes().as_slice())
        .fetch_all(connection)
        .await?;
    Ok(rows.iter().map(key).collect::<StoreResult<_>>()?)
}

fn key(row: &Row) -> StoreResult<DkimKey> {
    let columns = Columns::new(TABLE, row);
    Ok(DkimKey {
        id: DkimKeyId::from_bytes(columns.bytes("id")?),
        account: AccountId::from_bytes(columns.bytes("account")?),
        place: Place {
            selector: columns.text("selector")?,
            domain: columns.text("domain")?,
        },
        enabled: columns.flag("enabled")?,
        algorithm: columns.known(Algorithm::from_name(&columns.text("algorithm")?))?,
        public: columns.blob("public_key")?,
        secret: secrets::secret(&columns)?,
        updated_at: columns.time("updated_at")?,
        version: columns.number("version")?,
    })
}

//! Callers in SQL.

use async_trait::async_trait;

use super::{
    Failure, SqlStore, audit, flag,
    query::{Connection, Row, query},
    rows::Columns,
};
use crate::{
    domain::{
        audit::{Fields, Note, Object},
        caller::{Caller, CallerId, CertificateDigest, KeyDigest, Role},
        clock::Timestamp,
    },
    store::{CallerWrite, Callers, StoreResult},
};

#[async_trait]
impl Callers for SqlStore {
    async fn add(&self, caller: Caller, note: &Note) -> StoreResult<CallerWrite> {
        self.operation("callers.add", async {
            let mut write = self.write().await?;
            if !insert(&mut write, &caller).await? {
                return Ok(CallerWrite::Taken);
            }
            let change = Fields::change(&Fields::new(), &(&caller).into());
            audit::commit(self, write, note, Object::caller(&caller), change).await?;
            Ok(CallerWrite::Saved)
        })
        .await
    }

    async fn rotate(
        &self,
        id: CallerId,
        key: KeyDigest,
        now: Timestamp,
        note: &Note,
    ) -> StoreResult<CallerWrite> {
        self.operation("callers.rotate", async {
            let mut write = self.write().await?;
            let Some(before) = find(&mut write, id).await? else {
                return Ok(CallerWrite::Unknown);
            };
            query(
                "UPDATE callers SET key_before = key_newest, key_newest = $2, rotated_at = $3 WHERE id = $1",
            )
            .bind(id.to_string())
            .bind(key.0.as_slice())
            .bind(now.as_micros())
            .execute(&mut write)
            .await?;
            let keys = std::iter::once(key)
                .chain(before.keys.iter().copied())
                .take(2)
                .collect();
            let after = Caller {
                keys,
                ..before.clone()
            };
            let change = Fields::change(&(&before).into(), &(&after).into());
            audit::commit(self, write, note, Object::caller(&before), change).await?;
            Ok(CallerWrite::Saved)
        })
        .await
    }

    async fn remove(&self, id: CallerId, note: &Note) -> StoreResult<CallerWrite> {
        self.operation("callers.remove", async {
            let mut write = self.write().await?;
            let Some(before) = find(&mut write, id).await? else {
                return Ok(CallerWrite::Unknown);
            };
            query("DELETE FROM callers WHERE id = $1")
                .bind(id.to_string())
                .execute(&mut write)
                .await?;
            let change = Fields::change(&(&before).into(), &Fields::new());
            audit::commit(self, write, note, Object::caller(&before), change).await?;
            Ok(CallerWrite::Saved)
        })
        .await
    }

    async fn find(&self, id: CallerId) -> StoreResult<Option<Caller>> {
        self.operation("callers.find", async {
            find(&mut *self.reader().await?, id).await
        })
        .await
    }

    async fn find_by_certificate(&self, certificate: CertificateDigest) -> StoreResult<Option<Caller>> {
        self.operation("callers.find_by_certificate", async {
            let mut reader = self.reader().await?;
            let row = query("SELECT * FROM callers WHERE certificate = $1")
                .bind(certificate.0.as_slice())
                .fetch_optional(&mut reader)
                .await?;
            Ok(row.as_ref().map(caller).transpose()?)
        })
        .await
    }

    async fn list(&self) -> StoreResult<Vec<Caller>> {
        self.operation("callers.list", async {
            let mut reader = self.reader().await?;
            let rows = query("SELECT * FROM callers ORDER BY name")
                .fetch_all(&mut reader)
                .await?;
            Ok(rows.iter().map(caller).collect::<StoreResult<_>>()?)
        })
        .await
    }
}

/// Writes a caller with its two newest keys. `false`: its name, certificate or identifier is taken.
async fn insert(connection: &mut Connection, caller: &Caller) -> Result<bool, Failure> {
    let key = |index: usize| caller.keys.get(index).map(|key| key.0.as_slice());
    let certificate = caller.certificate.as_ref();
    let inserted = query(
        "INSERT INTO callers (id, name, role, see_users, key_newest, key_before, certificate, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
    )
    .bind(caller.id.to_string())
    .bind(&caller.name)
    .bind(caller.role.name())
    .bind(flag(caller.see_users))
    .bind(key(0))
    .bind(key(1))
    .bind(certificate.map(|digest| digest.0.as_slice()))
    .bind(caller.created_at.as_micros())
    .execute(connection)
    .await?;
    Ok(inserted == 1)
}

async fn find(connection: &mut Connection, id: CallerId) -> Result<Option<Caller>, Failure> {
    let row = query("SELECT * FROM callers WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(connection)
        .await?;
    Ok(row.as_ref().map(caller).transpose()?)
}

fn caller(row: &Row) -> StoreResult<Caller> {
    let columns = Columns::new("callers", row);
    let keys = [
        columns.bytes_if_any("key_newest")?,
        columns.bytes_if_any("key_before")?,
    ];
    Ok(Caller {
        id: columns.known(CallerId::parse(&columns.text("id")?))?,
        name: columns.text("name")?,
        role: columns.known(Role::from_name(&columns.text("role")?))?,
        see_users: columns.flag("see_users")?,
        keys: keys.into_iter().flatten().map(KeyDigest).collect(),
        certificate: columns.bytes_if_any("certificate")?.map(CertificateDigest),
        created_at: columns.time("created_at")?,
    })
}

//! Policies in SQL.

use async_trait::async_trait;

use super::{
    Failure, SqlStore, audit, flag,
    query::{Connection, Row, query},
    rows::Columns,
};
use crate::{
    domain::{
        audit::{Fields, Note, Object},
        clock::Timestamp,
        policy_draft::PolicyDraft,
    },
    store::{Policies, Sending, SetPolicies, SetPolicy, StoreError, StoreResult},
};

const TABLE: &str = "policies";

/// The one row of the master switch.
const SWITCH: i64 = 1;

#[async_trait]
impl Policies for SqlStore {
    async fn all(&self) -> StoreResult<SetPolicies> {
        self.operation("policies.all", async {
            let mut reader = self.reader().await?;
            let sending = sending(&mut reader).await?;
            let rows = query("SELECT event, draft, updated_at, version FROM policies")
                .fetch_all(&mut reader)
                .await?;
            let by_event = rows.iter().map(row).collect::<Result<_, Failure>>()?;
            Ok(SetPolicies { by_event, sending })
        })
        .await
    }

    async fn put(
        &self,
        event: &str,
        draft: &PolicyDraft,
        based_on: i64,
        now: Timestamp,
        note: &Note,
    ) -> StoreResult<Option<SetPolicy>> {
        // By the clock, so that an event that is made again does not get a version it had before.
        let version = now.as_micros().max(based_on + 1);
        let text = serde_json::to_string(draft).map_err(|_| StoreError::Corrupt(TABLE))?;
        self.operation("policies.put", async {
            let mut write = self.write().await?;
            let before = find(&mut write, event).await?;
            let statement = if based_on == 0 {
                "INSERT INTO policies (event, draft, updated_at, version) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (event) DO NOTHING"
            } else {
                "UPDATE policies SET draft = $2, updated_at = $3, version = $4 WHERE event = $1 AND version = $5"
            };
            let mut query = query(statement)
                .bind(event)
                .bind(&text)
                .bind(now.as_micros())
                .bind(version);
            if based_on != 0 {
                query = query.bind(based_on);
            }
            if query.execute(&mut write).await? == 0 {
                return Ok(None);
            }
            let change = Fields::change(&fields(before.as_ref()), &draft.into());
            audit::commit(self, write, note, Object::event(event), change).await?;
            Ok(Some(SetPolicy {
                draft: draft.clone(),
                updated_at: now,
                version,
            }))
        })
        .await
    }

    async fn forget(&self, event: &str, based_on: i64, note: &Note) -> StoreResult<bool> {
        self.operation("policies.forget", async {
            let mut write = self.write().await?;
            let before = find(&mut write, event).await?;
            let removed = query("DELETE FROM policies WHERE event = $1 AND version = $2")
                .bind(event)
                .bind(based_on)
                .execute(&mut write)
                .await?;
            if removed == 0 {
                return Ok(false);
            }
            let change = Fields::change(&fields(before.as_ref()), &Fields::new());
            audit::commit(self, write, note, Object::event(event), change).await?;
            Ok(true)
        })
        .await
    }

    async fn set_sending(&self, switch: Sending, note: &Note) -> StoreResult<()> {
        self.operation("policies.set_sending", async {
            let mut write = self.write().await?;
            let before = sending(&mut write).await?;
            query(
                "INSERT INTO sending (id, enabled, changed_by, changed_at) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (id) DO UPDATE SET enabled = $2, changed_by = $3, changed_at = $4",
            )
            .bind(SWITCH)
            .bind(flag(switch.enabled))
            .bind(&switch.changed_by)
            .bind(switch.changed_at.map_or(0, Timestamp::as_micros))
            .execute(&mut write)
            .await?;
            let enabled = |sending: &Sending| Fields::new().with("enabled", sending.enabled);
            let change = Fields::change(&enabled(&before), &enabled(&switch));
            audit::commit(self, write, note, Object::named("sending"), change).await
        })
        .await
    }
}

async fn find(connection: &mut Connection, event: &str) -> Result<Option<SetPolicy>, Failure> {
    let found = query("SELECT event, draft, updated_at, version FROM policies WHERE event = $1")
        .bind(event)
        .fetch_optional(connection)
        .await?;
    Ok(found.as_ref().map(row).transpose()?.map(|(_, policy)| policy))
}

/// What the audit shows of what is set.
fn fields(set: Option<&SetPolicy>) -> Fields {
    set.map(|set| Fields::from(&set.draft)).unwrap_or_default()
}

async fn sending(connection: &mut Connection) -> Result<Sending, Failure> {
    let row = query("SELECT enabled, changed_by, changed_at FROM sending WHERE id = $1")
        .bind(SWITCH)
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else {
        return Ok(Sending::default());
    };
    let columns = Columns::new("sending", &row);
    Ok(Sending {
        enabled: columns.flag("enabled")?,
        changed_by: columns.text("changed_by")?,
        changed_at: Some(columns.time("changed_at")?),
    })
}

fn row(row: &Row) -> Result<(String, SetPolicy), Failure> {
    let columns = Columns::new(TABLE, row);
    let draft = serde_json::from_str(&columns.text("draft")?).ok();
    let policy = SetPolicy {
        draft: columns.known(draft)?,
        updated_at: columns.time("updated_at")?,
        version: columns.number("version")?,
    };
    Ok((columns.text("event")?, policy))
}

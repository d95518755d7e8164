//! The audit in SQL: events are written with what they tell of, and told to the log once that is durable.

use async_trait::async_trait;

use super::{
    Failure, SqlStore, Write, audit_pages as pages,
    query::{Connection, Row, query},
    rows::Columns,
};
use crate::{
    domain::{
        audit::{Action, Actor, ActorKind, AuditEvent, Change, Note, Object},
        clock::Timestamp,
        id::AuditId,
    },
    store::{Audit, AuditFilter, AuditKey, StoreResult},
};

const TABLE: &str = "audit_events";

#[async_trait]
impl Audit for SqlStore {
    async fn record(&self, note: &Note, object: Object, change: Change) -> StoreResult<()> {
        self.operation("audit.record", async {
            let write = self.write().await?;
            commit(self, write, note, object, change).await
        })
        .await
    }

    async fn list(
        &self,
        filter: &AuditFilter,
        after: Option<AuditKey>,
        limit: u32,
    ) -> StoreResult<Vec<AuditEvent>> {
        self.operation("audit.list", async {
            pages::list(&mut *self.reader().await?, filter, after, limit).await
        })
        .await
    }

    async fn purge(&self, before: Timestamp, limit: u32) -> StoreResult<u64> {
        self.operation("audit.purge", async {
            let mut write = self.write().await?;
            let purged = query(
                "DELETE FROM audit_events WHERE id IN \
                 (SELECT id FROM audit_events WHERE at < $1 ORDER BY at, id LIMIT $2)",
            )
            .bind(before.as_micros())
            .bind(i64::from(limit))
            .execute(&mut write)
            .await?;
            write.commit().await?;
            Ok(purged)
        })
        .await
    }
}

/// Ends a transaction with the event that tells of it: both are durable, or neither.
pub(super) async fn commit(
    store: &SqlStore,
    mut write: Write,
    note: &Note,
    object: Object,
    change: Change,
) -> Result<(), Failure> {
    let event = AuditEvent {
        note: note.clone(),
        at: store.now(&mut write).await?,
        object,
        change,
    };
    insert(&mut write, &event).await?;
    write.commit().await?;
    tell(&event);
    Ok(())
}

async fn insert(connection: &mut Connection, event: &AuditEvent) -> Result<(), Failure> {
    let note = &event.note;
    query(
        "INSERT INTO audit_events (id, at, action, actor_kind, actor_id, actor_name, peer, request_id, object_id, \
         object_name, was, became) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(note.id.as_bytes().as_slice())
    .bind(event.at.as_micros())
    .bind(note.action.name())
    .bind(note.actor.kind.name())
    .bind(&note.actor.id)
    .bind(&note.actor.name)
    .bind(&note.peer)
    .bind(&note.request_id)
    .bind(&event.object.id)
    .bind(&event.object.name)
    .bind(json(&event.change.before))
    .bind(json(&event.change.after))
    .execute(connection)
    .await?;
    Ok(())
}

fn json(fields: &serde_json::Map<String, serde_json::Value>) -> String {
    // A map of JSON values can always be written.
    serde_json::to_string(fields).unwrap_or_default()
}

/// The same in the log, one line for each event.
fn tell(event: &AuditEvent) {
    let (note, object) = (&event.note, &event.object);
    let (before, after) = (json(&event.change.before), json(&event.change.after));
    tracing::info!(
        target: "mailfactor::audit",
        {
        audit.id = %note.id,
        audit.action = note.action.name(),
        actor.kind = note.actor.kind.name(),
        actor.id = note.actor.id,
        actor.name = note.actor.name,
        peer = note.peer,
        request.id = note.request_id,
        object.id = object.id,
        object.name = object.name,
        before,
        after,
        },
        "audit"
    );
}

/// An event of a row.
pub(super) fn event(row: &Row) -> StoreResult<AuditEvent> {
    let columns = Columns::new(TABLE, row);
    let fields = |name: &str| columns.known(serde_json::from_str(&columns.text(name)?).ok());
    Ok(AuditEvent {
        note: Note {
            id: AuditId::from_bytes(columns.bytes("id")?),
            action: columns.known(Action::from_name(&columns.text("action")?))?,
            actor: Actor {
                kind: columns.known(ActorKind::from_name(&columns.text("actor_kind")?))?,
                id: columns.text("actor_id")?,
                name: columns.text("actor_name")?,
            },
            peer: columns.text("peer")?,
            request_id: columns.text("request_id")?,
        },
        at: columns.time("at")?,
        object: Object {
            id: columns.text("object_id")?,
            name: columns.text("object_name")?,
        },
        change: Change {
            before: fields("was")?,
            after: fields("became")?,
        },
    })
}

//! Inboxes in SQL. Who reads one names the lease in every write and looks whether it changed a row.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    SqlStore, audit, inbox_rows as rows,
    query::{Row, query},
    rows::Columns,
};
use crate::{
    domain::{
        audit::{Fields, Note, Object},
        clock::Timestamp,
        id::{InboxId, LeaseId},
        inbox::{Inbox, InboxSettings, InboxStanding, Position},
    },
    store::{BegunCheck, CheckEnd, InboxWrite, Inboxes, MOST_INBOXES, StoreResult},
};

#[async_trait]
impl Inboxes for SqlStore {
    async fn create_inbox(
        &self,
        id: InboxId,
        settings: InboxSettings,
        now: Timestamp,
        note: &Note,
    ) -> StoreResult<InboxWrite> {
        self.operation("inboxes.create", async {
            let mut write = self.write().await?;
            if rows::count(&mut write).await? >= MOST_INBOXES {
                return Ok(InboxWrite::Full);
            }
            let inbox = Inbox {
                id,
                settings,
                standing: InboxStanding {
                    next_check_at: now,
                    ..InboxStanding::default()
                },
                created_at: now,
                updated_at: now,
                version: 1,
            };
            if !rows::insert(&mut write, &inbox).await? {
                return Ok(InboxWrite::NameTaken);
            }
            let change = Fields::change(&Fields::new(), &(&inbox).into());
            audit::commit(self, write, note, Object::inbox(&inbox), change).await?;
            Ok(saved(inbox))
        })
        .await
    }

    async fn update_inbox(
        &self,
        id: InboxId,
        settings: InboxSettings,
        version: Option<i64>,
        now: Timestamp,
        note: &Note,
    ) -> StoreResult<InboxWrite> {
        self.operation("inboxes.update", async {
            let mut write = self.write().await?;
            let moment = self.now(&mut write).await?;
            let found = rows::find_for_update(&mut write, id, moment).await?;
            let (before, position) = match current(found, version) {
                Ok(before) => before,
                Err(refusal) => return Ok(refusal),
            };
            let was = Fields::from(&before);
            let position = if settings.is_elsewhere(&before.settings) {
                Position::default()
            } else {
                position
            };
            let inbox = Inbox {
                settings,
                standing: InboxStanding {
                    checking: false,
                    failures: 0,
                    next_check_at: now,
                    ..before.standing
                },
                updated_at: now,
                version: before.version + 1,
                ..before
            };
            if !rows::update(&mut write, &inbox, &position).await? {
                return Ok(InboxWrite::NameTaken);
            }
            let change = Fields::change(&was, &(&inbox).into());
            audit::commit(self, write, note, Object::inbox(&inbox), change).await?;
            Ok(saved(inbox))
        })
        .await
    }

    async fn delete_inbox(&self, id: InboxId, version: Option<i64>, note: &Note) -> StoreResult<InboxWrite> {
        self.operation("inboxes.delete", async {
            let mut write = self.write().await?;
            let moment = self.now(&mut write).await?;
            let found = rows::find_for_update(&mut write, id, moment).await?;
            let (inbox, _) = match current(found, version) {
                Ok(inbox) => inbox,
                Err(refusal) => return Ok(refusal),
            };
            query("DELETE FROM inboxes WHERE id = $1")
                .bind(id.as_bytes().as_slice())
                .execute(&mut write)
                .await?;
            let change = Fields::change(&(&inbox).into(), &Fields::new());
            audit::commit(self, write, note, Object::inbox(&inbox), change).await?;
            Ok(saved(inbox))
        })
        .await
    }

    async fn find_inbox(&self, id: InboxId) -> StoreResult<Option<Inbox>> {
        self.operation("inboxes.find", async {
            let mut reader = self.reader().await?;
            let now = self.now(&mut reader).await?;
            rows::find(&mut reader, id, now).await
        })
        .await
    }

    async fn list_inboxes(&self) -> StoreResult<Vec<Inbox>> {
        self.operation("inboxes.list", async {
            let mut reader = self.reader().await?;
            let now = self.now(&mut reader).await?;
            rows::list(&mut reader, now).await
        })
        .await
    }

    async fn due_inboxes(&self, now: Timestamp, limit: u32) -> StoreResult<Vec<InboxId>> {
        self.operation("inboxes.due", async {
            let mut reader = self.reader().await?;
            let moment = self.now(&mut reader).await?;
            let rows = query(
                "SELECT id FROM inboxes WHERE enabled = 1 AND automatic_check = 1 AND next_check_at <= $1 \
                 AND leased_until <= $2 ORDER BY next_check_at LIMIT $3",
            )
            .bind(now.as_micros())
            .bind(moment.as_micros())
            .bind(i64::from(limit))
            .fetch_all(&mut reader)
            .await?;
            let id = |row: &Row| Ok(InboxId::from_bytes(Columns::new("inboxes", row).bytes("id")?));
            rows.iter().map(id).collect()
        })
        .await
    }

    async fn begin_check(&self, id: InboxId, lease: LeaseId, hold: Duration) -> StoreResult<BegunCheck> {
        self.operation("inboxes.begin_check", async {
            let mut write = self.write().await?;
            let now = self.now(&mut write).await?;
            let Some((inbox, position)) = rows::find_for_update(&mut write, id, now).await? else {
                return Ok(BegunCheck::Unknown);
            };
            if inbox.standing.checking {
                return Ok(BegunCheck::Busy);
            }
            query("UPDATE inboxes SET lease = $2, leased_until = $3 WHERE id = $1")
                .bind(id.as_bytes().as_slice())
                .bind(lease.as_bytes().as_slice())
                .bind(now.plus(hold).as_micros())
                .execute(&mut write)
                .await?;
            write.commit().await?;
            Ok(BegunCheck::Begun(Box::new(inbox), position))
        })
        .await
    }

    async fn holds_check(&self, id: InboxId, lease: LeaseId) -> StoreResult<bool> {
        self.operation("inboxes.holds_check", async {
            let mut reader = self.reader().await?;
            let now = self.now(&mut reader).await?;
            let held = query("SELECT 1 FROM inboxes WHERE id = $1 AND lease = $2 AND leased_until > $3")
                .bind(id.as_bytes().as_slice())
                .bind(lease.as_bytes().as_slice())
                .bind(now.as_micros())
                .fetch_optional(&mut reader)
                .await?;
            Ok(held.is_some())
        })
        .await
    }

    async fn end_check(&self, id: InboxId, lease: LeaseId, end: CheckEnd) -> StoreResult<bool> {
        self.operation("inboxes.end_check", async {
            let mut write = self.write().await?;
            let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
            let ended = query(
                "UPDATE inboxes SET lease = NULL, leased_until = 0, last_check_at = $3, \
                 last_success_at = CASE WHEN $4 = '' THEN $3 ELSE last_success_at END, last_error = $4, \
                 failures = CASE WHEN $4 = '' THEN 0 ELSE failures + 1 END, next_check_at = $5, \
                 messages_read = messages_read + $6, reports_matched = reports_matched + $7, uid_validity = $8, \
                 last_uid = $9, seen = $10 WHERE id = $1 AND lease = $2",
            )
            .bind(id.as_bytes().as_slice())
            .bind(lease.as_bytes().as_slice())
            .bind(end.at.as_micros())
            .bind(end.error.as_deref().unwrap_or_default())
            .bind(end.next_check_at.as_micros())
            .bind(number(end.messages_read))
            .bind(number(end.reports_matched))
            .bind(i64::from(end.position.uid_validity))
            .bind(i64::from(end.position.last_uid))
            .bind(end.position.seen.concat())
            .execute(&mut write)
            .await?;
            write.commit().await?;
            Ok(ended == 1)
        })
        .await
    }

    async fn release_checks(&self) -> StoreResult<()> {
        self.operation("inboxes.release_checks", async {
            let mut write = self.write().await?;
            query("UPDATE inboxes SET lease = NULL, leased_until = 0 WHERE lease IS NOT NULL")
                .execute(&mut write)
                .await?;
            Ok(write.commit().await?)
        })
        .await
    }
}

fn saved(inbox: Inbox) -> InboxWrite {
    InboxWrite::Saved(Box::new(inbox))
}

/// The inbox that was found, if it is the version that was named.
fn current(found: Option<(Inbox, Position)>, version: Option<i64>) -> Result<(Inbox, Position), InboxWrite> {
    let (inbox, position) = found.ok_or(InboxWrite::Unknown)?;
    if version.is_some_and(|version| version != inbox.version) {
        Err(InboxWrite::Stale)
    } else {
        Ok((inbox, position))
    }
}

//! Reports in SQL. State 2 is sent, 5 bounced; decoys were never mailed, so nobody can tell of them.

use async_trait::async_trait;

use super::{
    Failure, SqlStore,
    query::{Row, query},
    rows::Columns,
};
use crate::{
    domain::{
        id::{ChallengeId, EntryId},
        report::{Report, ReportKind},
    },
    store::{MOST_REPORTS, Reported, Reports, StoreResult},
};

#[async_trait]
impl Reports for SqlStore {
    async fn report(
        &self,
        entry: EntryId,
        message_id: &str,
        report: Report,
    ) -> StoreResult<Option<Reported>> {
        self.operation("reports.report", async {
            let mut write = self.write().await?;
            let found =
                query("SELECT challenge FROM outbox WHERE id = $1 AND message_id = $2 AND decoy = 0")
                    .bind(entry.as_bytes().as_slice())
                    .bind(message_id)
                    .fetch_optional(&mut write)
                    .await?;
            let Some(row) = found else { return Ok(None) };
            let challenge = Columns::new("outbox", &row).bytes_if_any("challenge")?;
            query(
                "INSERT INTO reports (entry, kind, status, text, received_at) SELECT $1, $2, $3, $4, $5 \
                 WHERE (SELECT COUNT(*) FROM reports WHERE entry = $1) < $6 ON CONFLICT DO NOTHING",
            )
            .bind(entry.as_bytes().as_slice())
            .bind(report.kind.tag())
            .bind(&report.status)
            .bind(&report.text)
            .bind(report.received_at.as_micros())
            .bind(MOST_REPORTS)
            .execute(&mut write)
            .await?;
            let mut changed = false;
            if report.kind == ReportKind::Bounced {
                let now = self.now(&mut write).await?;
                let bounced = query(
                    "UPDATE outbox SET state = 5, last_error = $2, changed_at = $3 WHERE id = $1 AND state = 2",
                )
                .bind(entry.as_bytes().as_slice())
                .bind(report.line())
                .bind(now.as_micros())
                .execute(&mut write)
                .await?;
                changed = bounced == 1;
            }
            write.commit().await?;
            Ok(Some(Reported {
                entry,
                challenge: challenge.map(ChallengeId::from_bytes),
                changed,
            }))
        })
        .await
    }

    async fn reports(&self, entry: EntryId) -> StoreResult<Vec<Report>> {
        self.operation("reports.reports", async {
            let rows = query("SELECT * FROM reports WHERE entry = $1 ORDER BY received_at, kind, status")
                .bind(entry.as_bytes().as_slice())
                .fetch_all(&mut *self.reader().await?)
                .await?;
            rows.iter().map(report).collect()
        })
        .await
    }
}

fn report(row: &Row) -> Result<Report, Failure> {
    let columns = Columns::new("reports", row);
    Ok(Report {
        kind: columns.known(ReportKind::from_tag(columns.number("kind")?))?,
        status: columns.text("status")?,
        text: columns.text("text")?,
        received_at: columns.time("received_at")?,
    })
}

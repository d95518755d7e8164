//! Templates in SQL.

use async_trait::async_trait;

use super::{
    Failure, SqlStore, audit,
    query::{Connection, Row, query},
    rows::Columns,
};
use crate::{
    domain::{
        audit::{Fields, Note, Object},
        challenge::Purpose,
        clock::Timestamp,
        template::{MOST_TEMPLATES, Template, TemplateKey, TemplateParts},
    },
    store::{StoreResult, TemplateWrite, Templates},
};

const FIND: &str = "SELECT purpose, event, language, subject, body_text, body_html, updated_at, version \
                    FROM templates WHERE purpose = $1 AND event = $2 AND language = $3";

#[async_trait]
impl Templates for SqlStore {
    async fn save(
        &self,
        key: TemplateKey,
        parts: TemplateParts,
        version: Option<i64>,
        now: Timestamp,
        note: &Note,
    ) -> StoreResult<TemplateWrite> {
        self.operation("templates.save", async {
            let mut write = self.write().await?;
            let before = find(&mut write, &key).await?;
            if version.is_some() && version != before.as_ref().map(|template| template.version) {
                return Ok(TemplateWrite::Stale);
            }
            if before.is_none() && count(&mut write).await? >= i64::from(MOST_TEMPLATES) {
                return Ok(TemplateWrite::Full);
            }
            let was = before.as_ref().map(|template| Fields::from(&template.parts));
            let least = before.map_or(1, |template| template.version + 1);
            let template = Template {
                key,
                parts,
                updated_at: now,
                // The time, so that a template that was removed does not come back under a version that was used.
                version: least.max(now.as_micros()),
            };
            query(
                "INSERT INTO templates (purpose, event, language, subject, body_text, body_html, updated_at, version) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (purpose, event, language) DO UPDATE SET \
                 subject = excluded.subject, body_text = excluded.body_text, body_html = excluded.body_html, \
                 updated_at = excluded.updated_at, version = excluded.version",
            )
            .bind(i64::from(template.key.purpose.tag()))
            .bind(template.key.event.as_str())
            .bind(template.key.language.as_str())
            .bind(template.parts.subject.as_str())
            .bind(template.parts.text.as_str())
            .bind(template.parts.html.as_str())
            .bind(template.updated_at.as_micros())
            .bind(template.version)
            .execute(&mut write)
            .await?;
            let change = Fields::change(&was.unwrap_or_default(), &(&template.parts).into());
            audit::commit(self, write, note, Object::template(&template.key), change).await?;
            Ok(TemplateWrite::Saved(Box::new(template)))
        })
        .await
    }

    async fn reset(&self, key: TemplateKey, version: Option<i64>, note: &Note) -> StoreResult<TemplateWrite> {
        self.operation("templates.reset", async {
            let mut write = self.write().await?;
            let Some(before) = find(&mut write, &key).await? else {
                return Ok(TemplateWrite::Unknown);
            };
            if version.is_some_and(|version| version != before.version) {
                return Ok(TemplateWrite::Stale);
            }
            query("DELETE FROM templates WHERE purpose = $1 AND event = $2 AND language = $3")
                .bind(i64::from(key.purpose.tag()))
                .bind(key.event.as_str())
                .bind(key.language.as_str())
                .execute(&mut write)
                .await?;
            let change = Fields::change(&(&before.parts).into(), &Fields::new());
            audit::commit(self, write, note, Object::template(&key), change).await?;
            Ok(TemplateWrite::Saved(Box::new(before)))
        })
        .await
    }

    async fn find(&self, key: TemplateKey) -> StoreResult<Option<Template>> {
        self.operation("templates.find", async {
            find(&mut *self.reader().await?, &key).await
        })
        .await
    }

    async fn index(&self) -> StoreResult<Vec<(TemplateKey, i64)>> {
        self.operation("templates.index", async {
            let index =
                "SELECT purpose, event, language, version FROM templates ORDER BY purpose, event, language";
            let rows = query(index).fetch_all(&mut *self.reader().await?).await?;
            let mut found = Vec::with_capacity(rows.len());
            for row in &rows {
                let columns = Columns::new("templates", row);
                found.push((key(&columns)?, columns.number("version")?));
            }
            Ok(found)
        })
        .await
    }
}

async fn find(connection: &mut Connection, key: &TemplateKey) -> Result<Option<Template>, Failure> {
    let row = query(FIND)
        .bind(i64::from(key.purpose.tag()))
        .bind(key.event.as_str())
        .bind(key.language.as_str())
        .fetch_optional(connection)
        .await?;
    Ok(row.as_ref().map(template).transpose()?)
}

async fn count(connection: &mut Connection) -> Result<i64, Failure> {
    Ok(query("SELECT COUNT(*) FROM templates")
        .fetch_number(connection)
        .await?)
}

fn template(row: &Row) -> StoreResult<Template> {
    let columns = Columns::new("templates", row);
    Ok(Template {
        key: key(&columns)?,
        parts: TemplateParts {
            subject: columns.text("subject")?,
            text: columns.text("body_text")?,
            html: columns.text("body_html")?,
        },
        updated_at: columns.time("updated_at")?,
        version: columns.number("version")?,
    })
}

fn key(columns: &Columns<'_>) -> StoreResult<TemplateKey> {
    let purpose = columns.known(Purpose::from_tag(columns.number("purpose")?))?;
    Ok(TemplateKey {
        purpose,
        event: columns.text("event")?,
        language: columns.text("language")?,
    })
}

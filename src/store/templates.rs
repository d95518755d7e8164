//! The contract of templates.

use async_trait::async_trait;

use super::StoreResult;
use crate::domain::{
    audit::Note,
    clock::Timestamp,
    template::{Template, TemplateKey, TemplateParts},
};

/// How a write to the templates went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateWrite {
    /// Written; the template as it now stands, or stood before it was removed.
    Saved(Box<Template>),
    /// It was changed since the version that was named.
    Stale,
    /// No such template.
    Unknown,
    /// There are [`crate::domain::template::MOST_TEMPLATES`] already.
    Full,
}

/// Templates in place of built-in ones.
#[async_trait]
pub trait Templates: Send + Sync {
    /// Writes one, new or over the version that is named, if one is.
    async fn save(
        &self,
        key: TemplateKey,
        parts: TemplateParts,
        version: Option<i64>,
        now: Timestamp,
        note: &Note,
    ) -> StoreResult<TemplateWrite>;

    /// Removes one, so that the built-in one counts again.
    async fn reset(&self, key: TemplateKey, version: Option<i64>, note: &Note) -> StoreResult<TemplateWrite>;

    /// Looks one up.
    async fn find(&self, key: TemplateKey) -> StoreResult<Option<Template>>;

    /// The key and the version of each.
    async fn index(&self) -> StoreResult<Vec<(TemplateKey, i64)>>;
}

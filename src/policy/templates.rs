//! Templates: list, get, update, reset, preview.

use super::{Office, StoreError};
pub use crate::mail::{Layer as Shown, Sample};
use crate::{
    domain::{
        audit::Action,
        template::{Template, TemplateKey, TemplateParts},
        violation::Violations,
        visitor::Visitor,
    },
    mail::check_template,
    store::TemplateWrite,
};

/// Why a template was not saved or found.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// Something is wrong with it.
    #[error(transparent)]
    Invalid(#[from] Violations),
    /// Nobody wrote one for these mails.
    #[error("no such template")]
    Unknown,
    /// Somebody else changed it in between.
    #[error("the template was changed in between")]
    Stale,
    /// There are as many as there may be.
    #[error("there are too many templates")]
    Full,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Office {
    /// What there is: the keys of those that administrators wrote, and of the built-in ones.
    #[tracing::instrument(name = "policy.templates", skip_all)]
    pub async fn templates(&self) -> Result<(Vec<TemplateKey>, Vec<TemplateKey>), TemplateError> {
        Ok(self.library.keys().await?)
    }

    /// The template that mails of this purpose, event and language are made of.
    #[tracing::instrument(name = "policy.template", skip_all)]
    pub async fn template(&self, key: &TemplateKey) -> Result<Shown, TemplateError> {
        Ok(self.library.layer(key.purpose, &key.event, &key.language).await?)
    }

    /// Writes a template. What is wrong with it is told with line and column.
    #[tracing::instrument(name = "policy.update_template", skip_all)]
    pub async fn update_template(
        &self,
        caller: &Visitor,
        key: TemplateKey,
        parts: TemplateParts,
        version: Option<i64>,
    ) -> Result<Template, TemplateError> {
        check_template(key.clone(), &parts, self.settings.code_in_subject, "template.")?;
        let parts = TemplateParts {
            subject: parts.subject.trim().to_owned(),
            ..parts
        };
        let note = self.note(caller, Action::TemplateUpdate);
        let now = self.clock.now();
        let write = self.templates.save(key, parts, version, now, &note).await?;
        self.library.forget().await;
        let template = written(write)?;
        tell(caller, &template, "template changed");
        Ok(template)
    }

    /// Removes a template; answers with the one that stands in its place.
    #[tracing::instrument(name = "policy.reset_template", skip_all)]
    pub async fn reset_template(
        &self,
        caller: &Visitor,
        key: TemplateKey,
        version: Option<i64>,
    ) -> Result<Shown, TemplateError> {
        let note = self.note(caller, Action::TemplateReset);
        let write = self.templates.reset(key.clone(), version, &note).await?;
        self.library.forget().await;
        tell(caller, &written(write)?, "template reset");
        self.template(&key).await
    }

    /// What a template makes of sample values; without parts, the one that applies.
    #[tracing::instrument(name = "policy.preview_template", skip_all)]
    pub async fn preview_template(
        &self,
        key: TemplateKey,
        parts: Option<TemplateParts>,
    ) -> Result<Sample, TemplateError> {
        let parts = match parts {
            Some(parts) => parts,
            None => match self.template(&key).await? {
                Shown::Own(template) => template.parts,
                Shown::BuiltIn(_, parts) => parts,
            },
        };
        Ok(check_template(
            key,
            &parts,
            self.settings.code_in_subject,
            "template.",
        )?)
    }
}

fn written(write: TemplateWrite) -> Result<Template, TemplateError> {
    match write {
        TemplateWrite::Saved(template) => Ok(*template),
        TemplateWrite::Stale => Err(TemplateError::Stale),
        TemplateWrite::Unknown => Err(TemplateError::Unknown),
        TemplateWrite::Full => Err(TemplateError::Full),
    }
}

/// For the record of who changed what.
fn tell(caller: &Visitor, template: &Template, what: &'static str) {
    tracing::info!(
        caller.name = %caller.name,
        template.purpose = template.key.purpose.name(),
        template.event = %template.key.event,
        template.language = %template.key.language,
        "{what}"
    );
}

//! The templates that administrators wrote, as this process knows them: compiled, and at most [`FRESH`] behind what
//! another process changed.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use super::{
    Own,
    built_in::{self, language},
};
use crate::{
    domain::{
        challenge::Purpose,
        template::{Template, TemplateKey, TemplateParts},
    },
    store::{StoreError, StoreResult, Templates},
};

/// How long the list of templates is believed.
const FRESH: Duration = Duration::from_secs(2);

/// How many compiled templates are kept.
const COMPILED: u64 = 256;

type Index = HashMap<TemplateKey, i64>;

/// Finds the template for a mail.
pub struct Library {
    templates: Arc<dyn Templates>,
    default_locale: String,
    index: moka::future::Cache<(), Arc<Index>>,
    compiled: moka::sync::Cache<(TemplateKey, i64), Arc<Own>>,
}

/// The template that applies to some mails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layer {
    /// One that an administrator wrote.
    Own(Box<Template>),
    /// The built-in one.
    BuiltIn(TemplateKey, TemplateParts),
}

impl Library {
    /// Over the store. The default locale is spoken to whoever has no template and no built-in mail in his language.
    #[must_use]
    pub fn new(templates: Arc<dyn Templates>, default_locale: &str) -> Self {
        Self {
            templates,
            default_locale: default_locale.to_owned(),
            index: moka::future::Cache::builder()
                .max_capacity(1)
                .time_to_live(FRESH)
                .build(),
            compiled: moka::sync::Cache::new(COMPILED),
        }
    }

    /// The administrator's template for a mail, compiled; `None`: the built-in one. Looked for are the user's language
    /// (for the event, then for the purpose), then the built-in mails in it, then the default language.
    pub async fn find(&self, purpose: Purpose, event: &str, locale: &str) -> StoreResult<Option<Arc<Own>>> {
        let index = self.index().await?;
        if index.is_empty() {
            return Ok(None);
        }
        let Some((key, version)) = self.chosen(&index, purpose, event, locale) else {
            return Ok(None);
        };
        let place = (key.clone(), version);
        if let Some(own) = self.compiled.get(&place) {
            return Ok(Some(own));
        }
        let Some(template) = self.templates.find(key.clone()).await? else {
            // Removed a moment ago.
            self.forget().await;
            return Ok(None);
        };
        let compiled = Own::compile(key.clone(), &template.parts);
        let own = compiled
            .unwrap_or_else(|(field, error)| Own::broken(key.clone(), field, error.kind().to_string()));
        let own = Arc::new(own);
        self.compiled.insert((key, template.version), Arc::clone(&own));
        Ok(Some(own))
    }

    /// The template that mails for an event and a language are made of at present.
    pub async fn layer(&self, purpose: Purpose, event: &str, locale: &str) -> StoreResult<Layer> {
        let index = self.index().await?;
        if let Some((key, _)) = self.chosen(&index, purpose, event, locale)
            && let Some(template) = self.templates.find(key).await?
        {
            return Ok(Layer::Own(Box::new(template)));
        }
        let spoken = language(locale).or_else(|| language(&self.default_locale));
        let spoken = spoken.unwrap_or("en");
        let key = TemplateKey::new(purpose, "", spoken);
        Ok(Layer::BuiltIn(key, built_in::parts(spoken, purpose.name())))
    }

    /// The keys of all that administrators wrote, then those that are built in.
    pub async fn keys(&self) -> StoreResult<(Vec<TemplateKey>, Vec<TemplateKey>)> {
        let mut own: Vec<TemplateKey> = self.index().await?.keys().cloned().collect();
        own.sort();
        let built_in = Purpose::ALL
            .into_iter()
            .flat_map(|purpose| built_in::LANGUAGES.map(|language| TemplateKey::new(purpose, "", language)));
        Ok((own, built_in.collect()))
    }

    /// Looks again at the next mail: something was changed here.
    pub async fn forget(&self) {
        self.index.invalidate(&()).await;
    }

    fn chosen(
        &self,
        index: &Index,
        purpose: Purpose,
        event: &str,
        locale: &str,
    ) -> Option<(TemplateKey, i64)> {
        let among = |locale: &str| {
            let keys = TemplateKey::candidates(purpose, event, locale);
            keys.into_iter()
                .find_map(|key| index.get(&key).map(|version| (key, *version)))
        };
        among(locale).or_else(|| {
            if language(locale).is_some() {
                // His own language, if only built in, goes before another.
                None
            } else {
                among(&self.default_locale)
            }
        })
    }

    async fn index(&self) -> StoreResult<Arc<Index>> {
        let read = async {
            let index = self.templates.index().await?;
            Ok::<_, StoreError>(Arc::new(index.into_iter().collect()))
        };
        self.index
            .try_get_with((), read)
            .await
            .map_err(|error| StoreError::Unavailable(Box::new(error)))
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Library(..)")
    }
}

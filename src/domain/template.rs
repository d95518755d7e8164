//! Templates that administrators write in place of the built-in ones: what each is for, and what it is made of.

use super::{challenge::Purpose, clock::Timestamp};

/// The most characters of a template's subject.
pub const MOST_SUBJECT: usize = 400;
/// The most bytes of a template's text.
pub const MOST_TEXT: usize = 8 * 1024;
/// The most bytes of a template's HTML.
pub const MOST_HTML: usize = 40 * 1024;
/// The most templates there may be.
pub const MOST_TEMPLATES: u32 = 1000;

/// Which mails a template is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TemplateKey {
    /// What their codes are for.
    pub purpose: Purpose,
    /// The event; empty: every event that has none of its own.
    pub event: String,
    /// The language, a BCP 47 tag in small letters; empty: every language that has none of its own.
    pub language: String,
}

impl TemplateKey {
    /// Of these mails. The language's letters are made small: tags are the same in either case (RFC 5646, 2.1.1).
    #[must_use]
    pub fn new(purpose: Purpose, event: &str, language: &str) -> Self {
        Self {
            purpose,
            event: event.to_owned(),
            language: language.to_ascii_lowercase().replace('_', "-"),
        }
    }

    /// Where a mail's template is looked for, in this order: the event before all events; the language, its shorter
    /// forms (RFC 4647, 3.4), those without the script too (`zh-Hant-TW`, `zh-Hant`, `zh-TW`, `zh`), then any language.
    #[must_use]
    pub fn candidates(purpose: Purpose, event: &str, language: &str) -> Vec<Self> {
        let mut languages: Vec<String> = Vec::new();
        let whole = shorter_and_shorter(language).filter(|tag| tag.contains('-'));
        for tag in whole.chain(shorter_and_shorter(&without_script(language))) {
            if !languages.contains(&tag) {
                languages.push(tag);
            }
        }
        languages.push(String::new());
        let mut found: Vec<Self> = Vec::new();
        for event in [event, ""] {
            for language in &languages {
                let key = Self::new(purpose, event, language);
                if !found.contains(&key) {
                    found.push(key);
                }
            }
        }
        found
    }
}

/// A language tag in small letters, then without its last subtag, and so on down to its first.
fn shorter_and_shorter(language: &str) -> impl Iterator<Item = String> {
    let whole = language.to_ascii_lowercase().replace('_', "-");
    let mut next = Some(whole).filter(|tag| !tag.is_empty());
    std::iter::from_fn(move || {
        let tag = next.take()?;
        next = tag.rsplit_once('-').map(|(shorter, _)| shorter.to_owned());
        Some(tag)
    })
}

/// A language tag without its script, which is its second part of four letters.
fn without_script(language: &str) -> String {
    let is_script = |(index, subtag): &(usize, &str)| {
        *index == 1 && subtag.len() == 4 && subtag.bytes().all(|byte| byte.is_ascii_alphabetic())
    };
    let subtags = language
        .split(['-', '_'])
        .enumerate()
        .filter(|subtag| !is_script(subtag));
    subtags.map(|(_, subtag)| subtag).collect::<Vec<_>>().join("-")
}

/// What a template is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TemplateParts {
    /// One line.
    pub subject: String,
    /// The plain text.
    pub text: String,
    /// The HTML; empty: the mail has none.
    pub html: String,
}

/// A template as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// What it is for.
    pub key: TemplateKey,
    /// What it is made of.
    pub parts: TemplateParts,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Rises with each change, and is never given again, even after a reset.
    pub version: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_event_goes_before_the_language() {
        let keys = TemplateKey::candidates(Purpose::Login, "vpn", "zh-Hant_TW");
        let found: Vec<(&str, &str)> = keys
            .iter()
            .map(|key| (key.event.as_str(), key.language.as_str()))
            .collect();
        let languages = ["zh-hant-tw", "zh-hant", "zh-tw", "zh", ""];
        let expected: Vec<(&str, &str)> = ["vpn", ""]
            .into_iter()
            .flat_map(|event| languages.map(|language| (event, language)))
            .collect();
        assert_eq!(found, expected);
        assert_eq!(TemplateKey::candidates(Purpose::Login, "", "").len(), 1);
    }
}

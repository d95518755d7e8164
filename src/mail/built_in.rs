//! The templates that are built in: one set for each language, and which of them a locale gets.

use minijinja::{AutoEscape, Environment, UndefinedBehavior, syntax::SyntaxConfig};

use crate::domain::template::TemplateParts;

/// The languages there are templates in; the first is spoken where none of the others is asked for.
pub(super) const LANGUAGES: [&str; 5] = ["en", "de", "fr", "es", "zh"];

/// Each file of a language.
macro_rules! language {
    ($language:literal) => {
        language!(
            $language: "base.html", "base.txt", "login.subject", "login.txt", "login.html",
            "address_confirmation.subject", "address_confirmation.txt", "address_confirmation.html",
            "recovery.subject", "recovery.txt", "recovery.html", "test.subject", "test.txt", "test.html"
        )
    };
    ($language:literal: $($name:literal),*) => {
        [$((concat!($language, "/", $name), include_str!(concat!("templates/", $language, "/", $name)))),*]
    };
}

/// What the languages share.
const SHARED: [(&str, &str); 3] = [
    ("layout.html", include_str!("templates/layout.html")),
    ("code.html", include_str!("templates/code.html")),
    ("code.txt", include_str!("templates/code.txt")),
];

const OF_LANGUAGES: [[(&str, &str); 14]; 5] = [
    language!("en"),
    language!("de"),
    language!("fr"),
    language!("es"),
    language!("zh"),
];

/// An environment that holds them all.
pub(super) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_syntax(syntax());
    environment.set_auto_escape_callback(|name| {
        match name.rsplit_once('.') {
            Some((_, "subject" | "txt")) => AutoEscape::None,
            // Anything else is escaped: a forgotten name must not open a hole.
            _ => AutoEscape::Html,
        }
    });
    for (name, source) in sources() {
        // They are compiled in, and a test renders each of them.
        if let Err(error) = environment.add_template(name, source) {
            unreachable!("the built-in template {name} is broken: {error}");
        }
    }
    environment
}

/// Name and source of each.
pub(super) fn sources() -> impl Iterator<Item = (&'static str, &'static str)> {
    SHARED.into_iter().chain(OF_LANGUAGES.into_iter().flatten())
}

/// The parts of a built-in mail in a language of [`LANGUAGES`].
pub(super) fn parts(language: &str, name: &str) -> TemplateParts {
    let part = |kind: &str| {
        let wanted = format!("{language}/{name}.{kind}");
        let found = sources().find(|(name, _)| *name == wanted);
        found.map_or_else(String::new, |(_, source)| source.to_owned())
    };
    TemplateParts {
        subject: part("subject"),
        text: part("txt"),
        html: part("html"),
    }
}

/// The built-in language for a locale: its own, else that of its first subtag (RFC 4647, 3.4).
pub(super) fn language(locale: &str) -> Option<&'static str> {
    let primary = locale.split(['-', '_']).next().unwrap_or_default();
    LANGUAGES
        .into_iter()
        .find(|language| language.eq_ignore_ascii_case(primary))
}

/// What Content-Language says of a built-in language. The Chinese is written in simplified characters.
pub(super) fn tag(language: &'static str) -> &'static str {
    match language {
        "zh" => "zh-Hans",
        other => other,
    }
}

/// Block tags may stand on lines of their own without leaving any behind.
fn syntax() -> SyntaxConfig {
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build();
    // The delimiters are the usual ones, which do not clash.
    syntax.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locales_fall_back_to_their_language() {
        for (locale, spoken) in [
            ("de-CH", Some("de")),
            ("DE_at", Some("de")),
            ("de", Some("de")),
            ("en-GB", Some("en")),
            ("fr-CA", Some("fr")),
            ("es-419", Some("es")),
            ("zh-Hans", Some("zh")),
            ("zh-CN", Some("zh")),
            ("zh-TW", Some("zh")),
            ("zh-Hant-HK", Some("zh")),
            ("it", None),
            ("", None),
            ("deutsch", None),
        ] {
            assert_eq!(language(locale), spoken, "{locale}");
        }
    }
}

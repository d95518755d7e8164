//! The fields of an object as the audit shows them, and what differs between two states of it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::Change;

/// Characters of a text that are shown; of a longer one the beginning, its length and its digest.
const SHOWN: usize = 500;

/// A field.
#[derive(Clone, Debug, PartialEq)]
enum Field {
    /// Shown.
    Value(Value),
    /// Never shown: only whether there is one, and whether it changed.
    Hidden(Vec<u8>),
}

/// An object's fields by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields(BTreeMap<&'static str, Field>);

impl Fields {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With a field that is shown. Absent, empty texts and empty lists are no field.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        let value = value.into();
        let nothing = match &value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(values) => values.is_empty(),
            Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
        };
        if !nothing {
            self.0.insert(name, Field::Value(value));
        }
        self
    }

    /// With a field that is not shown. `content` tells one from another and goes nowhere.
    #[must_use]
    pub fn hiding(mut self, name: &'static str, content: &[u8]) -> Self {
        if !content.is_empty() {
            self.0.insert(name, Field::Hidden(content.to_vec()));
        }
        self
    }

    /// What differs.
    #[must_use]
    pub fn change(before: &Self, after: &Self) -> Change {
        let mut change = Change::default();
        let put = |map: &mut Map<String, Value>, name: &str, value: Value| {
            map.insert(name.to_owned(), value);
        };
        for (name, old) in &before.0 {
            if after.0.get(name) != Some(old) {
                put(&mut change.before, name, shown(old, "set"));
            }
        }
        for (name, new) in &after.0 {
            let old = before.0.get(name);
            if old != Some(new) {
                let word = match old {
                    Some(Field::Hidden(_)) => "changed",
                    Some(Field::Value(_)) | None => "set",
                };
                put(&mut change.after, name, shown(new, word));
            }
        }
        change
    }
}

fn shown(field: &Field, hidden: &str) -> Value {
    match field {
        Field::Hidden(_) => hidden.into(),
        Field::Value(Value::String(text)) => short(text).into(),
        Field::Value(value) => value.clone(),
    }
}

fn short(text: &str) -> String {
    use std::fmt::Write as _;
    let Some((end, _)) = text.char_indices().nth(SHOWN) else {
        return text.to_owned();
    };
    let mut short = format!(
        "{}... ({} characters, SHA-256 ",
        text.get(..end).unwrap_or_default(),
        text.chars().count()
    );
    for byte in Sha256::digest(text) {
        // Writing to a string cannot fail.
        let _ = write!(short, "{byte:02x}");
    }
    short + ")"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(before: &Fields, after: &Fields) -> (Value, Value) {
        let change = Fields::change(before, after);
        (change.before.into(), change.after.into())
    }

    #[test]
    fn only_what_differs_is_told() {
        let before = Fields::new()
            .with("name", "a")
            .with("port", 25)
            .with("reply_to", "x@example.com");
        let after = Fields::new()
            .with("name", "a")
            .with("port", 587)
            .with("reply_to", "")
            .with("list", Vec::<String>::new())
            .with("enabled", false);
        assert_eq!(
            told(&before, &after),
            (
                json!({"port": 25, "reply_to": "x@example.com"}),
                json!({"port": 587, "enabled": false})
            )
        );
        assert_eq!(told(&after, &after), (json!({}), json!({})));
    }

    #[test]
    fn a_secret_is_set_or_changed_and_never_shown() {
        let none = Fields::new();
        let first = Fields::new().hiding("secret", b"hunter2");
        let second = Fields::new().hiding("secret", b"hunter3");
        let file = Fields::new().with("secret", "file /run/secrets/mail");
        assert_eq!(told(&none, &first), (json!({}), json!({"secret": "set"})));
        assert_eq!(
            told(&first, &second),
            (json!({"secret": "set"}), json!({"secret": "changed"}))
        );
        assert_eq!(told(&first, &first), (json!({}), json!({})));
        assert_eq!(told(&first, &none), (json!({"secret": "set"}), json!({})));
        assert_eq!(told(&first, &file).1, json!({"secret": "file /run/secrets/mail"}));
    }

    #[test]
    fn long_texts_are_told_by_their_beginning_and_digest() {
        let text = "ä".repeat(501);
        let change = Fields::change(&Fields::new(), &Fields::new().with("text", text.as_str()));
        let shown = change.after["text"].as_str().unwrap();
        assert!(shown.starts_with(&"ä".repeat(500)), "{shown}");
        assert!(shown.contains("... (501 characters, SHA-256 "), "{shown}");
        assert_eq!(short(&"ä".repeat(500)), "ä".repeat(500));
    }
}

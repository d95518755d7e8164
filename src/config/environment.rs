//! `MAILFACTOR__SECTION__KEY` from the environment, as a table like the file's.

use toml::{Table, Value};

use super::merge::unknown;
use crate::domain::violation::Violations;

/// What a variable must begin with. A single underscore is another kind: `MAILFACTOR_LOG`, `MAILFACTOR_SECRET_...`.
pub(super) const PREFIX: &str = "MAILFACTOR__";

/// The variables that concern the configuration, as a table. `known` tells the type a text is to be read as.
pub(super) fn table(
    variables: impl IntoIterator<Item = (String, String)>,
    known: &Table,
    event: &Table,
    faults: &mut Violations,
) -> Table {
    let mut table = Table::new();
    for (name, text) in variables {
        let Some(path) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let path: Vec<String> = path.split("__").map(str::to_lowercase).collect();
        match example(&path, known, event) {
            Err(problem) => faults.add(name, problem),
            Ok(example) => match read(&text, example) {
                Ok(value) => insert(&mut table, &path, value),
                Err(problem) => faults.add(name, problem),
            },
        }
    }
    table
}

/// The default at a path, or what is wrong with the path.
fn example<'a>(path: &[String], known: &'a Table, event: &'a Table) -> Result<&'a Value, String> {
    let (mut table, rest) = match path {
        [first, _, rest @ ..] if first == "events" => (event, rest),
        rest => (known, rest),
    };
    let mut rest = rest.iter();
    while let Some(key) = rest.next() {
        let Some(value) = table.get(key) else {
            return Err(unknown(key, table.keys()));
        };
        match value {
            Value::Table(inner) => table = inner,
            value if rest.len() == 0 => return Ok(value),
            _ => return Err(format!("goes on after `{key}`, which is a single value")),
        }
    }
    Err("names a section, not a key in it".to_owned())
}

fn read(text: &str, example: &Value) -> Result<Value, &'static str> {
    match example {
        Value::String(_) => Ok(Value::String(text.to_owned())),
        Value::Integer(_) => text
            .trim()
            .parse()
            .map(Value::Integer)
            .map_err(|_| "must be a whole number"),
        Value::Boolean(_) => text
            .trim()
            .parse()
            .map(Value::Boolean)
            .map_err(|_| "must be true or false"),
        // Only lists are left among the defaults.
        _ => toml::from_str::<Table>(&format!("value = {text}"))
            .ok()
            .and_then(|mut table| table.remove("value"))
            .filter(Value::is_array)
            .ok_or("must be a list in TOML, such as [\"a\", \"b\"]"),
    }
}

fn insert(table: &mut Table, path: &[String], value: Value) {
    match path {
        [] => {}
        [key] => {
            table.insert(key.clone(), value);
        }
        [key, rest @ ..] => {
            let inner = table
                .entry(key.clone())
                .or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

//! What a person wrote, laid over the defaults. `default.toml` is the schema by example: a key that is not there is
//! unknown, a value of another type is wrong. Faults are gathered; where there is one, the default stays.

use toml::{Table, Value};

use crate::domain::violation::Violations;

/// Tables with the same keys at every name: `[events.NAME]` looks like `[policy]`, and each `[[repository]]` like this.
pub(super) struct Shapes {
    /// What `[events.NAME]` may hold.
    pub(super) event: Table,
    /// What a `[[repository]]` may hold.
    pub(super) repository: Table,
}

/// Lays `over` on `base`.
pub(super) fn merge(base: &mut Table, over: Table, shapes: &Shapes, faults: &mut Violations) {
    for (key, value) in over {
        match (key.as_str(), value) {
            ("events", Value::Table(events)) => merge_events(base, events, shapes, faults),
            ("repository", Value::Array(list)) => {
                check_repositories(&list, shapes, faults);
                base.insert(key, Value::Array(list));
            }
            (_, value) => lay(base, &key, value, "", faults),
        }
    }
}

/// An event keeps only what it overrides: the rest comes from `[policy]` once that is complete.
fn merge_events(base: &mut Table, events: Table, shapes: &Shapes, faults: &mut Violations) {
    let Some(Value::Table(kept)) = base.get_mut("events") else {
        return;
    };
    for (name, value) in events {
        let path = format!("events.{name}");
        let Value::Table(over) = value else {
            faults.add(path, "must be a table");
            continue;
        };
        check_shape(&over, &shapes.event, &format!("{path}."), faults);
        match kept.get_mut(&name) {
            Some(Value::Table(earlier)) => overlay(earlier, &over),
            _ => {
                kept.insert(name, Value::Table(over));
            }
        }
    }
}

fn check_repositories(list: &[Value], shapes: &Shapes, faults: &mut Violations) {
    for (index, item) in list.iter().enumerate() {
        match item {
            Value::Table(item) => {
                check_shape(item, &shapes.repository, &format!("repository[{index}]."), faults);
            }
            _ => faults.add(format!("repository[{index}]"), "must be a table"),
        }
    }
}

/// Notes what `over` has that `example` has not.
fn check_shape(over: &Table, example: &Table, prefix: &str, faults: &mut Violations) {
    let mut scratch = example.clone();
    for (key, value) in over {
        lay(&mut scratch, key, value.clone(), prefix, faults);
    }
}

/// Lays whatever both hold, without any checks: for tables that were checked before.
pub(super) fn overlay(base: &mut Table, over: &Table) {
    for (key, value) in over {
        match (base.get_mut(key), value) {
            (Some(Value::Table(base)), Value::Table(over)) => overlay(base, over),
            // A wrong type was noted as a fault; what was there before is at least readable.
            (Some(base), value) if !base.same_type(value) => {}
            _ => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}

fn lay(base: &mut Table, key: &str, value: Value, prefix: &str, faults: &mut Violations) {
    let path = format!("{prefix}{key}");
    let Some(slot) = base.get_mut(key) else {
        faults.add(path, unknown(key, base.keys()));
        return;
    };
    match (slot, value) {
        (Value::Table(base), Value::Table(over)) => {
            for (key, value) in over {
                lay(base, &key, value, &format!("{path}."), faults);
            }
        }
        (slot, value) if slot.same_type(&value) => *slot = value,
        (slot, value) => faults.add(
            path,
            format!("must be {}, not {}", article(slot), article(&value)),
        ),
    }
}

fn article(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text in quotes",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number with a point",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

/// What is said of an unknown key: with the known one it resembles, if any.
pub(super) fn unknown<'a>(key: &str, known: impl Iterator<Item = &'a String>) -> String {
    let near = known
        .map(|known| (distance(key, known), known))
        .filter(|(distance, known)| *distance <= known.len().div_ceil(3))
        .min();
    match near {
        Some((_, near)) => format!("is unknown; did you mean `{near}`?"),
        None => "is unknown".to_owned(),
    }
}

/// The Levenshtein distance, in bytes: keys are ASCII.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (slot, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let cost = (diagonal + usize::from(x != y)).min(left + 1).min(*slot + 1);
            diagonal = std::mem::replace(slot, cost);
            left = cost;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_what_was_nearly_written() {
        let known: Vec<String> = ["listen", "reflection", "tls"].map(String::from).into();
        assert_eq!(
            unknown("lisen", known.iter()),
            "is unknown; did you mean `listen`?"
        );
        assert_eq!(unknown("colour", known.iter()), "is unknown");
        assert_eq!((distance("kitten", "sitting"), distance("", "abc")), (3, 3));
    }
}

//! What a server says, read from any bytes: for fuzzing alone.

use super::{ber::Writer, filter::Filter, message};

/// Reads a server's messages, one after another.
pub fn replies(bytes: &[u8]) {
    let mut rest = bytes;
    while let Ok(Some(length)) = message::length(rest) {
        let Some(whole) = rest.get(..length) else { return };
        let _ = message::reply(whole);
        rest = rest.get(length..).unwrap_or_default();
    }
}

/// A filter and a name, in two lines: the name changes nothing of the filter but its values.
///
/// # Panics
/// Where it is not so.
pub fn filter(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (filter, name) = text.split_once('\n').unwrap_or((&text, "ann"));
    let Ok(filter) = Filter::parse(filter) else { return };
    let written = |name: &str| {
        let mut writer = Writer::default();
        filter.write(name, &mut writer);
        writer.into_bytes().len()
    };
    // There is a place for the name, and it takes as much room as the name does, at least.
    assert!(name.len() < 2 || written(name) > written("a"));
}

//! Writes to standard output and standard error: lines, tables, JSON.
//!
//! A reader that has gone away, such as `head`, is no failure.

use std::{
    fmt::Display,
    io::{self, IsTerminal as _, Write as _},
};

use serde_json::Value;

/// A line for the person or the script.
pub(super) fn say(line: impl Display) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// A line about what went wrong.
pub(super) fn complain(line: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Asks for something on the terminal; the answer follows on the same line.
pub(super) fn ask(question: &str) {
    let mut stderr = io::stderr().lock();
    let _ = write!(stderr, "{question}");
    let _ = stderr.flush();
}

/// JSON, over several lines.
pub(super) fn json(value: &Value) {
    say(format_args!("{value:#}"));
}

/// JSON on one line, for streams.
pub(super) fn json_line(value: &Value) {
    say(value);
}

/// A table with its columns aligned.
pub(super) fn table(headers: &[&str], rows: &[Vec<String>]) {
    for line in aligned(headers, rows) {
        say(line);
    }
}

/// Names and values, one pair a line.
pub(super) fn pairs(pairs: &[(&str, String)]) {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        say(format_args!("{name:width$}  {value}"));
    }
}

fn aligned(headers: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let headers: Vec<String> = headers.iter().map(|header| header.to_uppercase()).collect();
    let widths: Vec<usize> = headers
        .iter()
        .enumerate()
        .map(|(column, header)| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells
                .chain([header])
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or_default()
        })
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let cells: Vec<String> = cells.map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    std::iter::once(&headers).chain(rows).map(line).collect()
}

/// How text may be set off.
#[derive(Clone, Copy, Debug)]
pub(super) enum Style {
    /// A heading.
    Heading,
    /// Something good.
    Good,
    /// Something refused.
    Bad,
    /// Less important.
    Faint,
}

/// Sets text off, on a terminal that may show colour (<https://no-color.org>).
pub(super) fn styled(style: Style, text: &str) -> String {
    let plain = !io::stdout().is_terminal() || std::env::var_os("NO_COLOR").is_some();
    if plain {
        return text.to_owned();
    }
    let code = match style {
        Style::Heading => "1",
        Style::Good => "32",
        Style::Bad => "33",
        Style::Faint => "2",
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["é".into(), "x".into()], vec!["abc".into(), String::new()]];
        assert_eq!(aligned(&["a", "b"], &rows), ["A    B", "é    x", "abc"]);
    }
}

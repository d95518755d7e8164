//! What commands print: tables for people, JSON for scripts, and errors that say what to do next.

use std::{fmt, io::Write as _};

use prost_types::Timestamp;
use serde_json::Value;

/// Where a command prints to: standard output, in one of two forms.
#[derive(Clone, Copy, Debug, Default)]
pub struct Out {
    /// JSON instead of text.
    pub json: bool,
}

impl Out {
    /// A line of text. A reader that went away is no failure of the command.
    pub fn line(self, text: impl fmt::Display) {
        let _ = writeln!(std::io::stdout().lock(), "{text}");
    }

    /// A value: as JSON where that was asked for, otherwise in the words of `text`.
    pub fn value(self, value: &Value, text: impl FnOnce(Self)) {
        if self.json {
            self.line(format_args!("{value:#}"));
        } else {
            text(self);
        }
    }

    /// Rows under a heading, in columns as wide as their widest cell.
    pub fn table<const N: usize>(self, heading: [&str; N], rows: &[[String; N]]) {
        let mut widths = heading.map(|cell| cell.chars().count());
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        self.row(&heading.map(str::to_owned), &widths);
        for row in rows {
            self.row(row, &widths);
        }
    }

    /// Names and values, one pair a line, without those that are empty.
    pub fn fields(self, fields: &[(&str, String)]) {
        let width = fields
            .iter()
            .map(|(name, _)| name.len())
            .max()
            .unwrap_or_default();
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
            self.line(format_args!("{name:width$}  {value}"));
        }
    }

    fn row<const N: usize>(self, cells: &[String; N], widths: &[usize; N]) {
        let padded = cells
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}  "));
        self.line(padded.collect::<String>().trim_end());
    }
}

/// A moment as people and scripts read it: RFC 3339 in UTC, to the second. Empty where there is none.
#[must_use]
pub fn moment(timestamp: Option<&Timestamp>) -> String {
    let moment = timestamp.and_then(|timestamp| jiff::Timestamp::from_second(timestamp.seconds).ok());
    moment.map(|moment| moment.to_string()).unwrap_or_default()
}

/// A failure of a command, in words for the person who ran it.
#[derive(Debug)]
pub struct CliError {
    /// What went wrong.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// The exit code: 1 failed, 78 bad configuration (`EX_CONFIG` of sysexits.h).
    pub exit: u8,
}

impl CliError {
    /// A failure with exit code 1.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            exit: 1,
        }
    }

    /// With what to do next.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.hint
            .iter()
            .try_for_each(|hint| write!(f, "\n  hint: {hint}"))
    }
}

impl std::error::Error for CliError {}

/// What a command ends with.
pub type CliResult = Result<(), CliError>;

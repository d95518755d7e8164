//! Reads a users file. Errors name places, never contents: a users file is full of people.

use std::{
    io,
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    super::UserName,
    users::{Dropped, Known, Unusable, Users},
};
use crate::domain::{
    address::{AddressError, EmailAddress, LocalPart},
    locale::language_tag,
    text::check_line,
};

/// Why a users file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Not there, or not to be read.
    #[error("the users file {path} cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A directory, a pipe or the like.
    #[error("the users file {path} is no regular file")]
    NoFile {
        /// The path.
        path: PathBuf,
    },
    /// Larger than anything that is read.
    #[error("the users file {path} is larger than {most} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most it may have.
        most: u64,
    },
    /// Not TOML.
    #[error("the users file {path} is not valid TOML at line {line}, column {column}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The column in characters, counted from 1.
        column: usize,
    },
    /// TOML, but no users.
    #[error("the users file {path}, line {line}: {what}")]
    Shape {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// A user that makes no sense.
    #[error("the users file {path}, line {line}, user {entry}: {what}")]
    Entry {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// Which `[[user]]`, counted from 1.
        entry: usize,
        /// What is wrong.
        what: String,
    },
}

/// The users in the contents of a file; `path` is for the errors.
pub(super) fn parse(bytes: &[u8], path: &Path, local_part: LocalPart) -> Result<Users, FileError> {
    let text = str::from_utf8(bytes).map_err(|error| {
        let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
        syntax(path, &String::from_utf8_lossy(valid), error.valid_up_to())
    })?;
    let document = DeTable::parse(text)
        .map_err(|error| syntax(path, text, error.span().map_or(text.len(), |span| span.start)))?;
    Reader {
        text,
        path,
        local_part,
        lines: Lines::default(),
    }
    .users(document.get_ref())
}

/// Walks a parsed document.
struct Reader<'t> {
    text: &'t str,
    path: &'t Path,
    local_part: LocalPart,
    lines: Lines,
}

impl Reader<'_> {
    fn users(mut self, document: &DeTable<'_>) -> Result<Users, FileError> {
        let mut list = None;
        for (key, value) in document {
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("user", DeValue::Array(users)) => list = Some(users),
                ("user", _) => return Err(self.shape(value.span().start, "must be written `[[user]]`")),
                _ => return Err(self.shape(key.span().start, "only `[[user]]` is known here")),
            }
        }
        // A file that is being rewritten is empty for a moment: that must not make everybody unknown.
        let list = list.ok_or_else(|| self.shape(0, "holds no `[[user]]`"))?;
        let mut users = Users::default();
        for (index, item) in list.iter().enumerate() {
            self.user(index + 1, item, &mut users)?;
        }
        Ok(users.settle())
    }

    fn user(
        &mut self,
        entry: usize,
        item: &Spanned<DeValue<'_>>,
        users: &mut Users,
    ) -> Result<(), FileError> {
        let DeValue::Table(fields) = item.get_ref() else {
            return Err(self.fault(item.span().start, entry, "must be a table"));
        };
        let (mut own_name, mut aliases, mut display_name, mut locale) = (None, vec![], None, None);
        let (mut email, mut emails) = (vec![], vec![]);
        for (key, value) in fields {
            match key.get_ref().as_ref() {
                "name" => own_name = Some(self.name(entry, value)?),
                "aliases" => {
                    for alias in self.list(entry, "aliases", value)? {
                        aliases.push(self.name(entry, alias)?);
                    }
                }
                "email" => email.push(value),
                "emails" => match value.get_ref() {
                    DeValue::Array(items) => emails.extend(items.iter()),
                    _ => emails.push(value),
                },
                "display_name" => display_name = self.kept(entry, "display_name", value, name, users),
                "locale" => locale = self.kept(entry, "locale", value, language, users),
                field => {
                    let what = unknown_field(field);
                    return Err(self.fault(key.span().start, entry, what));
                }
            }
        }
        let id = own_name.ok_or_else(|| self.fault(item.span().start, entry, "has no `name`"))?;
        let mut address = None;
        for (position, value) in email.into_iter().chain(emails).enumerate() {
            let parsed = match value.get_ref() {
                DeValue::String(text) => EmailAddress::parse(text.trim(), self.local_part),
                _ => Err(AddressError::Form),
            };
            match parsed {
                Ok(usable) => address = address.or(Some(usable)),
                Err(error) => users.unusable.push(Unusable {
                    line: self.lines.line(self.text, value.span().start),
                    entry,
                    address: position + 1,
                    error,
                }),
            }
        }
        let user = Known {
            entry,
            id,
            address,
            display_name,
            locale,
        };
        users.add(user, aliases);
        Ok(())
    }

    fn name(&mut self, entry: usize, value: &Spanned<DeValue<'_>>) -> Result<String, FileError> {
        let text = self.string(entry, value)?;
        UserName::parse(text)
            .map(|name| name.folded())
            .map_err(|error| self.fault(value.span().start, entry, format!("a name {error}")))
    }

    /// What a field that is there for the looks says; noted and left out where that is of no use.
    fn kept(
        &mut self,
        entry: usize,
        field: &'static str,
        value: &Spanned<DeValue<'_>>,
        read: fn(&str) -> Result<Option<String>, String>,
        users: &mut Users,
    ) -> Option<String> {
        let said = match value.get_ref() {
            DeValue::String(text) => read(text),
            _ => Err("must be a text in quotes".to_owned()),
        };
        said.unwrap_or_else(|what| {
            users.dropped.push(Dropped {
                line: self.lines.line(self.text, value.span().start),
                entry,
                field,
                what,
            });
            None
        })
    }

    fn string<'v>(&mut self, entry: usize, value: &'v Spanned<DeValue<'_>>) -> Result<&'v str, FileError> {
        match value.get_ref() {
            DeValue::String(text) => Ok(text),
            _ => Err(self.fault(value.span().start, entry, "must be a text in quotes")),
        }
    }

    fn list<'v, 'd>(
        &mut self,
        entry: usize,
        field: &str,
        value: &'v Spanned<DeValue<'d>>,
    ) -> Result<Vec<&'v Spanned<DeValue<'d>>>, FileError> {
        match value.get_ref() {
            DeValue::Array(items) => Ok(items.iter().collect()),
            _ => Err(self.fault(
                value.span().start,
                entry,
                format!("{field} must be a list of texts"),
            )),
        }
    }

    fn shape(&mut self, at: usize, what: impl Into<String>) -> FileError {
        FileError::Shape {
            path: self.path.to_owned(),
            line: self.lines.line(self.text, at),
            what: what.into(),
        }
    }

    fn fault(&mut self, at: usize, entry: usize, what: impl Into<String>) -> FileError {
        FileError::Entry {
            path: self.path.to_owned(),
            line: self.lines.line(self.text, at),
            entry,
            what: what.into(),
        }
    }
}

/// How mails address somebody.
fn name(text: &str) -> Result<Option<String>, String> {
    check_line(text, 128).map_err(|error| error.to_string())?;
    Ok((!text.trim().is_empty()).then(|| text.trim().to_owned()))
}

/// A language, if the text names one; `C` and `POSIX` say that there is none.
fn language(text: &str) -> Result<Option<String>, String> {
    let tag = language_tag(text);
    let none = ["", "c", "posix"].contains(&text.trim().to_ascii_lowercase().as_str());
    if tag.is_some() || none {
        Ok(tag)
    } else {
        Err("must be a BCP 47 tag such as `de` or `de-CH`".to_owned())
    }
}

/// Counts lines as it goes forward: a file with a bad address in every line is still read once.
#[derive(Default)]
struct Lines {
    at: usize,
    before: usize,
}

impl Lines {
    fn line(&mut self, text: &str, at: usize) -> usize {
        if at < self.at {
            *self = Self::default();
        }
        let passed = text.as_bytes().get(self.at..at).unwrap_or_default();
        self.before += passed.split(|byte| *byte == b'\n').count() - 1;
        self.at += passed.len();
        self.before + 1
    }
}

/// Names a field only where it is surely a field's name and not somebody's address.
fn unknown_field(field: &str) -> String {
    let is_word = field.len() <= 32
        && field
            .bytes()
            .all(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if is_word {
        format!("has an unknown field `{field}`")
    } else {
        "has an unknown field".to_owned()
    }
}

fn syntax(path: &Path, text: &str, at: usize) -> FileError {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let before = text.get(..at).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |index| index + 1);
    FileError::Syntax {
        path: path.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
    }
}

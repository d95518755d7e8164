//! Search filters: read once from their text (RFC 4515), then encoded with the user's name in its place (RFC 4511, 4.5.1.7).
//!
//! The name never becomes part of a text that is read again: it is a value among values, whatever stands in it. Where the
//! filter is shown, it is escaped (RFC 4515, 3).

use super::ber::{BOOLEAN, OCTETS, Writer};

/// Where the user's name goes.
const USER: &str = "{user}";

/// How deeply filters may be nested.
const DEEPEST: usize = 16;

/// What is wrong with a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FilterFault {
    /// It asks for nobody in particular.
    #[error("must have `{{user}}` where the user's name goes")]
    NoUser,
    /// Its parentheses do not match, or something stands outside them.
    #[error("must be one filter in parentheses (RFC 4515), such as `(uid={{user}})`")]
    Parentheses,
    /// No attribute, or none of that name.
    #[error("has a comparison without a proper attribute")]
    Attribute,
    /// A `\` without two hexadecimal digits.
    #[error("has a `\\` without two hexadecimal digits after it")]
    Escape,
    /// Nested too deeply.
    #[error("is nested more than 16 deep")]
    TooDeep,
}

/// A filter, with places for the user's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    Present(String),
    /// The tag of equality, of the two orders, or of approximation.
    Compare(u8, String, Value),
    Substrings(String, Vec<(u8, Value)>),
    Extensible {
        rule: Option<String>,
        attribute: Option<String>,
        value: Value,
        names: bool,
    },
}

/// A value: bytes, with places for the user's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Value(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Bytes(Vec<u8>),
    User,
}

const EQUAL: u8 = 0xa3;
const GREATER: u8 = 0xa5;
const LESS: u8 = 0xa6;
const APPROXIMATE: u8 = 0xa8;
const INITIAL: u8 = 0x80;
const ANY: u8 = 0x81;
const FINAL: u8 = 0x82;

impl Filter {
    /// Reads a filter that asks for a user.
    pub(super) fn parse(text: &str) -> Result<Self, FilterFault> {
        let (filter, rest) = read(text.trim(), 0)?;
        match rest {
            "" if !filter.asks() => Err(FilterFault::NoUser),
            "" => Ok(filter),
            _ => Err(FilterFault::Parentheses),
        }
    }

    /// A comparison with a text of the configuration's.
    pub(super) fn equal(attribute: &str, value: &str) -> Self {
        let value = Value(vec![Piece::Bytes(value.as_bytes().to_vec())]);
        Self::Compare(EQUAL, attribute.to_owned(), value)
    }

    /// A comparison by a matching rule.
    pub(super) fn matching(attribute: &str, rule: &str, value: &str) -> Self {
        Self::Extensible {
            rule: Some(rule.to_owned()),
            attribute: Some(attribute.to_owned()),
            value: Value(vec![Piece::Bytes(value.as_bytes().to_vec())]),
            names: false,
        }
    }

    fn asks(&self) -> bool {
        match self {
            Self::And(all) | Self::Or(all) => all.iter().any(Self::asks),
            // Everybody but the user is nobody in particular.
            Self::Not(_) | Self::Present(_) => false,
            Self::Compare(_, _, value) | Self::Extensible { value, .. } => value.asks(),
            Self::Substrings(_, parts) => parts.iter().any(|(_, value)| value.asks()),
        }
    }

    /// The filter for a user, on the wire.
    pub(super) fn write(&self, user: &str, to: &mut Writer) {
        match self {
            Self::And(all) => to.constructed(0xa0, |to| all.iter().for_each(|one| one.write(user, to))),
            Self::Or(all) => to.constructed(0xa1, |to| all.iter().for_each(|one| one.write(user, to))),
            Self::Not(one) => to.constructed(0xa2, |to| one.write(user, to)),
            Self::Present(attribute) => to.octets(0x87, attribute.as_bytes()),
            Self::Compare(tag, attribute, value) => to.constructed(*tag, |to| {
                to.octets(OCTETS, attribute.as_bytes());
                to.octets(OCTETS, &value.bytes(user));
            }),
            Self::Substrings(attribute, parts) => to.constructed(0xa4, |to| {
                to.octets(OCTETS, attribute.as_bytes());
                to.constructed(super::ber::SEQUENCE, |to| {
                    for (tag, value) in parts {
                        to.octets(*tag, &value.bytes(user));
                    }
                });
            }),
            Self::Extensible {
                rule,
                attribute,
                value,
                names,
            } => to.constructed(0xa9, |to| {
                for (tag, text) in [(0x81, rule), (0x82, attribute)] {
                    if let Some(text) = text {
                        to.octets(tag, text.as_bytes());
                    }
                }
                to.octets(0x83, &value.bytes(user));
                if *names {
                    to.boolean(0x80 | (BOOLEAN + 3), true);
                }
            }),
        }
    }

    /// The filter for a user as a text, the name escaped.
    #[cfg(test)]
    pub(super) fn text(&self, user: &str) -> String {
        let all = |list: &[Self]| list.iter().map(|one| one.text(user)).collect::<String>();
        match self {
            Self::And(list) => format!("(&{})", all(list)),
            Self::Or(list) => format!("(|{})", all(list)),
            Self::Not(one) => format!("(!{})", one.text(user)),
            Self::Present(attribute) => format!("({attribute}=*)"),
            Self::Compare(tag, attribute, value) => {
                let sign = match *tag {
                    GREATER => ">=",
                    LESS => "<=",
                    APPROXIMATE => "~=",
                    _ => "=",
                };
                format!("({attribute}{sign}{})", value.text(user))
            }
            Self::Substrings(attribute, parts) => {
                let mut text = format!("({attribute}=");
                for (tag, value) in parts {
                    let star = if *tag == INITIAL { "" } else { "*" };
                    text = format!("{text}{star}{}", value.text(user));
                }
                let open = parts.last().is_some_and(|(tag, _)| *tag != FINAL);
                text + if open { "*)" } else { ")" }
            }
            Self::Extensible {
                rule,
                attribute,
                value,
                names,
            } => format!(
                "({}{}{}:={})",
                attribute.as_deref().unwrap_or_default(),
                if *names { ":dn" } else { "" },
                rule.as_ref().map(|rule| format!(":{rule}")).unwrap_or_default(),
                value.text(user)
            ),
        }
    }
}

impl Value {
    fn parse(text: &str) -> Result<Self, FilterFault> {
        let mut pieces = Vec::new();
        for (index, part) in text.split(USER).enumerate() {
            if index > 0 {
                pieces.push(Piece::User);
            }
            let bytes = unescape(part)?;
            if !bytes.is_empty() {
                pieces.push(Piece::Bytes(bytes));
            }
        }
        Ok(Self(pieces))
    }

    fn asks(&self) -> bool {
        self.0.contains(&Piece::User)
    }

    fn bytes(&self, user: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        for piece in &self.0 {
            match piece {
                Piece::Bytes(own) => bytes.extend_from_slice(own),
                Piece::User => bytes.extend_from_slice(user.as_bytes()),
            }
        }
        bytes
    }

    #[cfg(test)]
    fn text(&self, user: &str) -> String {
        let special = |byte: u8| !(0x20..0x7f).contains(&byte) || b"*()\\".contains(&byte);
        let written = |&byte: &u8| match byte {
            byte if special(byte) => format!("\\{byte:02x}"),
            byte => char::from(byte).to_string(),
        };
        self.bytes(user).iter().map(written).collect()
    }
}

/// Reads one filter in its parentheses; what follows it is left over.
fn read(text: &str, depth: usize) -> Result<(Filter, &str), FilterFault> {
    if depth > DEEPEST {
        return Err(FilterFault::TooDeep);
    }
    let inner = text.strip_prefix('(').ok_or(FilterFault::Parentheses)?;
    let (filter, rest) = match inner.chars().next() {
        Some('&') => list(inner, depth).map(|(all, rest)| (Filter::And(all), rest))?,
        Some('|') => list(inner, depth).map(|(all, rest)| (Filter::Or(all), rest))?,
        Some('!') => {
            let (one, rest) = read(inner.get(1..).unwrap_or_default().trim_start(), depth + 1)?;
            (Filter::Not(Box::new(one)), rest)
        }
        _ => {
            let end = inner.find(['(', ')']).ok_or(FilterFault::Parentheses)?;
            let (item, rest) = inner.split_at(end);
            (comparison(item)?, rest)
        }
    };
    let rest = rest.trim_start().strip_prefix(')');
    Ok((filter, rest.ok_or(FilterFault::Parentheses)?))
}

fn list(text: &str, depth: usize) -> Result<(Vec<Filter>, &str), FilterFault> {
    let mut rest = text.get(1..).unwrap_or_default().trim_start();
    let mut all = Vec::new();
    while rest.starts_with('(') {
        let (one, after) = read(rest, depth + 1)?;
        all.push(one);
        rest = after.trim_start();
    }
    if all.is_empty() {
        return Err(FilterFault::Parentheses);
    }
    Ok((all, rest))
}

fn comparison(item: &str) -> Result<Filter, FilterFault> {
    let (left, value) = item.split_once('=').ok_or(FilterFault::Attribute)?;
    let compare = |tag, name: &str| Ok(Filter::Compare(tag, attribute(name)?, Value::parse(value)?));
    match left.chars().next_back() {
        Some('>') => compare(GREATER, left.trim_end_matches('>')),
        Some('<') => compare(LESS, left.trim_end_matches('<')),
        Some('~') => compare(APPROXIMATE, left.trim_end_matches('~')),
        Some(':') => extensible(left.trim_end_matches(':'), value),
        _ if value == "*" => attribute(left).map(Filter::Present),
        _ if value.contains('*') => substrings(left, value),
        _ => compare(EQUAL, left),
    }
}

fn substrings(left: &str, value: &str) -> Result<Filter, FilterFault> {
    let last = value.matches('*').count();
    let mut parts = Vec::new();
    for (index, part) in value.split('*').enumerate() {
        let tag = match index {
            0 => INITIAL,
            index if index == last => FINAL,
            _ => ANY,
        };
        if !part.is_empty() {
            parts.push((tag, Value::parse(part)?));
        }
    }
    Ok(Filter::Substrings(attribute(left)?, parts))
}

/// `attribute:dn:rule:=value`, of which the attribute or the rule may be missing.
fn extensible(left: &str, value: &str) -> Result<Filter, FilterFault> {
    let mut parts = left.split(':');
    let name = match parts.next().unwrap_or_default() {
        "" => None,
        name => Some(attribute(name)?),
    };
    let (mut names, mut rule) = (false, None);
    for part in parts {
        match part {
            "dn" if !names && rule.is_none() => names = true,
            part if rule.is_none() => rule = Some(attribute(part)?),
            _ => return Err(FilterFault::Attribute),
        }
    }
    if name.is_none() && rule.is_none() {
        return Err(FilterFault::Attribute);
    }
    Ok(Filter::Extensible {
        rule,
        attribute: name,
        value: Value::parse(value)?,
        names,
    })
}

/// A name of letters, digits and hyphens, or an object identifier, with options (RFC 4512, 2.5).
pub(super) fn attribute(text: &str) -> Result<String, FilterFault> {
    let text = text.trim();
    let fits = (1..=128).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-.;".contains(&byte));
    fits.then(|| text.to_owned()).ok_or(FilterFault::Attribute)
}

fn unescape(text: &str) -> Result<Vec<u8>, FilterFault> {
    let mut parts = text.split('\\');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let code = part.get(..2).ok_or(FilterFault::Escape)?;
        if !code.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(FilterFault::Escape);
        }
        bytes.push(u8::from_str_radix(code, 16).map_err(|_| FilterFault::Escape)?);
        bytes.extend_from_slice(part.get(2..).unwrap_or_default().as_bytes());
    }
    Ok(bytes)
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;

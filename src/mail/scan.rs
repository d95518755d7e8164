//! The language of templates that administrators write: a small part of Jinja's. Variables, comparisons, a few filters,
//! conditions, blocks, and the built-in frames to extend. No loops, calls, assignments or includes: what a template may
//! cost is in proportion to its length, and nothing switches escaping off.

/// The variables.
pub(super) const VARIABLES: [&str; 9] = [
    "user",
    "event",
    "endpoint",
    "client_ip",
    "otp",
    "number",
    "reference",
    "lifetime",
    "unit",
];
const FILTERS: [&str; 8] = [
    "upper",
    "lower",
    "capitalize",
    "title",
    "trim",
    "default",
    "escape",
    "e",
];
const WORDS: [&str; 12] = [
    "and", "or", "not", "in", "if", "else", "true", "false", "none", "True", "False", "None",
];
const TAGS: [&str; 7] = ["if", "elif", "else", "endif", "block", "endblock", "extends"];

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// From which byte on.
    pub(super) at: usize,
    /// What is wrong.
    pub(super) what: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Token<'a> {
    Name(&'a str),
    Text(&'a str),
    Number,
    Sign(char),
}

/// Everything in a source that is not part of the language, in order. What Jinja itself refuses is left to it. `frames`
/// is how the names end that it may extend; `None`: it may not.
pub(super) fn faults(source: &str, frames: Option<&str>) -> Vec<Fault> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = source
        .get(at..)
        .and_then(|rest| rest.find('{'))
        .map(|next| at + next)
    {
        let rest = source.get(start..).unwrap_or_default();
        if rest.starts_with("{#") {
            at = rest.find("#}").map_or(source.len(), |end| start + end + 2);
        } else if rest.starts_with("{{") || rest.starts_with("{%") {
            let (tokens, end) = tokens(source, start + 2, rest.starts_with("{%"));
            if rest.starts_with("{%") {
                statement(&tokens, frames, &mut found);
            } else {
                expression(&tokens, &mut found);
            }
            at = end;
        } else {
            at = start + 1;
        }
    }
    found
}

/// The tokens of a tag from `at` on, each with its place, and where the tag ends.
fn tokens(source: &str, mut at: usize, statement: bool) -> (Vec<(usize, Token<'_>)>, usize) {
    let mut found = Vec::new();
    let mut open = 0_usize;
    while let Some(rest) = source.get(at..).filter(|rest| !rest.is_empty()) {
        if open == 0 && rest.starts_with(if statement { "%}" } else { "}}" }) {
            return (found, at + 2);
        }
        let first = rest.chars().next().unwrap_or_default();
        let length = |fits: fn(char) -> bool| rest.find(|character| !fits(character)).unwrap_or(rest.len());
        let (token, step) = match first {
            '"' | '\'' => {
                let end = end_of_text(rest, first);
                (
                    Some(Token::Text(
                        rest.get(1..end.saturating_sub(1)).unwrap_or_default(),
                    )),
                    end,
                )
            }
            _ if first.is_alphabetic() || first == '_' => {
                let end = length(|character| character.is_alphanumeric() || character == '_');
                (Some(Token::Name(rest.get(..end).unwrap_or_default())), end)
            }
            _ if first.is_ascii_digit() => (
                Some(Token::Number),
                length(|character| character.is_ascii_digit() || character == '_'),
            ),
            _ if first.is_whitespace() => (None, first.len_utf8()),
            _ => {
                match first {
                    '{' => open += 1,
                    '}' => open = open.saturating_sub(1),
                    _ => {}
                }
                (Some(Token::Sign(first)), first.len_utf8())
            }
        };
        found.extend(token.map(|token| (at, token)));
        at += step;
    }
    (found, source.len())
}

/// Where a text in quotation marks ends.
fn end_of_text(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn statement(tokens: &[(usize, Token<'_>)], frames: Option<&str>, found: &mut Vec<Fault>) {
    let marked = usize::from(matches!(tokens.first(), Some((_, Token::Sign('-' | '+')))));
    let tokens = tokens.get(marked..).unwrap_or_default();
    let Some(((at, Token::Name(name)), rest)) = tokens.split_first() else {
        // Nothing there: Jinja says so better.
        return;
    };
    let mut refuse = |at: usize, what: String| found.push(Fault { at, what });
    match (*name, rest) {
        ("block" | "endblock" | "else" | "endif", _) => {}
        ("extends", [(at, Token::Text(frame)), ..]) => match frames {
            Some(ending) if frame.ends_with(ending) => {}
            Some(ending) => refuse(
                *at,
                format!("a template of this kind extends one that ends with {ending}"),
            ),
            None => refuse(*at, "a subject extends nothing".to_owned()),
        },
        ("extends", _) => refuse(
            *at,
            "what is extended must be a name in quotation marks".to_owned(),
        ),
        _ if TAGS.contains(name) => expression(rest, found),
        _ => refuse(
            *at,
            format!(
                "the tag is not part of the language; there are {}",
                TAGS.join(", ")
            ),
        ),
    }
}

fn expression(tokens: &[(usize, Token<'_>)], found: &mut Vec<Fault>) {
    let mut refuse = |at: usize, what: String| found.push(Fault { at, what });
    let mut before: Option<Token<'_>> = None;
    let mut filter = false;
    for (index, (at, token)) in tokens.iter().enumerate() {
        let next = tokens.get(index + 1).map(|(_, token)| *token);
        match *token {
            Token::Name(name) if before == Some(Token::Sign('|')) => {
                if !FILTERS.contains(&name) {
                    refuse(
                        *at,
                        format!("there is no such filter; there are {}", FILTERS.join(", ")),
                    );
                }
            }
            Token::Name("super") if next == Some(Token::Sign('(')) => {}
            Token::Name(name) if VARIABLES.contains(&name) || WORDS.contains(&name) => {}
            Token::Name(_) => {
                refuse(
                    *at,
                    format!("there is no such variable; there are {}", VARIABLES.join(", ")),
                );
            }
            Token::Sign('(') if !filter && callable(before) => {
                refuse(*at, "nothing can be called here".to_owned());
            }
            Token::Sign(sign @ ('*' | '/' | '.' | '%')) => {
                refuse(*at, format!("`{sign}` is not part of the language"));
            }
            Token::Text(_) | Token::Number | Token::Sign(_) => {}
        }
        filter = matches!(token, Token::Name(_)) && before == Some(Token::Sign('|'));
        before = Some(*token);
    }
}

/// Whether an opening parenthesis after this would be a call.
fn callable(before: Option<Token<'_>>) -> bool {
    match before {
        Some(Token::Name(name)) => name != "super" && !WORDS.contains(&name),
        Some(Token::Text(_) | Token::Sign(')' | ']' | '}')) => true,
        _ => false,
    }
}

/// Line and column of a byte, counted from 1; columns in characters.
pub(super) fn place(source: &str, at: usize) -> (usize, usize) {
    let before = source.get(..source.floor_char_boundary(at)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(source: &str) -> Option<(usize, usize)> {
        let fault = faults(source, Some(".html")).into_iter().next()?;
        Some(place(source, fault.at))
    }

    #[test]
    fn says_where_it_is_wrong() {
        for (source, at) in [
            ("{{ otp }} {{ nobody }}", (1, 14)),
            ("a\n  é {{ user.name }}", (2, 12)),
            ("{{ user | safe }}", (1, 11)),
            ("{{ range(9) }}", (1, 4)),
            ("{{ user * 9 }}", (1, 9)),
            ("{% for x in user %}{% endfor %}", (1, 4)),
            ("{%- set a = 1 %}", (1, 5)),
            ("{% autoescape false %}", (1, 4)),
            ("{% include \"layout.html\" %}", (1, 4)),
            ("{% macro a() %}", (1, 4)),
            ("{% raw %}{{ x }}{% endraw %}", (1, 4)),
            ("{% extends \"de/base.txt\" %}", (1, 12)),
            ("{% extends user %}", (1, 4)),
            ("{{ {\"a\": {\"b\": 1}} }}{{ x }}", (1, 25)),
            ("{{ \"}}\" }}{{ x }}", (1, 14)),
            ("{{ (\"a\")() }}", (1, 9)),
        ] {
            assert_eq!(first(source), Some(at), "{source}");
        }
    }

    #[test]
    fn lets_the_language_pass() {
        for source in [
            "{{ otp }}{# {{ nobody }} #}",
            "{% if user and not (number > 1) %}{{ user|default(\"x\")|upper }}{% elif event == 'a' %}{% else %}b{% endif %}",
            "{% extends \"de/base.html\" %}{% block intro %}{{ super() }} {{ {\"hour\": \"h\"}[unit] }}{% endblock %}",
            "{ {otp} }",
        ] {
            assert_eq!(faults(source, Some(".html")), [], "{source}");
        }
    }

    #[test]
    fn every_built_in_mail_is_written_in_it() {
        for (name, source) in super::super::built_in::sources().filter(|(name, _)| !name.contains("/test.")) {
            if name.contains('/') {
                let ending = if name.contains(".html") { ".html" } else { ".txt" };
                assert_eq!(faults(source, Some(ending)), [], "{name}");
            }
        }
    }
}

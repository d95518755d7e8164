//! A template that an administrator wrote: checked, compiled, rendered within bounds.

use minijinja::{Environment, Error, ErrorKind, Value, context};

use super::{
    built_in,
    scan::{faults, place},
};
use crate::domain::{
    challenge::Purpose,
    template::{MOST_HTML, MOST_SUBJECT, MOST_TEXT, TemplateKey, TemplateParts},
    text::{check_line, check_lines},
    violation::Violations,
};

/// What rendering one part may cost: about 3 MB of data, or as many steps (see `Environment::set_fuel`).
const FUEL: u64 = 50_000;

/// How deep blocks and conditions may lie in each other.
const DEPTH: usize = 60;

/// The most bytes of text or HTML that a template may make. What it made more of breaks, as any other fault does.
pub(super) const MOST_MADE: usize = 256 * 1024;

/// The codes in samples: what is shown in a preview, and another, so that no template passes which says the first in so
/// many words, or changes the case of letters.
const SAMPLE_CODES: [&str; 2] = ["274916", "kQxTwm"];

/// What stands for the code where a subject may not show it. A template that shows it anyway is refused, and breaks.
pub(super) const HIDDEN: &str = "\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}";

/// A compiled template.
#[derive(Debug)]
pub struct Own {
    environment: Environment<'static>,
    /// What it is for.
    pub(super) key: TemplateKey,
    has_html: bool,
    /// The part that does not compile, and why.
    pub(super) fault: Option<(&'static str, String)>,
}

/// What a template makes of values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The subject.
    pub subject: String,
    /// The text.
    pub text: String,
    /// The HTML; empty where there is none.
    pub html: String,
}

impl Own {
    /// Compiles the parts; what is wrong with a part is told under its name.
    pub(super) fn compile(key: TemplateKey, parts: &TemplateParts) -> Result<Self, (&'static str, Error)> {
        let mut environment = built_in::environment();
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(DEPTH);
        environment.set_debug(true);
        let has_html = !parts.html.is_empty();
        for (field, name, source) in named(parts) {
            // It was checked when it was saved. Should somebody have changed the row: nothing else runs either.
            if !faults(source, frames(field)).is_empty() {
                let error = Error::new(ErrorKind::SyntaxError, "it is not in the language of templates");
                return Err((field, error));
            }
            let added = environment.add_template_owned(name, source.to_owned());
            added.map_err(|error| (field, error))?;
        }
        Ok(Self {
            environment,
            key,
            has_html,
            fault: None,
        })
    }

    /// One that was saved and does not compile: another version of this program saved it, or somebody else did.
    pub(super) fn broken(key: TemplateKey, field: &'static str, why: String) -> Self {
        Self {
            environment: Environment::empty(),
            key,
            has_html: false,
            fault: Some((field, why)),
        }
    }

    /// Renders the parts, the subject from values of its own; an error tells which failed.
    pub(super) fn render(
        &self,
        values: &Value,
        subject_values: &Value,
    ) -> Result<Sample, (&'static str, Error)> {
        let part = |field: &'static str, name: &str, values: &Value| {
            let template = self.environment.get_template(name);
            template
                .and_then(|template| template.render(values))
                .map_err(|error| (field, error))
        };
        Ok(Sample {
            subject: part("subject", "own.subject", subject_values)?.trim().to_owned(),
            text: part("text", "own.txt", values)?,
            html: if self.has_html {
                part("html", "own.html", values)?
            } else {
                String::new()
            },
        })
    }
}

/// The field, the name of the template, and the source of each part.
fn named(parts: &TemplateParts) -> [(&'static str, &'static str, &str); 3] {
    [
        ("subject", "own.subject", &parts.subject),
        ("text", "own.txt", &parts.text),
        ("html", "own.html", &parts.html),
    ]
}

/// How the names of the frames end that a part may extend.
fn frames(field: &str) -> Option<&'static str> {
    match field {
        "html" => Some(".html"),
        "text" => Some(".txt"),
        _ => None,
    }
}

/// Checks a template as it is saved, and gives what it makes of sample values. Every fault is named with its field,
/// under `prefix`, and its line and column.
pub fn check_template(
    key: TemplateKey,
    parts: &TemplateParts,
    code_in_subject: bool,
    prefix: &str,
) -> Result<Sample, Violations> {
    let mut found = Violations::new();
    check_bounds(parts, prefix, &mut found);
    found.clone().into_result()?;
    for (field, _, source) in named(parts) {
        for fault in faults(source, frames(field)).into_iter().take(8) {
            let (line, column) = place(source, fault.at);
            found.add(
                format!("{prefix}{field}"),
                format_args!("line {line}, column {column}: {}", fault.what),
            );
        }
    }
    let told = |(field, error): (&'static str, Error)| {
        let source = named(parts).into_iter().find(|(name, ..)| *name == field);
        let source = source.map(|(_, _, source)| source).unwrap_or_default();
        let own = error.name().is_none_or(|name| name.starts_with("own."));
        let at = error
            .range()
            .filter(|_| own)
            .map(|range| place(source, range.start));
        let (line, column) = at.unwrap_or((error.line().unwrap_or(1), 1));
        // Neither a value nor a secret is in it yet: there are samples alone.
        let what = error
            .detail()
            .map_or_else(|| error.kind().to_string(), str::to_owned);
        (
            format!("{prefix}{field}"),
            format!("line {line}, column {column}: {what}"),
        )
    };
    // What is not in the language is told above, with its place.
    found.clone().into_result()?;
    let subject = if key.purpose == Purpose::Recovery {
        InSubject::Password
    } else if code_in_subject {
        InSubject::Allowed
    } else {
        InSubject::Off
    };
    let own = match Own::compile(key, parts) {
        Ok(own) => own,
        Err(error) => {
            let (field, what) = told(error);
            found.add(field, what);
            return Err(found);
        }
    };
    let mut shown = None;
    // With everything known, and with as little as a mail may know.
    for (all, code) in [true, false].into_iter().zip(SAMPLE_CODES) {
        let values = sample(all, code);
        // With another code the subject is another one where it shows the code or anything made of it.
        let rendered = own.render(&values, &values).and_then(|made| {
            let other = own.render(&values, &sample(all, HIDDEN))?;
            Ok((made.subject != other.subject, made))
        });
        match rendered {
            Ok((tells_code, sample)) => {
                check_sample(&sample, code, parts, prefix, &mut found);
                if tells_code {
                    found.check(&format!("{prefix}subject"), subject.may_show());
                }
                found.clone().into_result()?;
                shown = shown.or(Some(sample));
            }
            Err(error) => {
                let (field, what) = told(error);
                found.add(field, what);
                return Err(found);
            }
        }
    }
    shown.ok_or(found)
}

fn check_bounds(parts: &TemplateParts, prefix: &str, found: &mut Violations) {
    if parts.subject.trim().is_empty() {
        found.add(format!("{prefix}subject"), "is required");
    }
    // A line break at its end is how editors write files.
    found.check(
        &format!("{prefix}subject"),
        check_line(parts.subject.trim_end_matches(['\r', '\n']), MOST_SUBJECT),
    );
    if parts.text.trim().is_empty() {
        found.add(format!("{prefix}text"), "is required");
    }
    for (field, source, most) in [("text", &parts.text, MOST_TEXT), ("html", &parts.html, MOST_HTML)] {
        if source.len() > most {
            found.add(
                format!("{prefix}{field}"),
                format_args!("is longer than {most} bytes"),
            );
        } else {
            let plain = source.replace("\r\n", "\n");
            found.check(&format!("{prefix}{field}"), check_lines(&plain, most));
        }
    }
}

fn check_sample(sample: &Sample, code: &str, parts: &TemplateParts, prefix: &str, found: &mut Violations) {
    if !sample.text.contains(code) {
        found.add(
            format!("{prefix}text"),
            "line 1, column 1: must show {{ otp }} in every mail",
        );
    }
    if !parts.html.is_empty() && !sample.html.contains(code) {
        found.add(
            format!("{prefix}html"),
            "line 1, column 1: must show {{ otp }} in every mail",
        );
    }
    for (field, made) in [("text", &sample.text), ("html", &sample.html)] {
        if made.len() > MOST_MADE {
            found.add(format!("{prefix}{field}"), "makes more than 256 KiB");
        }
    }
    if sample.subject.is_empty() {
        found.add(format!("{prefix}subject"), "must say something in every mail");
    }
    found.check(&format!("{prefix}subject"), check_line(&sample.subject, 1000));
}

/// Whether subjects may show the code.
#[derive(Clone, Copy)]
enum InSubject {
    Allowed,
    Off,
    /// It is a temporary password: never.
    Password,
}

impl InSubject {
    fn may_show(self) -> Result<(), &'static str> {
        match self {
            Self::Allowed => Ok(()),
            Self::Off => {
                Err("must not show {{ otp }}: `delivery.code_in_subject` of the configuration is off")
            }
            Self::Password => Err("must not show {{ otp }}: a temporary password never stands in a subject"),
        }
    }
}

/// Sample values, all of them or as few as there may be.
fn sample(all: bool, code: &str) -> Value {
    let text = |text: &'static str| if all { text } else { "" };
    context! {
        user => text("Ann Example"),
        event => text("VPN"),
        endpoint => text("laptop-7"),
        client_ip => text("192.0.2.1"),
        otp => code,
        number => if all { 2 } else { 1 },
        reference => "K7Q2",
        lifetime => if all { 5 } else { 1 },
        unit => if all { "minute" } else { "hour" },
    }
}

#[cfg(test)]
#[path = "own_tests.rs"]
mod tests;

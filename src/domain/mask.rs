//! The recipient mask: enough of an address for its owner to know it again, too little for anybody else.
//!
//! A pattern is literal text with up to three places in it: `{local:N}` the first N characters before the `@`,
//! `{domain:N}` the first N characters of the domain, `{tld}` its last label. The default is
//! `{local:1}*****@{domain:1}*****.{tld}`, which makes `j*****@e*****.com` of `john.doe@example.com`.
//! The literal parts have a fixed width, so no mask tells how long an address is.

use std::fmt;

use super::{address::EmailAddress, text::is_plain};

/// The pattern used where none is configured.
pub const DEFAULT_PATTERN: &str = "{local:1}*****@{domain:1}*****.{tld}";

/// What is shown where a pattern would show the address itself.
const BLANK: &str = "*****@*****";

/// What is shown of a recipient to whoever may learn nothing of any user: at the most that users have addresses in a domain.
#[must_use]
pub fn veiled(domain: Option<&str>) -> String {
    let shown = domain.and_then(|domain| {
        let (host, top) = domain.rsplit_once('.')?;
        Some(format!("*****@{}*****.{top}", host.chars().next()?))
    });
    shown.unwrap_or_else(|| BLANK.to_owned())
}

/// Why a pattern is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaskError {
    /// Longer than 64 characters, or with control characters.
    #[error("must be one line of at most 64 characters")]
    Form,
    /// An unknown place, or a brace without its fellow.
    #[error("knows {{local:N}}, {{domain:N}} and {{tld}}, not `{0}`")]
    UnknownPlace(String),
    /// Shows more than is safe.
    #[error("may show at most 3 characters of the local part and 3 of the domain")]
    ShowsTooMuch,
    /// Hides nothing.
    #[error("must hide something: at least three `*`, `•` or `x` in a row")]
    HidesNothing,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Local(usize),
    Domain(usize),
    TopLevel,
}

/// A checked mask pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask(Vec<Part>);

impl Default for Mask {
    fn default() -> Self {
        Self(vec![
            Part::Local(1),
            Part::Literal("*****@".into()),
            Part::Domain(1),
            Part::Literal("*****.".into()),
            Part::TopLevel,
        ])
    }
}

impl Mask {
    /// Reads a pattern.
    pub fn parse(pattern: &str) -> Result<Self, MaskError> {
        if pattern.is_empty() || pattern.chars().count() > 64 || !pattern.chars().all(is_plain) {
            return Err(MaskError::Form);
        }
        let mut parts = Vec::new();
        let mut rest = pattern;
        while let Some((literal, after)) = rest.split_once('{') {
            push_literal(&mut parts, literal)?;
            let (place, after) = after
                .split_once('}')
                .ok_or_else(|| MaskError::UnknownPlace(format!("{{{after}")))?;
            parts.push(parse_place(place)?);
            rest = after;
        }
        push_literal(&mut parts, rest)?;
        let mask = Self(parts);
        mask.check()?;
        Ok(mask)
    }

    /// The masked form of an address. Never the address itself.
    #[must_use]
    pub fn apply(&self, address: &EmailAddress) -> String {
        let (host, top) = address
            .domain()
            .rsplit_once('.')
            .unwrap_or((address.domain(), ""));
        let mut masked = String::new();
        for part in &self.0 {
            match part {
                Part::Literal(text) => masked.push_str(text),
                Part::Local(count) => masked.extend(address.local().chars().take(*count)),
                Part::Domain(count) => masked.extend(host.chars().take(*count)),
                Part::TopLevel => masked.push_str(top),
            }
        }
        if masked.eq_ignore_ascii_case(address.as_str()) {
            BLANK.to_owned()
        } else {
            masked
        }
    }

    fn check(&self) -> Result<(), MaskError> {
        let (mut local, mut domain, mut hides) = (0, 0, false);
        for part in &self.0 {
            match part {
                Part::Local(count) => local += count,
                Part::Domain(count) => domain += count,
                Part::Literal(text) => {
                    hides |= ["***", "•••", "xxx", "XXX", "..."]
                        .iter()
                        .any(|fill| text.contains(fill));
                }
                Part::TopLevel => {}
            }
        }
        if local > 3 || domain > 3 {
            return Err(MaskError::ShowsTooMuch);
        }
        if hides {
            Ok(())
        } else {
            Err(MaskError::HidesNothing)
        }
    }
}

impl fmt::Display for Mask {
    /// The pattern.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Literal(text) => f.write_str(text),
            Part::Local(count) => write!(f, "{{local:{count}}}"),
            Part::Domain(count) => write!(f, "{{domain:{count}}}"),
            Part::TopLevel => f.write_str("{tld}"),
        })
    }
}

fn push_literal(parts: &mut Vec<Part>, literal: &str) -> Result<(), MaskError> {
    if literal.contains('}') {
        return Err(MaskError::UnknownPlace("}".into()));
    }
    if !literal.is_empty() {
        parts.push(Part::Literal(literal.to_owned()));
    }
    Ok(())
}

fn parse_place(place: &str) -> Result<Part, MaskError> {
    let unknown = || MaskError::UnknownPlace(format!("{{{place}}}"));
    if place == "tld" {
        return Ok(Part::TopLevel);
    }
    let (name, count) = place.split_once(':').ok_or_else(unknown)?;
    let count: usize = count.parse().map_err(|_| unknown())?;
    // Bounded here, so that a sum of counts cannot overflow.
    let count = count.min(1000);
    match name {
        "local" => Ok(Part::Local(count)),
        "domain" => Ok(Part::Domain(count)),
        _ => Err(unknown()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::address::LocalPart;
    use super::*;

    fn mask(pattern: &str, address: &str) -> String {
        let address = EmailAddress::parse(address, LocalPart::Utf8).unwrap();
        Mask::parse(pattern).unwrap().apply(&address)
    }

    #[test]
    fn the_default_shows_one_character_a_side_and_the_top_level_domain() {
        assert_eq!(Mask::parse(DEFAULT_PATTERN).unwrap(), Mask::default());
        assert_eq!(Mask::default().to_string(), DEFAULT_PATTERN);
        assert_eq!(mask(DEFAULT_PATTERN, "john.doe@example.com"), "j*****@e*****.com");
        assert_eq!(mask(DEFAULT_PATTERN, "a@b.co"), "a*****@b*****.co");
        assert_eq!(mask(DEFAULT_PATTERN, "é@bücher.example"), "é*****@x*****.example");
        assert_eq!(
            mask(DEFAULT_PATTERN, "x@mail.corp.example.org"),
            "x*****@m*****.org"
        );
    }

    #[test]
    fn a_veil_shows_no_local_part_and_a_domain_only_where_one_is_given() {
        assert_eq!(veiled(None), "*****@*****");
        assert_eq!(veiled(Some("corp.example.com")), "*****@c*****.com");
        assert_eq!(veiled(Some("dotless")), "*****@*****");
    }

    #[test]
    fn never_the_address_itself() {
        assert_eq!(
            mask(
                "{local:1}***@{domain:1}***.{tld}",
                "a***@b***.co".replace('*', "x").as_str()
            ),
            "a***@b***.co"
        );
        assert_eq!(mask("{local:1}xxx@{domain:1}xxx.{tld}", "axxx@bxxx.co"), BLANK);
    }

    #[test]
    fn refuses_patterns_that_show_too_much_or_hide_nothing() {
        assert_eq!(Mask::parse("{local:4}***"), Err(MaskError::ShowsTooMuch));
        assert_eq!(Mask::parse("{local:2}{local:2}***"), Err(MaskError::ShowsTooMuch));
        assert_eq!(
            Mask::parse("{local:3}@{domain:3}.{tld}"),
            Err(MaskError::HidesNothing)
        );
        assert_eq!(
            Mask::parse("***{user}"),
            Err(MaskError::UnknownPlace("{user}".into()))
        );
        assert_eq!(
            Mask::parse("***{local:1"),
            Err(MaskError::UnknownPlace("{local:1".into()))
        );
        assert_eq!(Mask::parse("***}"), Err(MaskError::UnknownPlace("}".into())));
        assert_eq!(Mask::parse("***\n"), Err(MaskError::Form));
        assert_eq!(Mask::parse(""), Err(MaskError::Form));
    }
}

#[cfg(test)]
#[path = "mask_tests.rs"]
mod properties;

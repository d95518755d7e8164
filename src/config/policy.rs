//! Sections `[policy]` and `[events.NAME]`: the one-time-password policy.

use std::{cell::RefCell, collections::BTreeMap, time::Duration};

use toml::{Table, Value};

use super::{merge::overlay, reader::Reader};
use crate::domain::{
    budget::{GuessLimits, SendLimits},
    code::{Alphabet, CodeSpec},
    mask::Mask,
    otp_policy::{OtpPolicy, Policies},
    text::check_line,
    violation::Violations,
};

/// Reads the policy and its overrides by event.
pub(super) fn read(root: &Table, faults: &RefCell<Violations>) -> Policies {
    let empty = Table::new();
    let table = |key: &str| root.get(key).and_then(Value::as_table).unwrap_or(&empty);
    let default = policy(&Reader::new(table("policy"), "policy", faults));
    let mut events = BTreeMap::new();
    for (name, over) in table("events") {
        let path = format!("events.{name}");
        if !is_event(name) {
            let problem = "must be named with 1 to 64 of: letters, digits, `.`, `_`, `-`";
            faults.borrow_mut().add(&path, problem);
        }
        let mut merged = table("policy").clone();
        if let Value::Table(over) = over {
            overlay(&mut merged, over);
        }
        let own = RefCell::new(Violations::new());
        let policy = policy(&Reader::new(&merged, &path, &own));
        // What an event takes over from `[policy]` is told there, once.
        for fault in own.into_inner().as_slice() {
            let key = fault.field.get(path.len() + 1..).unwrap_or_default();
            if over.as_table().is_some_and(|over| holds(over, key)) {
                faults.borrow_mut().add(&fault.field, &fault.description);
            }
        }
        events.insert(name.clone(), policy);
    }
    Policies { default, events }
}

/// Whether a table has anything at a dotted path.
fn holds(table: &Table, path: &str) -> bool {
    match path.split_once('.') {
        None => table.contains_key(path),
        Some((first, rest)) => table
            .get(first)
            .and_then(Value::as_table)
            .is_some_and(|inner| holds(inner, rest)),
    }
}

/// An event's name as callers may give it.
fn is_event(name: &str) -> bool {
    check_line(name, 64).is_ok()
        && !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn policy(section: &Reader<'_>) -> OtpPolicy {
    let lifetime = section.section("lifetime");
    let resend = section.section("resend");
    let guesses = section.section("guesses");
    let sends = section.section("sends");
    let span = |section: &Reader<'_>, key: &str| section.span(key).unwrap_or(Duration::from_mins(1));
    let policy = OtpPolicy {
        code: code(&section.section("code")),
        login_lifetime: span(&lifetime, "login"),
        confirmation_lifetime: span(&lifetime, "address_confirmation"),
        recovery_lifetime: span(&lifetime, "recovery"),
        attempts: count(section, "attempts"),
        resend_after: span(&resend, "after"),
        codes: count(&resend, "codes"),
        codes_before: count(&resend, "codes_before"),
        mask: section.parse("mask", Mask::parse).unwrap_or_default(),
        guesses: GuessLimits {
            lock_after: count(&guesses, "lock_after"),
            lock_for: span(&guesses, "lock_for"),
            lock_for_good_after: count(&guesses, "lock_for_good_after"),
        },
        user_sends: limits(&sends.section("user")),
        address_sends: limits(&sends.section("address")),
        caller_sends: Some(limits(&sends.section("caller"))).filter(|limits| limits.burst > 0),
    };
    policy.check(&section.name(""), &mut section.faults().borrow_mut());
    policy
}

fn code(section: &Reader<'_>) -> CodeSpec {
    let alphabet = section.parse("alphabet", |text| match text {
        "digits" => Ok(Alphabet::digits()),
        "letters" => Ok(Alphabet::letters()),
        own => Alphabet::parse(own),
    });
    let length = section.number("length", 6..=10_u8);
    alphabet
        .and_then(|alphabet| {
            CodeSpec::new(alphabet, length)
                .map_err(|error| section.fault("length", error))
                .ok()
        })
        .unwrap_or_default()
}

fn limits(section: &Reader<'_>) -> SendLimits {
    SendLimits {
        burst: count(section, "burst"),
        refill: section.span("refill").unwrap_or_default(),
        per_day: count(section, "per_day"),
    }
}

/// A count whose narrower bounds the policy itself checks.
fn count(section: &Reader<'_>, key: &str) -> u32 {
    section.number(key, 0..=1_000_000)
}

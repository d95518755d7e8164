//! Sections `[policy]` and `[events.NAME]`: the one-time-password policy.

use std::{cell::RefCell, collections::BTreeMap, time::Duration};

use toml::{Table, Value};

use super::{Users, merge::overlay, reader::Reader};
use crate::domain::{
    address::ascii_domain,
    budget::{GuessLimits, SendLimits},
    code::{Alphabet, CodeSpec, CodeSpecError},
    mask::Mask,
    otp_policy::{Configured, OtpPolicy, is_event_name},
    override_address::{OverrideMode, OverridePolicy},
    policy_draft::PolicyDraft,
    text::require_line,
    violation::Violations,
};

/// Reads the policy and its overrides by event.
pub(super) fn read(root: &Table, faults: &RefCell<Violations>) -> Configured {
    let empty = Table::new();
    let table = |key: &str| root.get(key).and_then(Value::as_table).unwrap_or(&empty);
    let default = policy(&Reader::new(table("policy"), "policy", faults));
    let mut events = BTreeMap::new();
    for (name, over) in table("events") {
        let path = format!("events.{name}");
        if !is_event_name(name) {
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
        let whole = PolicyDraft::of(&policy);
        let mut own = PolicyDraft::default();
        let set = |path: &&&str| over.as_table().is_some_and(|over| holds(over, path));
        for path in PolicyDraft::PATHS.iter().filter(set) {
            own.copy(path, &whole);
        }
        events.insert(name.clone(), own);
    }
    Configured { default, events }
}

/// Notes repositories that policies name and that are not there.
pub(super) fn check_repositories(policies: &Configured, users: &Users, faults: &mut Violations) {
    let mut check = |names: &[String], path: &str| {
        for (index, name) in names.iter().enumerate() {
            if !users.repositories.iter().any(|known| known.name == *name) {
                faults.add(
                    format!("{path}.repositories[{index}]"),
                    "is the name of no [[repository]]",
                );
            }
        }
    };
    check(&policies.default.repositories, "policy");
    for (event, draft) in &policies.events {
        check(
            draft.repositories.as_deref().unwrap_or_default(),
            &format!("events.{event}"),
        );
    }
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

fn policy(section: &Reader<'_>) -> OtpPolicy {
    let lifetime = section.section("lifetime");
    let resend = section.section("resend");
    let guesses = section.section("guesses");
    let sends = section.section("sends");
    let span = |section: &Reader<'_>, key: &str| section.span(key).unwrap_or(Duration::from_mins(1));
    let policy = OtpPolicy {
        code: look(&section.section("code"), Alphabet::named, CodeSpec::new).unwrap_or_default(),
        recovery: look(
            &section.section("recovery"),
            Alphabet::password,
            CodeSpec::password,
        )
        .unwrap_or_else(CodeSpec::temporary_password),
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
        repositories: section.list("repositories", |name| {
            require_line(name, 64).map(|()| name.to_owned())
        }),
        account: section.parse_some("account", |name| require_line(name, 64).map(|()| name.to_owned())),
        see_users: section.flag("see_users"),
        password_required: section.flag("password_required"),
        override_address: override_address(&section.section("override_address")),
    };
    policy.check(&section.name(""), &mut section.faults().borrow_mut());
    policy
}

/// Length and alphabet, which belong together.
fn look(
    section: &Reader<'_>,
    read: fn(&str) -> Result<Alphabet, CodeSpecError>,
    make: fn(Alphabet, u8) -> Result<CodeSpec, CodeSpecError>,
) -> Option<CodeSpec> {
    let alphabet = section.parse("alphabet", read);
    let length = section.number("length", 0..=u8::MAX);
    let spec = make(alphabet?, length);
    spec.map_err(|error| section.fault("length", error)).ok()
}

fn override_address(section: &Reader<'_>) -> OverridePolicy {
    OverridePolicy {
        mode: section.parse("mode", OverrideMode::parse).unwrap_or_default(),
        domains: section.list("domains", ascii_domain),
        confirmed_for: section.span("confirmed_for").unwrap_or(Duration::from_hours(24)),
    }
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

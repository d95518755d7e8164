//! The fields of a policy by their paths, as people read and write them.

use prost_types::Duration;
use serde_json::{Value, json};

use crate::{
    config::{parse_duration, write_duration},
    pb::v1 as pb,
};

/// Every field with its value.
pub(super) fn rows(policy: &pb::OtpPolicy) -> Vec<(&'static str, String)> {
    let code = policy.code.clone().unwrap_or_default();
    let recovery = policy.recovery.clone().unwrap_or_default();
    let lifetime = policy.lifetime.unwrap_or_default();
    let resend = policy.resend.unwrap_or_default();
    let guesses = policy.guesses.unwrap_or_default();
    let sends = policy.sends.unwrap_or_default();
    let mut rows = vec![
        ("code.length", code.length.to_string()),
        ("code.alphabet", code.alphabet),
        ("recovery.length", recovery.length.to_string()),
        ("recovery.alphabet", recovery.alphabet),
        ("lifetime.login", written(lifetime.login)),
        (
            "lifetime.address_confirmation",
            written(lifetime.address_confirmation),
        ),
        ("lifetime.recovery", written(lifetime.recovery)),
        ("attempts", policy.attempts.to_string()),
        ("resend.after", written(resend.after)),
        ("resend.codes", resend.codes.to_string()),
        ("resend.codes_before", resend.codes_before.to_string()),
        ("mask", policy.mask.clone()),
        ("guesses.lock_after", guesses.lock_after.to_string()),
        ("guesses.lock_for", written(guesses.lock_for)),
        (
            "guesses.lock_for_good_after",
            guesses.lock_for_good_after.to_string(),
        ),
    ];
    let names = [
        ["sends.user.burst", "sends.user.refill", "sends.user.per_day"],
        [
            "sends.address.burst",
            "sends.address.refill",
            "sends.address.per_day",
        ],
        [
            "sends.caller.burst",
            "sends.caller.refill",
            "sends.caller.per_day",
        ],
    ];
    for ([burst, refill, per_day], limits) in names.into_iter().zip([sends.user, sends.address, sends.caller])
    {
        let limits = limits.unwrap_or_default();
        rows.push((burst, limits.burst.to_string()));
        rows.push((refill, written(limits.refill)));
        rows.push((per_day, limits.per_day.to_string()));
    }
    rows.push(("repositories", policy.repositories.join(",")));
    rows.push(("account", policy.account.clone()));
    rows.push(("see_users", policy.see_users.to_string()));
    rows.push(("password_required", policy.password_required.to_string()));
    let other = policy.override_address.clone().unwrap_or_default();
    rows.push(("override_address.mode", mode(other.mode()).to_owned()));
    rows.push(("override_address.domains", other.domains.join(",")));
    rows.push(("override_address.confirmed_for", written(other.confirmed_for)));
    rows
}

/// A policy for scripts.
pub(super) fn json(policy: &pb::OtpPolicy) -> Value {
    let fields: serde_json::Map<String, Value> = rows(policy)
        .into_iter()
        .map(|(path, value)| (path.to_owned(), typed(path, value, policy)))
        .collect();
    json!({
        "event": policy.event,
        "fields": fields,
        "overridden": policy.overridden,
        "etag": policy.etag,
    })
}

/// Numbers, flags and lists as such; everything else is a text.
fn typed(path: &str, value: String, policy: &pb::OtpPolicy) -> Value {
    match path {
        "repositories" => json!(policy.repositories),
        "override_address.domains" => {
            json!(policy.override_address.as_ref().map(|other| &other.domains))
        }
        "code.alphabet" | "recovery.alphabet" | "account" | "mask" => Value::String(value),
        _ => serde_json::from_str(&value).unwrap_or(Value::String(value)),
    }
}

/// Sets a field from text.
pub(super) fn set(policy: &mut pb::OtpPolicy, path: &str, value: &str) -> Result<(), String> {
    if let Some((group, name)) = path.strip_prefix("sends.").and_then(|rest| rest.split_once('.')) {
        return set_limit(policy, group, name, value);
    }
    match path {
        "code.length" => policy.code.get_or_insert_default().length = number(value)?,
        "code.alphabet" => value.clone_into(&mut policy.code.get_or_insert_default().alphabet),
        "recovery.length" => policy.recovery.get_or_insert_default().length = number(value)?,
        "recovery.alphabet" => value.clone_into(&mut policy.recovery.get_or_insert_default().alphabet),
        "lifetime.login" => policy.lifetime.get_or_insert_default().login = span(value)?,
        "lifetime.address_confirmation" => {
            policy.lifetime.get_or_insert_default().address_confirmation = span(value)?;
        }
        "lifetime.recovery" => policy.lifetime.get_or_insert_default().recovery = span(value)?,
        "attempts" => policy.attempts = number(value)?,
        "resend.after" => policy.resend.get_or_insert_default().after = span(value)?,
        "resend.codes" => policy.resend.get_or_insert_default().codes = number(value)?,
        "resend.codes_before" => policy.resend.get_or_insert_default().codes_before = number(value)?,
        "mask" => value.clone_into(&mut policy.mask),
        "guesses.lock_after" => policy.guesses.get_or_insert_default().lock_after = number(value)?,
        "guesses.lock_for" => policy.guesses.get_or_insert_default().lock_for = span(value)?,
        "guesses.lock_for_good_after" => {
            policy.guesses.get_or_insert_default().lock_for_good_after = number(value)?;
        }
        "repositories" => policy.repositories = list(value),
        "override_address.mode" => {
            let modes = [pb::OverrideMode::Never, pb::OverrideMode::Confirmed];
            let found = modes.into_iter().find(|known| mode(*known) == value);
            let found = found.ok_or("must be never or confirmed")?;
            policy.override_address.get_or_insert_default().set_mode(found);
        }
        "override_address.domains" => {
            policy.override_address.get_or_insert_default().domains = list(value);
        }
        "override_address.confirmed_for" => {
            policy.override_address.get_or_insert_default().confirmed_for = span(value)?;
        }
        "account" => value.clone_into(&mut policy.account),
        "see_users" => policy.see_users = flag(value)?,
        "password_required" => policy.password_required = flag(value)?,
        _ => return Err("is no field of a policy".to_owned()),
    }
    Ok(())
}

fn set_limit(policy: &mut pb::OtpPolicy, group: &str, name: &str, value: &str) -> Result<(), String> {
    let sends = policy.sends.get_or_insert_default();
    let limits = match group {
        "user" => &mut sends.user,
        "address" => &mut sends.address,
        "caller" => &mut sends.caller,
        _ => return Err("is no field of a policy".to_owned()),
    };
    let limits = limits.get_or_insert_default();
    match name {
        "burst" => limits.burst = number(value)?,
        "refill" => limits.refill = span(value)?,
        "per_day" => limits.per_day = number(value)?,
        _ => return Err("is no field of a policy".to_owned()),
    }
    Ok(())
}

fn list(value: &str) -> Vec<String> {
    let names = value.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

fn flag(value: &str) -> Result<bool, String> {
    value.parse().map_err(|_| "must be true or false".to_owned())
}

fn mode(mode: pb::OverrideMode) -> &'static str {
    match mode {
        pb::OverrideMode::Unspecified => "",
        pb::OverrideMode::Never => "never",
        pb::OverrideMode::Confirmed => "confirmed",
    }
}

fn number(value: &str) -> Result<i32, String> {
    value.parse().map_err(|_| "must be a whole number".to_owned())
}

fn span(value: &str) -> Result<Option<Duration>, String> {
    let span = parse_duration(value)?;
    Duration::try_from(span)
        .map(Some)
        .map_err(|_| "is longer than time itself".to_owned())
}

fn written(span: Option<Duration>) -> String {
    std::time::Duration::try_from(span.unwrap_or_default())
        .map(write_duration)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::policy_draft::PolicyDraft;

    #[test]
    fn every_field_can_be_written_as_it_is_read() {
        let example = |path: &str| match path {
            "repositories" => "staff,board",
            "account" | "mask" | "code.alphabet" | "recovery.alphabet" => "some text",
            "see_users" | "password_required" => "true",
            "override_address.mode" => "confirmed",
            "override_address.domains" => "home.example,work.example",
            "resend.after" | "guesses.lock_for" | "override_address.confirmed_for" => "90s",
            path if path.starts_with("lifetime.") || path.ends_with(".refill") => "90s",
            _ => "7",
        };
        let mut policy = pb::OtpPolicy::default();
        let paths: Vec<&str> = rows(&policy).into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths, PolicyDraft::PATHS);
        for path in paths {
            set(&mut policy, path, example(path)).unwrap();
        }
        for (path, value) in rows(&policy) {
            assert_eq!(value, example(path), "{path}");
        }
        assert!(set(&mut policy, "sends.user", "1").is_err());
        assert!(set(&mut policy, "sends.user.colour", "1").is_err());
    }
}

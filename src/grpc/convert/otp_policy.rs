//! Policies, events and the master switch.

use std::time::Duration;

use prost_types::FieldMask;

use super::{account::shown, count, moment, span};
use crate::{
    domain::{
        budget::SendLimits,
        otp_policy::{OtpPolicy, is_event_name},
        override_address::{OverrideMode, OverridePolicy},
        policy_draft::PolicyDraft,
        violation::Violations,
    },
    pb::v1 as pb,
    policy::{PolicyView, Sending},
};

/// Which fields of whose policy, and the version that is meant.
#[derive(Debug)]
pub(in crate::grpc) struct Target {
    /// The event; empty: the default.
    pub(in crate::grpc) event: String,
    /// The fields.
    pub(in crate::grpc) paths: Vec<&'static str>,
    /// The version.
    pub(in crate::grpc) version: Option<i64>,
}

/// New values for a policy. Values outside the mask are not looked at.
pub(in crate::grpc) fn update_policy(
    request: pb::UpdateOtpPolicyRequest,
) -> Result<(Target, PolicyDraft), Violations> {
    let mut faults = Violations::new();
    let policy = faults
        .check("policy", request.policy.ok_or("is required"))
        .unwrap_or_default();
    faults.check("policy.event", event_or_none(&policy.event));
    let version = faults.check("policy.etag", parse_etag(&policy.etag));
    let paths = paths(request.update_mask, "update_mask", &mut faults);
    let mut draft = PolicyDraft::default();
    for path in &paths {
        if let Err(fault) = read(&policy, path, &mut draft) {
            faults.add(format!("policy.{path}"), fault);
        }
    }
    faults.into_result()?;
    let target = Target {
        event: policy.event,
        paths,
        version: version.flatten(),
    };
    Ok((target, draft))
}

/// What to take back.
pub(in crate::grpc) fn reset_policy(request: pb::ResetOtpPolicyRequest) -> Result<Target, Violations> {
    let mut faults = Violations::new();
    faults.check("event", event_or_none(&request.event));
    let version = faults.check("etag", parse_etag(&request.etag));
    let mask = request.reset_mask.unwrap_or_default();
    let paths = if mask.paths.is_empty() {
        faults.add("reset_mask", "is required; `*` is all fields");
        Vec::new()
    } else if mask.paths == ["*"] {
        PolicyDraft::PATHS.to_vec()
    } else {
        paths(Some(mask), "reset_mask", &mut faults)
    };
    faults.into_result()?;
    Ok(Target {
        event: request.event,
        paths,
        version: version.flatten(),
    })
}

/// The event whose policy is asked for; empty: the default.
pub(in crate::grpc) fn policy_event(event: &str) -> Result<&str, Violations> {
    let mut faults = Violations::new();
    faults.check("event", event_or_none(event));
    faults.into_result().map(|()| event)
}

/// An event to delete, and the version that is meant.
pub(in crate::grpc) fn delete_event(
    request: &pb::DeleteEventRequest,
) -> Result<(&str, Option<i64>), Violations> {
    let mut faults = Violations::new();
    if !is_event_name(&request.event) {
        faults.add("event", NOT_AN_EVENT);
    }
    let version = faults.check("etag", parse_etag(&request.etag));
    faults.into_result()?;
    Ok((&request.event, version.flatten()))
}

/// A policy as administrators see it.
pub(in crate::grpc) fn policy(view: PolicyView) -> pb::OtpPolicy {
    let OtpPolicy {
        code,
        recovery,
        login_lifetime,
        confirmation_lifetime,
        recovery_lifetime,
        attempts,
        resend_after,
        codes,
        codes_before,
        mask,
        guesses,
        user_sends,
        address_sends,
        caller_sends,
        repositories,
        account,
        see_users,
        password_required,
        override_address,
    } = view.policy;
    pb::OtpPolicy {
        event: view.event,
        code: Some(pb::CodePolicy {
            length: code.length().into(),
            alphabet: code.alphabet().as_str().to_owned(),
        }),
        recovery: Some(pb::RecoveryPolicy {
            length: recovery.length().into(),
            alphabet: recovery.alphabet().as_str().to_owned(),
        }),
        lifetime: Some(pb::LifetimePolicy {
            login: Some(span(login_lifetime)),
            address_confirmation: Some(span(confirmation_lifetime)),
            recovery: Some(span(recovery_lifetime)),
        }),
        attempts: count(attempts),
        resend: Some(pb::ResendPolicy {
            after: Some(span(resend_after)),
            codes: count(codes),
            codes_before: count(codes_before),
        }),
        mask: mask.to_string(),
        guesses: Some(pb::GuessPolicy {
            lock_after: count(guesses.lock_after),
            lock_for: Some(span(guesses.lock_for)),
            lock_for_good_after: count(guesses.lock_for_good_after),
        }),
        sends: Some(pb::SendsPolicy {
            user: Some(limits(user_sends)),
            address: Some(limits(address_sends)),
            caller: Some(caller_sends.map(limits).unwrap_or_default()),
        }),
        repositories,
        account: account.unwrap_or_default(),
        see_users,
        password_required,
        override_address: Some(overriding(override_address)),
        overridden: view.overridden.into_iter().map(str::to_owned).collect(),
        updated_at: view.updated_at.map(moment),
        etag: format!("v{}", view.version),
    }
}

/// An event as administrators see it.
pub(in crate::grpc) fn event(view: PolicyView) -> pb::Event {
    pb::Event {
        name: view.event.clone(),
        configured: view.configured,
        policy: Some(policy(view)),
    }
}

/// Where the master switch is to be. Not said is not off.
pub(in crate::grpc) fn set_sending(request: pb::SetSendingRequest) -> Result<bool, Violations> {
    let mut faults = Violations::new();
    let enabled = faults.check("enabled", request.enabled.ok_or("is required"));
    enabled.ok_or(faults)
}

/// The master switch.
pub(in crate::grpc) fn sending(sending: Sending) -> pb::Sending {
    pb::Sending {
        enabled: sending.enabled,
        changed_by: sending.changed_by,
        changed_at: sending.changed_at.map(moment),
    }
}

const NOT_AN_EVENT: &str = "must be 1 to 64 of: letters, digits, `.`, `_`, `-`";

fn event_or_none(event: &str) -> Result<(), &'static str> {
    if event.is_empty() || is_event_name(event) {
        Ok(())
    } else {
        Err(NOT_AN_EVENT)
    }
}

/// The fields that a mask names; empty: all.
fn paths(mask: Option<FieldMask>, name: &str, faults: &mut Violations) -> Vec<&'static str> {
    let mask = mask.unwrap_or_default().paths;
    if mask.is_empty() {
        return PolicyDraft::PATHS.to_vec();
    }
    let mut paths = Vec::new();
    for (index, path) in mask.iter().enumerate() {
        match PolicyDraft::below(path) {
            Some(found) => paths.extend(found),
            None => faults.add(
                format!("{name}.paths[{index}]"),
                format_args!("{} is not a field that can be set", shown(path)),
            ),
        }
    }
    paths.sort_unstable();
    paths.dedup();
    paths
}

/// Reads one field. What is not there at all is read as nothing, and refused by its bounds.
fn read(policy: &pb::OtpPolicy, path: &str, draft: &mut PolicyDraft) -> Result<(), &'static str> {
    let code = policy.code.clone().unwrap_or_default();
    let recovery = policy.recovery.clone().unwrap_or_default();
    let lifetime = policy.lifetime.unwrap_or_default();
    let overriding = policy.override_address.clone().unwrap_or_default();
    let resend = policy.resend.unwrap_or_default();
    let guesses = policy.guesses.unwrap_or_default();
    let sends = policy.sends.unwrap_or_default();
    let user = sends.user.unwrap_or_default();
    let address = sends.address.unwrap_or_default();
    let caller = sends.caller.unwrap_or_default();
    match path {
        "code.length" => {
            let length = u8::try_from(code.length).map_err(|_| "must be between 6 and 10")?;
            draft.code_length = Some(length);
        }
        "code.alphabet" => draft.code_alphabet = Some(code.alphabet),
        "recovery.length" => {
            let length = u8::try_from(recovery.length).map_err(|_| "must be between 11 and 20")?;
            draft.recovery_length = Some(length);
        }
        "recovery.alphabet" => draft.recovery_alphabet = Some(recovery.alphabet),
        "lifetime.login" => draft.login_lifetime = Some(time(lifetime.login)?),
        "lifetime.address_confirmation" => {
            draft.confirmation_lifetime = Some(time(lifetime.address_confirmation)?);
        }
        "lifetime.recovery" => draft.recovery_lifetime = Some(time(lifetime.recovery)?),
        "attempts" => draft.attempts = Some(number(policy.attempts)?),
        "resend.after" => draft.resend_after = Some(time(resend.after)?),
        "resend.codes" => draft.codes = Some(number(resend.codes)?),
        "resend.codes_before" => draft.codes_before = Some(number(resend.codes_before)?),
        "mask" => draft.mask = Some(policy.mask.clone()),
        "guesses.lock_after" => draft.lock_after = Some(number(guesses.lock_after)?),
        "guesses.lock_for" => draft.lock_for = Some(time(guesses.lock_for)?),
        "guesses.lock_for_good_after" => {
            draft.lock_for_good_after = Some(number(guesses.lock_for_good_after)?);
        }
        "sends.user.burst" => draft.user_burst = Some(number(user.burst)?),
        "sends.user.refill" => draft.user_refill = Some(time(user.refill)?),
        "sends.user.per_day" => draft.user_per_day = Some(number(user.per_day)?),
        "sends.address.burst" => draft.address_burst = Some(number(address.burst)?),
        "sends.address.refill" => draft.address_refill = Some(time(address.refill)?),
        "sends.address.per_day" => draft.address_per_day = Some(number(address.per_day)?),
        "sends.caller.burst" => draft.caller_burst = Some(number(caller.burst)?),
        "sends.caller.refill" => draft.caller_refill = Some(time(caller.refill)?),
        "sends.caller.per_day" => draft.caller_per_day = Some(number(caller.per_day)?),
        "repositories" => draft.repositories = Some(policy.repositories.clone()),
        "account" => draft.account = Some(policy.account.clone()),
        "see_users" => draft.see_users = Some(policy.see_users),
        "password_required" => draft.password_required = Some(policy.password_required),
        "override_address.mode" => draft.override_mode = Some(mode(overriding.mode)),
        "override_address.domains" => draft.override_domains = Some(overriding.domains),
        "override_address.confirmed_for" => {
            draft.override_confirmed_for = Some(time(overriding.confirmed_for)?);
        }
        // A test reads every path there is.
        _ => return Err("cannot be set"),
    }
    Ok(())
}

/// Its name; none, which its bounds refuse, where there is no such mode.
fn mode(number: i32) -> String {
    let mode = match pb::OverrideMode::try_from(number) {
        Ok(pb::OverrideMode::Never) => Some(OverrideMode::Never),
        Ok(pb::OverrideMode::Confirmed) => Some(OverrideMode::Confirmed),
        Ok(pb::OverrideMode::Unspecified) | Err(_) => None,
    };
    mode.map_or_else(String::new, |mode| mode.name().to_owned())
}

fn overriding(policy: OverridePolicy) -> pb::OverrideAddressPolicy {
    let mode = match policy.mode {
        OverrideMode::Never => pb::OverrideMode::Never,
        OverrideMode::Confirmed => pb::OverrideMode::Confirmed,
    };
    pb::OverrideAddressPolicy {
        mode: mode.into(),
        domains: policy.domains,
        confirmed_for: Some(span(policy.confirmed_for)),
    }
}

fn number(number: i32) -> Result<u32, &'static str> {
    u32::try_from(number).map_err(|_| "must not be negative")
}

/// A span; absent: none at all.
fn time(span: Option<prost_types::Duration>) -> Result<Duration, &'static str> {
    let span = span.unwrap_or_default();
    let nanos = u32::try_from(span.nanos)
        .ok()
        .filter(|nanos| *nanos < 1_000_000_000);
    match (u64::try_from(span.seconds), nanos) {
        (Ok(seconds), Some(nanos)) => Ok(Duration::new(seconds, nanos)),
        _ => Err("must be a span of time that is not negative"),
    }
}

fn limits(limits: SendLimits) -> pb::SendLimits {
    pb::SendLimits {
        burst: count(limits.burst),
        refill: Some(span(limits.refill)),
        per_day: count(limits.per_day),
    }
}

fn parse_etag(text: &str) -> Result<Option<i64>, &'static str> {
    if text.is_empty() {
        return Ok(None);
    }
    text.strip_prefix('v')
        .and_then(|version| version.parse().ok())
        .map(Some)
        .ok_or("is not an etag of a policy")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> PolicyView {
        PolicyView {
            event: String::new(),
            policy: OtpPolicy {
                account: Some("work".into()),
                repositories: vec!["staff".into()],
                see_users: true,
                ..OtpPolicy::default()
            },
            overridden: vec!["attempts"],
            configured: false,
            updated_at: None,
            version: 7,
        }
    }

    #[test]
    fn what_is_told_can_be_sent_back_whole() {
        let told = policy(view());
        let request = pb::UpdateOtpPolicyRequest {
            policy: Some(told),
            update_mask: None,
        };
        let (target, draft) = update_policy(request).unwrap();
        assert_eq!(
            (target.version, target.paths.len()),
            (Some(7), PolicyDraft::PATHS.len())
        );
        let again = draft.apply(&OtpPolicy::default(), "").unwrap();
        assert_eq!(again, view().policy);
    }

    #[test]
    fn a_mask_names_fields_or_groups_of_them() {
        let request = |paths: &[&str]| pb::ResetOtpPolicyRequest {
            reset_mask: Some(FieldMask {
                paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            }),
            ..pb::ResetOtpPolicyRequest::default()
        };
        let paths = reset_policy(request(&["sends.user", "sends.user.burst"]))
            .unwrap()
            .paths;
        assert_eq!(paths.len(), 3);
        let faults = reset_policy(request(&["attempts", "etag"])).unwrap_err();
        assert_eq!(faults.as_slice()[0].field, "reset_mask.paths[1]");
    }
}

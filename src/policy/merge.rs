//! The fields of an account that an update changes.

use super::{identity::settle, oauth::keep_oauth};
use crate::domain::{
    account::{AccountDraft, AccountSettings, Secret},
    preset::Preset,
    violation::Violations,
};

/// The fields of an account that an update may change, named as in the protocol.
pub const UPDATABLE: [&str; 30] = [
    "name",
    "enabled",
    "host",
    "port",
    "security",
    "authentication",
    "username",
    "secret",
    "sender",
    "display_name",
    "reply_to",
    "order",
    "preset",
    "return_path",
    "read_receipt",
    "confirmation_address",
    "force_settings",
    "footnote_enabled",
    "footnote",
    "hello_name",
    "server_name",
    "ca_certificates",
    "ignore_certificate_errors",
    "timeout",
    "messages_per_minute",
    "messages_per_day",
    "oauth",
    "default_credentials",
    "client_certificate",
    "client_key",
];

/// Refuses a mask that names anything else.
pub(super) fn check_mask(mask: &[String]) -> Result<(), Violations> {
    let mut faults = Violations::new();
    for (position, name) in (1..).zip(mask) {
        if !UPDATABLE.contains(&name.as_str()) {
            // Named by its position: what stands there may be anything.
            faults.add(
                "update_mask",
                format!("path {position} is no field that can be changed"),
            );
        }
    }
    faults.into_result()
}

/// Whether a mask names a field; an empty one names all.
pub(super) fn names(mask: &[String], field: &str) -> bool {
    mask.is_empty() || mask.iter().any(|path| path == field)
}

/// Whether an update gives something to log in with.
pub(super) fn gives_secret(new: &AccountDraft, mask: &[String]) -> bool {
    let oauth = new.oauth.as_ref();
    let oauth = oauth.is_some_and(|oauth| {
        oauth.client_secret.is_some() || oauth.private_key.is_some() || oauth.refresh_token.is_some()
    });
    let default = new.default_credentials && names(mask, "default_credentials");
    (new.secret.is_some() && names(mask, "secret")) || (oauth && names(mask, "oauth")) || default
}

/// A secret belongs to one server: whoever names another gives the secret again, so that nobody can have a kept one
/// carried to a server of theirs.
pub(super) fn keep_secret_at_home(
    current: &AccountSettings,
    new: &AccountSettings,
    secret_given: bool,
) -> Result<(), Violations> {
    let moved = !current.server.host.eq_ignore_ascii_case(&new.server.host);
    let mut faults = Violations::new();
    if moved && !secret_given && current.login.is_some() && new.login.is_some() {
        let field = match new.login.as_ref().map(|login| &login.secret) {
            Some(Secret::Oauth(_)) => "account.oauth",
            Some(Secret::Default) => "account.default_credentials",
            _ => "account.secret",
        };
        faults.add(
            field,
            "is required again, secrets included, when the host changes",
        );
    }
    faults.into_result()
}

/// The account as it is, with the fields that `mask` names as they are in `new`; an empty mask names all.
pub(super) fn merge(current: &AccountSettings, new: &AccountDraft, mask: &[String]) -> AccountDraft {
    let mut draft = AccountDraft::from(current);
    draft.acknowledge_risks = new.acknowledge_risks;
    for field in UPDATABLE {
        if names(mask, field) {
            set(&mut draft, new, field, !mask.is_empty());
        }
    }
    let given = (
        new.secret.is_some() && names(mask, "secret"),
        new.oauth.is_some() && names(mask, "oauth"),
    );
    match given {
        (true, false) => draft.oauth = None,
        (false, true) => draft.secret = None,
        _ => {}
    }
    settle_default(&mut draft, new, mask);
    if let Some(oauth) = &mut draft.oauth {
        oauth.settle(Preset::from_name(&draft.preset).unwrap_or(Preset::OTHER));
        keep_oauth(oauth, current);
    }
    settle(&mut draft.identity, new, mask);
    let named = |name: &str| mask.iter().any(|path| path == name);
    let preset = Preset::from_name(&draft.preset);
    // Another service: its server, not that of the one before.
    if !mask.is_empty() && preset.is_some_and(|preset| preset != current.preset && !preset.is_other()) {
        if !named("host") {
            draft.host.clear();
        }
        if !named("port") {
            draft.port = 0;
        }
        if !named("security") {
            draft.security = None;
        }
    }
    draft
}

/// Default credentials take the place of what was there, and the other way round: what an update does not name of either
/// ends.
fn settle_default(draft: &mut AccountDraft, new: &AccountDraft, mask: &[String]) {
    let named = |field: &str| mask.iter().any(|path| path == field);
    if new.default_credentials && names(mask, "default_credentials") {
        if !names(mask, "username") {
            draft.username.clear();
        }
        // One that was given stays, to be refused.
        draft.secret = new.secret.clone().filter(|_| names(mask, "secret"));
        draft.oauth = new.oauth.clone().filter(|_| names(mask, "oauth"));
        draft.authentication |= !names(mask, "authentication");
    } else if !named("default_credentials") {
        let other = draft.secret.is_some() || draft.oauth.is_some();
        let off = named("authentication") && !new.authentication;
        draft.default_credentials &= !other && !off;
    }
}

fn set(draft: &mut AccountDraft, new: &AccountDraft, field: &str, meant: bool) {
    match field {
        "name" => draft.name.clone_from(&new.name),
        "enabled" => draft.enabled = new.enabled,
        "order" => draft.order = new.order,
        "messages_per_minute" => draft.messages_per_minute = new.messages_per_minute,
        "messages_per_day" => draft.messages_per_day = new.messages_per_day,
        "preset" => draft.preset.clone_from(&new.preset),
        "host" => draft.host.clone_from(&new.host),
        "port" => draft.port = new.port,
        "security" => draft.security = new.security,
        "authentication" => draft.authentication = new.authentication,
        "username" => draft.username.clone_from(&new.username),
        // A mask that names the secret means it; without a mask, none given is none changed.
        "secret" if new.secret.is_some() || meant => draft.secret.clone_from(&new.secret),
        "sender" => draft.sender.clone_from(&new.sender),
        "display_name" => draft.display_name.clone_from(&new.display_name),
        "reply_to" => draft.reply_to.clone_from(&new.reply_to),
        "return_path" => draft.return_path.clone_from(&new.return_path),
        "read_receipt" => draft.read_receipt = new.read_receipt,
        "confirmation_address" => draft.confirmation_address.clone_from(&new.confirmation_address),
        "force_settings" => draft.force_settings = new.force_settings,
        "footnote_enabled" => draft.footnote_enabled = new.footnote_enabled,
        "footnote" => draft.footnote.clone_from(&new.footnote),
        "hello_name" => draft.hello_name.clone_from(&new.hello_name),
        "server_name" => draft.server_name.clone_from(&new.server_name),
        "ca_certificates" => draft.ca_certificates.clone_from(&new.ca_certificates),
        "ignore_certificate_errors" => draft.ignore_certificate_errors = new.ignore_certificate_errors,
        "timeout" => draft.timeout = new.timeout,
        "oauth" => draft.oauth.clone_from(&new.oauth),
        "default_credentials" => draft.default_credentials = new.default_credentials,
        "client_certificate" => draft.identity.certificate.clone_from(&new.identity.certificate),
        "client_key" if new.identity.key.is_some() || meant => {
            draft.identity.key.clone_from(&new.identity.key);
        }
        _ => {}
    }
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;

//! The fields of an inbox that an update changes.

use crate::domain::{
    inbox::{InboxDraft, InboxSettings},
    violation::Violations,
};

/// The fields of an inbox that an update may change, named as in the protocol.
pub const UPDATABLE_INBOX: [&str; 14] = [
    "name",
    "enabled",
    "automatic_check",
    "keep_copy",
    "interval",
    "protocol",
    "host",
    "port",
    "security",
    "username",
    "secret",
    "server_name",
    "ca_certificates",
    "ignore_certificate_errors",
];

/// Whether a mask names a field; an empty one names all.
pub(super) fn names(mask: &[String], field: &str) -> bool {
    mask.is_empty() || mask.iter().any(|path| path == field)
}

/// A secret belongs to one server, as with accounts.
pub(super) fn keep_secret_at_home(
    current: &InboxSettings,
    new: &InboxSettings,
    secret_given: bool,
) -> Result<(), Violations> {
    let mut faults = Violations::new();
    if !secret_given && !current.server.host.eq_ignore_ascii_case(&new.server.host) {
        faults.add("inbox.secret", "is required again when the host changes");
    }
    faults.into_result()
}

/// The inbox as it is, with the fields that `mask` names as they are in `new`.
pub(super) fn merge(current: &InboxSettings, new: &InboxDraft, mask: &[String]) -> InboxDraft {
    let mut draft = InboxDraft::from(current);
    draft.acknowledge_risks = new.acknowledge_risks;
    for field in UPDATABLE_INBOX.into_iter().filter(|field| names(mask, field)) {
        match field {
            "name" => draft.name.clone_from(&new.name),
            "enabled" => draft.enabled = new.enabled,
            "automatic_check" => draft.automatic_check = new.automatic_check,
            "keep_copy" => draft.keep_copy = new.keep_copy,
            "interval" => draft.interval = new.interval,
            "protocol" => draft.protocol = new.protocol,
            "host" => draft.host.clone_from(&new.host),
            "port" => draft.port = new.port,
            "security" => draft.security = new.security,
            "username" => draft.username.clone_from(&new.username),
            // A mask that names the secret means it; without a mask, none given is none changed.
            "secret" if new.secret.is_some() || !mask.is_empty() => draft.secret.clone_from(&new.secret),
            "server_name" => draft.server_name.clone_from(&new.server_name),
            "ca_certificates" => draft.ca_certificates.clone_from(&new.ca_certificates),
            "ignore_certificate_errors" => draft.ignore_certificate_errors = new.ignore_certificate_errors,
            _ => {}
        }
    }
    draft
}

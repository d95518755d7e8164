//! Between protobuf and the domain. Every field of a request is checked here, against the bounds its comment in the
//! protocol names, and all that is wrong is told at once. Free functions; nothing is decided here.

use std::str::FromStr;

use crate::domain::{clock::Timestamp, id::IdError, violation::Violations};

mod account;
mod account_secret;
mod audit;
mod challenge;
mod csv;
mod delivery;
mod dkim;
mod entry;
mod field;
mod identity;
mod inbox;
mod oauth;
mod otp_policy;
mod page;
mod preset;
mod repository;
mod template;

pub(super) use self::inbox::{
    check_report, create_inbox, delete_inbox, delivery_report, inbox, inbox_test_report, named_inbox,
    test_inbox, update_inbox,
};
pub(super) use account::{account, create_account, delete_account, named_account, update_account};
pub(super) use audit::{audit_event, audit_page_token, list_audit_events};
pub(super) use challenge::{challenge, resend, start, verdict, verify};
pub(super) use csv::{csv, csv_headings};
pub(super) use delivery::{NOT_CONNECTED, report, test_connection, test_message};
pub(super) use dkim::{delete_dkim_key, dkim_key, set_dkim_key};
pub(super) use entry::{attempt, entry, entry_news, export_entries, list_entries, page_token, watch_entries};
pub(super) use otp_policy::{
    delete_event, event, policy, policy_event, reset_policy, sending, set_sending, update_policy,
};
pub(super) use preset::presets;
pub(super) use repository::{HEALTH, finding, flush_users, look_up_user, repository};
pub(super) use template::{
    get_template, reset_template, sample, shown, template, template_keys, written_template,
};

/// Reads the one field of a request that is an identifier.
pub(super) fn id<T: FromStr<Err = IdError>>(field: &str, text: &str) -> Result<T, Violations> {
    let mut faults = Violations::new();
    let id = faults.check(field, field::id(text));
    id.ok_or(faults)
}

/// A moment in protobuf's words.
fn moment(moment: Timestamp) -> prost_types::Timestamp {
    let micros = moment.as_micros();
    prost_types::Timestamp {
        seconds: micros.div_euclid(1_000_000),
        // Below a thousand million by construction.
        nanos: i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or(0),
    }
}

/// A span in protobuf's words.
fn span(span: std::time::Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(span.subsec_nanos()).unwrap_or(0),
    }
}

/// A count in protobuf's words.
fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// The first 512 bytes of a text, in whole characters: what the protocol promises of replies.
fn reply(mut text: String) -> String {
    const MOST: usize = 512;
    text.truncate(text.floor_char_boundary(MOST));
    text
}

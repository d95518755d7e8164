//! Which mails a command is about.

use clap::Args;
use prost_types::Timestamp;

use super::super::show;
use crate::pb::v1 as pb;

/// Filters; all that are given must hold.
#[derive(Debug, Args)]
#[command(next_help_heading = "Which mails")]
pub(super) struct Filters {
    /// In this state; may be given several times.
    #[arg(long, value_parser = state, value_name = "queued|sent|deferred|failed|bounced|expired|withdrawn")]
    state: Vec<pb::DeliveryState>,
    /// Last tried through the account of this name.
    #[arg(long, default_value = "", hide_default_value = true)]
    account: String,
    /// Of this kind.
    #[arg(long, value_parser = kind, value_name = "code|test")]
    kind: Option<pb::MailKind>,
    /// To this address, or with this text in the masked address.
    #[arg(long, default_value = "", hide_default_value = true)]
    recipient: String,
    /// With this text in the subject or in the last error.
    #[arg(long, default_value = "", hide_default_value = true)]
    text: String,
    /// Submitted at or after this moment (UTC), such as 2026-01-31 or 2026-01-31T08:30:00Z.
    #[arg(long, value_parser = show::parse_moment, value_name = "WHEN")]
    from: Option<Timestamp>,
    /// Submitted before this moment (UTC).
    #[arg(long, value_parser = show::parse_moment, value_name = "WHEN")]
    until: Option<Timestamp>,
}

impl Filters {
    /// As the protocol has them.
    pub(super) fn request(&self) -> pb::ListEntriesRequest {
        pb::ListEntriesRequest {
            states: self.state.iter().map(|state| i32::from(*state)).collect(),
            account: self.account.clone(),
            kind: self.kind.unwrap_or_default().into(),
            submitted_from: self.from,
            submitted_until: self.until,
            recipient: self.recipient.clone(),
            text: self.text.clone(),
            ..pb::ListEntriesRequest::default()
        }
    }
}

fn state(text: &str) -> Result<pb::DeliveryState, String> {
    pb::DeliveryState::from_str_name(&format!("DELIVERY_STATE_{}", text.to_uppercase()))
        .ok_or_else(|| "must be queued, sent, deferred, failed, bounced, expired or withdrawn".to_owned())
}

fn kind(text: &str) -> Result<pb::MailKind, String> {
    match text {
        "code" => Ok(pb::MailKind::Code),
        "test" => Ok(pb::MailKind::Test),
        _ => Err("must be code or test".to_owned()),
    }
}

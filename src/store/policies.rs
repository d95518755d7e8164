//! The contract of policies: what an administrator set at run time, and the master switch.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::StoreResult;
use crate::domain::{audit::Note, clock::Timestamp, policy_draft::PolicyDraft};

/// What is set for an event, or for the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetPolicy {
    /// The fields that are set.
    pub draft: PolicyDraft,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Names this state of it. Never used twice, not even after a removal; above 0.
    pub version: i64,
}

/// The master switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sending {
    /// Whether any mail goes out.
    pub enabled: bool,
    /// The name of the caller who moved it last; empty: nobody did.
    pub changed_by: String,
    /// When.
    pub changed_at: Option<Timestamp>,
}

impl Default for Sending {
    fn default() -> Self {
        Self {
            enabled: true,
            changed_by: String::new(),
            changed_at: None,
        }
    }
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetPolicies {
    /// By event; the default's is under the empty name.
    pub by_event: BTreeMap<String, SetPolicy>,
    /// The master switch.
    pub sending: Sending,
}

/// Policies as they are set at run time.
#[async_trait]
pub trait Policies: Send + Sync {
    /// Everything that is set, as of one moment.
    async fn all(&self) -> StoreResult<SetPolicies>;

    /// Sets an event's draft, if its version is still `based_on`; 0: if nothing is set for it. `None`: it is not.
    async fn put(
        &self,
        event: &str,
        draft: &PolicyDraft,
        based_on: i64,
        now: Timestamp,
        note: &Note,
    ) -> StoreResult<Option<SetPolicy>>;

    /// Removes what is set for an event, if its version is still `based_on`. `false`: it is not.
    async fn forget(&self, event: &str, based_on: i64, note: &Note) -> StoreResult<bool>;

    /// Moves the master switch.
    async fn set_sending(&self, sending: Sending, note: &Note) -> StoreResult<()>;
}

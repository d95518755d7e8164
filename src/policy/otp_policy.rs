//! The one-time-password policy: what is configured, and what administrators set over it at run time, for the default and
//! for events; and the master switch of sending.

use super::Office;
use crate::{
    domain::{
        audit::{Action, Note},
        clock::Timestamp,
        otp_policy::{OtpPolicy, Policies, is_event_name},
        policy_draft::PolicyDraft,
        violation::Violations,
        visitor::Visitor,
    },
    store::{Sending, SetPolicies, SetPolicy, StoreError},
};

/// How often a change without a version is tried when others write at the same time.
const TRIES: u32 = 5;

/// How many events may be made: they are all kept in memory.
const MOST_EVENTS: usize = 1_000;

/// A policy as it is in force, and how it came to be so.
#[derive(Clone, Debug)]
pub struct PolicyView {
    /// The event; empty: the default.
    pub event: String,
    /// The policy in force.
    pub policy: OtpPolicy,
    /// The paths of what is set at run time, for this event itself.
    pub overridden: Vec<&'static str>,
    /// Whether the configuration names the event.
    pub configured: bool,
    /// When it was last changed at run time.
    pub updated_at: Option<Timestamp>,
    /// The version of what is set; 0: nothing is.
    pub version: i64,
}

/// Why a policy was not shown or changed.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Something is wrong with it.
    #[error(transparent)]
    Invalid(#[from] Violations),
    /// No such event.
    #[error("no such event")]
    EventUnknown,
    /// There is one of that name.
    #[error("there is an event of that name")]
    EventExists,
    /// The configuration names it.
    #[error("the event is in the configuration")]
    EventConfigured,
    /// There are as many as there may be.
    #[error("there are as many events as there may be")]
    TooManyEvents,
    /// Somebody else changed it in between.
    #[error("the policy was changed in between")]
    Stale,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Office {
    /// The policy of an event; of the default where the name is empty.
    #[tracing::instrument(name = "policy.otp_policy", skip_all)]
    pub async fn otp_policy(&self, event: &str) -> Result<PolicyView, PolicyError> {
        let set = self.policies.read().await?;
        self.view(&set, event).ok_or(PolicyError::EventUnknown)
    }

    /// All events with their policies, by name.
    #[tracing::instrument(name = "policy.events", skip_all)]
    pub async fn events(&self) -> Result<Vec<PolicyView>, PolicyError> {
        let set = self.policies.read().await?;
        let in_force = self.policies.current();
        let names = in_force.events.keys();
        Ok(names.filter_map(|event| self.view(&set, event)).collect())
    }

    /// Sets the fields at `paths` ([`PolicyDraft::PATHS`]) as they are in `draft`. `version` refuses to overwrite
    /// somebody else's change; without one, what is not named keeps whatever somebody else makes of it meanwhile.
    #[tracing::instrument(name = "policy.update_otp_policy", skip_all)]
    pub async fn update_otp_policy(
        &self,
        caller: &Visitor,
        event: &str,
        draft: PolicyDraft,
        paths: &[&'static str],
        version: Option<i64>,
    ) -> Result<PolicyView, PolicyError> {
        self.check_names(&draft).await?;
        let change = |now: &mut PolicyDraft| {
            for path in paths {
                now.copy(path, &draft);
            }
        };
        let note = self.note(caller, Action::PolicyUpdate);
        let view = self.change(event, version, &note, change).await?;
        tell(caller, &view, "policy set");
        Ok(view)
    }

    /// Forgets what is set at `paths`, so that the configuration, or for an event the default, holds again.
    #[tracing::instrument(name = "policy.reset_otp_policy", skip_all)]
    pub async fn reset_otp_policy(
        &self,
        caller: &Visitor,
        event: &str,
        paths: &[&'static str],
        version: Option<i64>,
    ) -> Result<PolicyView, PolicyError> {
        let nothing = PolicyDraft::default();
        let change = |now: &mut PolicyDraft| {
            for path in paths {
                now.copy(path, &nothing);
            }
        };
        let note = self.note(caller, Action::PolicyReset);
        let view = self.change(event, version, &note, change).await?;
        tell(caller, &view, "policy reset");
        Ok(view)
    }

    /// Makes an event; its policy is the default until something is set.
    #[tracing::instrument(name = "policy.create_event", skip_all)]
    pub async fn create_event(&self, caller: &Visitor, event: &str) -> Result<PolicyView, PolicyError> {
        if !is_event_name(event) {
            let mut faults = Violations::new();
            faults.add("event", "must be 1 to 64 of: letters, digits, `.`, `_`, `-`");
            return Err(faults.into());
        }
        let set = self.set_policies.all().await?;
        if set.by_event.contains_key(event) || self.policies.configured().events.contains_key(event) {
            return Err(PolicyError::EventExists);
        }
        if set.by_event.len() >= MOST_EVENTS {
            return Err(PolicyError::TooManyEvents);
        }
        let nothing = PolicyDraft::default();
        let note = self.note(caller, Action::EventCreate);
        let written = self
            .set_policies
            .put(event, &nothing, 0, self.clock.now(), &note)
            .await?;
        if written.is_none() {
            return Err(PolicyError::EventExists);
        }
        let view = self.otp_policy(event).await?;
        tell(caller, &view, "event created");
        Ok(view)
    }

    /// Removes an event with what is set for it. Challenges under way go on under the default policy.
    #[tracing::instrument(name = "policy.delete_event", skip_all)]
    pub async fn delete_event(
        &self,
        caller: &Visitor,
        event: &str,
        version: Option<i64>,
    ) -> Result<(), PolicyError> {
        if self.policies.configured().events.contains_key(event) {
            return Err(PolicyError::EventConfigured);
        }
        let note = self.note(caller, Action::EventDelete);
        for _ in 0..TRIES {
            let set = self.set_policies.all().await?;
            let view = self.view(&set, event).filter(|view| !view.event.is_empty());
            let view = view.ok_or(PolicyError::EventUnknown)?;
            if version.is_some_and(|version| version != view.version) {
                return Err(PolicyError::Stale);
            }
            if self.set_policies.forget(event, view.version, &note).await? {
                self.policies.read().await?;
                tell(caller, &view, "event deleted");
                return Ok(());
            }
        }
        Err(PolicyError::Stale)
    }

    /// The master switch, as it stands.
    #[tracing::instrument(name = "policy.sending", skip_all)]
    pub async fn sending(&self) -> Result<Sending, StoreError> {
        Ok(self.policies.read().await?.sending)
    }

    /// Moves the master switch.
    #[tracing::instrument(name = "policy.set_sending", skip_all)]
    pub async fn set_sending(&self, caller: &Visitor, enabled: bool) -> Result<Sending, StoreError> {
        let sending = Sending {
            enabled,
            changed_by: caller.name.clone(),
            changed_at: Some(self.clock.now()),
        };
        let note = self.note(caller, Action::SendingSet);
        self.set_policies.set_sending(sending.clone(), &note).await?;
        self.policies.read().await?;
        tracing::warn!(caller.name = %caller.name, enabled, "the master switch of sending was set");
        Ok(sending)
    }

    /// Changes what is set for an event, if the outcome is within bounds, for every event that it reaches.
    async fn change(
        &self,
        event: &str,
        version: Option<i64>,
        note: &Note,
        change: impl Fn(&mut PolicyDraft) + Send + Sync,
    ) -> Result<PolicyView, PolicyError> {
        for _ in 0..TRIES {
            let mut set = self.set_policies.all().await?;
            let current = self.view(&set, event).ok_or(PolicyError::EventUnknown)?;
            if version.is_some_and(|version| version != current.version) {
                return Err(PolicyError::Stale);
            }
            let mut draft = set
                .by_event
                .get(event)
                .map(|set| set.draft.clone())
                .unwrap_or_default();
            change(&mut draft);
            let now = self.clock.now();
            let tried = SetPolicy {
                draft: draft.clone(),
                updated_at: now,
                version: current.version,
            };
            set.by_event.insert(event.to_owned(), tried);
            self.check_all(&set, event)?;
            let written = self
                .set_policies
                .put(event, &draft, current.version, now, note)
                .await?;
            if written.is_some() {
                let set = self.policies.read().await?;
                return self.view(&set, event).ok_or(PolicyError::EventUnknown);
            }
        }
        Err(PolicyError::Stale)
    }

    /// Everything that would be wrong. What an event takes from the default is its own fault only where the default
    /// itself has none.
    fn check_all(&self, set: &SetPolicies, event: &str) -> Result<(), Violations> {
        let (_, wrong) = self.resolve(set);
        let own = if event.is_empty() {
            "policy.".to_owned()
        } else {
            format!("events.{event}.")
        };
        let mut faults = Violations::new();
        for fault in wrong.as_slice() {
            match fault.field.strip_prefix(&own) {
                Some(field) => faults.add(format!("policy.{field}"), &fault.description),
                None if event.is_empty() => faults.add(
                    "policy",
                    format_args!("does not fit {}: {}", fault.field, fault.description),
                ),
                None => {}
            }
        }
        faults.into_result()
    }

    fn resolve(&self, set: &SetPolicies) -> (Policies, Violations) {
        let drafts = set.by_event.iter();
        let drafts = drafts
            .map(|(event, set)| (event.clone(), set.draft.clone()))
            .collect();
        self.policies.configured().resolve(&drafts, set.sending.enabled)
    }

    fn view(&self, set: &SetPolicies, event: &str) -> Option<PolicyView> {
        let own = set.by_event.get(event);
        let configured = self.policies.configured().events.contains_key(event);
        if !event.is_empty() && !configured && own.is_none() {
            return None;
        }
        Some(PolicyView {
            event: event.to_owned(),
            policy: self.resolve(set).0.of(event).clone(),
            overridden: own.map(|own| own.draft.paths()).unwrap_or_default(),
            configured,
            updated_at: own.map(|own| own.updated_at),
            version: own.map_or(0, |own| own.version),
        })
    }

    /// Whether the accounts and repositories that a draft names are there.
    async fn check_names(&self, draft: &PolicyDraft) -> Result<(), PolicyError> {
        let mut faults = Violations::new();
        let named = draft.repositories.iter().flatten().enumerate();
        for (index, name) in named.filter(|(_, name)| !self.settings.repositories.contains(name)) {
            // Of a name that cannot be one the bounds speak.
            if !name.trim().is_empty() {
                let field = format!("policy.repositories[{index}]");
                faults.add(field, "is not the name of a configured repository");
            }
        }
        if let Some(name) = draft.account.as_deref().filter(|name| !name.is_empty()) {
            let accounts = self.accounts.list().await?;
            if !accounts.iter().any(|account| account.settings.name == name) {
                faults.add("policy.account", "is not the name of a mail account");
            }
        }
        Ok(faults.into_result()?)
    }
}

/// For the record of who changed what.
fn tell(caller: &Visitor, view: &PolicyView, what: &'static str) {
    tracing::info!(
        caller.name = %caller.name,
        policy.event = %view.event,
        policy.overridden = ?view.overridden,
        "{what}"
    );
}

//! Audit: who did what to which object, when, and what that changed. No secret and no address of a person gets in here.

use serde_json::{Map, Value};

use super::{caller::CallerId, clock::Timestamp, id::AuditId, visitor::Visitor};

mod fields;
mod logins;
mod objects;

pub use fields::Fields;
pub use objects::Object;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// A mail account was created.
    AccountCreate,
    /// One was changed.
    AccountUpdate,
    /// One was deleted.
    AccountDelete,
    /// One became the default.
    AccountSetDefault,
    /// An API key or certificate was given to a new caller.
    CallerAdd,
    /// A caller got another key.
    CallerRotate,
    /// A caller was removed.
    CallerRemove,
    /// A DKIM key of an account was written.
    DkimSet,
    /// One was deleted.
    DkimDelete,
    /// An event was created.
    EventCreate,
    /// One was deleted, with its policy.
    EventDelete,
    /// A failed mail was made due again.
    OutboxRequeue,
    /// Fields of a policy were set.
    PolicyUpdate,
    /// Fields of a policy were set back.
    PolicyReset,
    /// The master switch was moved.
    SendingSet,
    /// A template was written.
    TemplateUpdate,
    /// One was removed, so that the built-in one counts again.
    TemplateReset,
    /// The other addresses that a user had confirmed were forgotten.
    UserForgetAddresses,
    /// A user was locked.
    UserLock,
    /// A user was unlocked.
    UserUnlock,
}

impl Action {
    /// All of them, by name.
    pub const ALL: [Self; 20] = [
        Self::AccountCreate,
        Self::AccountDelete,
        Self::AccountSetDefault,
        Self::AccountUpdate,
        Self::CallerAdd,
        Self::CallerRemove,
        Self::CallerRotate,
        Self::DkimDelete,
        Self::DkimSet,
        Self::EventCreate,
        Self::EventDelete,
        Self::OutboxRequeue,
        Self::PolicyReset,
        Self::PolicyUpdate,
        Self::SendingSet,
        Self::TemplateReset,
        Self::TemplateUpdate,
        Self::UserForgetAddresses,
        Self::UserLock,
        Self::UserUnlock,
    ];

    /// Its name everywhere: the kind of object, a dot, the deed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AccountCreate => "account.create",
            Self::AccountUpdate => "account.update",
            Self::AccountDelete => "account.delete",
            Self::AccountSetDefault => "account.set_default",
            Self::CallerAdd => "caller.add",
            Self::CallerRotate => "caller.rotate",
            Self::CallerRemove => "caller.remove",
            Self::DkimSet => "dkim.set",
            Self::DkimDelete => "dkim.delete",
            Self::EventCreate => "event.create",
            Self::EventDelete => "event.delete",
            Self::OutboxRequeue => "outbox.requeue",
            Self::PolicyUpdate => "policy.update",
            Self::PolicyReset => "policy.reset",
            Self::SendingSet => "sending.set",
            Self::TemplateUpdate => "template.update",
            Self::TemplateReset => "template.reset",
            Self::UserForgetAddresses => "user.forget_addresses",
            Self::UserLock => "user.lock",
            Self::UserUnlock => "user.unlock",
        }
    }

    /// The action of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }

    /// The actions that a word means: one by its name, or all of a kind of object. None: it is no such word.
    #[must_use]
    pub fn meant_by(word: &str) -> Vec<Self> {
        let meant = |action: &Self| {
            let rest = action.name().strip_prefix(word);
            !word.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        Self::ALL.into_iter().filter(meant).collect()
    }
}

/// How somebody came to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorKind {
    /// A caller, over gRPC.
    Caller,
    /// A user of the service's own machine, on the command line.
    Local,
}

impl ActorKind {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Local => "local",
        }
    }

    /// The kind of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Caller, Self::Local]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// Who acts. Names are kept as they were then: a caller that is removed stays known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// How.
    pub kind: ActorKind,
    /// The caller's identifier, or the number of the machine's user.
    pub id: String,
    /// The caller's name, or the machine's user's.
    pub name: String,
}

impl Actor {
    /// A caller.
    #[must_use]
    pub fn caller(id: CallerId, name: &str) -> Self {
        Self {
            kind: ActorKind::Caller,
            id: id.to_string(),
            name: name.to_owned(),
        }
    }

    /// A user of the machine.
    #[must_use]
    pub fn local(uid: u32, login: &str) -> Self {
        Self {
            kind: ActorKind::Local,
            id: uid.to_string(),
            name: login.to_owned(),
        }
    }
}

/// What whoever changes something hands along with the change: it is written in the same transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Names the audit event.
    pub id: AuditId,
    /// What is being done.
    pub action: Action,
    /// By whom.
    pub actor: Actor,
    /// The other end of the connection; empty: there was none.
    pub peer: String,
    /// What the caller named its call; empty: nothing.
    pub request_id: String,
}

impl Note {
    /// A caller's, on a call.
    #[must_use]
    pub fn of(visitor: &Visitor, id: AuditId, action: Action) -> Self {
        Self {
            id,
            action,
            actor: Actor::caller(visitor.id, &visitor.name),
            peer: visitor.peer.to_string(),
            request_id: visitor.request_id.clone(),
        }
    }
}

/// What a change was: the fields that differ, as they were and as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// As they were; those that were not there are missing.
    pub before: Map<String, Value>,
    /// As they are; those that are gone are missing.
    pub after: Map<String, Value>,
}

/// Something that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    /// What, by whom, from where.
    pub note: Note,
    /// When, on the store's clock.
    pub at: Timestamp,
    /// To what.
    pub object: Object,
    /// What that changed.
    pub change: Change,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_and_are_in_order() {
        for action in Action::ALL {
            assert_eq!(Action::from_name(action.name()), Some(action));
        }
        assert!(Action::ALL.is_sorted_by_key(|action| action.name()));
    }

    #[test]
    fn a_word_means_an_action_or_all_of_a_kind() {
        assert_eq!(Action::meant_by("account.update"), [Action::AccountUpdate]);
        assert_eq!(Action::meant_by("outbox"), [Action::OutboxRequeue]);
        assert_eq!(Action::meant_by("account").len(), 4);
        for nothing in ["", "acc", "account.", "account.up", "."] {
            assert!(Action::meant_by(nothing).is_empty(), "{nothing}");
        }
    }
}

//! What the audit shows of each kind of object. Taken apart without a rest: a field that is added elsewhere does not
//! compile here until somebody has said how it is shown.

use serde_json::Value;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{Fields, oauth::with_secret};
use crate::domain::{
    account::{Account, AccountSettings, Identity, Link, Login, Sender, Server, Volume},
    address::EmailAddress,
    budget::GuessBudget,
    caller::Caller,
    delivery::DeliveryState,
    dkim::DkimKey,
    id::EntryId,
    keyring::Subject,
    policy_draft::PolicyDraft,
    template::{TemplateKey, TemplateParts},
};

/// What something was done to. Names are kept as they were then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// Its identifier, or its name where it has no other.
    pub id: String,
    /// Its name for people.
    pub name: String,
}

impl Object {
    /// Something that is known by its name alone.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self {
            id: name.to_owned(),
            name: name.to_owned(),
        }
    }

    /// A mail account.
    #[must_use]
    pub fn account(account: &Account) -> Self {
        Self {
            id: account.id.to_string(),
            name: account.settings.name.clone(),
        }
    }

    /// A caller.
    #[must_use]
    pub fn caller(caller: &Caller) -> Self {
        Self {
            id: caller.id.to_string(),
            name: caller.name.clone(),
        }
    }

    /// The policy of an event, and the event; the default's is named so.
    #[must_use]
    pub fn event(event: &str) -> Self {
        Self::named(if event.is_empty() { "default" } else { event })
    }

    /// A template: purpose, event and language.
    #[must_use]
    pub fn template(key: &TemplateKey) -> Self {
        let any = |part: &str| if part.is_empty() { "*" } else { part }.to_owned();
        let parts = [key.purpose.name().to_owned(), any(&key.event), any(&key.language)];
        Self::named(&parts.join("/"))
    }

    /// A DKIM key: its selector and domain.
    #[must_use]
    pub fn dkim(key: &DkimKey) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.place.record_name(),
        }
    }

    /// A user, by the keyed hash that budgets know it by, and a name that is no whole address.
    #[must_use]
    pub fn user(user: &Subject, name: &str) -> Self {
        use std::fmt::Write as _;
        let mut id = String::new();
        for byte in user.as_bytes() {
            // Writing to a string cannot fail.
            let _ = write!(id, "{byte:02x}");
        }
        Self {
            id,
            name: name.to_owned(),
        }
    }

    /// An outbox entry; it is called by its masked recipient.
    #[must_use]
    pub fn entry(id: EntryId, masked_recipient: &str) -> Self {
        Self {
            id: id.to_string(),
            name: masked_recipient.to_owned(),
        }
    }
}

impl From<&Account> for Fields {
    fn from(account: &Account) -> Self {
        let Account {
            id: _,
            is_default,
            settings,
            created_at: _,
            updated_at: _,
            version: _,
            // A test is no change.
            proof: _,
        } = account;
        let AccountSettings {
            name,
            enabled,
            order,
            preset,
            server,
            link,
            login,
            sender,
            volume,
        } = settings;
        let fields = Self::new()
            .with("name", name.as_str())
            .with("is_default", *is_default)
            .with("enabled", *enabled)
            .with("order", *order)
            .with("preset", preset.name)
            .with("authentication", login.is_some());
        let fields = match login {
            Some(login) => with_login(fields, login),
            None => fields,
        };
        let Volume { per_minute, per_day } = volume;
        with_sender(with_link(with_server(fields, server), link), sender)
            .with("messages_per_minute", *per_minute)
            .with("messages_per_day", *per_day)
    }
}

pub(super) fn with_server(fields: Fields, server: &Server) -> Fields {
    let Server { host, port, security } = server;
    fields
        .with("host", host.as_str())
        .with("port", *port)
        .with("security", security.name())
}

pub(super) fn with_link(fields: Fields, link: &Link) -> Fields {
    let Link {
        hello_name,
        server_name,
        authorities,
        any_certificate,
        identity,
        timeout,
    } = link;
    let fields = match identity.as_deref() {
        Some(Identity { certificate, key }) => {
            let fields = fields.with("client_certificate", certificate.as_str());
            with_secret(fields, "client_key", key)
        }
        None => fields,
    };
    fields
        .with("hello_name", hello_name.clone())
        .with("server_name", server_name.clone())
        .with("ca_certificates", authorities.clone())
        .with("ignore_certificate_errors", *any_certificate)
        .with("timeout", timeout.map(|span| format!("{}ms", span.as_millis())))
}

pub(super) fn with_login(fields: Fields, login: &Login) -> Fields {
    let Login { username, secret } = login;
    with_secret(fields.with("username", username.as_str()), "secret", secret)
}

fn with_sender(fields: Fields, sender: &Sender) -> Fields {
    let Sender {
        address,
        display_name,
        reply_to,
        return_path,
        read_receipt,
        confirmation,
        force,
        footnote_enabled,
        footnote,
    } = sender;
    let text = |address: &Option<EmailAddress>| address.as_ref().map(|address| address.as_str().to_owned());
    fields
        .with("sender", address.as_str())
        .with("display_name", display_name.as_str())
        .with("reply_to", text(reply_to))
        .with("return_path", text(return_path))
        .with("read_receipt", *read_receipt)
        .with("confirmation_address", text(confirmation))
        .with("force_settings", *force)
        .with("footnote_enabled", *footnote_enabled)
        .with("footnote", footnote.as_str())
}

impl From<&Caller> for Fields {
    fn from(caller: &Caller) -> Self {
        let Caller {
            id: _,
            name,
            role,
            see_users,
            keys,
            certificate,
            created_at: _,
        } = caller;
        let digests: Vec<u8> = keys.iter().flat_map(|key| key.0).collect();
        Self::new()
            .with("name", name.as_str())
            .with("role", role.name())
            .with("see_users", *see_users)
            .hiding("keys", &digests)
            .with("certificate", certificate.map(|digest| digest.to_string()))
    }
}

impl From<&PolicyDraft> for Fields {
    /// By its paths, as policies are set.
    fn from(draft: &PolicyDraft) -> Self {
        draft.paths().into_iter().fold(Self::new(), |fields, path| {
            let mut alone = PolicyDraft::default();
            alone.copy(path, draft);
            // It is kept as an object; this one has one field.
            let kept = serde_json::to_value(&alone).unwrap_or_default();
            let value = kept.as_object().and_then(|kept| kept.values().next());
            fields.with(path, value.map(plain))
        })
    }
}

/// A value as it is kept, with a span written as its whole seconds.
fn plain(value: &Value) -> Value {
    match value.get("secs").and_then(Value::as_u64) {
        Some(seconds) => format!("{seconds}s").into(),
        None => value.clone(),
    }
}

impl From<&DkimKey> for Fields {
    fn from(key: &DkimKey) -> Self {
        let DkimKey {
            id: _,
            account,
            place,
            enabled,
            algorithm,
            public,
            secret,
            updated_at: _,
            version: _,
        } = key;
        let fields = Self::new()
            .with("account", account.to_string())
            .with("selector", place.selector.as_str())
            .with("domain", place.domain.as_str())
            .with("enabled", *enabled)
            .with("algorithm", algorithm.name())
            .with("public_key", STANDARD.encode(public));
        with_secret(fields, "private_key", secret)
    }
}

impl From<&TemplateParts> for Fields {
    fn from(parts: &TemplateParts) -> Self {
        let TemplateParts { subject, text, html } = parts;
        Self::new()
            .with("subject", subject.as_str())
            .with("text", text.as_str())
            .with("html", html.as_str())
    }
}

impl From<&GuessBudget> for Fields {
    fn from(budget: &GuessBudget) -> Self {
        let GuessBudget {
            failures,
            // What the next lock is judged by; the failures tell the rest.
            since_lock: _,
            locked_until,
        } = budget;
        Self::new()
            .with("failures", *failures)
            .with("locked", locked_until.is_some())
    }
}

impl From<DeliveryState> for Fields {
    fn from(state: DeliveryState) -> Self {
        Self::new().with("state", state.name())
    }
}

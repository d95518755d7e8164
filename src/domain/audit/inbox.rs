//! What the audit shows of an inbox.

use super::{
    Fields, Object,
    objects::{with_link, with_login, with_server},
};
use crate::domain::inbox::{Inbox, InboxSettings};

impl Object {
    /// An inbox.
    #[must_use]
    pub fn inbox(inbox: &Inbox) -> Self {
        Self {
            id: inbox.id.to_string(),
            name: inbox.settings.name.clone(),
        }
    }
}

impl From<&Inbox> for Fields {
    fn from(inbox: &Inbox) -> Self {
        let Inbox {
            id: _,
            settings,
            // How its checks go is no change of anybody's.
            standing: _,
            created_at: _,
            updated_at: _,
            version: _,
        } = inbox;
        let InboxSettings {
            name,
            enabled,
            automatic_check,
            keep_copy,
            interval,
            protocol,
            server,
            link,
            login,
        } = settings;
        let fields = Self::new()
            .with("name", name.as_str())
            .with("enabled", *enabled)
            .with("automatic_check", *automatic_check)
            .with("keep_copy", *keep_copy)
            .with("interval", format!("{}s", interval.as_secs()))
            .with("protocol", protocol.name());
        with_login(with_link(with_server(fields, server), link), login)
    }
}

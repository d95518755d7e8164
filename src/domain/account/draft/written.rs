//! An account as somebody would have written it: the way back from [`AccountSettings`] to a draft.

use super::AccountDraft;
use crate::domain::{
    account::{AccountSettings, IdentityDraft, Secret},
    address::EmailAddress,
    oauth::OauthDraft,
};

impl From<&AccountSettings> for AccountDraft {
    /// As somebody would have written it.
    fn from(settings: &AccountSettings) -> Self {
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
        let text = |address: &Option<EmailAddress>| {
            address
                .as_ref()
                .map(|address| address.as_str().to_owned())
                .unwrap_or_default()
        };
        let (secret, oauth) = match login.as_ref().map(|login| &login.secret) {
            Some(Secret::Oauth(oauth)) => (None, Some(OauthDraft::from(&**oauth))),
            Some(Secret::Default) => (None, None),
            secret => (secret.cloned(), None),
        };
        Self {
            name: name.clone(),
            enabled: *enabled,
            order: i32::from(*order),
            preset: preset.name.to_owned(),
            host: server.host.clone(),
            port: server.port.into(),
            security: Some(server.security),
            authentication: login.is_some(),
            default_credentials: login
                .as_ref()
                .is_some_and(|login| login.secret == Secret::Default),
            username: login
                .as_ref()
                .map(|login| login.username.clone())
                .unwrap_or_default(),
            secret,
            oauth,
            sender: sender.address.as_str().to_owned(),
            display_name: sender.display_name.clone(),
            reply_to: text(&sender.reply_to),
            return_path: text(&sender.return_path),
            read_receipt: sender.read_receipt,
            confirmation_address: text(&sender.confirmation),
            force_settings: sender.force,
            footnote_enabled: sender.footnote_enabled,
            footnote: sender.footnote.clone(),
            hello_name: link.hello_name.clone().unwrap_or_default(),
            server_name: link.server_name.clone().unwrap_or_default(),
            ca_certificates: link.authorities.clone().unwrap_or_default(),
            ignore_certificate_errors: link.any_certificate,
            identity: IdentityDraft::from(&link.identity),
            timeout: link.timeout,
            messages_per_minute: i32::try_from(volume.per_minute).unwrap_or(i32::MAX),
            messages_per_day: i32::try_from(volume.per_day).unwrap_or(i32::MAX),
            acknowledge_risks: false,
            known_risks: settings.risks(),
        }
    }
}

//! An account as somebody wrote it, and the check that makes settings of it.

mod identity;
mod link;
mod login;
mod volume;
mod written;

use std::time::Duration;

use super::{
    AccountSettings, IdentityDraft, Risk, Secret, Security, Sender, Server,
    texts::{check_host, is_account_name},
};
use crate::domain::{
    address::{EmailAddress, LocalPart},
    oauth::OauthDraft,
    preset::{Fit, Preset},
    text::{check_line, check_lines},
    violation::Violations,
};

/// An account as it was written, before it is checked.
#[derive(Clone, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "as many as the form has boxes to tick"
)]
pub struct AccountDraft {
    /// See [`AccountSettings::name`].
    pub name: String,
    /// See [`AccountSettings::enabled`].
    pub enabled: bool,
    /// See [`AccountSettings::order`].
    pub order: i32,
    /// See [`AccountSettings::preset`]; empty: other.
    pub preset: String,
    /// See [`Server::host`]; empty: the preset's.
    pub host: String,
    /// See [`Server::port`]; 0: the usual one.
    pub port: i32,
    /// See [`Server::security`]; `None`: the preset's.
    pub security: Option<Security>,
    /// Whether to log in.
    pub authentication: bool,
    /// See [`super::Login::username`].
    pub username: String,
    /// See [`super::Login::secret`].
    pub secret: Option<Secret>,
    /// How to get access tokens, in place of a secret.
    pub oauth: Option<OauthDraft>,
    /// Whether to log in with [`Secret::Default`], in place of user name and secret.
    pub default_credentials: bool,
    /// See [`Sender::address`].
    pub sender: String,
    /// See [`Sender::display_name`].
    pub display_name: String,
    /// See [`Sender::reply_to`]; empty: none.
    pub reply_to: String,
    /// See [`Sender::return_path`]; empty: none.
    pub return_path: String,
    /// See [`Sender::read_receipt`].
    pub read_receipt: bool,
    /// See [`Sender::confirmation`]; empty: none.
    pub confirmation_address: String,
    /// See [`Sender::force`].
    pub force_settings: bool,
    /// See [`Sender::footnote_enabled`].
    pub footnote_enabled: bool,
    /// See [`Sender::footnote`].
    pub footnote: String,
    /// See [`super::Link::hello_name`]; empty: none.
    pub hello_name: String,
    /// See [`super::Link::server_name`]; empty: none.
    pub server_name: String,
    /// See [`super::Link::authorities`]; empty: none.
    pub ca_certificates: String,
    /// See [`super::Link::any_certificate`].
    pub ignore_certificate_errors: bool,
    /// See [`super::Link::identity`].
    pub identity: IdentityDraft,
    /// See [`super::Link::timeout`].
    pub timeout: Option<Duration>,
    /// See [`super::Volume::per_minute`].
    pub messages_per_minute: i32,
    /// See [`super::Volume::per_day`].
    pub messages_per_day: i32,
    /// Whether somebody says yes to what is risky.
    pub acknowledge_risks: bool,
    /// The risks that somebody said yes to before.
    pub known_risks: Vec<Risk>,
}

/// Notes what is wrong with a draft, each field under a prefix.
struct Check<'a> {
    prefix: &'a str,
    local_part: LocalPart,
    faults: Violations,
}

impl AccountDraft {
    /// The settings, or everything that is wrong with them, each field under `prefix`.
    pub fn check(self, prefix: &str, local_part: LocalPart) -> Result<AccountSettings, Violations> {
        let mut check = Check {
            prefix,
            local_part,
            faults: Violations::new(),
        };
        if !is_account_name(&self.name) {
            check.fault("name", "must be 1 to 64 of letters, digits, space, `.`, `_`, `-`");
        }
        let order = u16::try_from(self.order).ok().filter(|order| *order <= 1000);
        let order = check.field("order", order.ok_or("must be between 0 and 1,000"));
        let preset = Preset::from_name(&self.preset).ok_or("is not a preset: see ListPresets");
        let preset = check.field("preset", preset).unwrap_or(Preset::OTHER);
        let server = check.server(&self, preset);
        let sender = check.sender(&self, preset);
        let link = check.link(&self, server.as_ref());
        let volume = check.volume(&self);
        let risks = (self.acknowledge_risks, self.known_risks.clone());
        let (name, enabled) = (self.name.clone(), self.enabled);
        let login = check.login(self, preset);
        let (Some(order), Some(server), Some(sender), Some(link), Some(volume)) =
            (order, server, sender, link, volume)
        else {
            return Err(check.faults);
        };
        let settings = AccountSettings {
            name,
            enabled,
            order,
            preset,
            server,
            link,
            login,
            sender,
            volume,
        };
        for risk in settings.risks() {
            if !risks.0 && !risks.1.contains(&risk) {
                check.fault("acknowledge_risks", format_args!("must be set: {}", risk.text()));
            }
        }
        check.faults.into_result().map(|()| settings)
    }
}

impl Check<'_> {
    fn fault(&mut self, name: &str, description: impl std::fmt::Display) {
        self.faults.add(format!("{}{name}", self.prefix), description);
    }

    fn field<T, E: std::fmt::Display>(&mut self, name: &str, result: Result<T, E>) -> Option<T> {
        self.faults.check(&format!("{}{name}", self.prefix), result)
    }

    fn address(&mut self, name: &str, text: &str) -> Option<EmailAddress> {
        match text {
            "" => None,
            text => self.field(name, EmailAddress::parse(text, self.local_part)),
        }
    }

    fn server(&mut self, draft: &AccountDraft, preset: &Preset) -> Option<Server> {
        if !preset.is_other() {
            return self.preset_server(draft, preset);
        }
        let host = self.field("host", check_host(&draft.host));
        let security = draft
            .security
            .ok_or("is required: implicit TLS, STARTTLS or none");
        let security = self.field("security", security);
        let port = if draft.port == 0 {
            security.map(Security::usual_port)
        } else {
            let port = u16::try_from(draft.port).ok().filter(|port| *port > 0);
            self.field(
                "port",
                port.ok_or("must be between 1 and 65535, or 0 for the usual one"),
            )
        };
        Some(Server {
            host: host?,
            port: port?,
            security: security?,
        })
    }

    /// The preset's server: what is set must be what the preset says.
    fn preset_server(&mut self, draft: &AccountDraft, preset: &Preset) -> Option<Server> {
        let own = draft.host.is_empty();
        if !own && !preset.has_host(&draft.host) {
            let hosts = preset.hosts.join(", ");
            self.fault(
                "host",
                format_args!(
                    "is set by the preset {preset} ({hosts}): leave it out, or use the preset `other`"
                ),
            );
        }
        let fitting = preset.ports.iter().find(|(port, security)| {
            (draft.port == 0 || draft.port == i32::from(*port))
                && draft.security.is_none_or(|wanted| wanted == *security)
        });
        if fitting.is_none() {
            let name = if draft.port == 0 { "security" } else { "port" };
            self.fault(
                name,
                format_args!(
                    "is not one that the preset {preset} has: leave it out, or use the preset `other`"
                ),
            );
        }
        fitting.map(|&(port, security)| Server {
            host: if own {
                preset.host().to_owned()
            } else {
                draft.host.to_ascii_lowercase()
            },
            port,
            security,
        })
    }

    fn sender(&mut self, draft: &AccountDraft, preset: &Preset) -> Option<Sender> {
        let address = self.field("sender", EmailAddress::parse(&draft.sender, self.local_part));
        if let Some(Fit::Refused(why)) = address.as_ref().map(|address| preset.judge(address)) {
            self.fault("sender", why);
        }
        if self
            .field("display_name", check_line(&draft.display_name, 128))
            .is_some()
            && draft.display_name.contains("=?")
        {
            // RFC 2047, 2: some read on as if it were encoded, even within quotes.
            self.fault("display_name", "must not have `=?`, which begins an encoded word");
        }
        let footnote = draft.footnote.replace("\r\n", "\n");
        self.field("footnote", check_lines(&footnote, 2_000));
        let reply_to = self.address("reply_to", &draft.reply_to);
        let return_path = self.address("return_path", &draft.return_path);
        let confirmation = self.address("confirmation_address", &draft.confirmation_address);
        Some(Sender {
            address: address?,
            display_name: draft.display_name.clone(),
            reply_to,
            return_path,
            read_receipt: draft.read_receipt,
            confirmation,
            force: draft.force_settings,
            footnote_enabled: draft.footnote_enabled,
            footnote,
        })
    }
}

#[cfg(test)]
#[path = "draft_tests.rs"]
mod tests;

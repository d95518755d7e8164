//! An inbox as somebody wrote it, and the check that makes settings of it.

use std::{fmt::Display, time::Duration};

use super::{InboxSettings, Protocol};
use crate::domain::{
    account::{Link, Login, Risk, Secret, Security, Server, check_authorities, check_host, is_account_name},
    text::require_line,
    violation::Violations,
};

/// How long after a check the next one comes, unless it is said.
const INTERVAL: Duration = Duration::from_mins(1);

/// The shortest and the longest interval: more often tires the server, more seldom helps nobody.
const INTERVALS: (Duration, Duration) = (Duration::from_secs(10), Duration::from_hours(24));

/// An inbox as it was written, before it is checked.
#[derive(Clone, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "as many as the form has boxes to tick"
)]
pub struct InboxDraft {
    /// See [`InboxSettings::name`].
    pub name: String,
    /// See [`InboxSettings::enabled`].
    pub enabled: bool,
    /// See [`InboxSettings::automatic_check`].
    pub automatic_check: bool,
    /// See [`InboxSettings::keep_copy`].
    pub keep_copy: bool,
    /// See [`InboxSettings::interval`]; `None`: the usual one.
    pub interval: Option<Duration>,
    /// See [`InboxSettings::protocol`].
    pub protocol: Option<Protocol>,
    /// See [`Server::host`].
    pub host: String,
    /// See [`Server::port`]; 0: the usual one.
    pub port: i32,
    /// See [`Server::security`].
    pub security: Option<Security>,
    /// See [`Login::username`].
    pub username: String,
    /// See [`Login::secret`].
    pub secret: Option<Secret>,
    /// See [`Link::server_name`]; empty: none.
    pub server_name: String,
    /// See [`Link::authorities`]; empty: none.
    pub ca_certificates: String,
    /// See [`Link::any_certificate`].
    pub ignore_certificate_errors: bool,
    /// Whether somebody says yes to what is risky.
    pub acknowledge_risks: bool,
    /// The risks that somebody said yes to before.
    pub known_risks: Vec<Risk>,
}

/// Notes what is wrong with a draft, each field under a prefix.
struct Check<'a> {
    prefix: &'a str,
    faults: Violations,
}

impl InboxDraft {
    /// The settings, or everything that is wrong with them, each field under `prefix`.
    pub fn check(self, prefix: &str) -> Result<InboxSettings, Violations> {
        let mut check = Check {
            prefix,
            faults: Violations::new(),
        };
        if !is_account_name(&self.name) {
            check.fault("name", "must be 1 to 64 of letters, digits, space, `.`, `_`, `-`");
        }
        let interval = self.interval.unwrap_or(INTERVAL);
        if !(INTERVALS.0..=INTERVALS.1).contains(&interval) {
            check.fault("interval", "must be between 10 s and 24 h");
        }
        let protocol = check.field("protocol", self.protocol.ok_or("is required: IMAP or POP3"));
        let server = check.server(&self, protocol);
        let link = check.link(&self);
        check.field("username", require_line(&self.username, 256));
        let secret = check.field("secret", self.secret.ok_or("is required: whoever reads logs in"));
        let (Some(protocol), Some(server), Some(link), Some(secret)) = (protocol, server, link, secret)
        else {
            return Err(check.faults);
        };
        for risk in Risk::of(&server, &link) {
            if !self.acknowledge_risks && !self.known_risks.contains(&risk) {
                check.fault("acknowledge_risks", format_args!("must be set: {}", risk.text()));
            }
        }
        check.faults.into_result()?;
        Ok(InboxSettings {
            name: self.name,
            enabled: self.enabled,
            automatic_check: self.automatic_check,
            keep_copy: self.keep_copy,
            interval,
            protocol,
            server,
            link,
            login: Login {
                username: self.username,
                secret,
            },
        })
    }
}

impl Check<'_> {
    fn fault(&mut self, name: &str, description: impl Display) {
        self.faults.add(format!("{}{name}", self.prefix), description);
    }

    fn field<T, E: Display>(&mut self, name: &str, result: Result<T, E>) -> Option<T> {
        self.faults.check(&format!("{}{name}", self.prefix), result)
    }

    fn server(&mut self, draft: &InboxDraft, protocol: Option<Protocol>) -> Option<Server> {
        let host = self.field("host", check_host(&draft.host));
        let security = draft
            .security
            .ok_or("is required: implicit TLS, STARTTLS or none");
        let security = self.field("security", security);
        let port = match draft.port {
            0 => protocol
                .zip(security)
                .map(|(protocol, security)| protocol.usual_port(security)),
            port => {
                let port = u16::try_from(port).ok().filter(|port| *port > 0);
                self.field(
                    "port",
                    port.ok_or("must be between 1 and 65535, or 0 for the usual one"),
                )
            }
        };
        Some(Server {
            host: host?,
            port: port?,
            security: security?,
        })
    }

    fn link(&mut self, draft: &InboxDraft) -> Option<Link> {
        let server_name = match draft.server_name.as_str() {
            "" => Some(None),
            name => self.field("server_name", check_host(name)).map(Some),
        };
        let authorities = match draft.ca_certificates.as_str() {
            "" => Some(None),
            pem => self.field("ca_certificates", check_authorities(pem)).map(Some),
        };
        Some(Link {
            server_name: server_name?,
            authorities: authorities?,
            any_certificate: draft.ignore_certificate_errors,
            ..Link::default()
        })
    }
}

impl From<&InboxSettings> for InboxDraft {
    /// As somebody would have written it.
    fn from(settings: &InboxSettings) -> Self {
        Self {
            name: settings.name.clone(),
            enabled: settings.enabled,
            automatic_check: settings.automatic_check,
            keep_copy: settings.keep_copy,
            interval: Some(settings.interval),
            protocol: Some(settings.protocol),
            host: settings.server.host.clone(),
            port: settings.server.port.into(),
            security: Some(settings.server.security),
            username: settings.login.username.clone(),
            secret: Some(settings.login.secret.clone()),
            server_name: settings.link.server_name.clone().unwrap_or_default(),
            ca_certificates: settings.link.authorities.clone().unwrap_or_default(),
            ignore_certificate_errors: settings.link.any_certificate,
            acknowledge_risks: false,
            known_risks: settings.risks(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> InboxDraft {
        InboxDraft {
            name: "bounces".into(),
            protocol: Some(Protocol::Imap),
            host: "imap.example.com".into(),
            security: Some(Security::ImplicitTls),
            username: "bounces@example.com".into(),
            secret: Some(Secret::Environment("MAILFACTOR_SECRET_X".into())),
            ..InboxDraft::default()
        }
    }

    #[test]
    fn a_port_of_zero_is_the_usual_one() {
        for (protocol, ports) in [
            (Protocol::Imap, [993, 143, 143]),
            (Protocol::Pop3, [995, 110, 110]),
        ] {
            for (security, port) in Security::ALL.into_iter().zip(ports) {
                let draft = InboxDraft {
                    protocol: Some(protocol),
                    security: Some(security),
                    acknowledge_risks: true,
                    ..draft()
                };
                assert_eq!(draft.check("").unwrap().server.port, port);
            }
        }
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let bad = InboxDraft {
            name: "a\nb".into(),
            interval: Some(Duration::from_secs(9)),
            protocol: None,
            host: "imaps://x".into(),
            port: 70_000,
            security: None,
            username: "a\r\nb".into(),
            secret: None,
            server_name: "a b".into(),
            ca_certificates: "x".into(),
            ..draft()
        };
        let faults = bad.check("inbox.").unwrap_err();
        let fields: Vec<&str> = faults
            .as_slice()
            .iter()
            .map(|fault| fault.field.as_str())
            .collect();
        let expected = [
            "name",
            "interval",
            "protocol",
            "host",
            "security",
            "port",
            "server_name",
            "ca_certificates",
            "username",
            "secret",
        ];
        assert_eq!(fields, expected.map(|name| format!("inbox.{name}")));
    }

    #[test]
    fn risks_need_a_yes_and_are_remembered() {
        let risky = InboxDraft {
            ignore_certificate_errors: true,
            ..draft()
        };
        let faults = risky.clone().check("").unwrap_err();
        assert_eq!(faults.as_slice()[0].field, "acknowledge_risks");
        let accepted = InboxDraft {
            acknowledge_risks: true,
            ..risky
        };
        let settings = accepted.check("").unwrap();
        assert_eq!(InboxDraft::from(&settings).check("").unwrap(), settings);
    }
}

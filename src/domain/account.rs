//! Mail accounts: the server mail is handed to, and the sender it comes from.

use std::fmt;

use super::{
    address::{EmailAddress, LocalPart, ascii_domain},
    clock::Timestamp,
    id::AccountId,
    keyring::Sealed,
    text::{check_line, require_line},
    violation::Violations,
};

/// How the connection to the mail server is protected. Never opportunistic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Security {
    /// TLS from the first byte (RFC 8314, 3.3).
    ImplicitTls,
    /// STARTTLS (RFC 3207), required.
    StartTls,
    /// None.
    Plain,
}

impl Security {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ImplicitTls, Self::StartTls, Self::Plain];

    /// The usual port.
    #[must_use]
    pub const fn usual_port(self) -> u16 {
        match self {
            Self::ImplicitTls => 465,
            Self::StartTls => 587,
            Self::Plain => 25,
        }
    }

    /// Its name in the store and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ImplicitTls => "tls",
            Self::StartTls => "starttls",
            Self::Plain => "none",
        }
    }

    /// The security of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|security| security.name() == name)
    }
}

/// Where an account's secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// With the account, sealed for [`Account::secret_place`].
    Sealed(Sealed),
    /// In a file of the service's machine.
    File(String),
    /// In an environment variable of the service.
    Environment(String),
}

/// The environment variables that an account may name begin so: no account reads another secret of the process.
pub const ENVIRONMENT_PREFIX: &str = "MAILFACTOR_SECRET_";

/// How to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user name at the mail server.
    pub username: String,
    /// Its secret.
    pub secret: Secret,
}

/// A mail account as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its identifier.
    pub id: AccountId,
    /// Whether it is the one that mail goes through.
    pub is_default: bool,
    /// What an administrator set.
    pub settings: AccountSettings,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Counts the changes: an update names the version it was made from.
    pub version: i64,
}

impl Account {
    /// The place its secret is sealed for.
    #[must_use]
    pub fn secret_place(id: &AccountId) -> String {
        format!("account/{id}/secret")
    }
}

/// What an administrator sets, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSettings {
    /// Its name for people, unique.
    pub name: String,
    /// Whether mail may go through it.
    pub enabled: bool,
    /// The mail server.
    pub server: Server,
    /// How to log in; `None`: not at all.
    pub login: Option<Login>,
    /// Who mail comes from.
    pub sender: Sender,
}

/// A mail server.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Server {
    /// A domain name in ASCII, or an IP address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} ({})", self.host, self.port, self.security.name())
    }
}

/// Who mail comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The address, in From and as envelope sender.
    pub address: EmailAddress,
    /// The name beside it; may be empty.
    pub display_name: String,
    /// Where replies go, if elsewhere.
    pub reply_to: Option<EmailAddress>,
}

/// An account as it was written, before it is checked.
#[derive(Clone, Debug, Default)]
pub struct AccountDraft {
    /// See [`AccountSettings::name`].
    pub name: String,
    /// See [`AccountSettings::enabled`].
    pub enabled: bool,
    /// See [`Server::host`].
    pub host: String,
    /// See [`Server::port`]; 0: the usual one.
    pub port: i32,
    /// See [`Server::security`].
    pub security: Option<Security>,
    /// Whether to log in.
    pub authentication: bool,
    /// See [`Login::username`].
    pub username: String,
    /// See [`Login::secret`].
    pub secret: Option<Secret>,
    /// See [`Sender::address`].
    pub sender: String,
    /// See [`Sender::display_name`].
    pub display_name: String,
    /// See [`Sender::reply_to`]; empty: none.
    pub reply_to: String,
}

impl AccountDraft {
    /// The settings, or everything that is wrong with them, each field under `prefix`.
    pub fn check(self, prefix: &str, local_part: LocalPart) -> Result<AccountSettings, Violations> {
        let mut faults = Violations::new();
        let field = |name: &str| format!("{prefix}{name}");
        if !is_account_name(&self.name) {
            faults.add(
                field("name"),
                "must be 1 to 64 of letters, digits, space, `.`, `_`, `-`",
            );
        }
        let host = faults.check(&field("host"), check_host(&self.host));
        let security = self.security.ok_or("is required: implicit TLS, STARTTLS or none");
        let security = faults.check(&field("security"), security);
        let port = match (self.port, security) {
            (0, security) => security.map(Security::usual_port),
            (port, _) => {
                let port =
                    u16::try_from(port).map_err(|_| "must be between 1 and 65535, or 0 for the usual one");
                faults.check(&field("port"), port)
            }
        };
        let sender = faults.check(&field("sender"), EmailAddress::parse(&self.sender, local_part));
        faults.check(&field("display_name"), check_line(&self.display_name, 128));
        let reply_to = match self.reply_to.as_str() {
            "" => None,
            text => faults.check(&field("reply_to"), EmailAddress::parse(text, local_part)),
        };
        let login = if self.authentication {
            faults.check(&field("username"), require_line(&self.username, 256));
            let secret = self.secret.ok_or("is required when authentication is on");
            let secret = faults.check(&field("secret"), secret);
            secret.map(|secret| Login {
                username: self.username,
                secret,
            })
        } else {
            None
        };
        faults.into_result()?;
        let (Some(host), Some(port), Some(security), Some(address)) = (host, port, security, sender) else {
            unreachable!("what is missing was noted as a fault");
        };
        Ok(AccountSettings {
            name: self.name,
            enabled: self.enabled,
            server: Server { host, port, security },
            login,
            sender: Sender {
                address,
                display_name: self.display_name,
                reply_to,
            },
        })
    }
}

impl From<&AccountSettings> for AccountDraft {
    /// As somebody would have written it.
    fn from(settings: &AccountSettings) -> Self {
        let AccountSettings {
            name,
            enabled,
            server,
            login,
            sender,
        } = settings;
        Self {
            name: name.clone(),
            enabled: *enabled,
            host: server.host.clone(),
            port: server.port.into(),
            security: Some(server.security),
            authentication: login.is_some(),
            username: login
                .as_ref()
                .map(|login| login.username.clone())
                .unwrap_or_default(),
            secret: login.as_ref().map(|login| login.secret.clone()),
            sender: sender.address.as_str().to_owned(),
            display_name: sender.display_name.clone(),
            reply_to: sender
                .reply_to
                .as_ref()
                .map(|to| to.as_str().to_owned())
                .unwrap_or_default(),
        }
    }
}

fn is_account_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.trim() == name
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b" ._-".contains(&byte))
}

/// A host name in ASCII or an IP address.
fn check_host(host: &str) -> Result<String, &'static str> {
    if host.is_empty() {
        return Err("is required");
    }
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    if let Ok(address) = bare.parse::<std::net::IpAddr>() {
        return Ok(address.to_string());
    }
    // A name of one label, such as `localhost` or `relay`, is a host although no mail domain.
    let single = host.len() <= 63
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if single && !host.starts_with('-') && !host.ends_with('-') {
        return Ok(host.to_ascii_lowercase());
    }
    ascii_domain(host).map_err(|_| "must be a host name or an IP address, without port or scheme")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> AccountDraft {
        AccountDraft {
            name: "main".into(),
            host: "smtp.example.com".into(),
            security: Some(Security::StartTls),
            sender: "noreply@example.com".into(),
            ..AccountDraft::default()
        }
    }

    #[test]
    fn a_port_of_zero_is_the_usual_one() {
        for security in Security::ALL {
            let settings = AccountDraft {
                security: Some(security),
                ..draft()
            }
            .check("", LocalPart::Ascii)
            .unwrap();
            assert_eq!(settings.server.port, security.usual_port());
        }
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let bad = AccountDraft {
            name: "a\nb".into(),
            host: "https://x".into(),
            port: 70_000,
            security: None,
            authentication: true,
            sender: "x@localhost".into(),
            display_name: "a\r\nBcc: x".into(),
            reply_to: "?".into(),
            ..draft()
        };
        let faults = bad.check("account.", LocalPart::Ascii).unwrap_err();
        let fields: Vec<&str> = faults
            .as_slice()
            .iter()
            .map(|fault| fault.field.as_str())
            .collect();
        let expected = [
            "name",
            "host",
            "security",
            "port",
            "sender",
            "display_name",
            "reply_to",
            "username",
            "secret",
        ];
        assert_eq!(fields, expected.map(|name| format!("account.{name}")));
    }

    #[test]
    fn hosts_are_names_or_addresses() {
        for (given, kept) in [
            ("[::1]", "::1"),
            ("127.0.0.1", "127.0.0.1"),
            ("Mail.Example.COM", "mail.example.com"),
        ] {
            assert_eq!(check_host(given).as_deref(), Ok(kept));
        }
        for bad in [
            "",
            "a b",
            "smtp.example.com:25",
            "-x",
            "smtp..example.com",
            "x\0y",
        ] {
            assert!(check_host(bad).is_err(), "{bad:?}");
        }
    }
}

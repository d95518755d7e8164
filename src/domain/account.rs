//! Mail accounts: the server mail is handed to, and the sender it comes from.

mod default;
mod draft;
mod identity;
mod proof;
mod proof_oauth;
mod replies;
mod texts;
mod volume;

use std::{fmt, net::IpAddr, time::Duration};

pub use default::DefaultCredentials;
pub use draft::AccountDraft;
pub use identity::{Identity, IdentityDraft};
pub use proof::Proof;
pub use replies::Replies;
pub(super) use texts::{check_authorities, check_host, is_account_name};
pub use volume::Volume;

use super::{
    address::EmailAddress,
    clock::Timestamp,
    id::AccountId,
    keyring::Sealed,
    oauth::Oauth,
    preset::{Fit, Preset},
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
    /// Nowhere: each login takes an access token that OAuth 2.0 grants.
    Oauth(Box<Oauth>),
    /// Nowhere: each login takes the [`DefaultCredentials`] of the service, the user name included.
    Default,
}

/// The environment variables that an account may name begin so: no account reads another secret of the process.
pub const ENVIRONMENT_PREFIX: &str = "MAILFACTOR_SECRET_";

/// How to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user name at the mail server; empty with [`Secret::Default`].
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
    /// The connection test that was passed last, perhaps with other settings: see [`Account::is_proven`].
    pub proof: Option<Proof>,
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
    /// When it is tried: the default first, then the lowest order; those of one order by name.
    pub order: u16,
    /// The mail service it is with.
    pub preset: &'static Preset,
    /// The mail server.
    pub server: Server,
    /// How to talk to it.
    pub link: Link,
    /// How to log in; `None`: not at all.
    pub login: Option<Login>,
    /// Who mail comes from.
    pub sender: Sender,
    /// How many mails may go through it.
    pub volume: Volume,
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

impl Server {
    /// Whether it is on the service's own machine: nothing crosses a network.
    fn is_here(&self) -> bool {
        self.host == "localhost"
            || self
                .host
                .parse()
                .is_ok_and(|address: IpAddr| address.is_loopback())
    }
}

/// How to talk to a mail server, where an account differs from the service as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// The name given in EHLO, in place of the service's.
    pub hello_name: Option<String>,
    /// The name that stands in the server's certificate, in place of the host.
    pub server_name: Option<String>,
    /// The only certificate authorities that are believed, in PEM.
    pub authorities: Option<String>,
    /// Believes every certificate.
    pub any_certificate: bool,
    /// The certificate that is shown to a server which asks for one.
    pub identity: Option<Box<Identity>>,
    /// The most that any stage may take, within the service's own limits.
    pub timeout: Option<Duration>,
}

/// What somebody must say yes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Risk {
    /// Mails and passwords cross a network in the clear.
    Plain,
    /// Whoever sits in between can pose as the mail server.
    AnyCertificate,
}

impl Risk {
    /// What is risky about talking so to a server.
    #[must_use]
    pub(super) fn of(server: &Server, link: &Link) -> Vec<Self> {
        let plain = server.security == Security::Plain;
        let mut risks = Vec::new();
        if plain && !server.is_here() {
            risks.push(Self::Plain);
        }
        if !plain && link.any_certificate {
            risks.push(Self::AnyCertificate);
        }
        risks
    }

    /// In words.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Plain => {
                "the connection is not encrypted: codes and passwords cross the network in the clear"
            }
            Self::AnyCertificate => {
                "certificate errors are ignored: whoever sits in between can pose as the mail server"
            }
        }
    }
}

impl AccountSettings {
    /// What is risky about them.
    #[must_use]
    pub fn risks(&self) -> Vec<Risk> {
        Risk::of(&self.server, &self.link)
    }

    /// What somebody should look at, in words: the risks, and a sender that its provider may refuse.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let risks = self.risks().into_iter().map(|risk| risk.text().to_owned());
        let doubt = match self.preset.judge(&self.sender.address) {
            Fit::Good => None,
            Fit::Doubtful(text) | Fit::Refused(text) => Some(text),
        };
        risks.chain(doubt).collect()
    }
}

/// Who mail comes from, and what each mail says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The address, in From and, without another, as envelope sender.
    pub address: EmailAddress,
    /// The name beside it; may be empty.
    pub display_name: String,
    /// Where replies go, if elsewhere.
    pub reply_to: Option<EmailAddress>,
    /// The envelope sender, where bounces go, if elsewhere.
    pub return_path: Option<EmailAddress>,
    /// Whether mail programs are asked to confirm that a mail was read (RFC 8098, 2.1).
    pub read_receipt: bool,
    /// Where those confirmations go, if not to the sender.
    pub confirmation: Option<EmailAddress>,
    /// Whether callers may not say otherwise where answers go: [`Self::answered_at`].
    pub force: bool,
    /// Whether the footnote stands below each mail.
    pub footnote_enabled: bool,
    /// The footnote.
    pub footnote: String,
}

impl Sender {
    /// With an address and nothing else.
    #[must_use]
    pub fn new(address: EmailAddress) -> Self {
        Self {
            address,
            display_name: String::new(),
            reply_to: None,
            return_path: None,
            read_receipt: false,
            confirmation: None,
            force: false,
            footnote_enabled: false,
            footnote: String::new(),
        }
    }

    /// The envelope sender.
    #[must_use]
    pub fn envelope(&self) -> &EmailAddress {
        self.return_path.as_ref().unwrap_or(&self.address)
    }

    /// Where confirmations of reading go, if any are asked for.
    #[must_use]
    pub fn receipt_to(&self) -> Option<&EmailAddress> {
        self.read_receipt
            .then(|| self.confirmation.as_ref().unwrap_or(&self.address))
    }

    /// The footnote, if it is to stand there.
    #[must_use]
    pub fn shown_footnote(&self) -> Option<&str> {
        Some(self.footnote.as_str()).filter(|text| self.footnote_enabled && !text.trim().is_empty())
    }
}

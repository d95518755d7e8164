//! Presets: what is known of the mail services that people have accounts with. The table is data, one row a service.

mod table;

use std::fmt;

use super::{account::Security, address::EmailAddress, oauth::Provider};

/// A mail service, or [`Preset::OTHER`] for any other server.
#[derive(Debug)]
pub struct Preset {
    /// Its name in the store and the protocol.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// Its mail servers, the usual one first; one may have `*` for a word, such as a region. Empty: to be set with the
    /// account.
    pub hosts: &'static [&'static str],
    /// The ports it listens on and how each is protected; the first is used where none is named.
    pub ports: &'static [(u16, Security)],
    /// Whether it takes mail only from those who log in.
    pub authentication: bool,
    /// What it calls the secret.
    pub secret: &'static str,
    /// Who grants access tokens for it; [`Provider::Other`]: nobody that is known here.
    pub oauth: Provider,
    /// The senders it lets an account have.
    pub senders: Senders,
    /// The mails an account may send in a minute, as the provider says; 0: it does not say.
    pub per_minute: u32,
    /// The mails an account may send in a day, as the provider says; 0: it does not say.
    pub per_day: u32,
    /// What to know before adding an account.
    pub help: &'static str,
}

/// Which sender addresses a service lets an account have. A domain may end in `.*`: any ending.
#[derive(Clone, Copy, Debug)]
pub enum Senders {
    /// Any that the service knows as the account's.
    Any,
    /// Usually one of these domains; others are set up at the service first.
    Usually(&'static [&'static str]),
    /// One of these domains: it refuses others.
    Only(&'static [&'static str]),
}

/// How a sender fits its preset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It does.
    Good,
    /// It may not: what to look at.
    Doubtful(String),
    /// It does not.
    Refused(String),
}

impl Preset {
    /// Any server that has no row of its own: host, port and security are set with the account.
    pub const OTHER: &'static Self = table::OTHER;

    /// All of them; [`Self::OTHER`] is the last.
    #[must_use]
    pub fn all() -> &'static [Self] {
        table::PRESETS
    }

    /// The preset of a name; an empty one is [`Self::OTHER`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<&'static Self> {
        if name.is_empty() {
            return Some(Self::OTHER);
        }
        Self::all().iter().find(|preset| preset.name == name)
    }

    /// Whether host, port and security are set with the account.
    #[must_use]
    pub fn is_other(&self) -> bool {
        self.hosts.is_empty()
    }

    /// The mail server of an account that names none; empty: it must.
    #[must_use]
    pub fn host(&self) -> &'static str {
        self.hosts.first().copied().unwrap_or_default()
    }

    /// Whether a host is one of its mail servers.
    #[must_use]
    pub fn has_host(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        self.hosts.iter().any(|known| {
            known
                .split_once('*')
                .map_or(*known == host, |around| fits(&host, around))
        })
    }

    /// Judges a sender.
    #[must_use]
    pub fn judge(&self, sender: &EmailAddress) -> Fit {
        let (domains, strict) = match self.senders {
            Senders::Any => return Fit::Good,
            Senders::Usually(domains) => (domains, false),
            Senders::Only(domains) => (domains, true),
        };
        if domains.iter().any(|domain| covers(domain, sender.domain())) {
            return Fit::Good;
        }
        let list = domains.join(", ");
        if strict {
            Fit::Refused(format!(
                "must be an address at {list}: {} refuses others",
                self.title
            ))
        } else {
            Fit::Doubtful(format!(
                "the sender is not at {list}: set it up at {} first, or mails are refused or rewritten",
                self.title
            ))
        }
    }
}

impl PartialEq for Preset {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Preset {}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Whether a host is one word between these two parts.
fn fits(host: &str, (before, after): (&str, &str)) -> bool {
    let word = host
        .strip_prefix(before)
        .and_then(|rest| rest.strip_suffix(after));
    let is_word = |word: &str| {
        let letters = word
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        letters && !word.is_empty()
    };
    word.is_some_and(is_word)
}

fn covers(pattern: &str, domain: &str) -> bool {
    let domain = domain.to_ascii_lowercase();
    pattern.strip_suffix('*').map_or_else(
        || domain == pattern,
        |stem| domain.strip_prefix(stem).is_some_and(|rest| !rest.is_empty()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::address::LocalPart;

    fn judge(preset: &str, sender: &str) -> Fit {
        let sender = EmailAddress::parse(sender, LocalPart::Ascii).unwrap();
        Preset::from_name(preset).unwrap().judge(&sender)
    }

    #[test]
    fn the_table_is_whole_and_its_names_are_unique() {
        let all = Preset::all();
        for (index, preset) in all.iter().enumerate() {
            assert!(
                preset
                    .name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            );
            assert!(all.iter().skip(index + 1).all(|other| other.name != preset.name));
            assert!(!preset.title.is_empty() && !preset.secret.is_empty() && !preset.help.is_empty());
            assert_eq!(preset.ports.is_empty(), preset.is_other(), "{preset}");
            // No service that people have accounts with takes mail in plain.
            assert!(
                preset
                    .ports
                    .iter()
                    .all(|(_, security)| *security != Security::Plain)
            );
        }
        assert_eq!(all.last(), Some(Preset::OTHER));
        assert_eq!(Preset::from_name(""), Some(Preset::OTHER));
        assert_eq!(Preset::from_name("Gmail"), None);
    }

    #[test]
    fn regions_and_other_data_centres_are_hosts_of_their_service() {
        let has = |preset: &str, host: &str| Preset::from_name(preset).unwrap().has_host(host);
        assert!(has("ses", "email-smtp.us-east-1.amazonaws.com"));
        assert!(has("ses", "Email-SMTP.eu-west-1.amazonaws.com"));
        assert!(has("zoho", "smtp.zoho.eu"));
        for foreign in [
            "email-smtp..amazonaws.com",
            "email-smtp.evil.example.amazonaws.com",
            "email-smtp.eu-west-1.amazonaws.com.example.com",
            "smtp.example.com",
        ] {
            assert!(!has("ses", foreign), "{foreign}");
        }
        assert!(!has("other", "smtp.example.com"));
    }

    #[test]
    fn senders_are_refused_doubted_or_taken() {
        assert_eq!(judge("gmail", "a@Gmail.com"), Fit::Good);
        assert!(matches!(judge("gmail", "a@example.com"), Fit::Doubtful(_)));
        assert_eq!(judge("yahoo", "a@yahoo.co.uk"), Fit::Good);
        assert!(matches!(judge("yahoo", "a@notyahoo.com"), Fit::Refused(_)));
        assert!(matches!(judge("163", "a@126.com"), Fit::Refused(_)));
        assert_eq!(judge("", "a@example.com"), Fit::Good);
    }
}

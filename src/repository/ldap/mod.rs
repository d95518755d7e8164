//! Users in an LDAP directory: Active Directory, OpenLDAP, eDirectory and their like.
//!
//! A look-up is one search on a warm connection, bound as the service itself. The user's name is a value in the search's
//! filter, never a text that the server reads. Two entries are all that is asked for: more than one is too many. A password
//! is checked by binding as the user, on a connection that is used for nothing else.
//!
//! LDAP is spoken by ourselves, as SMTP is: what a server may send is bounded, and no bytes of its make us panic.

use std::{path::PathBuf, time::Duration};

use async_trait::async_trait;
use tokio::time::Instant;

use super::{Found, Password, Proof, RepositoryError, UserName, UserRepository};
use crate::domain::{
    address::{AddressError, LocalPart},
    violation::Violations,
};

mod ber;
mod connection;
mod dial;
mod filter;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod message;
mod person;
mod preset;
mod referral;
mod servers;

pub use connection::LdapError;
pub use dial::{LdapServer, Protection};
pub use message::Scope;
pub use preset::{PRESETS, Preset};
pub use servers::Login;

use connection::Findings;
use dial::Trust;
use filter::Filter;
use message::Search;
use servers::{Ask, Servers, Told};

/// Entries asked for: two are enough to know that a name is not unique.
const TWO: u32 = 2;

/// The rule of Active Directory that follows groups within groups.
const IN_CHAIN: &str = "1.2.840.113556.1.4.1941";

/// What an LDAP repository is made of.
#[derive(Clone, Debug)]
pub struct LdapRepositorySettings {
    /// Its name.
    pub name: String,
    /// The servers, in order of preference. Each holds the same.
    pub servers: Vec<LdapServer>,
    /// The authorities to believe, a PEM file; `None`: the system's.
    pub authorities: Option<PathBuf>,
    /// The name that every server's certificate must be for; `None`: each its own.
    pub server_name: Option<String>,
    /// Who searches.
    pub login: Login,
    /// Where the search begins.
    pub base: String,
    /// How far down it looks.
    pub scope: Scope,
    /// Finds the user, with `{user}` where the name goes.
    pub filter: String,
    /// What the attributes are called.
    pub attributes: LdapAttributes,
    /// The groups of which a user must be in one; none: any user will do.
    pub groups: Vec<String>,
    /// Whether groups within groups count (Active Directory).
    pub nested_groups: bool,
    /// The hosts that referrals are followed to; none: they are not.
    pub referral_hosts: Vec<String>,
    /// The name to bind as where there is no user, so that a wrong password takes as long; `None`: one that nobody has.
    pub decoy: Option<String>,
    /// How long a look-up may take; 2 s is usual.
    pub timeout: Duration,
    /// Connections to each server at the most, for searches, and again for passwords.
    pub connections: usize,
    /// Which local parts an address may have.
    pub local_part: LocalPart,
}

/// What the attributes are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LdapAttributes {
    /// What names the user for good.
    pub id: String,
    /// Where addresses are, in order of preference.
    pub emails: Vec<String>,
    /// How to address the user.
    pub display_name: Option<String>,
    /// The user's language.
    pub locale: Option<String>,
    /// The groups that the user is in.
    pub groups: String,
}

/// Users in a directory.
pub struct LdapRepository {
    settings: LdapRepositorySettings,
    filter: Filter,
    wanted: Vec<String>,
    decoy: String,
    servers: Servers,
}

impl LdapRepository {
    /// Checks the settings; each fault names its field. Nothing is connected yet.
    pub fn connect(settings: LdapRepositorySettings) -> Result<Self, Violations> {
        let mut faults = Violations::new();
        let filter = faults.check("filter", Filter::parse(&settings.filter));
        let trust = Trust::new(settings.authorities.as_deref(), settings.server_name.as_deref());
        let trust = faults.check("ca", trust);
        let attributes = &settings.attributes;
        let optional = [&attributes.display_name, &attributes.locale];
        let wanted: Vec<String> = std::iter::once(&attributes.id)
            .chain(&attributes.emails)
            .chain(optional.into_iter().flatten())
            .cloned()
            .collect();
        for name in wanted.iter().chain([&attributes.groups]) {
            faults.check("attributes", filter::attribute(name));
        }
        if settings.servers.is_empty() {
            faults.add("servers", "must name one at least");
        }
        let (Some(filter), Some(trust), true) = (filter, trust, faults.is_empty()) else {
            return Err(faults);
        };
        Ok(Self {
            filter: restricted(filter, &settings),
            servers: Servers::new(
                &settings.name,
                settings.servers.clone(),
                trust,
                settings.login.clone(),
                settings.connections,
            ),
            decoy: settings
                .decoy
                .clone()
                .unwrap_or_else(|| format!("cn=mailfactor-nobody,{}", settings.base)),
            wanted,
            settings,
        })
    }

    async fn search(&self, user: &str) -> Result<Findings, LdapError> {
        let until = Instant::now() + self.settings.timeout;
        let search = Search {
            base: &self.settings.base,
            scope: self.settings.scope,
            filter: &self.filter,
            user,
            attributes: &self.wanted,
            size: TWO,
            // In whole seconds, and not before we give up ourselves.
            seconds: u32::try_from(self.settings.timeout.as_secs()).map_or(0, |seconds| seconds + 1),
        };
        match self.servers.ask(Ask::Search(search), until).await {
            Ok(Told::Found(found)) if self.settings.referral_hosts.is_empty() => Ok(found),
            Ok(Told::Found(found)) => self.follow(&search, found, false, until).await,
            Ok(Told::Bound(_)) => Err(LdapError::OutOfTurn),
            Err(LdapError::Referral(elsewhere)) if !self.settings.referral_hosts.is_empty() => {
                let found = Findings {
                    entries: Vec::new(),
                    elsewhere,
                };
                self.follow(&search, found, true, until).await
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a name has this password.
    async fn bind(&self, name: &str, password: &Password) -> Result<bool, LdapError> {
        let until = Instant::now() + self.settings.timeout;
        match self
            .servers
            .ask(Ask::Bind(name, password.as_str()), until)
            .await?
        {
            Told::Bound(0) => Ok(true),
            // Constraint violation, no such object, invalid name, inappropriate authentication, invalid credentials,
            // unwilling to perform: how servers say that it is wrong, or that this user may not log in.
            Told::Bound(19 | 32 | 34 | 48 | 49 | 53) => Ok(false),
            Told::Bound(code) => Err(LdapError::Refused(code)),
            Told::Found(_) => Err(LdapError::OutOfTurn),
        }
    }

    fn failure(&self, error: LdapError) -> RepositoryError {
        match error {
            LdapError::Timeout => RepositoryError::Timeout {
                repository: self.settings.name.clone(),
                limit: self.settings.timeout,
            },
            error => RepositoryError::Unavailable {
                repository: self.settings.name.clone(),
                source: Box::new(error),
            },
        }
    }
}

#[async_trait]
impl UserRepository for LdapRepository {
    fn name(&self) -> &str {
        &self.settings.name
    }

    async fn find(&self, user: &UserName) -> Result<Found, RepositoryError> {
        let found = self.search(user.as_str().trim()).await;
        let found = found.map_err(|error| self.failure(error))?;
        Ok(match found.entries.as_slice() {
            [] => Found::Unknown,
            [entry] => person::person(
                &self.settings.name,
                entry,
                &self.settings.attributes,
                self.settings.local_part,
            ),
            _ => Found::Ambiguous,
        })
    }

    async fn unusable_addresses(&self, user: &UserName) -> Result<Vec<AddressError>, RepositoryError> {
        let found = self.search(user.as_str().trim()).await;
        let found = found.map_err(|error| self.failure(error))?;
        Ok(match found.entries.as_slice() {
            [entry] => person::unusable(entry, &self.settings.attributes, self.settings.local_part),
            _ => Vec::new(),
        })
    }

    fn checks_passwords(&self) -> bool {
        true
    }

    async fn prove(&self, proof: Option<&Proof>, password: &Password) -> Result<bool, RepositoryError> {
        // Without a name any password is right: a server takes that for an anonymous bind.
        let name = proof.and_then(Proof::as_str).filter(|name| !name.is_empty());
        let right = self.bind(name.unwrap_or(&self.decoy), password).await;
        let right = right.map_err(|error| self.failure(error))?;
        Ok(right && name.is_some())
    }

    fn is_distant(&self) -> bool {
        true
    }

    async fn probe(&self) -> Result<(), RepositoryError> {
        let filter = Filter::Present("objectClass".to_owned());
        let nothing = ["1.1".to_owned()];
        let search = Search {
            base: &self.settings.base,
            scope: Scope::Base,
            filter: &filter,
            user: "",
            attributes: &nothing,
            size: 1,
            seconds: 1,
        };
        let probed = self
            .servers
            .probe(Ask::Search(search), self.settings.timeout)
            .await;
        probed.map_err(|error| self.failure(error))
    }
}

/// The filter, for members of the groups alone.
fn restricted(filter: Filter, settings: &LdapRepositorySettings) -> Filter {
    let attribute = &settings.attributes.groups;
    let groups: Vec<Filter> = settings
        .groups
        .iter()
        .map(|group| {
            if settings.nested_groups {
                Filter::matching(attribute, IN_CHAIN, group)
            } else {
                Filter::equal(attribute, group)
            }
        })
        .collect();
    if groups.is_empty() {
        filter
    } else {
        Filter::And(vec![filter, Filter::Or(groups)])
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

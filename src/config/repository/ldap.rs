//! A `[[repository]]` of kind `ldap`.

use std::path::PathBuf;

use zeroize::Zeroizing;

use super::{Reader, required};

/// The presets there are.
const PRESETS: [&str; 3] = ["ad", "openldap", "edirectory"];

/// An LDAP directory.
#[derive(Clone)]
pub struct Ldap {
    /// What it calls things, by the name of its product; empty: as OpenLDAP does.
    pub preset: String,
    /// The servers' URLs, in order of preference.
    pub servers: Vec<String>,
    /// Whether to start TLS on `ldap:` servers.
    pub start_tls: bool,
    /// Whether `ldap:` servers off loopback may go without TLS.
    pub allow_plaintext: bool,
    /// The authorities of the servers' certificates; `None`: the system's.
    pub authorities: Option<PathBuf>,
    /// The name in their certificates; `None`: each host's.
    pub server_name: Option<String>,
    /// Who searches; empty: an anonymous bind.
    pub bind_dn: String,
    /// With this password.
    pub bind_password: Zeroizing<String>,
    /// Where to search.
    pub base: String,
    /// How far down.
    pub scope: LdapScope,
    /// The filter; `None`: the preset's.
    pub filter: Option<String>,
    /// The attribute that names a user for good; `None`: the preset's, as are all of these.
    pub id: Option<String>,
    /// The attributes with addresses; none: the preset's.
    pub emails: Vec<String>,
    /// How to address the user.
    pub display_name: Option<String>,
    /// The language.
    pub locale: Option<String>,
    /// The user's groups.
    pub member_of: Option<String>,
    /// Groups of which a user must be in one.
    pub groups: Vec<String>,
    /// Whether groups within groups count.
    pub nested_groups: bool,
    /// Hosts that referrals are followed to.
    pub referral_hosts: Vec<String>,
    /// Whom to bind as where there is nobody.
    pub decoy_dn: Option<String>,
}

/// How far down to search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LdapScope {
    /// The base alone.
    Base,
    /// Its children.
    One,
    /// Everything below.
    Sub,
}

impl Ldap {
    pub(super) fn read(section: &Reader<'_>) -> Option<Self> {
        let preset = section.parse("preset", |name| match name {
            "" => Ok(String::new()),
            name if PRESETS.contains(&name) => Ok(name.to_owned()),
            _ => Err("must be \"ad\", \"openldap\" or \"edirectory\""),
        });
        let text = |text: &str| Ok::<_, &str>(text.to_owned());
        let servers = section.list("servers", text);
        if servers.is_empty() {
            section.fault(
                "servers",
                "must name one at least, such as \"ldaps://dc1.example.com\"",
            );
        }
        let some = |section: &Reader<'_>, key: &str| {
            Some(section.text(key).to_owned()).filter(|text| !text.is_empty())
        };
        let filter = some(section, "filter");
        if filter.is_none() && preset.as_deref() == Some("") {
            section.fault("filter", "is required where there is no `preset`");
        }
        let bind_dn = section.text("bind_dn").to_owned();
        let bind_password = Zeroizing::new(section.secret("bind_password", ""));
        if bind_dn.is_empty() != bind_password.is_empty() {
            section.fault("bind_password", "belongs to `bind_dn`: set both or neither");
        }
        let scope = section.parse("scope", |scope| match scope {
            "base" => Ok(LdapScope::Base),
            "one" => Ok(LdapScope::One),
            "" | "sub" => Ok(LdapScope::Sub),
            _ => Err("must be \"base\", \"one\" or \"sub\""),
        });
        let base = section.parse("base", |base| required(base).map(|()| base.to_owned()));
        let attributes = section.section("attributes");
        Some(Self {
            servers,
            start_tls: section.flag("start_tls"),
            allow_plaintext: section.flag("allow_plaintext"),
            authorities: section.file("ca"),
            server_name: some(section, "server_name"),
            bind_dn,
            bind_password,
            filter,
            id: some(&attributes, "id"),
            emails: attributes.list("emails", text),
            display_name: some(&attributes, "display_name"),
            locale: some(&attributes, "locale"),
            member_of: some(&attributes, "groups"),
            groups: section.list("groups", text),
            nested_groups: section.flag("nested_groups"),
            referral_hosts: section.list("referral_hosts", text),
            decoy_dn: some(section, "decoy_dn"),
            preset: preset?,
            base: base?,
            scope: scope?,
        })
    }
}

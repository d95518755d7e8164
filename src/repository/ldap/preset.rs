//! What the directories that are met most often call things.

/// What a directory calls things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preset {
    /// Its name in the configuration.
    pub name: &'static str,
    /// Finds a user who may log in.
    pub filter: &'static str,
    /// Names a user for good, whatever becomes of the entry's name.
    pub id: &'static str,
    /// Where addresses are, in order of preference.
    pub emails: &'static [&'static str],
    /// How to address the user.
    pub display_name: &'static str,
    /// The user's language (RFC 2798, 2.7).
    pub locale: &'static str,
    /// The groups that an entry is in.
    pub groups: &'static str,
}

/// All there are.
pub static PRESETS: [Preset; 3] = [
    Preset {
        name: "ad",
        // 1.2.840.113556.1.4.803 compares bit by bit: bit 2 of userAccountControl says that the account is disabled.
        filter: "(&(objectCategory=person)(objectClass=user)(!(userAccountControl:1.2.840.113556.1.4.803:=2))\
                 (|(sAMAccountName={user})(userPrincipalName={user})))",
        id: "objectGUID",
        emails: &["mail", "otherMailbox", "proxyAddresses"],
        display_name: "displayName",
        locale: "preferredLanguage",
        groups: "memberOf",
    },
    Preset {
        name: "openldap",
        filter: "(&(objectClass=inetOrgPerson)(uid={user}))",
        id: "entryUUID",
        emails: &["mail"],
        display_name: "displayName",
        locale: "preferredLanguage",
        groups: "memberOf",
    },
    Preset {
        name: "edirectory",
        filter: "(&(objectClass=inetOrgPerson)(!(loginDisabled=TRUE))(cn={user}))",
        id: "GUID",
        emails: &["mail"],
        display_name: "fullName",
        locale: "preferredLanguage",
        groups: "groupMembership",
    },
];

impl Preset {
    /// The one of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::filter::Filter, *};

    #[test]
    fn every_preset_has_a_filter_that_can_be_read() {
        for preset in &PRESETS {
            let filter = Filter::parse(preset.filter).unwrap();
            assert_eq!(filter.text("{user}"), preset.filter, "{}", preset.name);
        }
    }
}

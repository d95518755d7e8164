//! The override address: whether a code may go to another address than the one on file, and to which.

use std::time::Duration;

use super::{
    address::EmailAddress, caller::Role, challenge::Purpose, clock::Timestamp, violation::Violations,
};

/// The most domains that one policy may name.
const MOST_DOMAINS: usize = 32;

/// How long a confirmation may count at the least and at the most.
const CONFIRMED_FOR: (Duration, Duration) = (Duration::from_hours(1), Duration::from_hours(24 * 365));

/// Which other addresses there may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OverrideMode {
    /// None: mail goes to the address on file alone.
    #[default]
    Never,
    /// One that the user confirmed by a code sent to it.
    Confirmed,
}

impl OverrideMode {
    const ALL: [Self; 2] = [Self::Never, Self::Confirmed];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Confirmed => "confirmed",
        }
    }

    /// The mode of a name.
    pub fn parse(name: &str) -> Result<Self, &'static str> {
        let found = Self::ALL.into_iter().find(|mode| mode.name() == name);
        found.ok_or("must be `never` or `confirmed`")
    }
}

/// The policy of override addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverridePolicy {
    /// Which there may be.
    pub mode: OverrideMode,
    /// The domains they may be in, in ASCII and lower case; empty: any.
    pub domains: Vec<String>,
    /// How long a confirmation counts.
    pub confirmed_for: Duration,
}

impl Default for OverridePolicy {
    fn default() -> Self {
        Self {
            mode: OverrideMode::Never,
            domains: Vec::new(),
            confirmed_for: Duration::from_hours(24 * 90),
        }
    }
}

/// Why a code does not go to the address that a caller named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverrideRefusal {
    /// A caller of this role names no addresses.
    #[error("a caller of this role may not name an address")]
    Caller,
    /// The policy has none.
    #[error("the policy allows no other address than the one on file")]
    Disabled,
    /// A temporary password goes to the address on file alone.
    #[error("does not go with a recovery, which mails the address on file alone")]
    Purpose,
    /// Its domain is not among the policy's.
    #[error("is in none of the domains that the policy allows")]
    Domain,
    /// The user has not confirmed it, or too long ago.
    #[error("the user has not confirmed this address, or too long ago")]
    Unconfirmed,
}

impl OverridePolicy {
    /// Whether a caller of this role may name this address, as far as nothing needs to be known of the user.
    pub fn check(&self, role: Role, purpose: Purpose, address: &EmailAddress) -> Result<(), OverrideRefusal> {
        if !matches!(role, Role::Admin | Role::Authenticator) {
            return Err(OverrideRefusal::Caller);
        }
        if purpose == Purpose::Recovery {
            return Err(OverrideRefusal::Purpose);
        }
        if self.mode == OverrideMode::Never {
            return Err(OverrideRefusal::Disabled);
        }
        let known = self.domains.iter().any(|domain| domain == address.domain());
        if self.domains.is_empty() || known {
            Ok(())
        } else {
            Err(OverrideRefusal::Domain)
        }
    }

    /// Whether an address that the user confirmed then, if ever, counts at `now`.
    pub fn counts(&self, confirmed_at: Option<Timestamp>, now: Timestamp) -> Result<(), OverrideRefusal> {
        let counts = confirmed_at.is_some_and(|then| now < then.plus(self.confirmed_for));
        if counts {
            Ok(())
        } else {
            Err(OverrideRefusal::Unconfirmed)
        }
    }

    /// Notes what is out of bounds, each field under `prefix`.
    pub(super) fn check_bounds(&self, prefix: &str, faults: &mut Violations) {
        let (least, most) = CONFIRMED_FOR;
        if self.confirmed_for < least || self.confirmed_for > most {
            let field = format!("{prefix}override_address.confirmed_for");
            faults.add(field, "must be between 1 h and 365 days");
        }
        if self.domains.len() > MOST_DOMAINS {
            faults.add(
                format!("{prefix}override_address.domains"),
                "must be at most 32 domains",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::address::LocalPart;
    use super::*;

    fn check(
        policy: &OverridePolicy,
        role: Role,
        purpose: Purpose,
        address: &str,
    ) -> Result<(), OverrideRefusal> {
        policy.check(
            role,
            purpose,
            &EmailAddress::parse(address, LocalPart::Ascii).unwrap(),
        )
    }

    #[test]
    fn nobody_names_an_address_unless_the_policy_has_it_so() {
        let usual = OverridePolicy::default();
        let open = OverridePolicy {
            mode: OverrideMode::Confirmed,
            ..usual.clone()
        };
        let narrow = OverridePolicy {
            domains: vec!["home.example".into()],
            ..open.clone()
        };
        let (idp, login) = (Role::Authenticator, Purpose::Login);
        assert_eq!(
            check(&usual, idp, login, "a@home.example"),
            Err(OverrideRefusal::Disabled)
        );
        for role in [Role::Endpoint, Role::Auditor] {
            assert_eq!(
                check(&open, role, login, "a@home.example"),
                Err(OverrideRefusal::Caller)
            );
        }
        for purpose in [login, Purpose::AddressConfirmation] {
            assert_eq!(check(&open, idp, purpose, "a@home.example"), Ok(()));
        }
        let recovery = check(&open, idp, Purpose::Recovery, "a@home.example");
        assert_eq!(recovery, Err(OverrideRefusal::Purpose));
        assert_eq!(check(&narrow, idp, login, "a@HOME.example"), Ok(()));
        for other in ["a@sub.home.example", "a@example"] {
            if let Ok(address) = EmailAddress::parse(other, LocalPart::Ascii) {
                assert_eq!(narrow.check(idp, login, &address), Err(OverrideRefusal::Domain));
            }
        }
    }

    #[test]
    fn a_confirmation_counts_for_a_time() {
        let policy = OverridePolicy::default();
        let then = Timestamp::from_micros(1_000_000);
        let end = then.plus(policy.confirmed_for);
        assert_eq!(
            policy.counts(Some(then), end.minus(Duration::from_micros(1))),
            Ok(())
        );
        for (confirmed, now) in [(Some(then), end), (None, then)] {
            assert_eq!(policy.counts(confirmed, now), Err(OverrideRefusal::Unconfirmed));
        }
    }

    #[test]
    fn modes_have_names() {
        for mode in OverrideMode::ALL {
            assert_eq!(OverrideMode::parse(mode.name()), Ok(mode));
        }
        assert!(OverrideMode::parse("always").is_err());
    }
}

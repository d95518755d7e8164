//! The one-time-password policy: how codes look, how long they live, how many may be sent and guessed.

use std::{collections::BTreeMap, time::Duration};

use super::{
    budget::{GuessLimits, SendLimits},
    caller::Role,
    challenge::Purpose,
    code::{CodeNumbers, CodeSpec},
    mask::Mask,
    override_address::OverridePolicy,
    policy_draft::PolicyDraft,
    violation::Violations,
};

const MINUTE: Duration = Duration::from_mins(1);

/// The policy of one event, or the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtpPolicy {
    /// How codes look.
    pub code: CodeSpec,
    /// How the temporary passwords of recoveries look.
    pub recovery: CodeSpec,
    /// How long a code for a login lives.
    pub login_lifetime: Duration,
    /// How long one for an address confirmation lives.
    pub confirmation_lifetime: Duration,
    /// How long one for a recovery lives.
    pub recovery_lifetime: Duration,
    /// How many wrong codes a challenge bears.
    pub attempts: u32,
    /// How long to wait before a further code.
    pub resend_after: Duration,
    /// How many codes a challenge may send in all.
    pub codes: u32,
    /// How many codes before the newest still count.
    pub codes_before: u32,
    /// How the recipient is shown.
    pub mask: Mask,
    /// Wrong codes in a row, over all of a user's challenges.
    pub guesses: GuessLimits,
    /// Mails to one user.
    pub user_sends: SendLimits,
    /// Mails to one address.
    pub address_sends: SendLimits,
    /// Mails for one endpoint, and twenty times as many for one caller that vouches for its users; `None`: not counted.
    pub caller_sends: Option<SendLimits>,
    /// The repositories that are searched, in this order; empty: all, in configured order.
    pub repositories: Vec<String>,
    /// The name of the account that mail goes through; `None`: the default one.
    pub account: Option<String>,
    /// Whether callers that may not see users learn of unknown ones all the same.
    pub see_users: bool,
    /// Whether a start must come with the user's password, which is checked before any mail goes out.
    pub password_required: bool,
    /// Whether codes may go to another address than the one on file.
    pub override_address: OverridePolicy,
}

impl Default for OtpPolicy {
    fn default() -> Self {
        let sends = SendLimits {
            burst: 3,
            refill: 10 * MINUTE,
            per_day: 20,
        };
        Self {
            code: CodeSpec::default(),
            recovery: CodeSpec::temporary_password(),
            login_lifetime: 5 * MINUTE,
            confirmation_lifetime: 60 * MINUTE,
            recovery_lifetime: 60 * MINUTE,
            attempts: 5,
            resend_after: Duration::from_secs(30),
            codes: 5,
            codes_before: 1,
            mask: Mask::default(),
            guesses: GuessLimits {
                lock_after: 10,
                lock_for: 30 * MINUTE,
                lock_for_good_after: 100,
            },
            user_sends: sends,
            address_sends: sends,
            caller_sends: Some(SendLimits {
                burst: 30,
                refill: Duration::from_secs(2),
                per_day: 10_000,
            }),
            repositories: Vec::new(),
            account: None,
            see_users: false,
            password_required: false,
            override_address: OverridePolicy::default(),
        }
    }
}

impl OtpPolicy {
    /// How many mails one caller of this role may have sent; `None`: they are not counted.
    #[must_use]
    pub fn sends_of(&self, role: Role) -> Option<SendLimits> {
        let limits = self.caller_sends?;
        Some(match role {
            Role::Endpoint | Role::Auditor => limits,
            Role::Authenticator | Role::Admin => limits.times(20),
        })
    }

    /// How a code for this purpose looks: for a recovery it is a temporary password.
    #[must_use]
    pub fn spec(&self, purpose: Purpose) -> &CodeSpec {
        match purpose {
            Purpose::Login | Purpose::AddressConfirmation => &self.code,
            Purpose::Recovery => &self.recovery,
        }
    }

    /// How long a code for this purpose lives.
    #[must_use]
    pub fn lifetime(&self, purpose: Purpose) -> Duration {
        match purpose {
            Purpose::Login => self.login_lifetime,
            Purpose::AddressConfirmation => self.confirmation_lifetime,
            Purpose::Recovery => self.recovery_lifetime,
        }
    }

    /// Notes everything outside the hard bounds, each field under `prefix`, with the source of the bound.
    pub fn check(&self, prefix: &str, faults: &mut Violations) {
        let mut require = |holds: bool, field: &str, description: &str| {
            if !holds {
                faults.add(format!("{prefix}{field}"), description);
            }
        };
        let within = |span: Duration, most: Duration| span >= Duration::from_secs(30) && span <= most;
        let login = "must be between 30 s and 600 s (OWASP ASVS 5.0, 6.5.5; NIST SP 800-63B-4, 3.1.3.2)";
        require(within(self.login_lifetime, 10 * MINUTE), "lifetime.login", login);
        let day = "must be between 30 s and 24 h (NIST SP 800-63B-4, 4.2.1.2)";
        require(
            within(self.confirmation_lifetime, 24 * 60 * MINUTE),
            "lifetime.address_confirmation",
            day,
        );
        require(
            within(self.recovery_lifetime, 24 * 60 * MINUTE),
            "lifetime.recovery",
            day,
        );
        require(
            (1..=10).contains(&self.attempts),
            "attempts",
            "must be between 1 and 10",
        );
        require(
            self.resend_after >= Duration::from_secs(5),
            "resend.after",
            "must be at least 5 s",
        );
        let codes = (1..=CodeNumbers::MOST).contains(&self.codes);
        require(codes, "resend.codes", "must be between 1 and 32");
        require(
            self.codes_before <= 2,
            "resend.codes_before",
            "must be between 0 and 2",
        );
        let guesses = &self.guesses;
        require(
            (1..=100).contains(&guesses.lock_after),
            "guesses.lock_after",
            "must be between 1 and 100",
        );
        let for_good = (1..=100).contains(&guesses.lock_for_good_after);
        require(
            for_good,
            "guesses.lock_for_good_after",
            "must be between 1 and 100 (NIST SP 800-63B-4, 3.2.2)",
        );
        require(
            guesses.lock_for >= MINUTE,
            "guesses.lock_for",
            "must be at least 60 s",
        );
        let callers = self.caller_sends.as_ref();
        let limits = [
            ("sends.user", Some(&self.user_sends)),
            ("sends.address", Some(&self.address_sends)),
        ];
        for (name, limits) in limits.into_iter().chain([("sends.caller", callers)]) {
            let Some(limits) = limits else { continue };
            require(limits.burst >= 1, &format!("{name}.burst"), "must be at least 1");
            require(
                limits.per_day >= 1,
                &format!("{name}.per_day"),
                "must be at least 1",
            );
        }
        self.override_address.check_bounds(prefix, faults);
    }
}

/// The policies in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policies {
    /// For every event that has none of its own.
    pub default: OtpPolicy,
    /// By event.
    pub events: BTreeMap<String, OtpPolicy>,
    /// The master switch: whether any mail goes out at all.
    pub sending: bool,
}

impl Default for Policies {
    fn default() -> Self {
        Configured::default().resolve(&BTreeMap::new(), true).0
    }
}

impl Policies {
    /// The policy of an event.
    #[must_use]
    pub fn of(&self, event: &str) -> &OtpPolicy {
        self.events.get(event).unwrap_or(&self.default)
    }
}

/// What the configuration says: the default policy, and what events change of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configured {
    /// `[policy]`.
    pub default: OtpPolicy,
    /// `[events.NAME]`.
    pub events: BTreeMap<String, PolicyDraft>,
}

impl Configured {
    /// What an administrator set, by event and for the default under the empty name, over the configuration: for an
    /// event, its own over what is configured for it, over the default in force. A layer that does not fit what lies
    /// below it, because that changed meanwhile, is left out, and told beside the policies.
    #[must_use]
    pub fn resolve(&self, set: &BTreeMap<String, PolicyDraft>, sending: bool) -> (Policies, Violations) {
        let mut faults = Violations::new();
        let mut lay = |base: OtpPolicy, draft: Option<&PolicyDraft>, name: &str| match draft
            .map(|draft| draft.apply(&base, ""))
        {
            None => base,
            Some(Ok(policy)) => policy,
            Some(Err(wrong)) => {
                for fault in wrong.as_slice() {
                    faults.add(format!("{name}.{}", fault.field), &fault.description);
                }
                base
            }
        };
        let default = lay(self.default.clone(), set.get(""), "policy");
        let names = self
            .events
            .keys()
            .chain(set.keys())
            .filter(|name| !name.is_empty());
        let events = names
            .map(|name| {
                let path = format!("events.{name}");
                let configured = lay(default.clone(), self.events.get(name), &path);
                (name.clone(), lay(configured, set.get(name), &path))
            })
            .collect();
        let policies = Policies {
            default,
            events,
            sending,
        };
        (policies, faults)
    }
}

/// Whether an event may have this name: 1 to 64 letters, digits, `.`, `_`, `-`.
#[must_use]
pub fn is_event_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_within_its_own_bounds() {
        let mut faults = Violations::new();
        OtpPolicy::default().check("", &mut faults);
        assert!(faults.is_empty(), "{faults}");
    }

    #[test]
    fn an_event_is_laid_over_the_default_in_force() {
        let draft = |attempts, codes| PolicyDraft {
            attempts,
            codes,
            ..PolicyDraft::default()
        };
        let configured = Configured {
            default: OtpPolicy::default(),
            events: BTreeMap::from([("vpn".to_owned(), draft(Some(2), None))]),
        };
        let set = BTreeMap::from([
            (String::new(), draft(Some(7), Some(8))),
            ("payroll".to_owned(), draft(None, Some(2))),
            ("broken".to_owned(), draft(Some(99), None)),
        ]);
        let (policies, faults) = configured.resolve(&set, true);
        let of = |event: &str| (policies.of(event).attempts, policies.of(event).codes);
        assert_eq!((of(""), of("other")), ((7, 8), (7, 8)));
        assert_eq!((of("vpn"), of("payroll"), of("broken")), ((2, 8), (7, 2), (7, 8)));
        assert_eq!(faults.as_slice().len(), 1);
        assert_eq!(faults.as_slice()[0].field, "events.broken.attempts");
    }

    #[test]
    fn a_login_code_never_lives_longer_than_ten_minutes() {
        let mut faults = Violations::new();
        let policy = OtpPolicy {
            login_lifetime: Duration::from_secs(601),
            attempts: 11,
            ..OtpPolicy::default()
        };
        policy.check("policy.", &mut faults);
        let fields: Vec<&str> = faults
            .as_slice()
            .iter()
            .map(|fault| fault.field.as_str())
            .collect();
        assert_eq!(fields, ["policy.lifetime.login", "policy.attempts"]);
    }
}

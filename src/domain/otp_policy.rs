//! The one-time-password policy: how codes look, how long they live, how many may be sent and guessed.

use std::{collections::BTreeMap, time::Duration};

use super::{
    budget::{GuessLimits, SendLimits},
    challenge::Purpose,
    code::{CodeNumbers, CodeSpec},
    mask::Mask,
    violation::Violations,
};

const MINUTE: Duration = Duration::from_mins(1);

/// The policy of one event, or the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtpPolicy {
    /// How codes look.
    pub code: CodeSpec,
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
    /// Mails for one caller; `None`: not counted.
    pub caller_sends: Option<SendLimits>,
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
            caller_sends: None,
        }
    }
}

impl OtpPolicy {
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
    }
}

/// The default policy and those of events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policies {
    /// For every event that has none of its own.
    pub default: OtpPolicy,
    /// By event.
    pub events: BTreeMap<String, OtpPolicy>,
}

impl Policies {
    /// The policy of an event.
    #[must_use]
    pub fn of(&self, event: &str) -> &OtpPolicy {
        self.events.get(event).unwrap_or(&self.default)
    }
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

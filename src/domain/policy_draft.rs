//! What somebody sets of a policy: any of its fields, each by its path, over what another layer says.
//!
//! The paths are those of the configuration's `[policy]` and of the protocol's field masks. A draft is kept as JSON; a
//! field that this version does not know is passed over.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    address::ascii_domain,
    budget::SendLimits,
    code::{Alphabet, CodeSpec},
    mask::Mask,
    otp_policy::OtpPolicy,
    override_address::{OverrideMode, OverridePolicy},
    text::require_line,
    violation::Violations,
};

mod look;

use look::Look;

macro_rules! draft {
    ($($(#[$doc:meta])* $field:ident: $kind:ty = $path:literal;)+) => {
        /// Any of a policy's fields; `None`: not set here.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct PolicyDraft {
            $($(#[$doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<$kind>,)+
        }

        impl PolicyDraft {
            /// The path of every field.
            pub const PATHS: &'static [&'static str] = &[$($path),+];

            /// The paths of the fields that are set.
            #[must_use]
            pub fn paths(&self) -> Vec<&'static str> {
                let mut paths = Vec::new();
                $(if self.$field.is_some() { paths.push($path); })+
                paths
            }

            /// Takes over what `other` has at this path, nothing included.
            pub fn copy(&mut self, path: &str, other: &Self) {
                match path {
                    $($path => self.$field.clone_from(&other.$field),)+
                    _ => {}
                }
            }
        }
    };
}

draft! {
    /// Characters of a code.
    code_length: u8 = "code.length";
    /// `digits`, `letters`, or the characters themselves.
    code_alphabet: String = "code.alphabet";
    /// Characters of a temporary password.
    recovery_length: u8 = "recovery.length";
    /// `mixed`, `letters`, `digits`, or the characters themselves.
    recovery_alphabet: String = "recovery.alphabet";
    /// How long a code for a login lives.
    login_lifetime: Duration = "lifetime.login";
    /// How long one for an address confirmation lives.
    confirmation_lifetime: Duration = "lifetime.address_confirmation";
    /// How long one for a recovery lives.
    recovery_lifetime: Duration = "lifetime.recovery";
    /// Wrong codes a challenge bears.
    attempts: u32 = "attempts";
    /// The cooldown.
    resend_after: Duration = "resend.after";
    /// Codes of one challenge.
    codes: u32 = "resend.codes";
    /// Codes before the newest that still count.
    codes_before: u32 = "resend.codes_before";
    /// The pattern of the mask.
    mask: String = "mask";
    /// Wrong codes in a row that lock for a while.
    lock_after: u32 = "guesses.lock_after";
    /// How long.
    lock_for: Duration = "guesses.lock_for";
    /// Wrong codes in a row that lock until unlocked.
    lock_for_good_after: u32 = "guesses.lock_for_good_after";
    /// Mails to one user at once.
    user_burst: u32 = "sends.user.burst";
    /// One more after this.
    user_refill: Duration = "sends.user.refill";
    /// In 24 hours.
    user_per_day: u32 = "sends.user.per_day";
    /// Mails to one address at once.
    address_burst: u32 = "sends.address.burst";
    /// One more after this.
    address_refill: Duration = "sends.address.refill";
    /// In 24 hours.
    address_per_day: u32 = "sends.address.per_day";
    /// Mails for one caller at once; 0: not counted.
    caller_burst: u32 = "sends.caller.burst";
    /// One more after this.
    caller_refill: Duration = "sends.caller.refill";
    /// In 24 hours.
    caller_per_day: u32 = "sends.caller.per_day";
    /// The repositories that are searched, in this order; empty: all.
    repositories: Vec<String> = "repositories";
    /// The account that mail goes through; empty: the default one.
    account: String = "account";
    /// Whether endpoints learn of unknown users.
    see_users: bool = "see_users";
    /// Whether a start must come with the user's password.
    password_required: bool = "password_required";
    /// `never` or `confirmed`.
    override_mode: String = "override_address.mode";
    /// The domains of other addresses; empty: any.
    override_domains: Vec<String> = "override_address.domains";
    /// How long a confirmation counts.
    override_confirmed_for: Duration = "override_address.confirmed_for";
}

/// Counts that nobody needs to exceed; the narrower bounds are the policy's.
const MOST: u32 = 1_000_000;

/// The longest span a budget may be refilled in.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// The most repositories one event may name.
const MOST_REPOSITORIES: usize = 16;

impl PolicyDraft {
    /// The fields at and below a path of a mask: `sends.user` is its three. `None`: there are none.
    #[must_use]
    pub fn below(path: &str) -> Option<Vec<&'static str>> {
        let below = |known: &str| {
            let rest = known.strip_prefix(path);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let found: Vec<_> = Self::PATHS.iter().copied().filter(|known| below(known)).collect();
        (!found.is_empty()).then_some(found)
    }

    /// The whole of a policy.
    #[must_use]
    pub fn of(policy: &OtpPolicy) -> Self {
        let callers = policy.caller_sends.unwrap_or(NOT_COUNTED);
        Self {
            code_length: Some(policy.code.length()),
            code_alphabet: Some(policy.code.alphabet().as_str().to_owned()),
            recovery_length: Some(policy.recovery.length()),
            recovery_alphabet: Some(policy.recovery.alphabet().as_str().to_owned()),
            login_lifetime: Some(policy.login_lifetime),
            confirmation_lifetime: Some(policy.confirmation_lifetime),
            recovery_lifetime: Some(policy.recovery_lifetime),
            attempts: Some(policy.attempts),
            resend_after: Some(policy.resend_after),
            codes: Some(policy.codes),
            codes_before: Some(policy.codes_before),
            mask: Some(policy.mask.to_string()),
            lock_after: Some(policy.guesses.lock_after),
            lock_for: Some(policy.guesses.lock_for),
            lock_for_good_after: Some(policy.guesses.lock_for_good_after),
            user_burst: Some(policy.user_sends.burst),
            user_refill: Some(policy.user_sends.refill),
            user_per_day: Some(policy.user_sends.per_day),
            address_burst: Some(policy.address_sends.burst),
            address_refill: Some(policy.address_sends.refill),
            address_per_day: Some(policy.address_sends.per_day),
            caller_burst: Some(callers.burst),
            caller_refill: Some(callers.refill),
            caller_per_day: Some(callers.per_day),
            repositories: Some(policy.repositories.clone()),
            account: Some(policy.account.clone().unwrap_or_default()),
            see_users: Some(policy.see_users),
            password_required: Some(policy.password_required),
            override_mode: Some(policy.override_address.mode.name().to_owned()),
            override_domains: Some(policy.override_address.domains.clone()),
            override_confirmed_for: Some(policy.override_address.confirmed_for),
        }
    }

    /// The policy that this makes of `base`, or everything that is wrong with it, each field under `prefix`.
    pub fn apply(&self, base: &OtpPolicy, prefix: &str) -> Result<OtpPolicy, Violations> {
        let mut faults = Violations::new();
        let mut policy = base.clone();
        let code = Look {
            length: (self.code_length, "code.length"),
            alphabet: (self.code_alphabet.as_deref(), "code.alphabet"),
        };
        code.apply(
            &mut policy.code,
            Alphabet::named,
            CodeSpec::new,
            prefix,
            &mut faults,
        );
        let password = Look {
            length: (self.recovery_length, "recovery.length"),
            alphabet: (self.recovery_alphabet.as_deref(), "recovery.alphabet"),
        };
        let recovery = &mut policy.recovery;
        password.apply(
            recovery,
            Alphabet::password,
            CodeSpec::password,
            prefix,
            &mut faults,
        );
        if let Some(mask) = &self.mask
            && let Some(mask) = faults.check(&format!("{prefix}mask"), Mask::parse(mask))
        {
            policy.mask = mask;
        }
        set(&mut policy.login_lifetime, self.login_lifetime);
        set(&mut policy.confirmation_lifetime, self.confirmation_lifetime);
        set(&mut policy.recovery_lifetime, self.recovery_lifetime);
        set(&mut policy.attempts, self.attempts);
        set(&mut policy.resend_after, self.resend_after);
        set(&mut policy.codes, self.codes);
        set(&mut policy.codes_before, self.codes_before);
        set(&mut policy.guesses.lock_after, self.lock_after);
        set(&mut policy.guesses.lock_for, self.lock_for);
        set(&mut policy.guesses.lock_for_good_after, self.lock_for_good_after);
        let user = (self.user_burst, self.user_refill, self.user_per_day);
        set_limits(&mut policy.user_sends, user);
        let address = (self.address_burst, self.address_refill, self.address_per_day);
        set_limits(&mut policy.address_sends, address);
        let mut callers = policy.caller_sends.unwrap_or(NOT_COUNTED);
        let caller = (self.caller_burst, self.caller_refill, self.caller_per_day);
        set_limits(&mut callers, caller);
        policy.caller_sends = Some(callers).filter(|limits| limits.burst > 0);
        if let Some(names) = &self.repositories {
            policy.repositories.clone_from(names);
        }
        if let Some(name) = &self.account {
            policy.account = Some(name.clone()).filter(|name| !name.is_empty());
        }
        set(&mut policy.see_users, self.see_users);
        set(&mut policy.password_required, self.password_required);
        self.apply_override(&mut policy.override_address, prefix, &mut faults);
        self.check_plain(prefix, &mut faults);
        policy.check(prefix, &mut faults);
        faults.into_result().map(|()| policy)
    }

    fn apply_override(&self, policy: &mut OverridePolicy, prefix: &str, faults: &mut Violations) {
        if let Some(name) = &self.override_mode {
            let field = format!("{prefix}override_address.mode");
            set(&mut policy.mode, faults.check(&field, OverrideMode::parse(name)));
        }
        if let Some(domains) = &self.override_domains {
            let read = domains.iter().enumerate().filter_map(|(index, domain)| {
                let field = format!("{prefix}override_address.domains[{index}]");
                faults.check(&field, ascii_domain(domain))
            });
            policy.domains = read.collect();
        }
        set(&mut policy.confirmed_for, self.override_confirmed_for);
    }

    /// What the policy itself does not bound: counts and spans beyond reason, names that cannot be.
    fn check_plain(&self, prefix: &str, faults: &mut Violations) {
        for (field, count) in [
            ("sends.user.burst", self.user_burst),
            ("sends.user.per_day", self.user_per_day),
            ("sends.address.burst", self.address_burst),
            ("sends.address.per_day", self.address_per_day),
            ("sends.caller.burst", self.caller_burst),
            ("sends.caller.per_day", self.caller_per_day),
        ] {
            if count.is_some_and(|count| count > MOST) {
                faults.add(format!("{prefix}{field}"), "must be at most 1,000,000");
            }
        }
        for (field, span) in [
            ("resend.after", self.resend_after),
            ("guesses.lock_for", self.lock_for),
            ("sends.user.refill", self.user_refill),
            ("sends.address.refill", self.address_refill),
            ("sends.caller.refill", self.caller_refill),
        ] {
            if span.is_some_and(|span| span > LONGEST) {
                faults.add(format!("{prefix}{field}"), "must be at most 365 days");
            }
        }
        let names = self.repositories.as_deref().unwrap_or_default();
        if names.len() > MOST_REPOSITORIES {
            faults.add(format!("{prefix}repositories"), "must be at most 16 names");
        }
        for (index, name) in names.iter().enumerate().take(MOST_REPOSITORIES) {
            let field = format!("{prefix}repositories[{index}]");
            faults.check(&field, require_line(name, 64));
            if names.iter().take(index).any(|before| before == name) {
                faults.add(field, "is named twice");
            }
        }
        if let Some(name) = self.account.as_deref().filter(|name| !name.is_empty()) {
            faults.check(&format!("{prefix}account"), require_line(name, 64));
        }
    }
}

const NOT_COUNTED: SendLimits = SendLimits {
    burst: 0,
    refill: Duration::from_secs(1),
    per_day: 100_000,
};

fn set<T>(slot: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *slot = value;
    }
}

fn set_limits(limits: &mut SendLimits, given: (Option<u32>, Option<Duration>, Option<u32>)) {
    let (burst, refill, per_day) = given;
    set(&mut limits.burst, burst);
    set(&mut limits.refill, refill);
    set(&mut limits.per_day, per_day);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_of_a_policy_makes_it_again() {
        let policy = OtpPolicy {
            attempts: 3,
            repositories: vec!["staff".into()],
            account: Some("payroll".into()),
            see_users: true,
            ..OtpPolicy::default()
        };
        let whole = PolicyDraft::of(&policy);
        assert_eq!(whole.paths(), PolicyDraft::PATHS, "every field is told");
        assert_eq!(whole.apply(&OtpPolicy::default(), ""), Ok(policy));
        assert_eq!(
            PolicyDraft::default().apply(&OtpPolicy::default(), ""),
            Ok(OtpPolicy::default())
        );
    }

    #[test]
    fn a_draft_survives_being_kept() {
        let draft = PolicyDraft::of(&OtpPolicy::default());
        let text = serde_json::to_string(&draft).unwrap();
        assert_eq!(serde_json::from_str::<PolicyDraft>(&text).unwrap(), draft);
        let newer: PolicyDraft = serde_json::from_str(r#"{"attempts":3,"unheard_of":true}"#).unwrap();
        assert_eq!(newer.paths(), ["attempts"]);
    }

    #[test]
    fn every_path_copies_its_own_field() {
        let whole = PolicyDraft::of(&OtpPolicy::default());
        for path in PolicyDraft::PATHS {
            let mut one = PolicyDraft::default();
            one.copy(path, &whole);
            assert_eq!(one.paths(), [*path]);
        }
        assert_eq!(PolicyDraft::below("resend").unwrap().len(), 3);
        assert_eq!(PolicyDraft::below("sends.user").unwrap().len(), 3);
        assert_eq!(PolicyDraft::below("attempts").unwrap(), ["attempts"]);
        assert_eq!(PolicyDraft::below("attempt"), None);
    }

    #[test]
    fn length_and_alphabet_are_judged_together() {
        let six_letters = PolicyDraft {
            code_alphabet: Some("ABC".into()),
            ..PolicyDraft::default()
        };
        let faults = six_letters.apply(&OtpPolicy::default(), "policy.").unwrap_err();
        assert!(
            faults.to_string().starts_with("policy.code.alphabet: "),
            "{faults}"
        );
        let long = PolicyDraft {
            code_alphabet: Some("letters".into()),
            code_length: Some(8),
            ..PolicyDraft::default()
        };
        let policy = long.apply(&OtpPolicy::default(), "").unwrap();
        assert_eq!(
            (policy.code.length(), policy.code.alphabet()),
            (8, &Alphabet::letters())
        );
    }
}

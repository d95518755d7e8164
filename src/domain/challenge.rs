//! A challenge: one request to a user to prove that mail reaches them, and the rules of its life.

use std::time::Duration;

use super::{
    caller::CallerId,
    clock::Timestamp,
    code::{CodeNumbers, CodeSpec},
    id::ChallengeId,
    keyring::{KeyId, Subject},
};

/// The longest that a recovery may take (NIST SP 800-63B-4, 4.2.1.2).
const DAY: Duration = Duration::from_hours(24);

/// What a code is for. Bound into the code itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Purpose {
    /// A second factor at login.
    Login,
    /// Proof that the user reads mail at the address on file.
    AddressConfirmation,
    /// A step of account recovery: what is mailed is a temporary password that the user must change.
    Recovery,
}

impl Purpose {
    /// All purposes.
    pub const ALL: [Self; 3] = [Self::Login, Self::AddressConfirmation, Self::Recovery];

    /// The number that stands for it in codes and in the store. Never changed once given.
    #[must_use]
    pub const fn tag(self) -> u8 {
        match self {
            Self::Login => 1,
            Self::AddressConfirmation => 2,
            Self::Recovery => 3,
        }
    }

    /// The purpose of a tag.
    #[must_use]
    pub fn from_tag(tag: i64) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|purpose| i64::from(purpose.tag()) == tag)
    }

    /// Its name in templates, metrics and configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::AddressConfirmation => "address_confirmation",
            Self::Recovery => "recovery",
        }
    }
}

/// What has happened to a challenge. That time has run out is not kept: it follows from the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Waits for a code.
    Pending,
    /// A right code arrived in time.
    Verified,
    /// Cancelled by its caller.
    Cancelled,
    /// All attempts were spent.
    Locked,
}

impl State {
    /// The number that stands for it in the store.
    #[must_use]
    pub const fn tag(self) -> i64 {
        match self {
            Self::Pending => 1,
            Self::Verified => 2,
            Self::Cancelled => 3,
            Self::Locked => 4,
        }
    }

    /// The state of a tag.
    #[must_use]
    pub fn from_tag(tag: i64) -> Option<Self> {
        [Self::Pending, Self::Verified, Self::Cancelled, Self::Locked]
            .into_iter()
            .find(|state| state.tag() == tag)
    }
}

/// Where a challenge stands at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Waits for a code.
    Pending,
    /// Verified before.
    Verified,
    /// Cancelled.
    Cancelled,
    /// Attempts spent.
    Locked,
    /// Time ran out while it was pending.
    Expired,
}

/// A challenge as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Its name.
    pub id: ChallengeId,
    /// Who started it: nobody else sees it.
    pub caller: CallerId,
    /// What its codes are for.
    pub purpose: Purpose,
    /// How its codes look.
    pub spec: CodeSpec,
    /// The service key its codes are derived under.
    pub key: KeyId,
    /// Whose guesses it counts towards: the keyed hash of repository and user.
    pub user: Subject,
    /// By whose guesses its caller is answered, where that is not the user: the keyed hash of the caller and of the name it
    /// gave, for callers that may not learn whether anybody has that name. The user's own then count in silence.
    pub name: Option<Subject>,
    /// Whose mailbox it sends to: the keyed hash of the address.
    pub address: Subject,
    /// Stands in for a user who cannot be mailed; never verifies.
    pub decoy: bool,
    /// What has happened to it.
    pub state: State,
    /// The number of its newest code.
    pub code_number: u32,
    /// The highest number its codes may reach.
    pub most_codes: u32,
    /// How many codes before the newest still count: their mails may be under way.
    pub codes_before: u32,
    /// Wrong codes counted so far.
    pub attempts: u32,
    /// How many it bears.
    pub most_attempts: u32,
    /// When it was started.
    pub created_at: Timestamp,
    /// From when on nothing verifies.
    pub expires_at: Timestamp,
    /// From when on a further code may be sent.
    pub resend_at: Timestamp,
    /// When a right code arrived.
    pub verified_at: Option<Timestamp>,
    /// The address as callers may see it.
    pub masked_recipient: String,
    /// The event that asked.
    pub event: String,
    /// The endpoint at which the user stands.
    pub endpoint: String,
    /// What a right code confirms: the keyed hash of an address that is not the one on file. `None`: nothing.
    pub confirms: Option<Subject>,
}

impl Challenge {
    /// How long after its end one is remembered for callers that may not see users, and decoys at all.
    pub const REMEMBERED: Duration = Duration::from_mins(10);

    /// Where it stands at `now`. What has happened stays; only a pending challenge expires.
    #[must_use]
    pub fn standing(&self, now: Timestamp) -> Standing {
        match self.state {
            State::Verified => Standing::Verified,
            State::Cancelled => Standing::Cancelled,
            State::Locked => Standing::Locked,
            State::Pending if now >= self.expires_at => Standing::Expired,
            State::Pending => Standing::Pending,
        }
    }

    /// Whether a code of one of these numbers is right at present: the newest, or one of the few before it.
    #[must_use]
    pub fn accepts(&self, numbers: CodeNumbers) -> bool {
        let oldest = self.code_number.saturating_sub(self.codes_before);
        !self.decoy && numbers.any_between(oldest, self.code_number)
    }

    /// The verdict on any code where none is judged any more; `None` while it is pending.
    #[must_use]
    pub fn closed(&self, now: Timestamp) -> Option<Verdict> {
        match self.standing(now) {
            Standing::Pending => None,
            Standing::Verified => Some(Verdict::Used {
                at: self.verified_at.unwrap_or(self.created_at),
            }),
            Standing::Cancelled => Some(Verdict::Cancelled),
            Standing::Locked => Some(Verdict::Locked),
            Standing::Expired => Some(Verdict::Expired),
        }
    }

    /// By when the temporary password of a verified recovery must have been changed (OWASP ASVS 5.0, 6.4.1): it was good
    /// for its lifetime, and gives as long again, but no longer than a day after the challenge began.
    #[must_use]
    pub fn must_change_by(&self) -> Option<Timestamp> {
        let verified_at = self.verified_at.filter(|_| self.purpose == Purpose::Recovery)?;
        let lifetime = self.expires_at.since(self.created_at);
        Some(verified_at.plus(lifetime).min(self.created_at.plus(DAY)))
    }

    /// Whose guesses its caller is answered by.
    #[must_use]
    pub fn told(&self) -> Subject {
        self.name.unwrap_or(self.user)
    }

    /// Whose guesses count without a word to its caller.
    #[must_use]
    pub fn silent(&self) -> Option<Subject> {
        self.name.map(|_| self.user)
    }

    /// How many more wrong codes it bears.
    #[must_use]
    pub fn attempts_left(&self) -> u32 {
        self.most_attempts.saturating_sub(self.attempts)
    }

    /// From when on a further code may be sent; `None` where none can be.
    #[must_use]
    pub fn next_resend(&self) -> Option<Timestamp> {
        let open = self.state == State::Pending && self.code_number < self.most_codes;
        (open && self.resend_at < self.expires_at).then_some(self.resend_at)
    }
}

/// What a submitted code was worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Right, in time and first.
    Verified {
        /// When.
        at: Timestamp,
    },
    /// Wrong.
    Wrong {
        /// How many more the challenge bears.
        attempts_left: u32,
    },
    /// Out of time.
    Expired,
    /// Verified before.
    Used {
        /// When.
        at: Timestamp,
    },
    /// Cancelled.
    Cancelled,
    /// The challenge's attempts are spent.
    Locked,
    /// The user's failures are too many.
    UserLocked {
        /// Until when; `None`: until unlocked.
        until: Option<Timestamp>,
    },
    /// The challenge is not what the caller expects it to be; the code was not compared.
    Mismatch(Mismatch),
}

/// What of a challenge is not as its caller expects it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// It was started for another user.
    pub user: bool,
    /// It is for another purpose.
    pub purpose: bool,
    /// Another event asked.
    pub event: bool,
}

impl Mismatch {
    /// Whether there is any.
    #[must_use]
    pub fn any(self) -> bool {
        self != Self::default()
    }
}

impl Verdict {
    /// Its name in metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Verified { .. } => "verified",
            Self::Wrong { .. } => "wrong",
            Self::Expired => "expired",
            Self::Used { .. } => "used",
            Self::Cancelled => "cancelled",
            Self::Locked => "locked",
            Self::UserLocked { .. } => "user_locked",
            Self::Mismatch(_) => "mismatch",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_password_is_changed_in_as_long_again_and_within_a_day() {
        let at = |hours| Timestamp::from_micros(0).plus(Duration::from_hours(hours));
        let by = |purpose, lifetime, verified: Option<u64>| {
            let challenge = Challenge {
                id: ChallengeId::from_bytes([1; 16]),
                caller: CallerId::parse("00000000000000aa").unwrap(),
                purpose,
                spec: CodeSpec::temporary_password(),
                key: KeyId::parse("k").unwrap(),
                user: Subject::from_bytes([0; 32]),
                name: None,
                address: Subject::from_bytes([0; 32]),
                decoy: false,
                state: State::Pending,
                code_number: 1,
                most_codes: 5,
                codes_before: 1,
                attempts: 0,
                most_attempts: 5,
                created_at: at(0),
                expires_at: at(lifetime),
                resend_at: at(0),
                verified_at: verified.map(at),
                masked_recipient: String::new(),
                event: String::new(),
                endpoint: String::new(),
                confirms: None,
            };
            challenge.must_change_by()
        };
        assert_eq!(by(Purpose::Recovery, 2, None), None);
        assert_eq!(by(Purpose::Recovery, 2, Some(1)), Some(at(3)));
        assert_eq!(by(Purpose::Recovery, 24, Some(23)), Some(at(24)));
        assert_eq!(by(Purpose::Login, 2, Some(1)), None);
    }
}

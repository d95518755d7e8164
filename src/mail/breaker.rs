//! The breaker: spares a mail server, and the mails waiting for it, while an account keeps failing.

use std::time::Duration;

use crate::domain::clock::Timestamp;

/// So many failures of the account in a row open it.
const MOST_FAILURES: u32 = 5;

/// How long it stays open at first; each failed probe doubles that.
const SHORTEST: Duration = Duration::from_secs(5);

/// How long it stays open at the most.
const LONGEST: Duration = Duration::from_mins(1);

/// How soon those come back who find a probe under way.
const PROBE_WAIT: Duration = Duration::from_secs(1);

/// Whether an attempt may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Granted,
    /// Not before this moment.
    Refused(Timestamp),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: Timestamp, wait: Duration },
    Probing { wait: Duration },
}

/// The breaker of one account: closed, open, or open with one probe under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker(State);

impl Default for Breaker {
    fn default() -> Self {
        Self(State::Closed { failures: 0 })
    }
}

impl Breaker {
    /// Asks for an attempt. Once the wait is over, the first who asks makes the probe.
    pub fn enter(&mut self, now: Timestamp) -> Admission {
        match self.0 {
            State::Closed { .. } => Admission::Granted,
            State::Open { until, .. } if now < until => Admission::Refused(until),
            State::Open { wait, .. } => {
                self.0 = State::Probing { wait };
                Admission::Granted
            }
            State::Probing { .. } => Admission::Refused(now.plus(PROBE_WAIT)),
        }
    }

    /// An attempt got past the stages that concern the account.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// An attempt failed in a stage that concerns the account. `at_once`: this one failure opens it, because the server
    /// refused the login, which no repetition mends and many servers answer with a lock, or because another account is
    /// there to take the mails.
    pub fn failed(&mut self, at_once: bool, now: Timestamp) {
        let wait = match self.0 {
            State::Closed { failures } if !at_once && failures + 1 < MOST_FAILURES => {
                self.0 = State::Closed {
                    failures: failures + 1,
                };
                return;
            }
            State::Closed { .. } => SHORTEST,
            State::Probing { wait } => (wait * 2).min(LONGEST),
            // An attempt that began before it opened says nothing new.
            State::Open { .. } => return,
        };
        self.0 = State::Open {
            until: now.plus(wait),
            wait,
        };
    }

    /// An attempt ended without telling anything of the account. A probe is then made by whoever asks next.
    pub fn abandoned(&mut self, now: Timestamp) {
        if let State::Probing { wait } = self.0 {
            self.0 = State::Open { until: now, wait };
        }
    }

    /// When it may be tried again, if it is open; while a probe is under way, now.
    #[must_use]
    pub fn rests_until(&self, now: Timestamp) -> Option<Timestamp> {
        match self.0 {
            State::Closed { .. } => None,
            State::Open { until, .. } => Some(until.max(now)),
            State::Probing { .. } => Some(now),
        }
    }

    /// Whether it is open, a probe under way included.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !matches!(self.0, State::Closed { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::default().plus(Duration::from_secs(second))
    }

    #[test]
    fn five_failures_in_a_row_open_it() {
        let mut breaker = Breaker::default();
        for _ in 0..4 {
            breaker.failed(false, at(0));
        }
        breaker.succeeded();
        for _ in 0..4 {
            breaker.failed(false, at(0));
        }
        assert_eq!(breaker.enter(at(0)), Admission::Granted);
        breaker.failed(false, at(0));
        assert_eq!(breaker.enter(at(4)), Admission::Refused(at(5)));
        assert!(breaker.is_open());
    }

    #[test]
    fn a_refused_login_opens_it_at_once() {
        let mut breaker = Breaker::default();
        breaker.failed(true, at(0));
        assert_eq!(breaker.enter(at(0)), Admission::Refused(at(5)));
    }

    #[test]
    fn one_probe_at_a_time_and_twice_the_wait_after_each() {
        let mut breaker = Breaker::default();
        breaker.failed(true, at(0));
        let mut now = 0;
        for wait in [5, 10, 20, 40, 60, 60] {
            assert_eq!(
                breaker.enter(at(now + wait - 1)),
                Admission::Refused(at(now + wait))
            );
            now += wait;
            assert_eq!(breaker.enter(at(now)), Admission::Granted);
            assert_eq!(breaker.enter(at(now)), Admission::Refused(at(now + 1)));
            breaker.failed(false, at(now));
        }
        assert_eq!(breaker.enter(at(now + 60)), Admission::Granted);
        breaker.succeeded();
        assert!(!breaker.is_open());
    }

    #[test]
    fn a_probe_that_tells_nothing_is_made_again() {
        let mut breaker = Breaker::default();
        breaker.failed(true, at(0));
        assert_eq!(breaker.enter(at(5)), Admission::Granted);
        breaker.abandoned(at(6));
        assert_eq!(breaker.enter(at(6)), Admission::Granted);
    }

    #[test]
    fn late_news_of_an_earlier_attempt_does_not_lengthen_the_wait() {
        let mut breaker = Breaker::default();
        breaker.failed(true, at(0));
        breaker.failed(false, at(3));
        assert_eq!(breaker.enter(at(5)), Admission::Granted);
    }
}

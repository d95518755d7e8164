//! The machine's own time and randomness, and who runs on it: the only place that reads them.

use std::{
    sync::Mutex,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rand::{TryRng as _, rngs::SysRng};
use rustix::time::{ClockId, clock_gettime};

use crate::domain::{
    clock::{Clock, Timestamp},
    entropy::Entropy,
};

/// UTC that never jumps.
///
/// It starts from the system's clock and then counts the time since boot, suspended time included. Where the system's
/// clock is set, it follows at one part in a hundred: a code of 300 s may live 3 s more or less, and a jump of ten
/// minutes neither revives nor kills one.
#[derive(Debug)]
pub struct SteadyClock(Mutex<Anchor>);

#[derive(Clone, Copy, Debug)]
struct Anchor {
    /// Microseconds since boot, and the time that was told for them.
    boot: i64,
    told: i64,
}

/// How much faster or slower than the time since boot it may run to catch up with the system's clock.
const SLEW: i64 = 100;

impl SteadyClock {
    /// Starts from the system's clock.
    #[must_use]
    pub fn new() -> Self {
        Self(Mutex::new(Anchor {
            boot: since_boot(),
            told: system_time(),
        }))
    }
}

impl Default for SteadyClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> Timestamp {
        let mut anchor = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *anchor = anchor.advance(since_boot(), system_time());
        Timestamp::from_micros(anchor.told)
    }
}

impl Anchor {
    fn advance(self, boot: i64, system: i64) -> Self {
        let passed = (boot - self.boot).max(0);
        // Shorter steps than this would round every correction down to nothing.
        if passed < SLEW {
            return self;
        }
        let steady = self.told + passed;
        let correction = (system - steady).clamp(-passed / SLEW, passed / SLEW);
        Self {
            boot,
            told: steady + correction,
        }
    }
}

fn since_boot() -> i64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec * 1_000_000 + time.tv_nsec / 1_000
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the system's clock is read"
)]
fn system_time() -> i64 {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX)
}

/// The operating system's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    /// # Panics
    ///
    /// Where the operating system has no randomness: going on without would mean guessable codes.
    #[expect(clippy::expect_used, reason = "no randomness, no service")]
    fn fill(&self, buffer: &mut [u8]) {
        SysRng
            .try_fill_bytes(buffer)
            .expect("the operating system gives no random bytes");
    }
}

/// The user that this process runs as: number and login. The login is the one in `/etc/passwd`, or the number where it has
/// none there.
#[must_use]
pub fn local_user() -> (u32, String) {
    let uid = rustix::process::getuid().as_raw();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let login = login_of(&users, uid).unwrap_or_else(|| uid.to_string());
    (uid, login)
}

/// The login of a number in a file of users (passwd(5)).
fn login_of(users: &str, uid: u32) -> Option<String> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let login = fields.next()?;
        let number = fields.nth(1)?;
        (number.parse() == Ok(uid) && !login.is_empty()).then(|| login.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_found_by_its_number() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbroken\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!(login_of(users, 1000).as_deref(), Some("ann"));
        assert_eq!(login_of(users, 0).as_deref(), Some("root"));
        assert_eq!(login_of(users, 7), None);
    }

    const SECOND: i64 = 1_000_000;

    #[test]
    fn a_jump_of_ten_minutes_moves_it_by_a_hundredth_of_the_time_that_passes() {
        for jump in [600, -600] {
            let mut clock = Anchor {
                boot: 0,
                told: 1_000 * SECOND,
            };
            for second in 1..=300 {
                clock = clock.advance(second * SECOND, (1_000 + second + jump) * SECOND);
            }
            let off = clock.told - 1_300 * SECOND;
            assert_eq!(off, 3 * SECOND * jump.signum());
        }
    }

    #[test]
    fn never_runs_backwards() {
        let mut clock = Anchor {
            boot: 0,
            told: 1_000 * SECOND,
        };
        for step in 1..10_000 {
            let next = clock.advance(step * 7, 0);
            assert!(next.told >= clock.told);
            clock = next;
        }
    }
}

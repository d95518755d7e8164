//! Failpoints: named steps of the work where a crash test ends the process, makes it panic or holds it up.
//!
//! They exist only with the feature `failpoints`, which tests build with and releases do not: without it a step compiles
//! to nothing. What is to happen stands in the environment of the process, `MAILFACTOR_FAILPOINTS`, as a list such as
//! `claim.after=abort/40, verify.before_commit=panic#3, seed=7`: at random, once in so many arrivals; or at the arrival of
//! that number, and no other. Steps that do not exist are refused, or a test could not fail.

/// A step. Awaited in place; nothing at all without the feature.
macro_rules! failpoint {
    ($step:literal) => {
        #[cfg(feature = "failpoints")]
        $crate::failpoints::reach($step).await;
    };
}

#[cfg(feature = "failpoints")]
pub use armed::{arm, arrivals, reach, release};

/// Every step there is, in the order of the walks.
#[cfg(feature = "failpoints")]
pub const STEPS: &[&str] = &[
    "start.before_commit",
    "start.after_commit",
    "resend.before_commit",
    "resend.after_commit",
    "commit.before",
    "commit.after",
    "handoff.before",
    "claim.before",
    "claim.after",
    "send.before_leave",
    "send.before_dot",
    "send.after_dot",
    "settle.before",
    "settle.after",
    "verify.before_commit",
    "verify.after_commit",
    "cancel.before_commit",
    "cancel.after_commit",
];

#[cfg(feature = "failpoints")]
mod armed {
    use std::{
        env, process,
        sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    };

    use tokio::sync::watch;

    use super::STEPS;

    /// What the environment holds. A release does not contain this name: a test looks for it in the binary.
    const VARIABLE: &str = "MAILFACTOR_FAILPOINTS";

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Action {
        Abort,
        Panic,
        /// Until [`release`].
        Hold,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum When {
        OnceIn(u64),
        Arrival(u64),
    }

    #[derive(Debug)]
    struct Point {
        step: &'static str,
        action: Action,
        when: When,
        arrivals: u64,
    }

    #[derive(Debug, Default)]
    struct Plan {
        points: Vec<Point>,
        random: u64,
    }

    struct Points {
        plan: Mutex<Plan>,
        held: watch::Sender<bool>,
    }

    static POINTS: OnceLock<Points> = OnceLock::new();

    /// The work has come this far.
    ///
    /// # Panics
    /// Where the plan says so.
    pub async fn reach(step: &'static str) {
        let action = locked().arrive(step);
        match action {
            None => {}
            Some(Action::Abort) => process::abort(),
            #[expect(clippy::panic, reason = "that is what the test wants to see survived")]
            Some(Action::Panic) => panic!("failpoint {step}"),
            Some(Action::Hold) => {
                let mut held = points().held.subscribe();
                let _ = held.wait_for(|held| !*held).await;
            }
        }
    }

    /// Sets what is to happen from now on in this process; held work stays held.
    ///
    /// # Panics
    /// Where the plan is not understood.
    pub fn arm(plan: &str) {
        *locked() = Plan::read(plan);
        points().held.send_replace(true);
    }

    /// Lets go whoever is held.
    pub fn release() {
        points().held.send_replace(false);
    }

    /// How often an armed step was reached.
    #[must_use]
    pub fn arrivals(step: &str) -> u64 {
        let plan = locked();
        let found = plan.points.iter().find(|point| point.step == step);
        found.map_or(0, |point| point.arrivals)
    }

    fn points() -> &'static Points {
        POINTS.get_or_init(|| Points {
            plan: Mutex::new(Plan::read(&env::var(VARIABLE).unwrap_or_default())),
            held: watch::Sender::new(true),
        })
    }

    fn locked() -> MutexGuard<'static, Plan> {
        points().plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    impl Plan {
        #[expect(
            clippy::panic,
            reason = "a plan that is not understood must not look like a test that passed"
        )]
        fn read(text: &str) -> Self {
            let mut plan = Self {
                points: Vec::new(),
                random: 1,
            };
            for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
                let Some((name, value)) = item.split_once('=') else {
                    panic!("{VARIABLE}: {item}")
                };
                if name == "seed" {
                    plan.random = value.parse().unwrap_or(1).max(1);
                    continue;
                }
                let Some(point) = Point::read(name, value) else {
                    panic!("{VARIABLE}: {item}")
                };
                plan.points.push(point);
            }
            plan
        }

        fn arrive(&mut self, step: &str) -> Option<Action> {
            let point = self.points.iter_mut().find(|point| point.step == step)?;
            point.arrivals += 1;
            let now = match point.when {
                When::Arrival(number) => point.arrivals == number,
                When::OnceIn(number) => {
                    // Marsaglia's xorshift with the triple 13, 7, 17: repeatable, and no fairness is asked of it.
                    self.random ^= self.random << 13;
                    self.random ^= self.random >> 7;
                    self.random ^= self.random << 17;
                    self.random.is_multiple_of(number)
                }
            };
            now.then_some(point.action)
        }
    }

    impl Point {
        fn read(name: &str, value: &str) -> Option<Self> {
            let step = STEPS.iter().find(|step| **step == name)?;
            let (action, when) = match (value.split_once('/'), value.split_once('#')) {
                (Some((action, number)), _) => (action, When::OnceIn(number.parse().ok()?)),
                (_, Some((action, number))) => (action, When::Arrival(number.parse().ok()?)),
                _ => (value, When::OnceIn(1)),
            };
            let action = match action {
                "abort" => Action::Abort,
                "panic" => Action::Panic,
                "hold" => Action::Hold,
                _ => return None,
            };
            (when != When::OnceIn(0)).then_some(Self {
                step,
                action,
                when,
                arrivals: 0,
            })
        }
    }
}

//! Permission to transmit a message, for one attempt.

use std::{
    future::Future,
    sync::atomic::{AtomicBool, Ordering},
};

use super::{Clearance, Withheld};
use crate::domain::clock::{Clock, Timestamp};

/// Asks for clearance once, however many connections an attempt takes, and looks at the clock each time.
pub(super) struct Permission<'a, F> {
    clearance: Option<F>,
    until: Timestamp,
    clock: &'a dyn Clock,
    used: &'a AtomicBool,
}

impl<'a, F: Future<Output = Clearance> + Send> Permission<'a, F> {
    /// Nothing is transmitted after `until`. `used` is set while a copy may be on its way.
    pub(super) fn new(clearance: F, until: Timestamp, clock: &'a dyn Clock, used: &'a AtomicBool) -> Self {
        Self {
            clearance: Some(clearance),
            until,
            clock,
            used,
        }
    }

    /// Asks, right before the message, or the command that invites it, is written.
    pub(super) async fn ask(&mut self) -> Clearance {
        self.used.store(true, Ordering::Release);
        if let Some(clearance) = self.clearance.take() {
            clearance.await?;
        }
        // Asking took time, and a process that was frozen wakes up here.
        if self.clock.now() < self.until {
            Ok(())
        } else {
            Err(Withheld::Late)
        }
    }

    /// Nothing of the message went out, and it is tried again.
    pub(super) fn unused(&self) {
        self.used.store(false, Ordering::Release);
    }
}

//! Reports are read a few at a time: they cost the store more than any other call, and nobody logs in by them.

use std::time::Duration;

use crate::{
    domain::caller::{Caller, CallerId},
    sync::fair::{FairPlace, FairPlaces, Share},
};

/// Pages of reports that are read at once.
const PLACES: usize = 2;

/// How many of one caller's may wait.
const WAITING: usize = 64;

/// How long one waits for its turn.
const PATIENCE: Duration = Duration::from_secs(2);

/// The pages that are being read, shared fairly.
pub struct ReportLane(FairPlaces<CallerId>);

/// The turn to read one page; over when it is dropped.
#[derive(Debug)]
pub struct ReportTurn(#[expect(dead_code, reason = "held, never read")] FairPlace<CallerId>);

impl Default for ReportLane {
    fn default() -> Self {
        Self(FairPlaces::new(PLACES, 0))
    }
}

impl ReportLane {
    /// Waits for the turn to read a page. `None`: too many of the caller's wait, or it took too long.
    pub async fn turn(&self, caller: &Caller) -> Option<ReportTurn> {
        let share = Share {
            preferred: false,
            places: 1,
            waiting: WAITING,
        };
        self.0
            .enter(caller.id, share, PATIENCE)
            .await
            .ok()
            .map(ReportTurn)
    }
}

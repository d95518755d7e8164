//! Instances that are killed, frozen and replaced under load.

use std::{sync::Arc, time::Duration};

use super::{
    audit::{TAKEN_OVER, audit},
    dice::{Dice, seed, soak},
    fleet::Fleet,
    ledger::Ledger,
    load::Load,
};
use crate::harness::service::Home;

/// Callers at a time.
const PARALLEL: usize = 8;

/// Starts that are acknowledged before each kill; others are under way at that moment.
const BETWEEN_KILLS: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_of_the_only_instance_under_load() {
    let kills = if soak() { 500 } else { 10 };
    let mut dice = Dice::new(seed());
    let users = (kills + 1) * (BETWEEN_KILLS + 8 * PARALLEL);
    let fleet = Arc::new(Fleet::set(Home::new(), users).await);
    let ledger = Arc::new(Ledger::default());
    for _ in 0..kills {
        let mut load = Load::begin(&fleet, &ledger, PARALLEL, &mut dice);
        load.acknowledged(BETWEEN_KILLS).await;
        fleet.kill(0);
        // Callers wait for somebody to call while it starts.
        fleet.up(0, &[]).await;
        load.stop().await;
    }
    fleet.drained(TAKEN_OVER).await;
    let report = audit(&fleet, &ledger).await;
    eprintln!("{kills} kills: {report}\n{:?}", ledger.failures());
    assert!(report.starts >= kills * BETWEEN_KILLS);
    // A mail that two kills overtook between the leave to transmit and the record of the answer is given up: two copies
    // may be out (promise R2). Rare, for the windows are a few milliseconds.
    assert!(
        report.failed * 50 <= report.starts,
        "{} given up: the windows are too wide",
        report.failed
    );
    end(fleet).await;
}

/// Ends a fleet that nobody uses any more.
pub(crate) async fn end(fleet: Arc<Fleet>) {
    let fleet = Arc::try_unwrap(fleet).unwrap_or_else(|_| panic!("somebody still uses the fleet"));
    tokio::time::timeout(Duration::from_secs(60), fleet.stop())
        .await
        .expect("the fleet does not end");
}

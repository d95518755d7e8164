//! Every instance is replaced, one after the other, under load: a caller that watches health and moves over sees no call
//! fail (R10).

use std::sync::Arc;

use nix::sys::signal::Signal;
use tokio::task::JoinSet;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{
    audit::{TAKEN_OVER, audit},
    dice::{Dice, seed, soak},
    fleet::Fleet,
    instances::end,
    ledger::Ledger,
    load::{Load, users_for},
};
use crate::harness::client::channel;

const INSTANCES: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_fails_no_call() {
    let rounds = if soak() { 30 } else { 1 };
    let mut dice = Dice::new(seed());
    let Some((fleet, _line)) = Fleet::on_postgres(users_for(60 * rounds), INSTANCES).await else {
        return;
    };
    let fleet = Arc::new(fleet);
    let ledger = Arc::new(Ledger::default());
    let mut watches = JoinSet::new();
    for number in 0..INSTANCES {
        watches.spawn(follow_health(Arc::clone(&fleet), number));
    }
    let mut load = Load::begin(&fleet, &ledger, 3, &mut dice);
    for _ in 0..rounds {
        for number in 0..INSTANCES {
            load.acknowledged(load.count() + 30).await;
            fleet.with(number, |process| process.signal(Signal::SIGTERM));
            fleet.ended(number, "SIGTERM").await;
            fleet.up(number, &[]).await;
            watches.spawn(follow_health(Arc::clone(&fleet), number));
        }
    }
    load.acknowledged(load.count() + 30).await;
    load.stop().await;
    fleet.drained(TAKEN_OVER).await;
    let report = audit(&fleet, &ledger).await;
    report.tell("rolling restart of 3 instances");
    assert_eq!(report.unanswered, 0, "{:?}", ledger.failures());
    watches.shutdown().await;
    end(fleet).await;
}

/// Takes an instance off the callers' list as soon as its health says so.
async fn follow_health(fleet: Arc<Fleet>, number: usize) {
    let address = fleet.with(number, |process| process.grpc);
    let mut client = HealthClient::new(channel(address).await.unwrap());
    let request = HealthCheckRequest {
        service: String::new(),
    };
    let mut updates = client.watch(request).await.unwrap().into_inner();
    while let Ok(Some(update)) = updates.message().await {
        if update.status() != ServingStatus::Serving {
            break;
        }
    }
    fleet.callers_see(number, None);
}

//! A PostgreSQL that is restarted, cut off and silent, under several instances and their load.

use std::{sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};

use super::{
    audit::{TAKEN_OVER, audit},
    dice::{Dice, seed, soak},
    fleet::Fleet,
    instances::end,
    ledger::Ledger,
    load::{Load, users_for},
};
use crate::harness::{
    postgres::Postgres,
    postgres_faults::Stop,
    proxy::{Fault, Proxy},
};

/// How soon calls must succeed after the store is back: the promise is 5 s (R8), the rest is for a busy machine.
const BACK: Duration = Duration::from_secs(10);
/// How soon a call must hear that the store is away: the promise is 2.5 s.
const HEARD: Duration = Duration::from_secs(4);

/// What befalls it.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    Restart(Stop),
    BackendsEnded,
    Silent,
    LineDead,
    LineCut,
}

const TROUBLES: [Trouble; 6] = [
    Trouble::Restart(Stop::Fast),
    Trouble::Restart(Stop::Immediate),
    Trouble::BackendsEnded,
    Trouble::Silent,
    Trouble::LineDead,
    Trouble::LineCut,
];

impl Trouble {
    /// Happens, and is over when this returns.
    async fn strike(self, server: &Postgres, database: &str, line: &Proxy) {
        let lasting = Duration::from_secs(3);
        match self {
            Self::Restart(how) => {
                server.stop(how);
                server.start_again();
            }
            Self::BackendsEnded => server.terminate_backends(database),
            Self::Silent => {
                server.pause();
                sleep(lasting).await;
                server.resume();
            }
            Self::LineDead => {
                line.set(Fault::BlackHole);
                sleep(lasting).await;
                line.set(Fault::None);
            }
            Self::LineCut => {
                line.set(Fault::Reset);
                sleep(lasting).await;
                line.set(Fault::None);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_befalls_postgres_nothing_acknowledged_is_lost() {
    let rounds = if soak() { 20 } else { 1 };
    let mut dice = Dice::new(seed());
    let Some((fleet, line)) = Fleet::on_postgres(users_for(90 * rounds), 2).await else {
        return;
    };
    let fleet = Arc::new(fleet);
    let ledger = Arc::new(Ledger::default());
    let mut load = Load::begin(&fleet, &ledger, 4, &mut dice);
    for _ in 0..rounds {
        let mut troubles = TROUBLES;
        dice.shuffle(&mut troubles);
        for trouble in troubles {
            load.acknowledged(load.count() + 20).await;
            let (server, database) = fleet.postgres.as_ref().unwrap();
            trouble.strike(server, database, &line).await;
            let wanted = load.count() + 5;
            let back = timeout(BACK, load.acknowledged(wanted)).await;
            assert!(back.is_ok(), "{trouble:?}: the service does not come back");
        }
    }
    load.stop().await;
    fleet.drained(TAKEN_OVER).await;
    let report = audit(&fleet, &ledger).await;
    let slowest = ledger.slowest();
    report.tell("PostgreSQL restarted, ended, silent, cut off");
    eprintln!("{:?}, the slowest heard after {slowest:?}", ledger.failures());
    assert!(
        slowest <= HEARD,
        "a call heard of a store that is away after {slowest:?}"
    );
    end(fleet).await;
}

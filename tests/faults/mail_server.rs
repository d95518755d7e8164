//! A mail server that cuts the connection, at every stage of the dialogue, before and after it stored the mail.

use std::{sync::Arc, time::Duration};

use super::{
    audit::{TAKEN_OVER, audit},
    dice::{Dice, seed, soak},
    fleet::{Fleet, address, name},
    instances::end,
    ledger::Ledger,
    load::{Load, users_for},
};
use crate::harness::{
    in_time,
    service::Home,
    smtp::{Act, At, Captured},
};

/// The stages, and whether a new connection is needed to get there.
const STAGES: &[(At, bool)] = &[
    (At::Greeting, true),
    (At::Ehlo, true),
    (At::Mail, false),
    (At::Rcpt, false),
    (At::Data, false),
    (At::Body, false),
    // Not stored, and stored: the service cannot know which.
    (At::Refuse, false),
    (At::Dot, false),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connection_breaks_at_every_stage() {
    let rounds = if soak() { 60 } else { 2 };
    let mut dice = Dice::new(seed());
    let fleet = Arc::new(Fleet::set(Home::new(), users_for(60 * rounds)).await);
    let ledger = Arc::new(Ledger::default());
    let mut load = Load::begin(&fleet, &ledger, 4, &mut dice);
    load.acknowledged(20).await;
    for _ in 0..rounds {
        let mut faults: Vec<(At, bool, Act)> = STAGES
            .iter()
            .flat_map(|(at, fresh)| [(*at, *fresh, Act::Drop), (*at, *fresh, Act::Reset)])
            .collect();
        dice.shuffle(&mut faults);
        for (at, fresh, act) in faults {
            if fresh {
                // Warm connections are lost first, or none would be opened.
                fleet.smtp.times(4, At::Mail, Act::Drop);
            }
            fleet.smtp.times(1, at, act);
            let met = async {
                while fleet.smtp.is_pending(at) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            in_time(met).await;
            fleet.smtp.behave();
        }
    }
    load.stop().await;
    fleet.drained(TAKEN_OVER).await;
    stored_and_not_acknowledged(&fleet, &ledger).await;
    fleet.drained(TAKEN_OVER).await;
    let report = audit(&fleet, &ledger).await;
    report.tell("a broken connection at every stage");
    assert_eq!(report.unanswered, 0, "{:?}", ledger.failures());
    end(fleet).await;
}

/// A mail that was stored before the break, and whose code nobody uses, comes twice.
async fn stored_and_not_acknowledged(fleet: &Fleet, ledger: &Ledger) {
    let user = ledger.user();
    fleet.smtp.times(1, At::Dot, Act::Drop);
    let challenge = fleet.client(0).await.start(&name(user)).await.unwrap();
    ledger.started(user, &challenge);
    let path = format!("<{}>", address(user));
    let both = async {
        let is_here = |mail: &&Captured| mail.recipient.starts_with(&path);
        while fleet.smtp.mails().iter().filter(is_here).count() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    in_time(both).await;
}

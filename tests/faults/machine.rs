//! A machine that has run out of file descriptors.

use std::{fs, sync::Arc, time::Duration};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use tokio::{net::TcpStream, time::timeout};

use super::{
    audit::{TAKEN_OVER, audit},
    dice::{Dice, seed},
    fleet::{Fleet, name},
    instances::end,
    ledger::Ledger,
    load::{Load, users_for},
};
use crate::harness::{client::Client, in_time, process::Process, service::Home};

/// How many more files than are open the process may open.
const SPARE: u64 = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn out_of_file_descriptors_and_back() {
    let mut dice = Dice::new(seed());
    let fleet = Arc::new(Fleet::set(Home::new(), users_for(60)).await);
    let ledger = Arc::new(Ledger::default());
    let mut load = Load::begin(&fleet, &ledger, 4, &mut dice);
    load.acknowledged(100).await;
    let (pid, address) = fleet.with(0, |process| (process.id(), process.grpc));
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    limit(pid, u64::try_from(open).unwrap() + SPARE);
    // Every one that is left is taken, and more are asked for.
    let mut held = Vec::new();
    for _ in 0..64 {
        held.push(TcpStream::connect(address).await.unwrap());
    }
    // Who is connected is served; the mails need connections of their own, and wait if they get none.
    let before = load.count();
    load.acknowledged(before + 200).await;
    in_time(async {
        while !fleet
            .with(0, |process| process.log())
            .contains("cannot accept connections")
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    drop(held);
    // It recovers without the limit being lifted.
    let newcomer = timeout(Duration::from_secs(10), Client::connect(address, &fleet.idp)).await;
    let newcomer = newcomer.expect("no connection is accepted any more");
    let challenge = newcomer.start(&name(fleet.users - 1)).await.unwrap();
    assert!(!challenge.challenge_id.is_empty());
    load.stop().await;
    fleet.drained(TAKEN_OVER).await;
    assert!(fleet.with(0, Process::end).is_none(), "it crashed");
    let report = audit(&fleet, &ledger).await;
    report.tell("out of file descriptors");
    assert_eq!(report.unanswered, 0, "{:?}", ledger.failures());
    end(fleet).await;
}

fn limit(pid: i32, most: u64) {
    let hard = getrlimit(Resource::Nofile).maximum;
    let wanted = Rlimit {
        current: Some(most),
        maximum: hard,
    };
    prlimit(Pid::from_raw(pid), Resource::Nofile, wanted).unwrap();
}

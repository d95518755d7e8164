//! A flood: refused within 50 ms, in bounded memory (R12).

use std::{fs, sync::Arc, time::Duration};

use mailfactor::{
    domain::{entropy::random_bytes, id::ChallengeId},
    pb::v1 as pb,
    system::SystemEntropy,
};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};
use tonic::Code;

use super::{
    fleet::{Fleet, name},
    instances::end,
};
use crate::harness::{
    client::Client,
    ground::{reason, retry_after},
    in_time,
    service::Home,
    smtp::{Act, At},
};

/// The promise.
const REFUSED_WITHIN: Duration = Duration::from_millis(50);
/// Calls in flight at most.
const ROOM: usize = 8;
/// In KiB.
const MIB: usize = 1024;

/// With little room, which a silent mail server takes for the 10 s of `delivery.wait`.
fn small() -> Home {
    Home::new()
        .with("server.limits.requests", i64::try_from(ROOM).unwrap())
        .with("delivery.timeouts.command", "12s")
}

/// An instance whose room is taken by calls that wait for a silent mail server.
async fn full() -> (Arc<Fleet>, JoinSet<()>) {
    let fleet = Arc::new(Fleet::set(small(), 100).await);
    let waiting = fill(&fleet, 0).await;
    (fleet, waiting)
}

/// Takes all the room, with the users from this one on; it is free again after `delivery.wait`, 10 s.
async fn fill(fleet: &Arc<Fleet>, first: usize) -> JoinSet<()> {
    fleet.smtp.on(At::Greeting, Act::Silence);
    let client = fleet.client(0).await;
    let mut waiting = JoinSet::new();
    for user in first..first + ROOM {
        let client = client.clone();
        waiting.spawn(async move {
            let request = pb::StartChallengeRequest {
                user: name(user),
                wait_for_mail_server: true,
                ..pb::StartChallengeRequest::default()
            };
            // The question whether there is room may take the last place for a moment.
            while let Err(status) = client.challenges.clone().start_challenge(request.clone()).await {
                assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
            }
        });
    }
    in_time(async {
        while !refuses(&client).await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    waiting
}

/// A call that is cheap where it is answered: of a challenge that does not exist.
async fn ask(client: &Client) -> Code {
    let id = ChallengeId::from_bytes(random_bytes(&SystemEntropy));
    client.get(&id.to_string()).await.unwrap_err().code()
}

async fn refuses(client: &Client) -> bool {
    ask(client).await == Code::ResourceExhausted
}

/// How long half of so many calls took at the most, and 99 in a hundred; and how many were answered so.
async fn measure(client: &Client, calls: usize, code: Code) -> (Duration, Duration, usize) {
    let mut callers = JoinSet::new();
    for _ in 0..4 {
        let client = client.clone();
        callers.spawn(async move {
            let mut took = Vec::new();
            for _ in 0..calls / 4 {
                let since = Instant::now();
                let answered = ask(&client).await;
                if answered == code {
                    took.push(since.elapsed());
                }
            }
            took
        });
    }
    let mut took: Vec<Duration> = callers.join_all().await.into_iter().flatten().collect();
    took.sort_unstable();
    (took[took.len() / 2], took[took.len() * 99 / 100], took.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures: alone"]
async fn refusals_take_no_longer_than_50_ms() {
    let fleet = Arc::new(Fleet::set(small(), 100).await);
    let client = fleet.client(0).await;
    // The machine may be busy with other tests: what an answer costs at present is measured along.
    let (_, answered, _) = measure(&client, 400, Code::NotFound).await;
    let waiting = fill(&fleet, 0).await;
    let status = client.get("x").await.unwrap_err();
    assert_eq!(
        reason(&status),
        (Code::ResourceExhausted, "OVERLOADED".to_owned())
    );
    assert_eq!(retry_after(&status), Some(Duration::from_secs(1)));
    let (half, refused, count) = measure(&client, 2_000, Code::ResourceExhausted).await;
    eprintln!("refused: p50 {half:?}, p99 {refused:?} ({count} calls); answered: p99 {answered:?}");
    assert!(count >= 1_000, "the room was not full for long enough");
    assert!(half <= REFUSED_WITHIN / 2, "half of the refusals take {half:?}");
    assert!(
        refused <= REFUSED_WITHIN.max(answered * 2),
        "{refused:?} at the 99th of a hundred; an answer takes {answered:?}"
    );
    in_time(waiting.join_all()).await;
    fleet.smtp.behave();
    end(fleet).await;
}

/// Resident memory of a process, in KiB.
fn resident(process: i32) -> usize {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim_end_matches("kB").trim().parse().unwrap()
}

/// So many calls from so many connections, as many at once as the connections allow.
async fn flood(fleet: &Fleet, connections: usize, calls: usize) -> usize {
    let address = fleet.with(0, |process| process.grpc);
    let mut callers = JoinSet::new();
    for _ in 0..connections {
        let client = Client::connect(address, &fleet.idp).await;
        for _ in 0..20 {
            let client = client.clone();
            callers.spawn(async move {
                let mut refused = 0;
                for _ in 0..calls / connections / 20 {
                    refused += usize::from(refuses(&client).await);
                }
                refused
            });
        }
    }
    let done = timeout(Duration::from_mins(2), callers.join_all()).await;
    done.expect("the flood does not end").into_iter().sum()
}

/// The same flood again and again takes no more memory than the first time, whether its calls are refused or answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_stays_bounded_in_a_flood() {
    let calls = if super::dice::soak() { 200_000 } else { 3_000 };
    let (fleet, waiting) = full().await;
    let process = fleet.with(0, |process| process.id());
    let before = resident(process);
    let refused = flood(&fleet, 16, calls).await;
    let first = resident(process);
    in_time(waiting.join_all()).await;
    let answered = flood(&fleet, 16, calls).await;
    let second = resident(process);
    let again = flood(&fleet, 16, calls).await;
    let third = resident(process);
    eprintln!(
        "resident KiB: {before} before, {first}, {second}, {third} after {calls} calls each; refused: {refused}, {answered}, {again}"
    );
    assert!(refused > 0, "nothing was refused");
    assert!(
        first < before + 32 * MIB,
        "a flood of refused calls took {} KiB",
        first - before
    );
    assert!(
        second < before + 48 * MIB,
        "a flood of calls took {} KiB",
        second - before
    );
    assert!(
        third < second + 8 * MIB,
        "the same flood again took {} KiB more",
        third - second
    );
    fleet.smtp.behave();
    end(fleet).await;
}

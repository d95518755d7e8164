//! The process ends, or panics, at each step of the work. Only with `--features failpoints`; the first test holds for
//! either build.

use std::fs;

/// What the steps are armed with: a binary that contains the name has them.
const VARIABLE: &[u8] = b"MAILFACTOR_FAILPOINTS";

#[test]
fn only_a_build_that_asks_for_them_has_failpoints() {
    let binary = fs::read(env!("CARGO_BIN_EXE_mailfactor")).unwrap();
    let has = binary.windows(VARIABLE.len()).any(|window| window == VARIABLE);
    assert_eq!(has, cfg!(feature = "failpoints"));
    if !has {
        eprintln!("SKIPPED: the steps need `cargo test --features failpoints --test faults`");
    }
}

#[cfg(feature = "failpoints")]
mod armed {
    use std::{sync::Arc, time::Duration};

    use tokio::time::timeout;

    use mailfactor::{failpoints, pb::v1 as pb};

    use crate::{
        audit::{TAKEN_OVER, audit},
        dice::{Dice, seed, soak},
        fleet::Fleet,
        harness::{
            ManualClock,
            ground::Ground,
            ground::machine,
            ground::wait_for_entry,
            in_time,
            service::{Home, PATIENCE},
            smtp::{Act, At},
        },
        instances::end,
        ledger::Ledger,
        load::{Load, users_for},
    };

    const VARIABLE: &str = "MAILFACTOR_FAILPOINTS";
    const PARALLEL: usize = 4;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn aborted_at_each_step() {
        let mut dice = Dice::new(seed());
        let rounds = if soak() { 20 } else { 1 };
        let fleet = Arc::new(Fleet::set(Home::new(), users_for(120 * rounds)).await);
        fleet.kill(0);
        let ledger = Arc::new(Ledger::default());
        for _ in 0..rounds {
            for step in failpoints::STEPS {
                let arrival = match *step {
                    // The outbox is asked every 100 ms from the first moment on: not before the instance is ready.
                    "claim.before" => 30,
                    "claim.after" => 1,
                    _ => 1 + dice.below(6),
                };
                let plan = format!("{step}=abort#{arrival}");
                put_off(&fleet, 12);
                aborted(&fleet, &ledger, &plan, &mut dice).await;
            }
        }
        fleet.up(0, &[]).await;
        finish(fleet, &ledger, "an abort at each step").await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn aborted_at_random() {
        let mut dice = Dice::new(seed());
        let rounds = if soak() { 300 } else { 8 };
        let fleet = Arc::new(Fleet::set(Home::new(), users_for(10 * rounds)).await);
        fleet.kill(0);
        let ledger = Arc::new(Ledger::default());
        for _ in 0..rounds {
            let steps = failpoints::STEPS.iter().filter(|step| **step != "claim.before");
            let steps = steps.map(|step| format!("{step}=abort/400"));
            let plan = steps.collect::<Vec<_>>().join(",");
            let plan = format!("{plan},seed={}", 1 + dice.below(1 << 30));
            aborted(&fleet, &ledger, &plan, &mut dice).await;
        }
        fleet.up(0, &[]).await;
        finish(fleet, &ledger, "aborts at random").await;
    }

    /// An instance is armed with the plan and ends under load; the next one does what it left over, and is killed.
    async fn aborted(fleet: &Arc<Fleet>, ledger: &Arc<Ledger>, plan: &str, dice: &mut Dice) {
        fleet.up(0, &[(VARIABLE, plan)]).await;
        let load = Load::begin(fleet, ledger, PARALLEL, dice);
        fleet.ended(0, plan).await;
        fleet.smtp.behave();
        fleet.up(0, &[]).await;
        load.stop().await;
        // What is left over would be worked on, and the step reached, before the next instance is ready.
        fleet.drained(TAKEN_OVER).await;
        fleet.kill(0);
    }

    /// Whoever called is told that something is wrong, the mail is given up with a reason, and the service goes on.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn panics_at_each_step_are_one_calls_or_one_mails_own() {
        let mut dice = Dice::new(seed());
        let fleet = Arc::new(Fleet::set(Home::new(), users_for(120)).await);
        fleet.kill(0);
        let plan: Vec<String> = failpoints::STEPS
            .iter()
            .map(|step| format!("{step}=panic#{}", 2 + dice.below(5)))
            .collect();
        fleet.up(0, &[(VARIABLE, &plan.join(","))]).await;
        let ledger = Arc::new(Ledger::default());
        put_off(&fleet, 40);
        let mut load = Load::begin(&fleet, &ledger, PARALLEL, &mut dice);
        load.acknowledged(200).await;
        let unreached = || {
            let log = fleet.with(0, |process| process.log());
            let mut steps = failpoints::STEPS.iter();
            steps.find(|step| !log.contains(&format!("failpoint {step}")))
        };
        let reached = timeout(PATIENCE, async {
            while unreached().is_some() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
        assert!(reached.await.is_ok(), "{:?} was never reached", unreached());
        load.stop().await;
        finish(fleet, &ledger, "a panic at each step").await;
    }

    /// So many mails are put off at first: what is retried is claimed and needs leave, which is not so of what is handed
    /// over. More than the arrivals of a plan.
    fn put_off(fleet: &Fleet, mails: usize) {
        let later = Act::Reply("451 4.7.1 try again later");
        fleet.smtp.times(mails, At::Rcpt, later);
    }

    async fn finish(fleet: Arc<Fleet>, ledger: &Ledger, what: &str) {
        fleet.drained(TAKEN_OVER + Duration::from_secs(5)).await;
        let report = audit(&fleet, ledger).await;
        report.tell(what);
        end(fleet).await;
    }

    /// A worker that is frozen past its lease, before and after the final dot: somebody else takes the mail over, and what
    /// the late one does changes nothing (R4).
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_worker_held_past_its_lease_changes_nothing() {
        for (step, copies) in [("send.before_dot", 1), ("send.after_dot", 2)] {
            let scene = Ground::set(Home::new()).await;
            let clock = Arc::new(ManualClock::new());
            failpoints::arm(&format!("{step}=hold#1"));
            let (service, idp) = scene.serve(machine(&clock)).await;
            let admin = service.client(&scene.admin).await;
            let challenge = idp.start("ann").await.unwrap();
            in_time(async {
                while failpoints::arrivals(step) == 0 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
            .await;
            clock.advance(Duration::from_secs(31));
            let (entry, attempts) =
                wait_for_entry(&admin, |entry| entry.state() == pb::DeliveryState::Sent).await;
            assert_eq!(attempts.len(), 1, "{attempts:?}");
            failpoints::release();
            // The service ends only when the late step has.
            service.stop().await;
            let service = scene.home.serve(machine(&clock)).await;
            let idp = service.client(&scene.idp).await;
            let admin = service.client(&scene.admin).await;
            let (after, attempts) = wait_for_entry(&admin, |_| true).await;
            assert_eq!((after, attempts.len()), (entry, 1));
            let mails = scene.smtp.mails();
            assert_eq!(mails.len(), copies, "{step}");
            assert!(mails.iter().all(|mail| mail.data == mails[0].data));
            let code = crate::harness::letter::code(&mails[0].data);
            let verdict = idp.verify(&challenge.challenge_id, &code).await.unwrap();
            assert_eq!(verdict.result(), pb::VerifyResult::Verified);
            service.stop().await;
        }
    }
}

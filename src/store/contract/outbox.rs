//! The outbox.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::*;
use crate::{
    domain::{
        budget::SendLimits,
        delivery::{DeliveryState, FailureKind, SendFailure, Stage},
    },
    store::{
        AttemptRecord, ChangeKey, Charge, Claimed, Entry, EntryFilter, EntryOrder, LEASE, Leave, Outcome,
        PageKey, Requeued, Settlement,
    },
};

async fn open(place: &impl Place) -> (impl Store, Arc<ManualClock>) {
    let clock = ManualClock::new();
    (place.open(Arc::clone(&clock) as Arc<dyn Clock>).await, clock)
}

async fn claim(store: &impl Store, limit: u32) -> Vec<Claimed> {
    let leases = (0..limit).map(|_| lease()).collect();
    store.claim(limit, leases).await.unwrap()
}

async fn claim_one(store: &impl Store) -> Claimed {
    let mut claimed = claim(store, 5).await;
    assert_eq!(claimed.len(), 1);
    claimed.remove(0)
}

/// A mail that some worker leased when it was written.
async fn fresh(store: &impl Store, now: Timestamp) -> (EntryId, LeaseId) {
    let mut entry = entry(Some(ChallengeId::from_bytes(unique())), now);
    let lease = lease();
    entry.lease = Some(lease);
    let id = entry.id;
    store.enqueue(entry).await.unwrap();
    (id, lease)
}

async fn free(store: &impl Store, now: Timestamp) -> EntryId {
    let entry = entry(Some(ChallengeId::from_bytes(unique())), now);
    let id = entry.id;
    store.enqueue(entry).await.unwrap();
    id
}

fn failure() -> SendFailure {
    SendFailure {
        stage: Stage::Rcpt,
        kind: FailureKind::Temporary,
        code: Some(450),
        reply: "450 later".into(),
    }
}

fn attempt(account: &str, now: Timestamp, outcome: DeliveryState) -> AttemptRecord {
    AttemptRecord {
        number: 0,
        started_at: now,
        duration: Duration::from_millis(12),
        account: account.into(),
        stage: Stage::Rcpt,
        reply_code: Some(450),
        reply: "450 later".into(),
        outcome,
    }
}

fn settlement(id: EntryId, lease: LeaseId, outcome: Outcome) -> Settlement {
    Settlement {
        id,
        lease,
        outcome,
        subject: None,
        sender: None,
        attempts: Vec::new(),
        fate_known: false,
    }
}

async fn state(store: &impl Store, id: EntryId) -> DeliveryState {
    Outbox::find(store, id).await.unwrap().unwrap().state
}

pub(crate) async fn a_fresh_mail_belongs_to_its_lease(place: &impl Place) {
    let (store, clock) = open(place).await;
    let (id, lease) = fresh(&store, clock.now()).await;
    assert!(claim(&store, 5).await.is_empty());
    clock.pass(29 * SECOND);
    assert!(claim(&store, 5).await.is_empty());
    let sent = Outcome::Sent { at: clock.now() };
    assert!(store.settle(settlement(id, lease, sent)).await.unwrap());
    let entry = Outbox::find(&store, id).await.unwrap().unwrap();
    assert_eq!(
        (entry.state, entry.sent_at),
        (DeliveryState::Sent, Some(clock.now()))
    );
    assert_eq!(entry.next_attempt_at, None);
    clock.pass(LEASE);
    assert!(claim(&store, 5).await.is_empty());
}

pub(crate) async fn a_free_mail_is_claimed_once(place: &impl Place) {
    let (store, clock) = open(place).await;
    let mut written = Vec::new();
    for _ in 0..20 {
        written.push(free(&store, clock.now()).await);
        clock.pass(Duration::from_millis(1));
    }
    // Oldest first.
    let oldest: Vec<EntryId> = claim(&store, 3).await.iter().map(|claimed| claimed.id).collect();
    assert_eq!(oldest, written[..3]);
    let mut calls = JoinSet::new();
    for _ in 0..8 {
        let store = store.clone();
        calls.spawn(async move { claim(&store, 5).await });
    }
    let claimed: Vec<Claimed> = calls.join_all().await.into_iter().flatten().collect();
    let mut ids: Vec<EntryId> = claimed.iter().map(|claimed| claimed.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((claimed.len(), ids.len()), (17, 17));
    for claimed in &claimed {
        assert_eq!(claimed.leased_until, clock.now().plus(LEASE));
        assert_eq!((claimed.unsure, claimed.charged, claimed.attempts), (0, false, 0));
        assert_eq!(claimed.mail, Sealed::from_bytes(vec![4, 5, 6]));
    }
    assert!(store.claim(5, Vec::new()).await.unwrap().is_empty());
}

pub(crate) async fn a_lease_runs_out_and_fences(place: &impl Place) {
    let (store, clock) = open(place).await;
    let (id, late) = fresh(&store, clock.now()).await;
    clock.pass(LEASE);
    // Run out, though nobody has taken it over: a copy sent now could be one too many.
    assert_eq!(store.leave(id, late, None).await.unwrap(), Leave::Lost);
    let taken = claim_one(&store).await;
    // The fresh lease was charged when the row was written: that copy may have been sent.
    assert_eq!((taken.id, taken.unsure, taken.charged), (id, 1, false));
    assert_eq!(store.leave(id, late, None).await.unwrap(), Leave::Lost);
    let sent = Outcome::Sent { at: clock.now() };
    let mut recorded = settlement(id, late, sent);
    recorded.attempts = vec![attempt("a", clock.now(), DeliveryState::Sent)];
    assert!(!store.settle(recorded).await.unwrap());
    store.release(vec![(id, late)]).await.unwrap();
    assert!(claim(&store, 5).await.is_empty());
    assert_eq!(state(&store, id).await, DeliveryState::Queued);
    assert!(store.attempts(id).await.unwrap().is_empty());
    assert_eq!(store.leave(id, taken.lease, None).await.unwrap(), Leave::Granted);
}

pub(crate) async fn a_third_copy_of_unknown_fate_is_never_sent(place: &impl Place) {
    let (store, clock) = open(place).await;
    let id = free(&store, clock.now()).await;
    for unsure in 0..2 {
        let claimed = claim_one(&store).await;
        assert_eq!(claimed.unsure, unsure);
        assert_eq!(
            store.leave(id, claimed.lease, None).await.unwrap(),
            Leave::Granted
        );
        clock.pass(LEASE);
    }
    let third = claim_one(&store).await;
    assert_eq!(third.unsure, 2);
    assert_eq!(
        store.leave(id, third.lease, None).await.unwrap(),
        Leave::Exhausted
    );
}

pub(crate) async fn an_account_sends_no_more_than_its_limits(place: &impl Place) {
    let (store, clock) = open(place).await;
    let toll = Some(Charge {
        subject: subject(7),
        limits: SendLimits {
            burst: 1,
            refill: Duration::from_secs(20),
            per_day: 2,
        },
        silent: false,
    });
    // Leave that was given with the row is charged all the same, and asking twice is one copy.
    let (first, lease) = fresh(&store, clock.now()).await;
    assert_eq!(
        store.leave(first, lease, toll.clone()).await.unwrap(),
        Leave::Granted
    );
    let (second, lease) = fresh(&store, clock.now()).await;
    let allowed_from = clock.now().plus(Duration::from_secs(20));
    for _ in 0..2 {
        let refused = store.leave(second, lease, toll.clone()).await.unwrap();
        assert_eq!(refused, Leave::Spent(allowed_from));
    }
    assert_eq!(store.leave(second, lease, None).await.unwrap(), Leave::Granted);
    clock.pass(Duration::from_secs(20));
    assert_eq!(
        store.leave(second, lease, toll.clone()).await.unwrap(),
        Leave::Granted
    );
    let (third, lease) = fresh(&store, clock.now()).await;
    clock.pass(Duration::from_secs(20));
    let Leave::Spent(next_day) = store.leave(third, lease, toll).await.unwrap() else {
        panic!("the day allows no third mail");
    };
    assert_eq!(
        next_day,
        clock
            .now()
            .plus(Duration::from_hours(24))
            .minus(Duration::from_secs(40))
    );
}

pub(crate) async fn a_known_fate_takes_the_charge_back(place: &impl Place) {
    let (store, clock) = open(place).await;
    let (id, lease) = fresh(&store, clock.now()).await;
    let at = clock.now().plus(SECOND);
    let mut known = settlement(
        id,
        lease,
        Outcome::Retry {
            at,
            failure: failure(),
        },
    );
    known.fate_known = true;
    assert!(store.settle(known).await.unwrap());
    clock.pass(SECOND);
    let claimed = claim_one(&store).await;
    assert_eq!(claimed.unsure, 0);
    assert_eq!(
        store.leave(id, claimed.lease, None).await.unwrap(),
        Leave::Granted
    );
    let at = clock.now();
    let retry = Outcome::Retry {
        at,
        failure: failure(),
    };
    assert!(store.settle(settlement(id, claimed.lease, retry)).await.unwrap());
    assert_eq!(claim_one(&store).await.unsure, 1);
}

pub(crate) async fn giving_back_takes_back_only_its_own_charge(place: &impl Place) {
    let (store, clock) = open(place).await;
    let (id, lease) = fresh(&store, clock.now()).await;
    store.release(vec![(id, lease)]).await.unwrap();
    let claimed = claim_one(&store).await;
    assert_eq!((claimed.id, claimed.unsure), (id, 0));
    // A copy that an earlier holder may have sent stays counted.
    assert_eq!(
        store.leave(id, claimed.lease, None).await.unwrap(),
        Leave::Granted
    );
    clock.pass(LEASE);
    let second = claim_one(&store).await;
    store.release(vec![(id, second.lease)]).await.unwrap();
    assert_eq!(claim_one(&store).await.unsure, 1);
}

pub(crate) async fn at_the_start_every_lease_is_given_back(place: &impl Place) {
    let (store, clock) = open(place).await;
    let (first, lease) = fresh(&store, clock.now()).await;
    let second = free(&store, clock.now()).await;
    claim(&store, 5).await;
    assert_eq!(store.release_all().await.unwrap(), 2);
    assert_eq!(store.leave(first, lease, None).await.unwrap(), Leave::Lost);
    let mut claimed: Vec<_> = claim(&store, 5)
        .await
        .iter()
        .map(|claimed| (claimed.id, claimed.unsure))
        .collect();
    claimed.sort_unstable();
    assert_eq!(claimed, [(first, 1), (second, 0)]);
}

pub(crate) async fn outcomes_and_attempts_are_recorded(place: &impl Place) {
    let (store, clock) = open(place).await;
    let (id, lease) = fresh(&store, clock.now()).await;
    let at = clock.now().plus(SECOND);
    let mut retry = settlement(
        id,
        lease,
        Outcome::Retry {
            at,
            failure: failure(),
        },
    );
    retry.subject = Some("Your code ******".into());
    retry.sender = Some("login@example.org".into());
    retry.attempts = vec![
        attempt("first", clock.now(), DeliveryState::Deferred),
        attempt("second", clock.now(), DeliveryState::Deferred),
    ];
    assert!(store.settle(retry).await.unwrap());
    let deferred = Outbox::find(&store, id).await.unwrap().unwrap();
    assert_eq!(deferred.state, DeliveryState::Deferred);
    assert_eq!((deferred.account.as_str(), deferred.attempts), ("second", 2));
    assert_eq!(deferred.subject, "Your code ******");
    assert_eq!(deferred.last_error, "rcpt failed: 450 later");
    assert_eq!(deferred.next_attempt_at, Some(at));
    clock.pass(SECOND);
    let claimed = claim_one(&store).await;
    assert_eq!(claimed.attempts, 2);
    let mut failed = settlement(id, claimed.lease, Outcome::Failed { failure: failure() });
    failed.attempts = vec![attempt("second", clock.now(), DeliveryState::Failed)];
    assert!(store.settle(failed).await.unwrap());
    let entry = Outbox::find(&store, id).await.unwrap().unwrap();
    assert_eq!((entry.state, entry.attempts), (DeliveryState::Failed, 3));
    assert_eq!(entry.subject, "Your code ******");
    assert_eq!(entry.sender, "login@example.org");
    assert_eq!(entry.changed_at, clock.now());
    let attempts = store.attempts(id).await.unwrap();
    let numbers: Vec<u32> = attempts.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert_eq!(attempts[0].account, "first");
    assert_eq!(attempts[0].duration, Duration::from_millis(12));
    assert_eq!(attempts[2].reply_code, Some(450));
    assert_eq!(attempts[2].stage, Stage::Rcpt);
    assert_eq!(attempts[2].outcome, DeliveryState::Failed);
    assert_eq!(attempts[2].started_at, clock.now());
}

pub(crate) async fn a_retry_waits(place: &impl Place) {
    let (store, clock) = open(place).await;
    let (id, lease) = fresh(&store, clock.now()).await;
    let at = clock.now().plus(8 * SECOND);
    let retry = Outcome::Retry {
        at,
        failure: failure(),
    };
    assert!(store.settle(settlement(id, lease, retry)).await.unwrap());
    clock.pass(Duration::from_micros(7_999_999));
    assert!(claim(&store, 5).await.is_empty());
    clock.pass(Duration::from_micros(1));
    assert_eq!(claim_one(&store).await.id, id);
    // The lease was given up with the settlement.
    assert_eq!(store.leave(id, lease, None).await.unwrap(), Leave::Lost);
}

pub(crate) async fn what_is_late_expires(place: &impl Place) {
    let (store, clock) = open(place).await;
    let first = entry(Some(ChallengeId::from_bytes(unique())), clock.now());
    let test = NewEntry {
        kind: MailKind::Test,
        ..entry(None, clock.now())
    };
    let (challenge, id, test_id) = (first.challenge, first.id, test.id);
    store.enqueue(first).await.unwrap();
    store.enqueue(test).await.unwrap();
    assert!(store.expire(clock.now(), 10).await.unwrap().is_empty());
    clock.pass(299 * SECOND);
    let (held, lease) = {
        let mut held = entry(None, clock.now());
        held.expires_at = clock.now().plus(SECOND);
        let lease = lease();
        held.lease = Some(lease);
        let id = held.id;
        store.enqueue(held).await.unwrap();
        (id, lease)
    };
    clock.pass(SECOND);
    assert!(claim(&store, 5).await.is_empty());
    // One that is being sent is left to its holder.
    let mut expired = store.expire(clock.now(), 10).await.unwrap();
    expired.sort_unstable();
    assert_eq!(expired, [None, challenge]);
    assert!(store.expire(clock.now(), 10).await.unwrap().is_empty());
    for id in [id, test_id] {
        assert_eq!(state(&store, id).await, DeliveryState::Expired);
    }
    let late = Outcome::Expired {
        failure: Some(failure()),
    };
    assert!(store.settle(settlement(held, lease, late)).await.unwrap());
    assert_eq!(state(&store, held).await, DeliveryState::Expired);
}

pub(crate) async fn a_withdrawn_mail_is_not_sent(place: &impl Place) {
    let (store, clock) = open(place).await;
    let challenge = ChallengeId::from_bytes(unique());
    let mut entries = Vec::new();
    for _ in 0..3 {
        let mut entry = entry(Some(challenge), clock.now());
        let lease = lease();
        entry.lease = Some(lease);
        entries.push((entry.id, lease));
        store.enqueue(entry).await.unwrap();
    }
    let other = free(&store, clock.now()).await;
    let [(first, first_lease), (second, second_lease), (third, third_lease)] = entries[..] else {
        panic!("three were written")
    };
    let sent = |lease, id| settlement(id, lease, Outcome::Sent { at: clock.now() });
    assert!(store.settle(sent(first_lease, first)).await.unwrap());
    store.withdraw(challenge).await.unwrap();
    assert_eq!(state(&store, first).await, DeliveryState::Sent);
    assert_eq!(state(&store, second).await, DeliveryState::Withdrawn);
    assert_eq!(
        store.leave(second, second_lease, None).await.unwrap(),
        Leave::Lost
    );
    // What had left already is told as it was; what had not stays withdrawn.
    assert!(store.settle(sent(second_lease, second)).await.unwrap());
    assert_eq!(state(&store, second).await, DeliveryState::Sent);
    let retry = Outcome::Retry {
        at: clock.now(),
        failure: failure(),
    };
    assert!(store.settle(settlement(third, third_lease, retry)).await.unwrap());
    assert_eq!(state(&store, third).await, DeliveryState::Withdrawn);
    assert_eq!(claim_one(&store).await.id, other);
    assert_eq!(store.depth().await.unwrap().waiting, 1);
}

pub(crate) async fn a_decoy_is_never_seen(place: &impl Place) {
    let (store, clock) = open(place).await;
    let mut decoy = entry(Some(ChallengeId::from_bytes(unique())), clock.now());
    decoy.decoy = true;
    let id = decoy.id;
    store.enqueue(decoy.clone()).await.unwrap();
    let mut leased = entry(None, clock.now());
    leased.decoy = true;
    leased.lease = Some(lease());
    store.enqueue(leased).await.unwrap();
    assert!(claim(&store, 5).await.is_empty());
    assert!(Outbox::find(&store, id).await.unwrap().is_none());
    let all = Outbox::list(&store, &EntryFilter::default(), None, 10)
        .await
        .unwrap();
    assert!(all.is_empty());
    assert_eq!(store.depth().await.unwrap().waiting, 0);
    clock.pass(10 * MINUTE);
    assert!(claim(&store, 5).await.is_empty());
    assert!(store.expire(clock.now(), 10).await.unwrap().is_empty());
    assert_eq!(store.release_all().await.unwrap(), 0);
    assert_eq!(Outbox::purge(&store, clock.now(), 10).await.unwrap(), 2);
}

pub(crate) async fn reports_are_paged_and_filtered(place: &impl Place) {
    let (store, clock) = open(place).await;
    let began = clock.now();
    let mut written = Vec::new();
    for index in 0..25_u64 {
        // Five in each microsecond: the page key must tell them apart.
        if index % 5 == 0 {
            clock.pass(Duration::from_micros(1));
        }
        written.push((clock.now(), free(&store, clock.now()).await));
    }
    written.sort_unstable();
    written.reverse();
    let none = EntryFilter::default();
    let mut read = Vec::new();
    let mut after = None;
    loop {
        let page = Outbox::list(&store, &none, after, 4).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(PageKey {
            submitted_at: last.submitted_at,
            id: last.id,
        });
        read.extend(page.iter().map(|entry| (entry.submitted_at, entry.id)));
    }
    assert_eq!(read, written);
    let claimed = claim(&store, 2).await;
    for (claimed, account) in claimed.iter().zip(["a", "b"]) {
        let mut sent = settlement(claimed.id, claimed.lease, Outcome::Sent { at: clock.now() });
        sent.attempts = vec![attempt(account, clock.now(), DeliveryState::Sent)];
        store.settle(sent).await.unwrap();
    }
    let count = async |filter: EntryFilter| Outbox::list(&store, &filter, None, 100).await.unwrap().len();
    let states = |states: &[DeliveryState]| EntryFilter {
        states: states.to_vec(),
        ..EntryFilter::default()
    };
    assert_eq!(count(states(&[DeliveryState::Sent])).await, 2);
    assert_eq!(count(states(&[DeliveryState::Queued])).await, 23);
    assert_eq!(
        count(states(&[DeliveryState::Sent, DeliveryState::Queued])).await,
        25
    );
    assert_eq!(count(states(&[DeliveryState::Failed])).await, 0);
    let account = EntryFilter {
        account: Some("a".into()),
        ..states(&[DeliveryState::Sent])
    };
    assert_eq!(count(account).await, 1);
    let time = EntryFilter {
        from: Some(began.plus(Duration::from_micros(2))),
        until: Some(began.plus(Duration::from_micros(4))),
        ..EntryFilter::default()
    };
    assert_eq!(count(time).await, 10);
    let oldest_first = EntryFilter {
        order: EntryOrder::OldestFirst,
        ..EntryFilter::default()
    };
    written.reverse();
    let mut read = Vec::new();
    while let page = Outbox::list(&store, &oldest_first, after_last(&read), 4)
        .await
        .unwrap()
        && !page.is_empty()
    {
        read.extend(page.iter().map(|entry| (entry.submitted_at, entry.id)));
    }
    assert_eq!(read, written);
    let depth = store.depth().await.unwrap();
    assert_eq!(
        (depth.waiting, depth.oldest),
        (23, Some(began.plus(Duration::from_micros(1))))
    );
}

fn after_last(read: &[(Timestamp, EntryId)]) -> Option<PageKey> {
    let (submitted_at, id) = *read.last()?;
    Some(PageKey { submitted_at, id })
}

/// Every way to ask gives the same rows as looking at all of them, on every page and in both orders.
pub(crate) async fn every_filter_finds_what_it_asks_for(place: &impl Place) {
    let (store, clock) = open(place).await;
    for index in 0..60_u64 {
        if index % 3 == 0 {
            clock.pass(SECOND);
        }
        let mut new = entry(None, clock.now());
        new.recipient = subject(u8::try_from(index % 4).unwrap());
        if index % 7 == 0 {
            new.kind = MailKind::Test;
        }
        let lease = lease();
        new.lease = Some(lease);
        let id = new.id;
        new.decoy = index % 11 == 0;
        store.enqueue(new).await.unwrap();
        let outcome = match index % 5 {
            0 => continue,
            1 => Outcome::Failed { failure: failure() },
            _ => Outcome::Sent { at: clock.now() },
        };
        let mut settled = settlement(id, lease, outcome);
        let account = if index % 2 == 0 { "even" } else { "odd" };
        settled.attempts = vec![attempt(account, clock.now(), DeliveryState::Sent)];
        assert!(store.settle(settled).await.unwrap());
    }
    let all = Outbox::list(&store, &EntryFilter::default(), None, 100)
        .await
        .unwrap();
    assert_eq!(all.len(), 54);
    let moment = |index: usize| Some(all[index].submitted_at);
    for bits in 0..64_u32 {
        let on = |bit: u32| bits & (1 << bit) != 0;
        let mut filter = EntryFilter {
            states: Vec::new(),
            account: on(0).then(|| "odd".into()),
            kind: on(1).then_some(if on(2) { MailKind::Test } else { MailKind::Code }),
            recipient: on(3).then(|| subject(1)),
            from: on(4).then(|| moment(50)).flatten(),
            until: on(4).then(|| moment(4)).flatten(),
            order: EntryOrder::NewestFirst,
        };
        if on(5) {
            filter.states = vec![DeliveryState::Failed, DeliveryState::Queued];
        }
        let recipients = recipients(&store, &filter).await;
        let wanted = |entry: &&Entry| {
            (filter.states.is_empty() || filter.states.contains(&entry.state))
                && filter
                    .account
                    .as_ref()
                    .is_none_or(|account| entry.account == *account)
                && filter.kind.is_none_or(|kind| entry.kind == kind)
                && filter.from.is_none_or(|from| entry.submitted_at >= from)
                && filter.until.is_none_or(|until| entry.submitted_at < until)
                && recipients.as_ref().is_none_or(|known| known.contains(&entry.id))
        };
        let mut expected: Vec<_> = all
            .iter()
            .filter(wanted)
            .map(|entry| (entry.submitted_at, entry.id))
            .collect();
        for order in [EntryOrder::NewestFirst, EntryOrder::OldestFirst] {
            filter.order = order;
            let mut read = Vec::new();
            while let page = Outbox::list(&store, &filter, after_last(&read), 5).await.unwrap()
                && !page.is_empty()
            {
                read.extend(page.iter().map(|entry| (entry.submitted_at, entry.id)));
            }
            assert_eq!(read, expected, "{filter:?}");
            expected.reverse();
        }
    }
}

/// The mails to the filter's recipient, asked for by nothing else.
async fn recipients(store: &impl Store, filter: &EntryFilter) -> Option<Vec<EntryId>> {
    let only = EntryFilter {
        recipient: Some(filter.recipient?),
        ..EntryFilter::default()
    };
    let found = Outbox::list(store, &only, None, 100).await.unwrap();
    assert_eq!(found.len(), 14);
    Some(found.iter().map(|entry| entry.id).collect())
}

pub(crate) async fn a_failed_mail_is_tried_again_while_its_code_lives(place: &impl Place) {
    let (store, clock) = open(place).await;
    let challenge = challenge(1, clock.now());
    let mut start = start(&challenge);
    let lease = lease();
    start.entry.lease = Some(lease);
    let id = start.entry.id;
    store.start(start).await.unwrap();
    let requeue = async |id| store.requeue(id, clock.now(), &note()).await.unwrap();
    assert!(matches!(requeue(id).await, Requeued::NotFailed));
    assert!(matches!(
        requeue(EntryId::from_bytes(unique())).await,
        Requeued::Unknown
    ));
    let failed = Outcome::Failed { failure: failure() };
    assert!(store.settle(settlement(id, lease, failed)).await.unwrap());
    clock.pass(SECOND);
    let Requeued::Due(entry) = requeue(id).await else {
        panic!("it failed and its code lives")
    };
    assert_eq!(entry.state, DeliveryState::Deferred);
    assert_eq!(
        (entry.next_attempt_at, entry.changed_at),
        (Some(clock.now()), clock.now())
    );
    let claimed = claim_one(&store).await;
    assert_eq!((claimed.id, claimed.unsure), (id, 0));
    let failed = Outcome::Failed { failure: failure() };
    assert!(store.settle(settlement(id, claimed.lease, failed)).await.unwrap());
    store.cancel(challenge.id, clock.now()).await.unwrap();
    assert!(matches!(requeue(id).await, Requeued::Expired));
    clock.pass(10 * MINUTE);
    assert!(matches!(requeue(id).await, Requeued::Expired));
}

pub(crate) async fn closed_mails_are_forgotten(place: &impl Place) {
    let (store, clock) = open(place).await;
    let (sent, lease) = fresh(&store, clock.now()).await;
    let mut settled = settlement(sent, lease, Outcome::Sent { at: clock.now() });
    settled.attempts = vec![attempt("a", clock.now(), DeliveryState::Sent)];
    store.settle(settled).await.unwrap();
    let open_one = free(&store, clock.now()).await;
    clock.pass(SECOND);
    let (young, lease) = fresh(&store, clock.now()).await;
    store
        .settle(settlement(young, lease, Outcome::Sent { at: clock.now() }))
        .await
        .unwrap();
    assert_eq!(Outbox::purge(&store, clock.now(), 10).await.unwrap(), 1);
    assert!(Outbox::find(&store, sent).await.unwrap().is_none());
    assert!(store.attempts(sent).await.unwrap().is_empty());
    assert_eq!(state(&store, open_one).await, DeliveryState::Queued);
    assert_eq!(state(&store, young).await, DeliveryState::Sent);
}

/// Every write that changes what a report shows is a change; what a worker does to its lease is none.
pub(crate) async fn changes_come_in_the_order_they_happened(place: &impl Place) {
    let (store, clock) = open(place).await;
    let began = clock.now();
    let all = EntryFilter::default();
    let changed = async |filter: &EntryFilter, from, after, limit| {
        let read = store.changed(filter, from, after, limit).await.unwrap();
        assert_eq!(read.as_of, clock.now());
        read.entries
    };
    let challenge = ChallengeId::from_bytes(unique());
    let withdrawn = entry(Some(challenge), clock.now());
    let withdrawn_id = withdrawn.id;
    store.enqueue(withdrawn).await.unwrap();
    let mut decoy = entry(None, clock.now());
    decoy.decoy = true;
    store.enqueue(decoy).await.unwrap();
    clock.pass(SECOND);
    let (sent, lease) = fresh(&store, clock.now()).await;
    clock.pass(SECOND);
    let failing = free(&store, clock.now()).await;
    let ids = |entries: Vec<Entry>| entries.iter().map(|entry| entry.id).collect::<Vec<_>>();
    let found = ids(changed(&all, began, None, 10).await);
    assert_eq!(found, [withdrawn_id, sent, failing]);
    assert_eq!(
        ids(changed(&all, clock.now(), None, 10).await),
        [failing],
        "from its moment on"
    );
    assert!(changed(&all, began, None, 0).await.is_empty());
    clock.pass(SECOND);
    // A lease alone is no change.
    let claimed = claim(&store, 5).await;
    let from = clock.now();
    assert!(changed(&all, from, None, 10).await.is_empty());
    let claimed = claimed.iter().find(|claimed| claimed.id == failing).unwrap();
    let failed = Outcome::Failed { failure: failure() };
    assert!(
        store
            .settle(settlement(failing, claimed.lease, failed))
            .await
            .unwrap()
    );
    clock.pass(SECOND);
    let outcome = Outcome::Sent { at: clock.now() };
    assert!(store.settle(settlement(sent, lease, outcome)).await.unwrap());
    clock.pass(SECOND);
    store.withdraw(challenge).await.unwrap();
    let found = changed(&all, from, None, 10).await;
    let states: Vec<_> = found.iter().map(|entry| (entry.id, entry.state)).collect();
    assert_eq!(
        states,
        [
            (failing, DeliveryState::Failed),
            (sent, DeliveryState::Sent),
            (withdrawn_id, DeliveryState::Withdrawn)
        ]
    );
    // Page by page it is the same.
    let mut paged = Vec::new();
    let mut after = None;
    while let page = changed(&all, from, after, 1).await
        && let Some(entry) = page.first()
    {
        after = Some(ChangeKey::of(entry));
        paged.push((entry.id, entry.state));
    }
    assert_eq!(paged, states);
    let failed = EntryFilter {
        states: vec![DeliveryState::Failed],
        ..EntryFilter::default()
    };
    assert_eq!(ids(changed(&failed, began, None, 10).await), [failing]);
    let nobody = EntryFilter {
        recipient: Some(subject(9)),
        ..EntryFilter::default()
    };
    assert!(changed(&nobody, began, None, 10).await.is_empty());
}

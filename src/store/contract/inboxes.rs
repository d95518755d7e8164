//! Inboxes and reports.

use std::{sync::Arc, time::Duration};

use super::*;
use crate::{
    domain::{
        account::{Link, Login, Secret, Security, Server},
        delivery::DeliveryState,
        id::InboxId,
        inbox::{Inbox, InboxSettings, Position, Protocol},
        report::{Report, ReportKind},
    },
    store::{BegunCheck, CheckEnd, InboxWrite, MOST_REPORTS, Outcome, Settlement},
};

const HOLD: Duration = Duration::from_secs(45);

async fn open(place: &impl Place) -> (impl Store, Arc<ManualClock>) {
    let clock = ManualClock::new();
    (place.open(Arc::clone(&clock) as Arc<dyn Clock>).await, clock)
}

fn settings(name: &str) -> InboxSettings {
    InboxSettings {
        name: name.into(),
        enabled: true,
        automatic_check: true,
        keep_copy: false,
        interval: Duration::from_micros(60_000_001),
        protocol: Protocol::Pop3,
        server: Server {
            host: "pop.example.com".into(),
            port: 995,
            security: Security::ImplicitTls,
        },
        link: Link {
            server_name: Some("pop.internal".into()),
            authorities: Some("PEM".into()),
            any_certificate: true,
            ..Link::default()
        },
        login: Login {
            username: "bounces".into(),
            secret: Secret::Sealed(Sealed::from_bytes(vec![1, 2])),
        },
    }
}

fn id() -> InboxId {
    InboxId::from_bytes(unique())
}

fn saved(write: InboxWrite) -> Inbox {
    match write {
        InboxWrite::Saved(inbox) => *inbox,
        other => panic!("{other:?}"),
    }
}

fn end(now: Timestamp, error: Option<&str>) -> CheckEnd {
    CheckEnd {
        at: now,
        error: error.map(str::to_owned),
        next_check_at: now.plus(MINUTE),
        messages_read: 3,
        reports_matched: 1,
        position: Position {
            uid_validity: 7,
            last_uid: u32::MAX,
            seen: vec![[1; 16], [2; 16]],
        },
    }
}

pub(crate) async fn an_inbox_comes_back_whole(place: &impl Place) {
    let (store, clock) = open(place).await;
    let now = clock.now();
    let made = saved(
        store
            .create_inbox(id(), settings("b"), now, &note())
            .await
            .unwrap(),
    );
    assert_eq!(made.settings, settings("b"));
    assert_eq!(store.find_inbox(made.id).await.unwrap(), Some(made.clone()));
    let again = store
        .create_inbox(id(), settings("b"), now, &note())
        .await
        .unwrap();
    assert!(matches!(again, InboxWrite::NameTaken));
    let other = saved(
        store
            .create_inbox(id(), settings("a"), now, &note())
            .await
            .unwrap(),
    );
    let names: Vec<String> = store
        .list_inboxes()
        .await
        .unwrap()
        .into_iter()
        .map(|inbox| inbox.settings.name)
        .collect();
    assert_eq!(names, ["a", "b"]);
    let taken = store
        .update_inbox(other.id, settings("b"), None, now, &note())
        .await
        .unwrap();
    assert!(matches!(taken, InboxWrite::NameTaken));
    saved(store.delete_inbox(other.id, Some(1), &note()).await.unwrap());
    assert_eq!(store.find_inbox(other.id).await.unwrap(), None);
}

pub(crate) async fn an_inbox_is_changed_over_the_version_that_is_named(place: &impl Place) {
    let (store, clock) = open(place).await;
    let now = clock.now();
    let made = saved(
        store
            .create_inbox(id(), settings("a"), now, &note())
            .await
            .unwrap(),
    );
    let changed = InboxSettings {
        enabled: false,
        ..settings("a")
    };
    let second = saved(
        store
            .update_inbox(made.id, changed.clone(), Some(1), now, &note())
            .await
            .unwrap(),
    );
    assert_eq!((second.version, second.settings.enabled), (2, false));
    let stale = store
        .update_inbox(made.id, settings("a"), Some(1), now, &note())
        .await
        .unwrap();
    assert!(matches!(stale, InboxWrite::Stale));
    assert!(matches!(
        store.delete_inbox(made.id, Some(1), &note()).await.unwrap(),
        InboxWrite::Stale
    ));
    assert!(matches!(
        store.delete_inbox(id(), None, &note()).await.unwrap(),
        InboxWrite::Unknown
    ));
    assert_eq!(
        store.find_inbox(made.id).await.unwrap().unwrap().settings,
        changed
    );
}

pub(crate) async fn one_reads_an_inbox_at_a_time(place: &impl Place) {
    let (store, clock) = open(place).await;
    let made = saved(
        store
            .create_inbox(id(), settings("a"), clock.now(), &note())
            .await
            .unwrap(),
    );
    assert_eq!(store.due_inboxes(clock.now(), 5).await.unwrap(), [made.id]);
    let (first, second) = (lease(), lease());
    let begun = store.begin_check(made.id, first, HOLD).await.unwrap();
    assert!(matches!(begun, BegunCheck::Begun(_, position) if position == Position::default()));
    assert!(matches!(
        store.begin_check(made.id, second, HOLD).await.unwrap(),
        BegunCheck::Busy
    ));
    assert!(
        store
            .find_inbox(made.id)
            .await
            .unwrap()
            .unwrap()
            .standing
            .checking
    );
    assert!(store.due_inboxes(clock.now(), 5).await.unwrap().is_empty());
    // A lease runs out and fences.
    clock.pass(HOLD);
    assert!(!store.holds_check(made.id, first).await.unwrap());
    assert!(matches!(
        store.begin_check(made.id, second, HOLD).await.unwrap(),
        BegunCheck::Begun(..)
    ));
    assert!(
        !store
            .end_check(made.id, first, end(clock.now(), None))
            .await
            .unwrap()
    );
    assert!(store.holds_check(made.id, second).await.unwrap());
    assert!(
        store
            .end_check(made.id, second, end(clock.now(), None))
            .await
            .unwrap()
    );
    assert!(store.due_inboxes(clock.now(), 5).await.unwrap().is_empty());
    clock.pass(MINUTE);
    assert_eq!(store.due_inboxes(clock.now(), 5).await.unwrap(), [made.id]);
    let begun = store.begin_check(made.id, first, HOLD).await.unwrap();
    let BegunCheck::Begun(inbox, position) = begun else {
        panic!("{begun:?}")
    };
    assert_eq!(position, end(clock.now(), None).position);
    assert_eq!(
        (inbox.standing.messages_read, inbox.standing.reports_matched),
        (3, 1)
    );
    assert!(matches!(
        store.begin_check(id(), second, HOLD).await.unwrap(),
        BegunCheck::Unknown
    ));
    store.release_checks().await.unwrap();
    assert!(!store.holds_check(made.id, first).await.unwrap());
}

pub(crate) async fn failed_checks_are_counted_until_one_succeeds(place: &impl Place) {
    let (store, clock) = open(place).await;
    let made = saved(
        store
            .create_inbox(id(), settings("a"), clock.now(), &note())
            .await
            .unwrap(),
    );
    for (error, failures) in [(Some("no"), 1), (Some("never"), 2), (None, 0), (Some("no"), 1)] {
        let lease = lease();
        store.begin_check(made.id, lease, HOLD).await.unwrap();
        assert!(
            store
                .end_check(made.id, lease, end(clock.now(), error))
                .await
                .unwrap()
        );
        let standing = store.find_inbox(made.id).await.unwrap().unwrap().standing;
        assert_eq!(
            (standing.failures, standing.last_error.as_str()),
            (failures, error.unwrap_or_default())
        );
    }
}

pub(crate) async fn a_change_ends_the_lease_and_elsewhere_reading_begins_anew(place: &impl Place) {
    let (store, clock) = open(place).await;
    let made = saved(
        store
            .create_inbox(id(), settings("a"), clock.now(), &note())
            .await
            .unwrap(),
    );
    let first = lease();
    store.begin_check(made.id, first, HOLD).await.unwrap();
    store
        .end_check(made.id, first, end(clock.now(), None))
        .await
        .unwrap();
    for (host, kept) in [("pop.example.com", true), ("other.example.com", false)] {
        let reader = lease();
        store.begin_check(made.id, reader, HOLD).await.unwrap();
        let mut changed = settings("a");
        host.clone_into(&mut changed.server.host);
        saved(
            store
                .update_inbox(made.id, changed, None, clock.now(), &note())
                .await
                .unwrap(),
        );
        assert!(!store.holds_check(made.id, reader).await.unwrap());
        assert!(
            !store
                .end_check(made.id, reader, end(clock.now(), None))
                .await
                .unwrap()
        );
        let next = lease();
        let begun = store.begin_check(made.id, next, HOLD).await.unwrap();
        assert!(matches!(begun, BegunCheck::Begun(_, position) if (position.last_uid > 0) == kept));
        store.release_checks().await.unwrap();
    }
}

fn report(kind: ReportKind, status: &str, now: Timestamp) -> Report {
    Report {
        kind,
        status: status.into(),
        text: "user unknown".into(),
        received_at: now,
    }
}

async fn settle_as_sent(store: &impl Store, entry: &NewEntry, now: Timestamp) {
    let settled = store
        .settle(Settlement {
            id: entry.id,
            lease: entry.lease.unwrap(),
            outcome: Outcome::Sent { at: now },
            subject: None,
            sender: None,
            attempts: Vec::new(),
            fate_known: true,
        })
        .await;
    assert!(settled.unwrap());
}

pub(crate) async fn a_mail_that_comes_back_is_bounced(place: &impl Place) {
    let (store, clock) = open(place).await;
    let now = clock.now();
    let mail = |first: bool| NewEntry {
        queue: MailQueue::default(),
        lease: Some(lease()),
        challenge: first.then(|| ChallengeId::from_bytes(unique())),
        ..entry(None, now)
    };
    // Sent, then reported; and reported before the worker could say that it was sent.
    for late in [true, false] {
        let sent = mail(late);
        store.enqueue(sent.clone()).await.unwrap();
        if late {
            settle_as_sent(&store, &sent, now).await;
        }
        let delayed = report(ReportKind::Delayed, "4.4.1", now);
        let noted = store
            .report(sent.id, &sent.message_id, delayed.clone())
            .await
            .unwrap()
            .unwrap();
        assert!(!noted.changed);
        let bounced = report(ReportKind::Bounced, "5.1.1", now);
        for time in 0..2 {
            let noted = store
                .report(sent.id, &sent.message_id, bounced.clone())
                .await
                .unwrap()
                .unwrap();
            assert_eq!(
                (noted.changed, noted.challenge),
                (late && time == 0, sent.challenge)
            );
        }
        if !late {
            settle_as_sent(&store, &sent, now).await;
        }
        let entry = Outbox::find(&store, sent.id).await.unwrap().unwrap();
        assert_eq!(entry.state, DeliveryState::Bounced);
        assert_eq!(store.reports(sent.id).await.unwrap(), [bounced, delayed]);
    }
}

pub(crate) async fn a_report_needs_the_whole_message_id_and_changes_nothing_else(place: &impl Place) {
    let (store, clock) = open(place).await;
    let now = clock.now();
    let waiting = entry(None, now);
    let decoy = NewEntry {
        decoy: true,
        ..entry(None, now)
    };
    for entry in [&waiting, &decoy] {
        store.enqueue(entry.clone()).await.unwrap();
    }
    let bounce = || report(ReportKind::Bounced, "5.1.1", now);
    assert_eq!(
        store
            .report(waiting.id, "<x@example.com>", bounce())
            .await
            .unwrap(),
        None
    );
    assert_eq!(
        store
            .report(EntryId::from_bytes(unique()), &waiting.message_id, bounce())
            .await
            .unwrap(),
        None
    );
    assert_eq!(
        store.report(decoy.id, &decoy.message_id, bounce()).await.unwrap(),
        None
    );
    for number in 0..2 * MOST_REPORTS {
        let read = report(ReportKind::Read, &number.to_string(), now);
        store
            .report(waiting.id, &waiting.message_id, read)
            .await
            .unwrap()
            .unwrap();
    }
    assert_eq!(store.reports(waiting.id).await.unwrap().len(), 8);
    let noted = store
        .report(waiting.id, &waiting.message_id, bounce())
        .await
        .unwrap()
        .unwrap();
    assert!(!noted.changed);
    let entry = Outbox::find(&store, waiting.id).await.unwrap().unwrap();
    assert_eq!(entry.state, DeliveryState::Queued);
}

//! The audit.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{people, *};
use crate::{
    domain::{
        audit::{AuditEvent, Change, Object},
        caller::{Caller, KeyDigest, Role},
        delivery::{FailureKind, SendFailure, Stage},
        policy_draft::PolicyDraft,
        template::{TemplateKey, TemplateParts},
    },
    store::{
        AccountWrite, AuditFilter, AuditKey, CallerWrite, Outcome, Requeued, Sending, Settlement,
        TemplateWrite,
    },
};

async fn open(place: &impl Place) -> (impl Store, Arc<ManualClock>) {
    let clock = ManualClock::new();
    (place.open(Arc::clone(&clock) as Arc<dyn Clock>).await, clock)
}

async fn events(store: &impl Store) -> Vec<AuditEvent> {
    Audit::list(store, &AuditFilter::default(), None, 100)
        .await
        .unwrap()
}

/// The one event that was left since this was last asked, with what it changed.
async fn left(store: &impl Store, clock: &ManualClock, note: &Note, object: &str) -> (Value, Value) {
    let found = events(store).await;
    let mine: Vec<&AuditEvent> = found.iter().filter(|event| event.note.id == note.id).collect();
    assert_eq!(mine.len(), 1, "{:?}", note.action);
    assert_eq!(found[0], *mine[0], "the last comes first");
    assert_eq!((&mine[0].note, mine[0].at), (note, clock.now()));
    assert_eq!(mine[0].object.name, object);
    clock.pass(SECOND);
    let change = &mine[0].change;
    (change.before.clone().into(), change.after.clone().into())
}

fn caller(name: &str) -> Caller {
    Caller {
        id: CallerId::parse("00000000000000bb").unwrap(),
        name: name.into(),
        role: Role::Auditor,
        see_users: false,
        keys: vec![KeyDigest([7; 32])],
        certificate: None,
        created_at: Timestamp::default(),
    }
}

fn parts(subject: &str) -> TemplateParts {
    TemplateParts {
        subject: subject.into(),
        text: "{{ otp }}".into(),
        html: String::new(),
    }
}

pub(crate) async fn every_change_leaves_one_event(place: &impl Place) {
    let (store, clock) = open(place).await;
    let now = clock.now();
    let id = people::id();
    let settings = people::settings("main");
    let note = note_of(Action::AccountCreate);
    Accounts::create(&store, id, settings.clone(), now, &note)
        .await
        .unwrap();
    let (before, after) = left(&store, &clock, &note, "main").await;
    assert_eq!(before, json!({}));
    assert_eq!(
        (&after["name"], &after["is_default"]),
        (&json!("main"), &json!(true))
    );
    let mut renamed = settings.clone();
    renamed.name = "first".into();
    let note = note_of(Action::AccountUpdate);
    Accounts::update(&store, id, renamed, None, now, &note)
        .await
        .unwrap();
    assert_eq!(
        left(&store, &clock, &note, "first").await,
        (json!({"name": "main"}), json!({"name": "first"}))
    );
    let other = people::id();
    Accounts::create(&store, other, people::settings("other"), now, &super::note())
        .await
        .unwrap();
    let note = note_of(Action::AccountSetDefault);
    store.set_default(other, now, &note).await.unwrap();
    assert_eq!(
        left(&store, &clock, &note, "other").await,
        (json!({"is_default": false}), json!({"is_default": true}))
    );
    let note = note_of(Action::AccountDelete);
    Accounts::delete(&store, id, None, &note).await.unwrap();
    let (before, after) = left(&store, &clock, &note, "first").await;
    assert_eq!((&before["name"], after), (&json!("first"), json!({})));

    let note = note_of(Action::CallerAdd);
    store.add(caller("ops"), &note).await.unwrap();
    let (_, after) = left(&store, &clock, &note, "ops").await;
    assert_eq!(
        after,
        json!({"name": "ops", "role": "auditor", "see_users": false, "keys": "set"})
    );
    let note = note_of(Action::CallerRotate);
    store
        .rotate(caller("ops").id, KeyDigest([8; 32]), now, &note)
        .await
        .unwrap();
    assert_eq!(
        left(&store, &clock, &note, "ops").await,
        (json!({"keys": "set"}), json!({"keys": "changed"}))
    );
    let note = note_of(Action::CallerRemove);
    store.remove(caller("ops").id, &note).await.unwrap();
    assert_eq!(left(&store, &clock, &note, "ops").await.1, json!({}));

    policies(&store, &clock).await;

    let key = TemplateKey::new(Purpose::Login, "", "de");
    let note = note_of(Action::TemplateUpdate);
    store
        .save(key.clone(), parts("a"), None, now, &note)
        .await
        .unwrap();
    left(&store, &clock, &note, "login/*/de").await;
    let note = note_of(Action::TemplateUpdate);
    store
        .save(key.clone(), parts("b"), None, now, &note)
        .await
        .unwrap();
    assert_eq!(
        left(&store, &clock, &note, "login/*/de").await,
        (json!({"subject": "a"}), json!({"subject": "b"}))
    );
    let note = note_of(Action::TemplateReset);
    store.reset(key, None, &note).await.unwrap();
    left(&store, &clock, &note, "login/*/de").await;

    let note = note_of(Action::UserLock);
    store.lock(subject(1), "staff/ann", &note).await.unwrap();
    assert_eq!(
        left(&store, &clock, &note, "staff/ann").await,
        (json!({"locked": false}), json!({"locked": true}))
    );
    let note = note_of(Action::UserUnlock);
    assert!(store.unlock(subject(1), "staff/ann", &note).await.unwrap());
    left(&store, &clock, &note, "staff/ann").await;

    let failed = failed_mail(&store, &clock).await;
    let note = note_of(Action::OutboxRequeue);
    store.requeue(failed, clock.now(), &note).await.unwrap();
    assert_eq!(
        left(&store, &clock, &note, "j*****@e*****.com").await,
        (json!({"state": "failed"}), json!({"state": "deferred"}))
    );

    let note = note_of(Action::AccountUpdate);
    let mut change = Change::default();
    change.after.insert("keys".into(), "changed".into());
    store.record(&note, Object::named("keys"), change).await.unwrap();
    assert_eq!(
        left(&store, &clock, &note, "keys").await,
        (json!({}), json!({"keys": "changed"}))
    );
}

async fn policies(store: &impl Store, clock: &ManualClock) {
    let now = clock.now();
    let draft = PolicyDraft {
        attempts: Some(3),
        login_lifetime: Some(5 * MINUTE),
        ..PolicyDraft::default()
    };
    let note = note_of(Action::EventCreate);
    let created = store
        .put("vpn", &PolicyDraft::default(), 0, now, &note)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(left(store, clock, &note, "vpn").await, (json!({}), json!({})));
    let note = note_of(Action::PolicyUpdate);
    let set = store
        .put("vpn", &draft, created.version, now, &note)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        left(store, clock, &note, "vpn").await,
        (json!({}), json!({"attempts": 3, "lifetime.login": "300s"}))
    );
    let note = note_of(Action::EventDelete);
    assert!(store.forget("vpn", set.version, &note).await.unwrap());
    assert_eq!(left(store, clock, &note, "vpn").await.1, json!({}));
    let note = note_of(Action::PolicyUpdate);
    store.put("", &draft, 0, now, &note).await.unwrap().unwrap();
    left(store, clock, &note, "default").await;
    let note = note_of(Action::SendingSet);
    let off = Sending {
        enabled: false,
        changed_by: "ops".into(),
        changed_at: Some(now),
    };
    store.set_sending(off, &note).await.unwrap();
    assert_eq!(
        left(store, clock, &note, "sending").await,
        (json!({"enabled": true}), json!({"enabled": false}))
    );
}

async fn failed_mail(store: &impl Store, clock: &ManualClock) -> EntryId {
    let mut new = entry(None, clock.now());
    let lease = lease();
    new.lease = Some(lease);
    let id = new.id;
    store.enqueue(new).await.unwrap();
    let failure = SendFailure {
        stage: Stage::Rcpt,
        kind: FailureKind::Permanent,
        code: Some(550),
        reply: "550 no".into(),
    };
    let settlement = Settlement {
        id,
        lease,
        outcome: Outcome::Failed { failure },
        subject: None,
        sender: None,
        attempts: Vec::new(),
        fate_known: true,
    };
    assert!(store.settle(settlement).await.unwrap());
    id
}

pub(crate) async fn what_is_refused_leaves_none(place: &impl Place) {
    let (store, clock) = open(place).await;
    let now = clock.now();
    let id = people::id();
    let settings = people::settings("main");
    Accounts::create(&store, id, settings.clone(), now, &note())
        .await
        .unwrap();
    store.add(caller("ops"), &note()).await.unwrap();
    store
        .put("vpn", &PolicyDraft::default(), 0, now, &note())
        .await
        .unwrap();
    let before = events(&store).await;
    assert_eq!(before.len(), 3);
    let none = people::id();
    let taken = Accounts::create(&store, none, settings.clone(), now, &note())
        .await
        .unwrap();
    assert!(matches!(taken, AccountWrite::NameTaken));
    let stale = Accounts::update(&store, id, settings, Some(9), now, &note())
        .await
        .unwrap();
    assert!(matches!(stale, AccountWrite::Stale));
    let unknown = Accounts::delete(&store, none, None, &note()).await.unwrap();
    assert!(matches!(unknown, AccountWrite::Unknown));
    // It is the default already.
    store.set_default(id, now, &note()).await.unwrap();
    assert_eq!(
        store.add(caller("ops"), &note()).await.unwrap(),
        CallerWrite::Taken
    );
    let nobody = CallerId::parse("00000000000000cc").unwrap();
    assert_eq!(
        store
            .rotate(nobody, KeyDigest([1; 32]), now, &note())
            .await
            .unwrap(),
        CallerWrite::Unknown
    );
    assert_eq!(store.remove(nobody, &note()).await.unwrap(), CallerWrite::Unknown);
    let draft = PolicyDraft::default();
    assert!(store.put("vpn", &draft, 0, now, &note()).await.unwrap().is_none());
    assert!(!store.forget("vpn", 1, &note()).await.unwrap());
    let key = TemplateKey::new(Purpose::Login, "", "");
    let saved = store
        .save(key.clone(), parts("a"), Some(1), now, &note())
        .await
        .unwrap();
    assert_eq!(saved, TemplateWrite::Stale);
    assert_eq!(
        store.reset(key, None, &note()).await.unwrap(),
        TemplateWrite::Unknown
    );
    assert!(!store.unlock(subject(1), "staff/ann", &note()).await.unwrap());
    let requeued = store
        .requeue(EntryId::from_bytes(unique()), now, &note())
        .await
        .unwrap();
    assert!(matches!(requeued, Requeued::Unknown));
    assert_eq!(events(&store).await, before);
}

pub(crate) async fn events_are_paged_and_filtered(place: &impl Place) {
    let (store, clock) = open(place).await;
    let mut written = Vec::new();
    for index in 0..40_u32 {
        // Four in each microsecond: the page key must tell them apart.
        if index % 4 == 0 {
            clock.pass(Duration::from_micros(1));
        }
        let mut note = note_of(if index % 2 == 0 {
            Action::UserLock
        } else {
            Action::UserUnlock
        });
        note.actor = if index % 3 == 0 {
            Actor::local(1000, "ann")
        } else {
            note.actor
        };
        let object = Object {
            id: format!("id-{}", index % 5),
            name: format!("name-{}", index % 5),
        };
        store.record(&note, object, Change::default()).await.unwrap();
        written.push(note.id);
    }
    let all = Audit::list(&store, &AuditFilter::default(), None, 100)
        .await
        .unwrap();
    assert_eq!(all.len(), written.len());
    assert!(all.is_sorted_by(|a, b| (a.at, a.note.id) > (b.at, b.note.id)));
    for bits in 0..128_u32 {
        let on = |bit: u32| bits & (1 << bit) != 0;
        let filter = AuditFilter {
            actions: if on(0) {
                vec![Action::UserLock, Action::SendingSet]
            } else {
                Vec::new()
            },
            object: on(1).then(|| if on(2) { "id-2" } else { "name-2" }.to_owned()),
            actor: on(3).then(|| if on(4) { "1000" } else { "ops" }.to_owned()),
            from: on(5).then(|| all[35].at),
            until: on(6).then(|| all[5].at),
        };
        let wanted = |event: &&AuditEvent| {
            let is = |asked: &Option<String>, id: &String, name: &String| {
                asked.as_ref().is_none_or(|asked| asked == id || asked == name)
            };
            (filter.actions.is_empty() || filter.actions.contains(&event.note.action))
                && is(&filter.object, &event.object.id, &event.object.name)
                && is(&filter.actor, &event.note.actor.id, &event.note.actor.name)
                && filter.from.is_none_or(|from| event.at >= from)
                && filter.until.is_none_or(|until| event.at < until)
        };
        let expected: Vec<&AuditEvent> = all.iter().filter(wanted).collect();
        let mut read: Vec<AuditEvent> = Vec::new();
        while let page = Audit::list(&store, &filter, read.last().map(AuditKey::of), 3)
            .await
            .unwrap()
            && !page.is_empty()
        {
            read.extend(page);
        }
        assert_eq!(read.iter().collect::<Vec<_>>(), expected, "{filter:?}");
    }
}

pub(crate) async fn old_events_are_forgotten(place: &impl Place) {
    let (store, clock) = open(place).await;
    for _ in 0..5 {
        store
            .record(&note(), Object::default(), Change::default())
            .await
            .unwrap();
        clock.pass(SECOND);
    }
    let before = clock.now().minus(2 * SECOND);
    assert_eq!(Audit::purge(&store, before, 2).await.unwrap(), 2);
    assert_eq!(Audit::purge(&store, before, 2).await.unwrap(), 1);
    assert_eq!(Audit::purge(&store, before, 2).await.unwrap(), 0);
    assert_eq!(events(&store).await.len(), 2);
}

//! Policies and the master switch.

use std::sync::Arc;

use super::*;
use crate::{
    domain::policy_draft::PolicyDraft,
    store::{Sending, SetPolicies},
};

async fn open(place: &impl Place) -> (impl Store, Arc<ManualClock>) {
    let clock = ManualClock::new();
    (place.open(Arc::clone(&clock) as Arc<dyn Clock>).await, clock)
}

fn draft(attempts: u32) -> PolicyDraft {
    PolicyDraft {
        attempts: Some(attempts),
        repositories: Some(vec!["staff".into()]),
        ..PolicyDraft::default()
    }
}

pub(crate) async fn a_policy_is_written_over_the_version_it_was_made_from(place: &impl Place) {
    let (store, clock) = open(place).await;
    assert_eq!(store.all().await.unwrap(), SetPolicies::default());
    let now = clock.now();
    let first = store
        .put("vpn", &draft(3), 0, now, &note())
        .await
        .unwrap()
        .unwrap();
    assert!(
        store
            .put("vpn", &draft(4), 0, now, &note())
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        store
            .put("vpn", &draft(4), first.version + 1, now, &note())
            .await
            .unwrap()
            .is_none()
    );
    let second = store
        .put("vpn", &draft(4), first.version, now, &note())
        .await
        .unwrap()
        .unwrap();
    assert!(second.version > first.version);
    assert!(
        store
            .put("vpn", &draft(5), first.version, now, &note())
            .await
            .unwrap()
            .is_none()
    );
    let all = store.all().await.unwrap().by_event;
    assert_eq!(all.into_iter().collect::<Vec<_>>(), [("vpn".to_owned(), second)]);
}

pub(crate) async fn a_removed_policy_never_has_its_version_again(place: &impl Place) {
    let (store, clock) = open(place).await;
    let first = store
        .put("vpn", &draft(3), 0, clock.now(), &note())
        .await
        .unwrap()
        .unwrap();
    assert!(!store.forget("vpn", first.version + 1, &note()).await.unwrap());
    assert!(store.forget("vpn", first.version, &note()).await.unwrap());
    assert!(!store.forget("vpn", first.version, &note()).await.unwrap());
    clock.pass(SECOND);
    let again = store
        .put("vpn", &draft(3), 0, clock.now(), &note())
        .await
        .unwrap()
        .unwrap();
    assert_ne!(again.version, first.version);
}

pub(crate) async fn the_master_switch_stays_where_it_was_put(place: &impl Place) {
    let (store, clock) = open(place).await;
    assert!(store.all().await.unwrap().sending.enabled);
    for enabled in [false, true, false] {
        let sending = Sending {
            enabled,
            changed_by: "ops".into(),
            changed_at: Some(clock.now()),
        };
        store.set_sending(sending.clone(), &note()).await.unwrap();
        assert_eq!(store.all().await.unwrap().sending, sending);
    }
}

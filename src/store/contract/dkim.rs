//! DKIM keys.

use std::sync::Arc;

use super::{people::settings, *};
use crate::{
    domain::{
        account::Secret,
        dkim::{Algorithm, DkimKey, MOST_KEYS, Place as Published},
        id::{AccountId, DkimKeyId},
    },
    store::{AccountWrite, DkimWrite},
};

fn key(account: AccountId, selector: &str, secret: Secret) -> DkimKey {
    DkimKey {
        id: DkimKeyId::from_bytes(unique()),
        account,
        place: Published {
            selector: selector.into(),
            domain: "example.com".into(),
        },
        enabled: true,
        algorithm: Algorithm::Rsa,
        public: vec![0, 255, 1],
        secret,
        updated_at: Timestamp::from_micros(0),
        version: 0,
    }
}

fn saved(write: DkimWrite) -> DkimKey {
    match write {
        DkimWrite::Saved(key) => *key,
        refused => panic!("{refused:?}"),
    }
}

/// A store with an account.
async fn open(place: &impl Place) -> (impl Store, Arc<ManualClock>, AccountId) {
    let clock = ManualClock::new();
    let store = place.open(Arc::clone(&clock) as Arc<dyn Clock>).await;
    let id = AccountId::from_bytes(unique());
    let created = store
        .create(id, settings("a"), clock.now(), &note())
        .await
        .unwrap();
    assert!(matches!(created, AccountWrite::Saved(_)));
    (store, clock, id)
}

pub(crate) async fn a_key_is_written_changed_and_removed(place: &impl Place) {
    let (store, clock, id) = open(place).await;
    let now = clock.now();
    let secrets = [
        Secret::Sealed(Sealed::from_bytes(vec![0, 255, 1])),
        Secret::File("/run/secrets/dkim".into()),
        Secret::Environment("MAILFACTOR_SECRET_DKIM".into()),
    ];
    for (index, secret) in secrets.into_iter().enumerate() {
        let written = key(id, &format!("s{index}"), secret.clone());
        let first = saved(
            store
                .save_dkim_key(written.clone(), None, now, &note())
                .await
                .unwrap(),
        );
        assert_eq!((first.updated_at, &first.secret), (now, &secret));
        assert_eq!(store.dkim_keys(id).await.unwrap()[index], first);
    }
    let found = store.dkim_keys(id).await.unwrap();
    let mut other = found[0].clone();
    other.enabled = false;
    other.algorithm = Algorithm::Ed25519;
    let changed = store
        .save_dkim_key(other.clone(), Some(other.version), now, &note())
        .await;
    let changed = saved(changed.unwrap());
    assert!(changed.version > other.version && !changed.enabled);
    let stale = Some(other.version);
    let refused = store
        .save_dkim_key(other.clone(), stale, now, &note())
        .await
        .unwrap();
    assert_eq!(refused, DkimWrite::Stale);
    let refused = store
        .remove_dkim_key(id, "s0".into(), stale, &note())
        .await
        .unwrap();
    assert_eq!(refused, DkimWrite::Stale);
    for index in found.len()..MOST_KEYS {
        let more = key(id, &format!("s{index}"), other.secret.clone());
        saved(store.save_dkim_key(more, None, now, &note()).await.unwrap());
    }
    let more = key(id, "more", other.secret.clone());
    assert_eq!(
        store.save_dkim_key(more, None, now, &note()).await.unwrap(),
        DkimWrite::Full
    );
    let removed = store
        .remove_dkim_key(id, "s0".into(), None, &note())
        .await
        .unwrap();
    assert_eq!(saved(removed), changed);
    let again = store
        .remove_dkim_key(id, "s0".into(), None, &note())
        .await
        .unwrap();
    assert_eq!(again, DkimWrite::Unknown);
}

pub(crate) async fn a_key_goes_with_its_account(place: &impl Place) {
    let (store, clock, id) = open(place).await;
    let secret = Secret::File("/run/secrets/dkim".into());
    let nobody = AccountId::from_bytes(unique());
    let refused = store
        .save_dkim_key(key(nobody, "a", secret.clone()), None, clock.now(), &note())
        .await;
    assert_eq!(refused.unwrap(), DkimWrite::Unknown);
    saved(
        store
            .save_dkim_key(key(id, "a", secret), None, clock.now(), &note())
            .await
            .unwrap(),
    );
    let deleted = Accounts::delete(&store, id, None, &note()).await.unwrap();
    assert!(matches!(deleted, AccountWrite::Saved(_)));
    assert_eq!(store.dkim_keys(id).await.unwrap(), []);
}

//! Sealed values, sealed anew.

use std::{collections::BTreeSet, sync::Arc};

use super::*;
use crate::{
    domain::{
        account::{AccountDraft, Secret, Security},
        address::LocalPart,
        id::AccountId,
    },
    store::{SealedKind, SealedValue},
};

fn sealed(key: &str, text: &[u8]) -> Sealed {
    let mut bytes = Sealed::prefix(&KeyId::parse(key).unwrap());
    bytes.extend_from_slice(text);
    Sealed::from_bytes(bytes)
}

async fn account(store: &impl Store, secret: Secret, now: Timestamp) -> AccountId {
    let id = AccountId::from_bytes(unique());
    let draft = AccountDraft {
        name: id.to_string(),
        enabled: true,
        host: "localhost".into(),
        security: Some(Security::Plain),
        authentication: true,
        username: "ann".into(),
        secret: Some(secret),
        sender: "noreply@example.com".into(),
        ..AccountDraft::default()
    };
    let settings = draft.check("", LocalPart::Ascii).unwrap();
    store.create(id, settings, now, &note()).await.unwrap();
    id
}

pub(crate) async fn what_is_sealed_under_other_keys_is_sealed_anew(place: &impl Place) {
    let clock = ManualClock::new();
    let store = place.open(Arc::clone(&clock) as Arc<dyn Clock>).await;
    let (now, newest) = (clock.now(), KeyId::parse("k2").unwrap());
    let mut old = BTreeSet::new();
    for number in 0..5_u8 {
        let id = account(&store, Secret::Sealed(sealed("k1", &[number])), now).await;
        old.insert(id.as_bytes().to_vec());
    }
    // Of another key's name one that begins alike, and what is not sealed.
    let alike = account(&store, Secret::Sealed(sealed("k22", b"x")), now).await;
    old.insert(alike.as_bytes().to_vec());
    account(&store, Secret::Sealed(sealed("k2", b"x")), now).await;
    account(&store, Secret::File("/run/secrets/smtp".into()), now).await;
    let mut found: Vec<SealedValue> = Vec::new();
    loop {
        let after = found.last().map(|value| value.owner.clone());
        let page = store
            .sealed_otherwise(SealedKind::Account, &newest, after, 2)
            .await
            .unwrap();
        assert!(page.len() <= 2);
        if page.is_empty() {
            break;
        }
        found.extend(page);
    }
    assert_eq!(
        found
            .iter()
            .map(|value| value.owner.clone())
            .collect::<BTreeSet<_>>(),
        old
    );
    // One was changed by somebody else in between: it stays as they made it.
    let changed = AccountId::from_bytes(found[0].owner.clone().try_into().unwrap());
    let mut settings = Accounts::find(&store, changed).await.unwrap().unwrap().settings;
    let theirs = Secret::Sealed(sealed("k1", b"theirs"));
    settings.login.as_mut().unwrap().secret = theirs.clone();
    store.update(changed, settings, None, now, &note()).await.unwrap();
    let versions = Accounts::find(&store, alike).await.unwrap().unwrap().version;
    let fresh = found
        .iter()
        .map(|value| (value.clone(), sealed("k2", &value.owner)));
    let count = store.reseal(SealedKind::Account, fresh.collect()).await.unwrap();
    assert_eq!(count, 5);
    let left = store
        .sealed_otherwise(SealedKind::Account, &newest, None, 10)
        .await
        .unwrap();
    assert_eq!(left.len(), 1);
    let secret = |account: crate::domain::account::Account| account.settings.login.unwrap().secret;
    let kept = Accounts::find(&store, changed).await.unwrap().unwrap();
    assert_eq!(secret(kept), theirs);
    let account = Accounts::find(&store, alike).await.unwrap().unwrap();
    assert_eq!(account.version, versions);
    assert_eq!(secret(account), Secret::Sealed(sealed("k2", alike.as_bytes())));
    // Mails and challenges as well.
    let challenge = challenge(1, now);
    store.start(start(&challenge)).await.unwrap();
    for kind in [SealedKind::Mail, SealedKind::Context] {
        let found = store.sealed_otherwise(kind, &newest, None, 10).await.unwrap();
        assert_eq!(found.len(), 1, "{kind:?}");
        let fresh = vec![(found[0].clone(), sealed("k2", b"fresh"))];
        assert_eq!(store.reseal(kind, fresh).await.unwrap(), 1);
        let left = store.sealed_otherwise(kind, &newest, None, 10).await.unwrap();
        assert!(left.is_empty(), "{kind:?}");
    }
    let context = store.context(challenge.id).await.unwrap();
    assert_eq!(context, Some(sealed("k2", b"fresh")));
}

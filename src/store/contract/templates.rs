//! Templates.

use std::sync::Arc;

use super::*;
use crate::{
    domain::template::{Template, TemplateKey, TemplateParts},
    store::TemplateWrite,
};

async fn open(place: &impl Place) -> (impl Store, Arc<ManualClock>) {
    let clock = ManualClock::new();
    (place.open(Arc::clone(&clock) as Arc<dyn Clock>).await, clock)
}

fn parts(subject: &str) -> TemplateParts {
    TemplateParts {
        subject: subject.into(),
        text: "Zoë: {{ otp }}\n".into(),
        html: "<b>{{ otp }}</b>".into(),
    }
}

fn saved(write: TemplateWrite) -> Template {
    match write {
        TemplateWrite::Saved(template) => *template,
        refused => panic!("{refused:?}"),
    }
}

pub(crate) async fn a_template_is_written_changed_and_removed(place: &impl Place) {
    let (store, clock) = open(place).await;
    let key = TemplateKey::new(Purpose::Login, "vpn", "de");
    let other = TemplateKey::new(Purpose::Login, "", "");
    let first = saved(
        store
            .save(key.clone(), parts("a"), None, clock.now(), &note())
            .await
            .unwrap(),
    );
    assert_eq!(
        Templates::find(&store, key.clone()).await.unwrap(),
        Some(first.clone())
    );
    assert_eq!(Templates::find(&store, other.clone()).await.unwrap(), None);
    let second = saved(
        store
            .save(key.clone(), parts("b"), None, clock.now(), &note())
            .await
            .unwrap(),
    );
    assert!(second.version > first.version);
    saved(
        store
            .save(other.clone(), parts("c"), None, clock.now(), &note())
            .await
            .unwrap(),
    );
    let keys: Vec<TemplateKey> = store
        .index()
        .await
        .unwrap()
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    assert_eq!(keys, [other, key.clone()]);
    assert_eq!(
        saved(store.reset(key.clone(), None, &note()).await.unwrap()),
        second
    );
    assert_eq!(
        store.reset(key, None, &note()).await.unwrap(),
        TemplateWrite::Unknown
    );
}

pub(crate) async fn a_template_is_not_overwritten_unseen(place: &impl Place) {
    let (store, clock) = open(place).await;
    let key = TemplateKey::new(Purpose::Recovery, "", "fr");
    let now = clock.now();
    assert_eq!(
        store
            .save(key.clone(), parts("a"), Some(1), now, &note())
            .await
            .unwrap(),
        TemplateWrite::Stale
    );
    let first = saved(
        store
            .save(key.clone(), parts("a"), None, now, &note())
            .await
            .unwrap(),
    );
    let seen = Some(first.version);
    saved(
        store
            .save(key.clone(), parts("b"), seen, now, &note())
            .await
            .unwrap(),
    );
    assert_eq!(
        store
            .save(key.clone(), parts("c"), seen, now, &note())
            .await
            .unwrap(),
        TemplateWrite::Stale
    );
    assert_eq!(
        store.reset(key, seen, &note()).await.unwrap(),
        TemplateWrite::Stale
    );
}

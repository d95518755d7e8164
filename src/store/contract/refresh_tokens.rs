//! Refresh tokens that were replaced, and the turns in which they are used.

use std::sync::Arc;

use super::*;
use crate::store::{REFRESH_TURN, RefreshTurn};

async fn open(place: &impl Place) -> (impl Store, Arc<ManualClock>) {
    let clock = ManualClock::new();
    (place.open(Arc::clone(&clock) as Arc<dyn Clock>).await, clock)
}

#[expect(clippy::unnecessary_wraps, reason = "as answers are")]
fn token(byte: u8) -> Option<Sealed> {
    Some(Sealed::from_bytes(vec![byte; 3]))
}

pub(crate) async fn a_token_is_used_by_one_at_a_time(place: &impl Place) {
    let (store, clock) = open(place).await;
    let (given, first, second) = (subject(1), lease(), lease());
    let take = |turn| store.take_turn(given, turn);
    assert_eq!(take(first).await.unwrap(), RefreshTurn::Yours(None));
    assert_eq!(take(second).await.unwrap(), RefreshTurn::Taken);
    assert_eq!(
        store.take_turn(subject(2), second).await.unwrap(),
        RefreshTurn::Yours(None)
    );
    assert!(store.end_turn(given, first, token(1)).await.unwrap());
    assert_eq!(take(second).await.unwrap(), RefreshTurn::Yours(token(1)));
    // A token that is not replaced stays.
    assert!(store.end_turn(given, second, None).await.unwrap());
    assert_eq!(take(first).await.unwrap(), RefreshTurn::Yours(token(1)));
    clock.pass(REFRESH_TURN.saturating_sub(SECOND));
    assert_eq!(take(second).await.unwrap(), RefreshTurn::Taken);
}

pub(crate) async fn a_late_turn_changes_nothing(place: &impl Place) {
    let (store, clock) = open(place).await;
    let (given, late, next) = (subject(1), lease(), lease());
    assert_eq!(
        store.take_turn(given, late).await.unwrap(),
        RefreshTurn::Yours(None)
    );
    clock.pass(REFRESH_TURN);
    assert_eq!(
        store.take_turn(given, next).await.unwrap(),
        RefreshTurn::Yours(None)
    );
    assert!(!store.end_turn(given, late, token(1)).await.unwrap());
    assert!(store.end_turn(given, next, token(2)).await.unwrap());
    assert!(!store.end_turn(given, next, token(3)).await.unwrap());
    assert_eq!(
        store.take_turn(given, late).await.unwrap(),
        RefreshTurn::Yours(token(2))
    );
}

pub(crate) async fn unused_tokens_are_forgotten(place: &impl Place) {
    let (store, clock) = open(place).await;
    let day = Duration::from_hours(24);
    for (given, wait) in [(1, day * 399), (2, day * 2)] {
        let turn = lease();
        store.take_turn(subject(given), turn).await.unwrap();
        assert!(store.end_turn(subject(given), turn, token(given)).await.unwrap());
        clock.pass(wait);
    }
    let turn = lease();
    store.take_turn(subject(3), turn).await.unwrap();
    store.end_turn(subject(3), turn, None).await.unwrap();
    let take = async |given| store.take_turn(subject(given), lease()).await.unwrap();
    assert_eq!(take(1).await, RefreshTurn::Yours(None));
    assert_eq!(take(2).await, RefreshTurn::Yours(token(2)));
}

//! Patience with the store: what a worker holds a lease for is worth asking for again.

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    domain::clock::{Clock, Timestamp},
    store::{StoreError, StoreResult},
};

const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);

/// Asks a store that is away again, at growing intervals, until `end`.
pub(super) async fn insist<T, F>(ask: impl Fn() -> F, clock: &dyn Clock, end: Timestamp) -> StoreResult<T>
where
    F: Future<Output = StoreResult<T>>,
{
    let mut wait = SHORTEST;
    loop {
        match ask().await {
            Err(error @ (StoreError::Unavailable(_) | StoreError::Timeout(_))) => {
                if clock.now().plus(wait) >= end {
                    tracing::error!(error = %error, "the store stayed away for as long as a lease lasts");
                    return Err(error);
                }
                sleep(wait).await;
                wait = (wait * 2).min(LONGEST);
            }
            answer => return answer,
        }
    }
}

//! Keys that were added to the key file while the service runs: new codes and secrets use them soon.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::domain::keyring::Keyring;

/// How often the key file is looked at. One that is met before is found at once.
const READ_AGAIN: Duration = Duration::from_secs(5);

/// Reads the key file again until the token is cancelled.
pub(super) async fn keep_fresh(keyring: Arc<Keyring>, end: CancellationToken) {
    let mut rounds = interval(READ_AGAIN);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while end.run_until_cancelled(rounds.tick()).await.is_some() {
        if keyring.read_again() > 0 {
            tracing::warn!(
                newest = keyring.newest().as_str(),
                "a key was added to the key file"
            );
        }
    }
}

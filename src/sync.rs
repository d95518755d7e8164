//! Locks and tasks of the parts whose interleavings are tried out, one after the other, by a scheduler of the tests.
//!
//! In a build with the feature `interleavings` they are shuttle's, and such a build serves nothing but those tests:
//! `cargo test --features interleavings --lib interleavings::`.
//!
//! `fair` are bounded places that nobody takes from everybody else.

use tokio_util::task::TaskTracker;

pub(crate) mod fair;

#[cfg(feature = "interleavings")]
pub(crate) use shuttle::sync::{Mutex, MutexGuard};
#[cfg(not(feature = "interleavings"))]
pub(crate) use std::sync::{Mutex, MutexGuard};

/// Runs a task of these.
pub(crate) fn spawn(tasks: &TaskTracker, task: impl Future<Output = ()> + Send + 'static) {
    #[cfg(not(feature = "interleavings"))]
    tasks.spawn(task);
    #[cfg(feature = "interleavings")]
    drop(shuttle::future::spawn(tasks.track_future(task)));
}

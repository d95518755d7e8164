//! How the process ends: one object, given to everything that runs.
//!
//! Two tokens and a tracker. The soft token says "take no new work, finish what you have"; the hard one, after the
//! deadline, "stop where you are". Every task is spawned on the tracker, so that the end waits for it.

use std::{future::Future, time::Duration};

use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The end of the process, as its parts see it. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    soft: CancellationToken,
    hard: CancellationToken,
    tasks: TaskTracker,
}

impl Shutdown {
    /// Nothing has ended yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled when no new work is to be taken.
    #[must_use]
    pub fn soft(&self) -> &CancellationToken {
        &self.soft
    }

    /// Cancelled when everything is to stop where it is.
    #[must_use]
    pub fn hard(&self) -> &CancellationToken {
        &self.hard
    }

    /// Runs a task that the end waits for. At the hard token it is dropped at its next await.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<Option<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let hard = self.hard.clone();
        self.tasks
            .spawn(async move { hard.run_until_cancelled(task).await })
    }

    /// Ends everything: the soft token, then up to `deadline` for the tasks, then the hard token. Says whether all
    /// tasks ended by themselves.
    pub async fn end(&self, deadline: Duration) -> bool {
        self.soft.cancel();
        self.tasks.close();
        let in_time = tokio::time::timeout(deadline, self.tasks.wait()).await.is_ok();
        self.hard.cancel();
        self.tasks.wait().await;
        in_time
    }
}

/// Waits for SIGTERM or SIGINT.
pub async fn terminated() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_for_tasks_that_end_by_themselves() {
        let shutdown = Shutdown::new();
        let soft = shutdown.soft().clone();
        let task = shutdown.spawn(async move { soft.cancelled().await });
        assert!(shutdown.end(Duration::from_secs(30)).await);
        assert_eq!(task.await.unwrap(), Some(()));
    }

    #[tokio::test(start_paused = true)]
    async fn stops_those_that_do_not() {
        let shutdown = Shutdown::new();
        let task = shutdown.spawn(std::future::pending::<()>());
        assert!(!shutdown.end(Duration::from_secs(1)).await);
        assert_eq!(task.await.unwrap(), None);
    }
}

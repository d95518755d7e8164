//! The mail accounts in memory, in front of a store: each mail asks for all of them, and they hardly ever change.
//!
//! What is changed through this instance is seen by the next question; what another instance changes, a second later.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::Instant;

use super::{AccountWrite, Accounts, StoreResult};
use crate::domain::{
    account::{Account, AccountSettings, Proof},
    audit::Note,
    clock::Timestamp,
    id::AccountId,
};

/// How long the list is believed.
const FRESH: Duration = Duration::from_secs(1);

/// Mail accounts, before a store.
pub struct CachedAccounts {
    inner: Arc<dyn Accounts>,
    copy: Mutex<Copy>,
}

#[derive(Default)]
struct Copy {
    list: Option<(Instant, Vec<Account>)>,
    /// Grows with every write: what was asked before one is not kept after it.
    writes: u64,
}

impl CachedAccounts {
    /// In front of `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn Accounts>) -> Self {
        Self {
            inner,
            copy: Mutex::default(),
        }
    }

    /// Forgets the copy, before a write and, whatever came of it, after it.
    async fn around<T>(&self, write: impl Future<Output = StoreResult<T>> + Send) -> StoreResult<T> {
        self.forget();
        let written = write.await;
        self.forget();
        written
    }

    fn forget(&self) {
        let mut copy = self.lock();
        copy.list = None;
        copy.writes += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Copy> {
        self.copy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Accounts for CachedAccounts {
    async fn create(
        &self,
        id: AccountId,
        settings: AccountSettings,
        now: Timestamp,
        note: &Note,
    ) -> StoreResult<AccountWrite> {
        self.around(self.inner.create(id, settings, now, note)).await
    }

    async fn update(
        &self,
        id: AccountId,
        settings: AccountSettings,
        version: Option<i64>,
        now: Timestamp,
        note: &Note,
    ) -> StoreResult<AccountWrite> {
        self.around(self.inner.update(id, settings, version, now, note))
            .await
    }

    async fn delete(&self, id: AccountId, version: Option<i64>, note: &Note) -> StoreResult<AccountWrite> {
        self.around(self.inner.delete(id, version, note)).await
    }

    async fn set_default(&self, id: AccountId, now: Timestamp, note: &Note) -> StoreResult<AccountWrite> {
        self.around(self.inner.set_default(id, now, note)).await
    }

    async fn note_test(&self, id: AccountId, proof: Proof) -> StoreResult<()> {
        self.around(self.inner.note_test(id, proof)).await
    }

    async fn find(&self, id: AccountId) -> StoreResult<Option<Account>> {
        self.inner.find(id).await
    }

    async fn list(&self) -> StoreResult<Vec<Account>> {
        let writes = {
            let copy = self.lock();
            if let Some((read_at, list)) = &copy.list
                && read_at.elapsed() < FRESH
            {
                return Ok(list.clone());
            }
            copy.writes
        };
        let asked_at = Instant::now();
        let list = self.inner.list().await?;
        let mut copy = self.lock();
        if copy.writes == writes {
            copy.list = Some((asked_at, list.clone()));
        }
        Ok(list)
    }
}

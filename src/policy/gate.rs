//! The gate: who is calling.

use std::{sync::Arc, time::Duration};

use moka::future::Cache;
use tokio::sync::Semaphore;

use crate::{
    domain::caller::{Caller, CallerId, CertificateDigest, KeyDigest},
    store::{Callers, StoreError},
};

/// How many names, known or not, are kept: a flood of invented ones stays bounded.
const MOST_KEPT: u64 = 10_000;

/// Names that the store is asked for at once at the most: made-up ones that look like keys do not crowd out its readers.
const ASKED_AT_ONCE: usize = 2;

/// What a caller proved itself with. The key's secret is not kept.
#[derive(Clone, Copy, Debug)]
pub enum Proof {
    /// An API key: whose it claims to be, and what a store keeps of it.
    Key(CallerId, KeyDigest),
    /// A client certificate.
    Certificate(CertificateDigest),
}

/// Knows callers by their API keys and client certificates.
///
/// What the store says is kept for a few seconds, unknown names included: a flood of guesses costs no query each, and
/// a removed caller is out within that time. The key itself is compared at every call, in constant time.
pub struct Gate {
    callers: Arc<dyn Callers>,
    asking: Semaphore,
    known: Cache<CallerId, ()>,
    by_id: Cache<CallerId, Option<Arc<Caller>>>,
    by_certificate: Cache<CertificateDigest, Option<Arc<Caller>>>,
}

impl Gate {
    /// A gate that asks again after `ttl`.
    #[must_use]
    pub fn new(callers: Arc<dyn Callers>, ttl: Duration) -> Self {
        Self {
            callers,
            asking: Semaphore::new(ASKED_AT_ONCE),
            known: Cache::builder().max_capacity(MOST_KEPT).build(),
            by_id: Cache::builder().max_capacity(MOST_KEPT).time_to_live(ttl).build(),
            by_certificate: Cache::builder().max_capacity(MOST_KEPT).time_to_live(ttl).build(),
        }
    }

    /// The caller that proves itself so.
    pub async fn admit(&self, proof: &Proof) -> Result<Option<Arc<Caller>>, StoreError> {
        match proof {
            Proof::Key(id, key) => self.by_key(*id, key).await,
            Proof::Certificate(digest) => self.by_certificate(*digest).await,
        }
    }

    /// Whether a caller that was let in would be let in as the same today. A store that fails says nothing against it.
    pub async fn still_admits(&self, caller: &Caller, proof: &Proof) -> bool {
        match self.admit(proof).await {
            Ok(Some(now)) => now.may_as(caller),
            Ok(None) => false,
            Err(_) => true,
        }
    }

    async fn by_key(&self, id: CallerId, key: &KeyDigest) -> Result<Option<Arc<Caller>>, StoreError> {
        // Asked first without a question to share: most callers are known.
        let found = match self.by_id.get(&id).await {
            Some(found) => found,
            None => self
                .by_id
                .try_get_with(id, async {
                    // Who was there before does not wait behind names that somebody makes up.
                    let _place = if self.known.contains_key(&id) {
                        None
                    } else {
                        self.asking.acquire().await.ok()
                    };
                    let found = shared(self.callers.find(id).await);
                    if let Ok(Some(_)) = found {
                        self.known.insert(id, ()).await;
                    }
                    found
                })
                .await
                .map_err(of_all)?,
        };
        Ok(found.filter(|caller| key.is_live_of(caller)))
    }

    async fn by_certificate(&self, digest: CertificateDigest) -> Result<Option<Arc<Caller>>, StoreError> {
        self.by_certificate
            .try_get_with(digest, async {
                shared(self.callers.find_by_certificate(digest).await)
            })
            .await
            .map_err(of_all)
    }
}

fn shared(found: Result<Option<Caller>, StoreError>) -> Result<Option<Arc<Caller>>, StoreError> {
    found.map(|caller| caller.map(Arc::new))
}

/// One failed query fails all who waited for it.
fn of_all(error: Arc<StoreError>) -> StoreError {
    StoreError::Unavailable(Box::new(error))
}

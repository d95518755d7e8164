//! The gate: who is calling.

use std::{sync::Arc, time::Duration};

use moka::future::Cache;

use crate::{
    domain::caller::{ApiKey, Caller, CallerId, CertificateDigest},
    store::{Callers, StoreError},
};

/// How many names, known or not, are kept: a flood of invented ones stays bounded.
const MOST_KEPT: u64 = 10_000;

/// Knows callers by their API keys and client certificates.
///
/// What the store says is kept for a few seconds, unknown names included: a flood of guesses costs no query each, and
/// a removed caller is out within that time. The key itself is compared at every call, in constant time.
pub struct Gate {
    callers: Arc<dyn Callers>,
    by_id: Cache<CallerId, Option<Arc<Caller>>>,
    by_certificate: Cache<CertificateDigest, Option<Arc<Caller>>>,
}

impl Gate {
    /// A gate that asks again after `ttl`.
    #[must_use]
    pub fn new(callers: Arc<dyn Callers>, ttl: Duration) -> Self {
        Self {
            callers,
            by_id: Cache::builder().max_capacity(MOST_KEPT).time_to_live(ttl).build(),
            by_certificate: Cache::builder().max_capacity(MOST_KEPT).time_to_live(ttl).build(),
        }
    }

    /// The caller whose live key this is.
    pub async fn by_key(&self, key: &ApiKey) -> Result<Option<Arc<Caller>>, StoreError> {
        let id = key.caller;
        // Asked first without a question to share: most callers are known.
        let found = match self.by_id.get(&id).await {
            Some(found) => found,
            None => self
                .by_id
                .try_get_with(id, async { shared(self.callers.find(id).await) })
                .await
                .map_err(of_all)?,
        };
        Ok(found.filter(|caller| key.opens(caller)))
    }

    /// The caller whose client certificate this is.
    pub async fn by_certificate(&self, digest: CertificateDigest) -> Result<Option<Arc<Caller>>, StoreError> {
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

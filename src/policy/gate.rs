//! The gate: who is calling.

use std::{sync::Arc, time::Duration};

use moka::future::Cache;

use crate::{
    domain::caller::{ApiKey, Caller, CallerId, CertificateDigest},
    store::{Callers, StoreError},
};

/// How many callers, and how many names of none, are remembered.
const MOST_REMEMBERED: u64 = 10_000;

/// Knows callers by their API keys and client certificates.
///
/// What the store says is kept for a few seconds, unknown names included: a flood of guesses costs no query each, and
/// a removed caller is out within that time. A failure of the store is never remembered.
pub struct Gate {
    callers: Arc<dyn Callers>,
    by_id: Cache<CallerId, Option<Arc<Caller>>>,
    by_certificate: Cache<CertificateDigest, Option<Arc<Caller>>>,
}

impl Gate {
    /// A gate that asks the store again after `ttl`.
    #[must_use]
    pub fn new(callers: Arc<dyn Callers>, ttl: Duration) -> Self {
        let by_id = Cache::builder()
            .max_capacity(MOST_REMEMBERED)
            .time_to_live(ttl)
            .build();
        let by_certificate = Cache::builder()
            .max_capacity(MOST_REMEMBERED)
            .time_to_live(ttl)
            .build();
        Self {
            callers,
            by_id,
            by_certificate,
        }
    }

    /// The caller whose live key this is.
    pub async fn by_key(&self, key: &ApiKey) -> Result<Option<Arc<Caller>>, Arc<StoreError>> {
        let id = key.caller;
        let look_up = async move { Ok(self.callers.find(id).await?.map(Arc::new)) };
        let found = self.by_id.try_get_with(id, look_up).await?;
        Ok(found.filter(|caller| key.opens(caller)))
    }

    /// The caller whose client certificate this is.
    pub async fn by_certificate(
        &self,
        digest: CertificateDigest,
    ) -> Result<Option<Arc<Caller>>, Arc<StoreError>> {
        let look_up = async move { Ok(self.callers.find_by_certificate(digest).await?.map(Arc::new)) };
        self.by_certificate.try_get_with(digest, look_up).await
    }
}

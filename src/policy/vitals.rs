//! Vitals: whether the service could do its work at this moment.

use std::sync::Arc;

use crate::{mail::Transports, store::Probe};

/// Feels the pulse of the store and of the mail accounts.
pub struct Vitals {
    store: Arc<dyn Probe>,
    transports: Arc<Transports>,
}

impl Vitals {
    /// Of this store and these accounts.
    #[must_use]
    pub fn new(store: Arc<dyn Probe>, transports: Arc<Transports>) -> Self {
        Self { store, transports }
    }

    /// Whether the store can be read and written.
    pub async fn store_works(&self) -> bool {
        self.store.probe().await.is_ok()
    }

    /// Whether the mail account that mail would go through has not been failing of late.
    #[expect(
        clippy::unused_async,
        reason = "asked like the store, which takes time to answer"
    )]
    pub async fn mail_works(&self) -> bool {
        self.transports.healthy()
    }
}

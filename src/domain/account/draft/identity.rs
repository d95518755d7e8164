//! A client certificate: with its key or not at all, and only where TLS is spoken.

use super::{AccountDraft, Check};
use crate::domain::account::{Identity, IdentityDraft, Security, Server, texts::check_authorities};

impl Check<'_> {
    /// The certificate and key, if both are there; outside of TLS nobody could ask for them.
    pub(super) fn identity(
        &mut self,
        draft: &AccountDraft,
        server: Option<&Server>,
    ) -> Option<Box<Identity>> {
        let IdentityDraft { certificate, key } = &draft.identity;
        if certificate.is_empty() {
            if key.is_some() {
                self.fault("client_certificate", "is required with `client_key`");
            }
            return None;
        }
        if server.is_some_and(|server| server.security == Security::Plain) {
            self.fault("client_certificate", "needs TLS: set `security`, or leave it out");
        }
        let certificate = self.field("client_certificate", check_authorities(certificate));
        let key = key
            .clone()
            .ok_or("is required with `client_certificate`: the private key of the certificate");
        let key = self.field("client_key", key);
        let (certificate, key) = certificate.zip(key)?;
        Some(Box::new(Identity { certificate, key }))
    }
}

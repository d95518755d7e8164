//! The certificate that an account shows to a mail server which asks for one, with its private key.

use super::{Account, Secret};
use crate::domain::id::AccountId;

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, and those between it and its authority, in PEM. Public.
    pub certificate: String,
    /// Its private key: sealed for [`Account::client_key_place`], or elsewhere; in PEM.
    pub key: Secret,
}

/// The same as it was written: both or neither.
#[derive(Clone, Debug, Default)]
pub struct IdentityDraft {
    /// See [`Identity::certificate`]; empty: none.
    pub certificate: String,
    /// See [`Identity::key`].
    pub key: Option<Secret>,
}

impl Account {
    /// The place the key of its client certificate is sealed for.
    #[must_use]
    pub fn client_key_place(id: &AccountId) -> String {
        format!("account/{id}/client_key")
    }
}

impl From<&Option<Box<Identity>>> for IdentityDraft {
    /// As somebody would have written it.
    fn from(identity: &Option<Box<Identity>>) -> Self {
        identity.as_ref().map_or_else(Self::default, |identity| Self {
            certificate: identity.certificate.clone(),
            key: Some(identity.key.clone()),
        })
    }
}

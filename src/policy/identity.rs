//! Client certificates of accounts: the key is sealed and must fit; a kept one stays with its server.

use zeroize::Zeroizing;

use super::{Office, merge::names, secrets::SecretFault};
use crate::{
    domain::{
        account::{Account, AccountDraft, AccountSettings, IdentityDraft, Secret},
        id::AccountId,
        oauth::MOST_SECRET,
        violation::Violations,
    },
    mail::check_identity,
};

impl Office {
    /// Puts the key that was given into a draft, sealed, and checks one that lies elsewhere.
    pub(super) fn seal_client_key(
        &self,
        id: AccountId,
        prefix: &str,
        draft: &mut IdentityDraft,
        key: Option<Zeroizing<String>>,
        faults: &mut Violations,
    ) {
        let field = format!("{prefix}client_key");
        if let Some(key) = key {
            if key.trim().is_empty() {
                faults.add(&field, SecretFault::Empty);
            } else if key.len() > MOST_SECRET {
                faults.add(&field, "is longer than 16,384 bytes");
            }
            let place = Account::client_key_place(&id);
            draft.key = Some(Secret::Sealed(self.keyring.seal(
                &place,
                key.as_bytes(),
                &*self.entropy,
            )));
        } else if let Some(secret) = draft.key.clone()
            && !matches!(secret, Secret::Sealed(_))
        {
            faults.check(&field, self.check_secret(secret));
        }
    }

    /// Refuses a sealed key that is not that of the certificate. Those elsewhere are read only to connect.
    pub(super) fn check_identity(
        &self,
        id: AccountId,
        prefix: &str,
        settings: &AccountSettings,
    ) -> Result<(), Violations> {
        let mut faults = Violations::new();
        if let Some(identity) = &settings.link.identity
            && let Secret::Sealed(sealed) = &identity.key
            // One that cannot be opened any more is told by the connection test.
            && let Ok(key) = self.keyring.open(&Account::client_key_place(&id), sealed)
        {
            let key = Zeroizing::new(key);
            let fits = check_identity(&identity.certificate, str::from_utf8(&key).unwrap_or_default());
            faults.check(&format!("{prefix}client_key"), fits);
        }
        faults.into_result()
    }
}

/// Ends a kept key with its certificate: whoever takes the one away need not name the other.
pub(super) fn settle(draft: &mut IdentityDraft, new: &AccountDraft, mask: &[String]) {
    if draft.certificate.is_empty() && !gives_key(new, mask) {
        draft.key = None;
    }
}

/// Fills in the key of a saved account, for a test of its certificate against its own server.
pub(super) fn keep_key(draft: &mut IdentityDraft, saved: &AccountSettings, host: &str) {
    let at_home = saved.server.host.eq_ignore_ascii_case(host);
    if at_home && !draft.certificate.is_empty() && draft.key.is_none() {
        draft.key = IdentityDraft::from(&saved.link.identity).key;
    }
}

/// Whether an update gives a key.
pub(super) fn gives_key(new: &AccountDraft, mask: &[String]) -> bool {
    new.identity.key.is_some() && names(mask, "client_key")
}

/// A key belongs to one server, as a password does: whoever names another gives it again.
pub(super) fn keep_key_at_home(
    current: &AccountSettings,
    new: &AccountSettings,
    given: bool,
) -> Result<(), Violations> {
    let moved = !current.server.host.eq_ignore_ascii_case(&new.server.host);
    let mut faults = Violations::new();
    if moved && !given && current.link.identity.is_some() && new.link.identity.is_some() {
        faults.add("account.client_key", "is required again when the host changes");
    }
    faults.into_result()
}

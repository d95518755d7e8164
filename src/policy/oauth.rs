//! OAuth settings of accounts: secrets are sealed or checked, and those not given again are kept where they belong.

use zeroize::Zeroizing;

use super::{Office, secrets::SecretFault};
use crate::{
    domain::{
        account::{AccountSettings, Secret},
        id::AccountId,
        oauth::{MOST_SECRET, Oauth, OauthDraft, OauthSecret, TokenEndpoint},
        violation::Violations,
    },
    mail::check_private_key,
};

impl Office {
    /// Puts the secrets that were given into a draft, sealed, and checks those that lie elsewhere. Faults are noted under
    /// `prefix`, such as `account.oauth.`.
    pub(super) fn seal_oauth(
        &self,
        id: AccountId,
        prefix: &str,
        draft: &mut OauthDraft,
        values: Vec<(OauthSecret, Zeroizing<String>)>,
        faults: &mut Violations,
    ) {
        for (which, value) in values {
            let field = format!("{prefix}{}", which.field());
            faults.check(&field, check(which, &value));
            let place = which.place(&id);
            let sealed = self.keyring.seal(&place, value.as_bytes(), &*self.entropy);
            *draft.secret(which) = Some(Secret::Sealed(sealed));
        }
        for which in OauthSecret::ALL {
            let elsewhere = draft
                .secret(which)
                .clone()
                .filter(|secret| !matches!(secret, Secret::Sealed(_)));
            if let Some(secret) = elsewhere {
                let field = format!("{prefix}{}", which.field());
                faults.check(&field, self.check_secret(secret));
            }
        }
    }
}

/// Fills in the secrets that a draft takes and that were not given, from the settings that it is a change of: as long as
/// they are for the same client at the same token endpoint, so that nobody can have a kept one carried elsewhere.
pub(super) fn keep_oauth(draft: &mut OauthDraft, current: &AccountSettings) {
    let Some(current) = oauth_of(current) else {
        return;
    };
    let at_home = draft.client_id == current.client_id && goes_to(draft) == Some(current.endpoint.clone());
    if at_home {
        for which in draft.missing() {
            *draft.secret(which) = current.secret(which).cloned();
        }
    }
}

/// How an account gets its tokens, if that is how it logs in.
pub(super) fn oauth_of(settings: &AccountSettings) -> Option<&Oauth> {
    match &settings.login.as_ref()?.secret {
        Secret::Oauth(oauth) => Some(oauth),
        Secret::Sealed(_) | Secret::File(_) | Secret::Environment(_) | Secret::Default => None,
    }
}

fn goes_to(draft: &OauthDraft) -> Option<TokenEndpoint> {
    draft
        .known_endpoint()
        .ok()
        .flatten()
        .or_else(|| TokenEndpoint::parse(&draft.token_endpoint).ok())
}

fn check(which: OauthSecret, value: &str) -> Result<(), String> {
    if value.trim().is_empty() {
        return Err(SecretFault::Empty.to_string());
    }
    if value.len() > MOST_SECRET {
        return Err("is longer than 16,384 bytes".to_owned());
    }
    match which {
        OauthSecret::Key => check_private_key(value),
        OauthSecret::Client | OauthSecret::Refresh if value.chars().any(char::is_control) => {
            Err(SecretFault::ControlCharacter.to_string())
        }
        OauthSecret::Client | OauthSecret::Refresh => Ok(()),
    }
}

#[cfg(test)]
#[path = "oauth_tests.rs"]
mod tests;

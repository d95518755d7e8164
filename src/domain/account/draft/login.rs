//! How an account logs in: with a secret, with the access tokens that OAuth 2.0 grants, or with what the service was given.

use super::{AccountDraft, Check};
use crate::domain::{
    account::{Login, Secret},
    oauth::OauthDraft,
    preset::Preset,
    text::require_line,
};

impl Check<'_> {
    pub(super) fn login(&mut self, draft: AccountDraft, preset: &Preset) -> Option<Login> {
        if draft.default_credentials {
            return self.default_login(&draft);
        }
        if !draft.authentication {
            if preset.authentication {
                self.fault(
                    "authentication",
                    format_args!("must be on: {} takes no mail without", preset.title),
                );
            }
            return None;
        }
        self.field("username", require_line(&draft.username, 256));
        if let Some(oauth) = draft.oauth {
            if draft.secret.is_some() {
                self.fault("secret", "is not used with OAuth 2.0: give one or the other");
            }
            let secret = self.oauth(oauth, preset)?;
            return Some(Login {
                username: draft.username,
                secret,
            });
        }
        let secret = draft.secret.ok_or_else(|| {
            format!(
                "is required when authentication is on: the {} of the account",
                preset.secret
            )
        });
        let secret = self.field("secret", secret)?;
        Some(Login {
            username: draft.username,
            secret,
        })
    }

    /// Nothing is the account's own.
    fn default_login(&mut self, draft: &AccountDraft) -> Option<Login> {
        let wrong = [
            ("authentication", !draft.authentication, "must be on"),
            ("username", !draft.username.is_empty(), "must be empty"),
            ("secret", draft.secret.is_some(), "must be empty"),
            ("oauth", draft.oauth.is_some(), "must be empty"),
        ];
        for (field, is_wrong, what) in wrong {
            if is_wrong {
                let why = "`default_credentials` logs in with what the service was given";
                self.fault(field, format_args!("{what}: {why}"));
            }
        }
        let fine = wrong.iter().all(|(_, is_wrong, _)| !is_wrong);
        fine.then(|| Login {
            username: String::new(),
            secret: Secret::Default,
        })
    }

    fn oauth(&mut self, mut draft: OauthDraft, preset: &Preset) -> Option<Secret> {
        draft.settle(preset);
        match draft.check(&format!("{}oauth.", self.prefix)) {
            Ok(oauth) => Some(Secret::Oauth(Box::new(oauth))),
            Err(faults) => {
                for fault in faults.as_slice() {
                    self.faults.add(&fault.field, &fault.description);
                }
                None
            }
        }
    }
}

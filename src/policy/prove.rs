//! Accounts are enabled only with settings that passed the connection test, where the configuration says so.

use super::{AccountError, Office};
use crate::{
    domain::{
        account::{Account, AccountSettings, Proof},
        delivery::ConnectionReport,
        id::AccountId,
    },
    store::StoreError,
};

/// A saved account, and the connection test that saving it took, if it took one.
#[derive(Clone, Debug)]
pub struct SavedAccount {
    /// The account as it now stands.
    pub account: Account,
    /// The test.
    pub report: Option<ConnectionReport>,
}

/// What a test of settings came to.
pub(super) struct Trial {
    /// The test; `None`: none was needed.
    pub(super) report: Option<ConnectionReport>,
    /// To be noted with the account.
    pub(super) proof: Option<Proof>,
}

impl Trial {
    /// Whether the account may be enabled.
    pub(super) fn passed(&self) -> bool {
        self.report.as_ref().is_none_or(ConnectionReport::succeeded)
    }
}

impl Office {
    /// Tries settings that are about to be saved as enabled, unless they are proven or nobody asks for proof.
    pub(super) async fn try_out(&self, account: &Account) -> Trial {
        let needed =
            self.settings.tested_only && account.settings.enabled && !account.is_proven(&self.keyring);
        if !needed {
            return Trial {
                report: None,
                proof: None,
            };
        }
        let report = self
            .transports
            .test(account, &account.settings.sender.address)
            .await;
        tracing::info!(
            account.name = %account.settings.name,
            succeeded = report.succeeded(),
            "connection tested before saving"
        );
        let proof = self.proof_of(account, &report);
        Trial {
            report: Some(report),
            proof,
        }
    }

    /// An account that is not saved, or not as it is.
    pub(super) fn imagined(&self, id: AccountId, settings: AccountSettings) -> Account {
        let now = self.clock.now();
        Account {
            id,
            is_default: false,
            settings,
            created_at: now,
            updated_at: now,
            version: 0,
            proof: None,
        }
    }

    /// Notes a test that was passed with an account as it is saved.
    pub(super) async fn note_proof(
        &self,
        account: &mut Account,
        proof: Option<Proof>,
    ) -> Result<(), StoreError> {
        if let Some(proof) = proof {
            self.accounts.note_test(account.id, proof).await?;
            account.proof = Some(proof);
        }
        Ok(())
    }

    /// What a report proves of an account.
    pub(super) fn proof_of(&self, account: &Account, report: &ConnectionReport) -> Option<Proof> {
        let settings = account.fingerprint(&self.keyring).ok();
        let settings = settings.filter(|_| report.succeeded())?;
        let at = self.clock.now();
        Some(Proof { settings, at })
    }

    /// The account without a proof that is of other settings.
    pub(super) fn judged(&self, mut account: Account) -> Account {
        if !account.is_proven(&self.keyring) {
            account.proof = None;
        }
        account
    }
}

impl From<Trial> for AccountError {
    fn from(trial: Trial) -> Self {
        Self::TestFailed(Box::new(trial.report.unwrap_or_default()))
    }
}

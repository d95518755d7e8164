//! Override: a code to another address than the one on file, where the event's policy and the user's confirmation allow it.

use super::{
    Desk,
    start::{Addressee, StartError, StartRequest},
};
use crate::domain::{
    challenge::Purpose, clock::Timestamp, keyring::SubjectKind, otp_policy::OtpPolicy,
    override_address::OverrideRefusal,
};

impl Desk {
    /// The addressee at the address that the request names, if it names one. An address that is to be confirmed is
    /// noted; any other must have been confirmed before. That is asked for a decoy as well, which has confirmed nothing:
    /// an unknown user and a known one without a confirmation are refused alike.
    pub(super) async fn overridden(
        &self,
        request: &StartRequest,
        policy: &OtpPolicy,
        mut addressee: Addressee,
        now: Timestamp,
    ) -> Result<Addressee, StartError> {
        let Some(other) = &request.override_address else {
            return Ok(addressee);
        };
        // Byte for byte: mailboxes may differ by case alone.
        let confirmed = self.keyring.subject(SubjectKind::Confirmed, &[other.as_str()]);
        if request.purpose == Purpose::AddressConfirmation {
            addressee.confirms = Some(confirmed);
        } else {
            let confirmed_at = self.confirmations.confirmed_at(addressee.user, confirmed).await?;
            policy
                .override_address
                .counts(confirmed_at, now)
                .map_err(StartError::Override)?;
        }
        // A decoy's mails count here too, though none is sent: else the budget would tell who is one.
        addressee.address = self.keyring.subject(SubjectKind::Address, &[&other.folded()]);
        if let Some(veil) = &mut addressee.veil {
            // The caller's own words.
            veil.recipient = policy.mask.apply(other);
        }
        addressee.recipient = other.clone();
        Ok(addressee)
    }
}

/// The name of a refusal in metrics.
pub(super) fn outcome(refusal: OverrideRefusal) -> &'static str {
    match refusal {
        OverrideRefusal::Unconfirmed => "override_unconfirmed",
        _ => "override_refused",
    }
}

//! What start and resend have in common: owing a mail with a code, and waiting for the mail server's word on it.

use tokio::time::{Instant, timeout_at};

use super::{ChallengeView, Desk, sees_users};
use crate::{
    domain::{
        caller::Caller,
        challenge::Challenge,
        clock::Timestamp,
        delivery::DeliveryState,
        id::EntryId,
        keyring::SubjectKind,
        mail_queue::MailQueue,
        message::{CodeMail, Mail, MailContext, message_id},
        otp_policy::OtpPolicy,
    },
    store::{Charge, MailKind, NewEntry, changes::Listener},
};

impl Desk {
    /// The outbox entry for code number `number` of a challenge.
    pub(super) fn entry(
        &self,
        caller: &Caller,
        challenge: &Challenge,
        number: u32,
        context: MailContext,
        policy: &OtpPolicy,
        now: Timestamp,
    ) -> NewEntry {
        let id = EntryId::random(now, &*self.entropy);
        // Reports are read by those who may see users: not what the challenge's caller is shown.
        let masked_recipient = policy.mask.apply(&context.recipient);
        let context = MailContext {
            asked: None,
            ..context
        };
        let mail = Mail::Code(CodeMail {
            challenge: challenge.id,
            number,
            purpose: challenge.purpose,
            spec: challenge.spec.clone(),
            key: challenge.key.clone(),
            lifetime_seconds: told_lifetime(challenge.expires_at.since(now).as_secs()),
            context,
            account: policy.account.clone(),
        });
        NewEntry {
            id,
            kind: MailKind::Code,
            challenge: Some(challenge.id),
            decoy: challenge.decoy,
            submitted_at: now,
            expires_at: challenge.expires_at,
            masked_recipient,
            recipient: challenge.address,
            message_id: message_id(&id, &self.settings.message_id_domain),
            mail: self
                .keyring
                .seal(&NewEntry::place(&id), &mail.to_bytes(), &*self.entropy),
            queue: MailQueue::of(caller),
            lease: None,
        }
    }

    /// What one more mail of a challenge is charged to: its user, its address, and the caller who asks for it. A caller that
    /// is answered by a name has a budget for that, and is told nothing of the others.
    pub(super) fn charges(&self, caller: &Caller, challenge: &Challenge, policy: &OtpPolicy) -> Vec<Charge> {
        let silent = challenge.name.is_some();
        let charge = |subject, limits, silent| Charge {
            subject,
            limits,
            silent,
        };
        let named = challenge.name.map(|name| {
            let limits = policy.user_sends.tighter(policy.address_sends);
            charge(name, limits, false)
        });
        let of_caller = policy.sends_of(caller.role).map(|limits| {
            let id = caller.id.to_string();
            charge(self.keyring.subject(SubjectKind::Caller, &[&id]), limits, false)
        });
        let truth = [
            charge(challenge.user, policy.user_sends, silent),
            charge(challenge.address, policy.address_sends, silent),
        ];
        named.into_iter().chain(truth).chain(of_caller).collect()
    }

    /// The answer to a request that wrote a mail: at once, or with `waiting` when the mail server has spoken. The mail
    /// is durable by now, so nothing that fails here fails the request.
    pub(super) async fn answer(
        &self,
        caller: &Caller,
        mut challenge: Challenge,
        waiting: Option<&Listener>,
    ) -> ChallengeView {
        let mut delivery = DeliveryState::Queued;
        if let Some(listener) = waiting {
            delivery = self.word_of_the_server(&challenge, listener).await;
            // Time has passed: it may have been verified or cancelled.
            if let Ok(Some(present)) = self.challenges.present(challenge.id).await {
                challenge = present;
            }
        }
        let sees = sees_users(caller, self.policies.current().of(&challenge.event));
        ChallengeView {
            standing: challenge.standing(self.clock.now()),
            challenge,
            delivery: sees.then_some(delivery),
        }
    }

    /// How far the newest mail has come once a server has taken, refused or put it off, or once waiting has lasted
    /// long enough.
    async fn word_of_the_server(&self, challenge: &Challenge, listener: &Listener) -> DeliveryState {
        let until = Instant::now() + self.settings.wait;
        loop {
            let state = match self.outbox.newest(challenge.id).await {
                Ok(newest) => newest.map_or(DeliveryState::Queued, |entry| entry.state),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(challenge.id = %challenge.id, error, "the state of a mail could not be read");
                    return DeliveryState::Queued;
                }
            };
            if state != DeliveryState::Queued || Instant::now() >= until {
                return state;
            }
            // Another instance may be the one that sends it: look again even without news.
            let look_again = until.min(Instant::now() + self.settings.poll);
            let _ = timeout_at(look_again, listener.heard()).await;
        }
    }
}

/// The lifetime as a mail tells it: whole minutes where there are any, so that nobody is promised more than there is.
fn told_lifetime(seconds: u64) -> u64 {
    if seconds < 60 { seconds } else { seconds / 60 * 60 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_promises_whole_minutes_and_never_too_many() {
        for (seconds, told) in [(300, 300), (299, 240), (60, 60), (59, 59), (0, 0), (3_661, 3_660)] {
            assert_eq!(told_lifetime(seconds), told);
        }
    }
}

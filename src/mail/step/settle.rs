//! How a step ends: the attempt is noted, the outcome settled and told.

use super::Step;
use crate::{
    domain::{
        account::Account,
        backoff::Jitter,
        clock::Timestamp,
        delivery::{DeliveryState, FailureKind, NextStep, SendFailure, Stage, after_failure},
    },
    mail::Settled,
    store::{AttemptRecord, Outcome, Settlement},
};

impl Step<'_> {
    pub(super) async fn fail(
        mut self,
        account: Option<&Account>,
        began: Timestamp,
        failure: SendFailure,
    ) -> Settled {
        let unsure = self.claimed.unsure + u32::from(self.charged && !self.claimed.charged);
        let next = after_failure(
            &failure,
            self.claimed.attempts + 1,
            unsure,
            self.now(),
            self.claimed.expires_at,
            Jitter::random(self.worker.entropy.as_ref()),
        );
        let (state, outcome) = match next {
            NextStep::Retry(at) => {
                let failure = failure.clone();
                (DeliveryState::Deferred, Outcome::Retry { at, failure })
            }
            NextStep::Fail => {
                let failure = failure.clone();
                (DeliveryState::Failed, Outcome::Failed { failure })
            }
            NextStep::Expire => {
                let failure = Some(failure.clone());
                (DeliveryState::Expired, Outcome::Expired { failure })
            }
        };
        if failure.kind == FailureKind::Ambiguous {
            // It stays counted: a copy may be out.
            self.charged = false;
        }
        self.note(
            account.map_or_else(String::new, |account| account.settings.name.clone()),
            began,
            failure.stage,
            failure.code,
            failure.reply,
            state,
        );
        self.settle(outcome).await
    }

    pub(super) fn note(
        &mut self,
        account: String,
        started_at: Timestamp,
        stage: Stage,
        reply_code: Option<u16>,
        mut reply: String,
        outcome: DeliveryState,
    ) {
        if !self.remark.is_empty() {
            // Replies are kept up to 512 bytes: the remark is not what is cut.
            reply.truncate(reply.floor_char_boundary(200));
            reply.push_str(&self.remark);
        }
        self.attempts.push(AttemptRecord {
            number: 0,
            started_at,
            duration: self.now().since(started_at),
            account,
            stage,
            reply_code,
            reply,
            outcome,
        });
    }

    pub(super) async fn release(self) -> Settled {
        let leased = (self.claimed.id, self.claimed.lease);
        let released = self.insist(|| self.worker.outbox.release(vec![leased])).await;
        released.map_or(Settled::Unsettled, |()| Settled::Released)
    }

    /// The last word. A store that is away is asked again while the lease lasts: what is not settled is sent twice.
    pub(super) async fn settle(mut self, outcome: Outcome) -> Settled {
        drop(self.place.take());
        let (state, failure) = match &outcome {
            Outcome::Sent { .. } => (DeliveryState::Sent, None),
            Outcome::Retry { failure, .. } => (DeliveryState::Deferred, Some(failure)),
            Outcome::Failed { failure } => (DeliveryState::Failed, Some(failure)),
            Outcome::Expired { failure } => (DeliveryState::Expired, failure.as_ref()),
        };
        let reached = match state {
            DeliveryState::Sent => Some(Stage::Accept),
            _ => failure.map(|failure| failure.stage),
        };
        let settlement = Settlement {
            id: self.claimed.id,
            lease: self.claimed.lease,
            outcome,
            subject: self.subject.clone(),
            sender: self.sender.clone(),
            attempts: self.attempts.clone(),
            fate_known: self.charged,
        };
        failpoint!("settle.before");
        let settled = self
            .insist(|| self.worker.outbox.settle(settlement.clone()))
            .await;
        failpoint!("settle.after");
        let settled = match settled {
            Ok(true) => Settled::As(state),
            Ok(false) => Settled::Lost,
            Err(_) => Settled::Unsettled,
        };
        count(settled, reached);
        match self.attempts.last() {
            Some(attempt) if state != DeliveryState::Sent => tracing::warn!(
                mail.outcome = state.name(), mail.stage = attempt.stage.name(), mail.account = %attempt.account,
                smtp.code = attempt.reply_code, smtp.reply = %attempt.reply, settled = ?settled, "a mail was not sent"
            ),
            _ => tracing::debug!(mail.outcome = state.name(), settled = ?settled, "a mail was settled"),
        }
        if let Some(challenge) = self.claimed.challenge {
            self.worker.changes.ring(challenge);
        }
        settled
    }
}

fn count(became: Settled, stage: Option<Stage>) {
    let outcome = match became {
        Settled::As(delivery) => delivery.name(),
        Settled::Lost => "lost",
        Settled::Released => "released",
        Settled::Unsettled => "unsettled",
    };
    let stage = stage.map_or("none", Stage::name);
    metrics::counter!("mailfactor_mails_total", "outcome" => outcome, "stage" => stage).increment(1);
}

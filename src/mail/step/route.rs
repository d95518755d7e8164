//! Which way a mail takes: from account to account until one takes it.

use tokio::time::Instant;

use super::{MARGIN, Step, ranking::candidates};
use crate::{
    domain::{
        account::Account,
        clock::Timestamp,
        delivery::{DeliveryState, SendFailure},
        keyring::SubjectKind,
        message::Mail,
    },
    mail::{Accepted, Obstacle, Own, Pass, Rendered, Settled, Unsent, Withheld},
    store::{Charge, Leave, StoreResult},
};

impl Step<'_> {
    /// The accounts a mail may go through, in the order they are tried: a test mail names its own, enabled or not; the
    /// others begin with the one that their event's policy named when they were written.
    pub(super) async fn choose_accounts(&self, mail: &Mail) -> StoreResult<Vec<Account>> {
        let accounts = &self.worker.accounts;
        match mail {
            Mail::Test(mail) => {
                let found = self.insist(|| accounts.find(mail.account)).await?;
                Ok(found.into_iter().collect())
            }
            Mail::Code(mail) => {
                let all = self.insist(|| accounts.list()).await?;
                Ok(candidates(all, mail.account.as_deref()))
            }
        }
    }

    /// Sends the mail through the first account that takes it. Where an account and not the mail is at fault, the next one
    /// is tried at once.
    pub(super) async fn through(mut self, mail: &Mail, own: Option<&Own>, accounts: &[Account]) -> Settled {
        let mut failed: Option<(&Account, Timestamp, SendFailure)> = None;
        let mut held: Option<(&Account, Obstacle)> = None;
        for account in accounts {
            let began = self.now();
            if failed.is_some() && began >= self.until() {
                break;
            }
            let queue = self.claimed.queue;
            if let Some(toll) = self.toll(account)
                && !self
                    .worker
                    .transports
                    .limit_turns()
                    .may_try(account.id, queue, began)
            {
                hold(
                    &mut held,
                    account,
                    Obstacle::Spent(began.plus(toll.limits.refill)),
                );
                continue;
            }
            let pass = match self.worker.transports.enter_for(account, self.claimed.queue) {
                Ok(pass) => pass.with_others(accounts.len() > 1),
                Err(obstacle) => {
                    hold(&mut held, account, obstacle);
                    continue;
                }
            };
            let rendered = match self.render(mail, own, account) {
                Ok(rendered) => rendered,
                Err(failure) => return self.fail(Some(account), began, failure).await,
            };
            if let Some(broken) = rendered
                .broken_template
                .as_ref()
                .filter(|_| self.remark.is_empty())
            {
                metrics::counter!("mailfactor_templates_broken_total").increment(1);
                tracing::error!(template.fault = %broken, "the built-in template stands in for a broken one");
                self.remark = format!(" [{broken}]");
            }
            let rendered = match self
                .worker
                .signer
                .sign(account.id, rendered, self.claimed.submitted_at)
                .await
            {
                Ok(signed) => signed,
                Err(failure) => {
                    failed = Some(self.passed_over(account, began, failure));
                    continue;
                }
            };
            match self.attempt(pass, account, &rendered).await {
                Ok(accepted) => return self.accepted(account, began, &accepted).await,
                Err(Unsent::Withheld(Withheld::Refused(Leave::Spent(until)))) => {
                    hold(&mut held, account, Obstacle::Spent(until));
                }
                Err(Unsent::Withheld(withheld)) => return self.withheld(account, began, withheld).await,
                Err(Unsent::Overtaken) => hold(&mut held, account, Obstacle::Resting(self.now())),
                Err(Unsent::Failed(failure)) if failure.stage.concerns_account() => {
                    failed = Some(self.passed_over(account, began, failure));
                }
                Err(Unsent::Failed(failure)) => return self.fail(Some(account), began, failure).await,
            }
        }
        match (failed, held) {
            (Some((account, began, failure)), _) => {
                // Noted again with what becomes of the mail.
                self.attempts.pop();
                self.fail(Some(account), began, failure).await
            }
            (None, Some((account, obstacle))) => self.hold_back(account, obstacle).await,
            (None, None) => Settled::Unsettled,
        }
    }

    /// Notes that an account is at fault, before the next one is tried.
    fn passed_over<'b>(
        &mut self,
        account: &'b Account,
        began: Timestamp,
        failure: SendFailure,
    ) -> (&'b Account, Timestamp, SendFailure) {
        self.note(
            account.settings.name.clone(),
            began,
            failure.stage,
            failure.code,
            failure.reply.clone(),
            DeliveryState::Deferred,
        );
        (account, began, failure)
    }

    /// One attempt through one account.
    async fn attempt(
        &mut self,
        pass: Pass,
        account: &Account,
        rendered: &Rendered,
    ) -> Result<Accepted, Unsent> {
        self.subject = Some(rendered.masked_subject.clone());
        self.sender = Some(account.settings.sender.address.as_str().to_owned());
        let until = self.until();
        let begun = Instant::now();
        let mut charged = self.charged;
        let worker = self.worker;
        let (entry, lease) = (self.claimed.id, self.claimed.lease);
        let granted = &mut charged;
        let toll = self.toll(account);
        let clearance = async move {
            if *granted && toll.is_none() {
                failpoint!("send.before_dot");
                return Ok(());
            }
            failpoint!("send.before_leave");
            match worker.outbox.leave(entry, lease, toll).await {
                Ok(Leave::Granted) => {
                    failpoint!("send.before_dot");
                    *granted = true;
                    Ok(())
                }
                Ok(refused) => Err(Withheld::Refused(refused)),
                Err(_) => Err(Withheld::Unasked),
            }
        };
        let result = worker
            .transports
            .send(pass, account, rendered, until, clearance)
            .await;
        failpoint!("send.after_dot");
        self.charged = charged;
        metrics::histogram!("mailfactor_mail_attempt_seconds").record(begun.elapsed().as_secs_f64());
        result
    }

    /// What a mail through the account is charged to, if there is a limit.
    fn toll(&self, account: &Account) -> Option<Charge> {
        let settings = &account.settings;
        let limits = settings.volume.or_of(settings.preset).limits()?;
        let limits = if self.claimed.queue.is_preferred() {
            limits
        } else {
            limits.without_reserve()
        };
        let id = account.id.to_string();
        let subject = self.worker.keyring.subject(SubjectKind::Account, &[&id]);
        Some(Charge {
            subject,
            limits,
            silent: false,
        })
    }

    /// When an attempt must be over: before the code expires, and early enough to settle it in the lease.
    fn until(&self) -> Timestamp {
        let in_lease = self.claimed.leased_until.minus(MARGIN);
        self.claimed.expires_at.min(in_lease)
    }
}

/// Keeps what is out of the way first.
fn hold<'a>(held: &mut Option<(&'a Account, Obstacle)>, account: &'a Account, obstacle: Obstacle) {
    if held.is_none_or(|(_, soonest)| obstacle.until() < soonest.until()) {
        *held = Some((account, obstacle));
    }
}

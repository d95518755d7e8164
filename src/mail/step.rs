//! One step: what a worker does with one claimed mail, from opening it to settling it.

mod ranking;
mod route;
mod settle;

use std::{borrow::Cow, sync::Arc, time::Duration};

use super::{
    Accepted, Cover, Obstacle, Own, Rendered, Settled, Withheld, Worker, compose::refuse, insist::insist,
    places::Place, reply::failure,
};
use crate::{
    domain::{
        account::Account,
        clock::Timestamp,
        delivery::{DeliveryState, FailureKind, SendFailure, Stage},
        message::Mail,
    },
    store::{AttemptRecord, Claimed, Leave, NewEntry, Outcome, StoreResult},
};

/// What is left of a lease when an attempt must be over: time to settle it in.
const MARGIN: Duration = Duration::from_secs(5);

/// A step under way.
struct Step<'a> {
    worker: &'a Worker,
    claimed: Claimed,
    subject: Option<String>,
    /// The address it was rendered to come from.
    sender: Option<String>,
    attempts: Vec<AttemptRecord>,
    /// Whether a copy of unknown fate is counted at present.
    charged: bool,
    /// Given up when all that is left is to settle.
    place: Option<Place>,
    /// What is to be said beside the reply of the attempt; may be empty.
    remark: String,
}

impl Worker {
    /// Delivers one mail as far as it goes now.
    pub async fn step(&self, claimed: Claimed) -> Settled {
        self.step_from(claimed, None).await
    }

    /// The same, from a place that is given up before the store is told what became of the mail.
    #[tracing::instrument(name = "mail.step", skip_all, fields(mail.entry = %claimed.id))]
    pub(super) async fn step_from(&self, claimed: Claimed, place: Option<Place>) -> Settled {
        let step = Step {
            place,
            ..Step::of(self, claimed)
        };
        // Boxed: it holds a whole SMTP dialogue.
        Box::pin(step.run()).await
    }

    /// Ends a mail whose step broke down: it must neither loop nor block.
    pub(super) async fn give_up(&self, claimed: Claimed) -> Settled {
        let mut step = Step::of(self, claimed);
        // How far it came is not known: what was counted stays counted.
        step.charged = false;
        let failure = refuse("an internal error");
        step.settle(Outcome::Failed { failure }).await
    }
}

impl<'a> Step<'a> {
    fn of(worker: &'a Worker, claimed: Claimed) -> Self {
        let charged = claimed.charged;
        Self {
            worker,
            claimed,
            subject: None,
            sender: None,
            attempts: Vec::new(),
            charged,
            place: None,
            remark: String::new(),
        }
    }

    async fn run(self) -> Settled {
        let now = self.now();
        if now >= self.claimed.expires_at {
            return self.settle(Outcome::Expired { failure: None }).await;
        }
        // The master switch: the mail waits until it is on again, or expires.
        if !self.worker.policies.current().sending {
            return self.release().await;
        }
        let attempt = self.worker.transports.settings().attempt_timeout;
        if now.plus(attempt + MARGIN) > self.claimed.leased_until {
            return self.release().await;
        }
        let mail = match self.open() {
            Ok(mail) => mail,
            Err(failure) => return self.fail(None, now, failure).await,
        };
        let accounts = match self.choose_accounts(&mail).await {
            Ok(accounts) if accounts.is_empty() => {
                let text = "no mail account is set up and enabled";
                return self
                    .fail(None, now, failure(Stage::Resolve, FailureKind::Temporary, text))
                    .await;
            }
            Ok(accounts) => accounts,
            Err(_) => return Settled::Unsettled,
        };
        let Ok(own) = self.template(&mail).await else {
            return Settled::Unsettled;
        };
        let own = own.as_deref();
        let worker = self.worker;
        let (resting, ready): (Vec<_>, Vec<_>) = accounts
            .into_iter()
            .partition(|account| worker.transports.is_resting(account));
        if ready.is_empty() {
            // Nobody is well: this mail is the probe of whoever may be tried first.
            return self.through(&mail, own, &resting).await;
        }
        self.through(&mail, own, &ready).await
    }

    fn open(&self) -> Result<Mail, SendFailure> {
        let place = NewEntry::place(&self.claimed.id);
        let opened = self.worker.keyring.open(&place, &self.claimed.mail);
        let bytes = opened.map_err(|error| refuse(format!("the mail {error}")))?;
        Mail::from_bytes(&bytes).map_err(|error| refuse(format!("the outbox entry {error}")))
    }

    /// The administrator's template that the mail is made of, if there is one.
    async fn template(&self, mail: &Mail) -> StoreResult<Option<Arc<Own>>> {
        let Mail::Code(mail) = mail else {
            return Ok(None);
        };
        let context = &mail.context;
        let library = &self.worker.library;
        self.insist(|| library.find(mail.purpose, &context.event, &context.locale))
            .await
    }

    fn render(&self, mail: &Mail, own: Option<&Own>, account: &Account) -> Result<Rendered, SendFailure> {
        let sender = match mail {
            Mail::Code(mail) => account.settings.sender.answered_at(&mail.context.replies),
            Mail::Test(_) => Cow::Borrowed(&account.settings.sender),
        };
        let cover = Cover {
            sender: &sender,
            submitted_at: self.claimed.submitted_at,
            message_id: &self.claimed.message_id,
        };
        self.worker
            .renderer
            .render_from(mail, own, cover, &self.worker.keyring)
    }

    async fn accepted(mut self, account: &Account, began: Timestamp, accepted: &Accepted) -> Settled {
        let turns = self.worker.transports.limit_turns();
        turns.sent(account.id, self.claimed.queue);
        let at = self.now();
        let waited = at.since(self.claimed.submitted_at);
        metrics::histogram!("mailfactor_mail_accept_seconds").record(waited.as_secs_f64());
        self.note(
            account.settings.name.clone(),
            began,
            Stage::Accept,
            Some(accepted.code),
            accepted.reply.clone(),
            DeliveryState::Sent,
        );
        self.settle(Outcome::Sent { at }).await
    }

    async fn withheld(self, account: &Account, began: Timestamp, withheld: Withheld) -> Settled {
        let (kind, text) = match withheld {
            Withheld::Refused(Leave::Lost) => return Settled::Lost,
            Withheld::Refused(Leave::Spent(until)) => {
                return self.hold_back(account, Obstacle::Spent(until)).await;
            }
            Withheld::Refused(_) => (
                FailureKind::Permanent,
                "two copies whose fate is unknown are out already",
            ),
            Withheld::Unasked => (FailureKind::Temporary, "the store did not give leave to transmit"),
            Withheld::Late => (FailureKind::Temporary, "the time to transmit had passed"),
        };
        self.fail(Some(account), began, failure(Stage::Data, kind, text))
            .await
    }

    /// No account may be tried now: no attempt is made, and none is counted.
    async fn hold_back(self, account: &Account, obstacle: Obstacle) -> Settled {
        let name = &account.settings.name;
        let text = match obstacle {
            Obstacle::Resting(_) => format!("the account {name} is failing: held back"),
            Obstacle::Spent(_) => format!("the account {name} has sent all that its limits allow: held back"),
        };
        let failure = failure(Stage::Connect, FailureKind::Temporary, text);
        let later = match obstacle {
            // Spread over a second, so that not everybody comes back at once.
            Obstacle::Resting(_) => {
                let [spread] = crate::domain::entropy::random_bytes(self.worker.entropy.as_ref());
                Duration::from_millis(u64::from(spread) * 4)
            }
            Obstacle::Spent(_) => self.turn(account).await,
        };
        // Those before it may be withdrawn: it is not given up for the length of its queue alone.
        let last = self.claimed.expires_at.minus(MARGIN).max(obstacle.until());
        let at = obstacle.until().plus(later).min(last);
        if matches!(obstacle, Obstacle::Spent(_)) && later.is_zero() {
            let turns = self.worker.transports.limit_turns();
            turns.held(account.id, self.claimed.queue, at);
        }
        let outcome = if at < self.claimed.expires_at {
            Outcome::Retry { at, failure }
        } else {
            Outcome::Expired {
                failure: Some(failure),
            }
        };
        self.settle(outcome).await
    }

    /// How much later than the first of its queue a mail comes back to an account that may send again: those before it take
    /// one mail's time each. So what is at the head of each queue tries for the next mail, however long any of them is.
    async fn turn(&self, account: &Account) -> Duration {
        let Claimed {
            queue, submitted_at, ..
        } = self.claimed;
        // A store that cannot say is no reason to lose the mail: it tries with the first.
        let ahead = self.worker.outbox.ahead(queue, submitted_at).await.unwrap_or(0);
        let settings = &account.settings;
        let limits = settings.volume.or_of(settings.preset).limits();
        limits.map_or(Duration::ZERO, |limits| limits.refill.saturating_mul(ahead))
    }

    /// Asks the store again while it is away, as long as the lease lasts.
    async fn insist<T, F>(&self, ask: impl Fn() -> F) -> StoreResult<T>
    where
        F: Future<Output = StoreResult<T>>,
    {
        insist(ask, self.worker.clock.as_ref(), self.claimed.leased_until).await
    }

    fn now(&self) -> Timestamp {
        self.worker.clock.now()
    }
}

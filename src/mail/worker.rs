//! The worker's loop: fresh mails from the tray, due ones from the outbox, a step for each, so many at a time.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Library, Renderer, Signer, Transports,
    places::{Place, Places},
    waiting::Waiting,
};
use crate::{
    domain::{
        clock::Clock,
        delivery::DeliveryState,
        entropy::Entropy,
        id::{EntryId, LeaseId},
        keyring::Keyring,
    },
    store::{Accounts, Claimed, LEASE, Outbox, changes::Changes, handoff::Tray, policy_book::PolicyBook},
};

/// How often mails whose time is over are ended.
const EXPIRE_EVERY: Duration = Duration::from_secs(1);

/// How often the queue is measured and accounts that are gone are forgotten.
const SURVEY_EVERY: Duration = Duration::from_secs(5);

/// How long a store that failed is left alone, at the most.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How long calls that end have to hand over their mails, at the end.
const LAST_MAILS: Duration = Duration::from_millis(500);

/// For each mail that may be on its way out, so many may wait for the store to take what became of them.
const SETTLING: usize = 16;

/// How the worker works.
#[derive(Clone, Copy, Debug)]
pub struct WorkerSettings {
    /// How many mails are on their way out at a time.
    pub concurrency: usize,
    /// How often the outbox is asked for due mails; 500 ms or less, or retries are late.
    pub poll: Duration,
}

/// Sends what the outbox holds.
pub struct Worker {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for leases and jitter.
    pub entropy: Arc<dyn Entropy>,
    /// The service's keys: mails are opened and codes derived with them.
    pub keyring: Arc<Keyring>,
    /// Mails owed.
    pub outbox: Arc<dyn Outbox>,
    /// Mail accounts.
    pub accounts: Arc<dyn Accounts>,
    /// The connections to their servers.
    pub transports: Arc<Transports>,
    /// Makes the messages.
    pub renderer: Arc<Renderer>,
    /// The policies: while the master switch is off, nothing is claimed.
    pub policies: Arc<PolicyBook>,
    /// The templates that administrators wrote.
    pub library: Arc<Library>,
    /// Signs mails with DKIM.
    pub signer: Arc<Signer>,
    /// Rung for every challenge whose mail changed.
    pub changes: Changes,
    /// The rest.
    pub settings: WorkerSettings,
}

/// What became of a claimed mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It was settled, and this is where it stands.
    As(DeliveryState),
    /// The lease was somebody else's by then: nothing was changed.
    Lost,
    /// Given back unbegun: too little of its lease was left.
    Released,
    /// The store could not be written: the lease runs out, and somebody takes the mail over.
    Unsettled,
}

/// What a task of the loop comes back with.
enum Done {
    /// A step ended.
    Step,
    /// The outbox was asked: what it gave, or `None` where it failed.
    Claim(Option<Vec<Claimed>>),
    /// Housekeeping was done.
    Kept,
    /// Accounts that fail were tried out.
    TriedOut,
}

/// The loop's state.
struct Loop {
    worker: Arc<Worker>,
    tasks: JoinSet<Done>,
    /// Steps that have not ended.
    steps: usize,
    /// Those of them whose mail is on its way out.
    places: Places,
    /// Mails that are leased and wait for their turn.
    waiting: Waiting,
    /// Mails that a claim under way may bring; 0: none is.
    claiming: usize,
    keeping: bool,
    trying_out: bool,
    /// Whether the outbox is to be asked again at once.
    hungry: bool,
    /// Not to be asked before this, after it failed.
    pause_until: Instant,
    pause: Duration,
}

impl Worker {
    /// Works until `soft` is cancelled, finishes what it has begun, and gives back what it has not.
    pub async fn run(self: Arc<Self>, mut tray: Tray, soft: CancellationToken) {
        let mut polls = interval(self.settings.poll.max(Duration::from_millis(10)));
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut keeps = interval(EXPIRE_EVERY);
        keeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut work = Loop::new(self);
        let mut open = true;
        let mut surveyed: Option<Instant> = None;
        loop {
            tokio::select! {
                () = soft.cancelled() => break,
                Some(done) = work.tasks.join_next() => work.done(done),
                // Taken out as it comes, so that it takes turns: the tray's places bound how many wait.
                fresh = tray.receiver.recv(), if open => match fresh {
                    Some(claimed) => work.waiting.push(claimed),
                    None => open = false,
                },
                () = work.places.freed() => {}
                () = tray.wake.notified() => work.hungry = true,
                _ = polls.tick() => work.hungry = true,
                _ = keeps.tick() => {
                    work.try_out();
                    let survey = surveyed.is_none_or(|last| last.elapsed() >= SURVEY_EVERY);
                    if survey {
                        surveyed = Some(Instant::now());
                    }
                    work.keep(survey);
                }
            }
            work.begin_waiting();
            work.claim();
        }
        tray.receiver.close();
        let waiting = work.waiting.drain();
        let mut unbegun: Vec<_> = waiting.map(|mail| (mail.id, mail.lease)).collect();
        // Places that were taken before are still filled, or given back, by calls that end now.
        while let Ok(Some(claimed)) = timeout(LAST_MAILS, tray.receiver.recv()).await {
            unbegun.push((claimed.id, claimed.lease));
        }
        work.finish(unbegun).await;
    }

    async fn claim_due(&self, only_preferred: bool, limit: usize) -> Option<Vec<Claimed>> {
        if !self.policies.current().sending {
            return Some(Vec::new());
        }
        let leases = (0..limit)
            .map(|_| LeaseId::random(self.entropy.as_ref()))
            .collect();
        let asked = self.clock.now();
        failpoint!("claim.before");
        match self
            .outbox
            .claim_of(only_preferred, u32::try_from(limit).unwrap_or(u32::MAX), leases)
            .await
        {
            Ok(mut claimed) => {
                if !claimed.is_empty() {
                    failpoint!("claim.after");
                }
                // The lease runs on the store's clock. Counted from before the question on ours, it ends no later.
                for mail in &mut claimed {
                    mail.leased_until = asked.plus(LEASE);
                }
                Some(claimed)
            }
            Err(error) => {
                tracing::error!(error = %error, "the outbox cannot be read");
                None
            }
        }
    }

    async fn step_or_give_up(&self, claimed: Claimed, place: Place) -> Settled {
        let step = AssertUnwindSafe(self.step_from(claimed.clone(), Some(place)));
        if let Ok(settled) = step.catch_unwind().await {
            return settled;
        }
        tracing::error!(mail.entry = %claimed.id, "a step panicked: its mail is given up");
        self.give_up(claimed).await
    }
}

impl Loop {
    fn new(worker: Arc<Worker>) -> Self {
        let places = Places::new(worker.settings.concurrency.max(1));
        Self {
            worker,
            tasks: JoinSet::new(),
            steps: 0,
            places,
            waiting: Waiting::default(),
            claiming: 0,
            keeping: false,
            trying_out: false,
            hungry: true,
            pause_until: Instant::now(),
            pause: Duration::ZERO,
        }
    }

    /// How many more mails may begin.
    fn room(&self) -> usize {
        self.free().saturating_sub(self.claiming)
    }

    fn free(&self) -> usize {
        let most = self.worker.settings.concurrency.max(1) * SETTLING;
        self.places.free().min(most.saturating_sub(self.steps))
    }

    /// So many places are for mails of callers that go first.
    fn reserve(&self) -> usize {
        self.worker.settings.concurrency / 4
    }

    /// Begins with the mails that wait, as far as there is room: the last quarter of it is for callers that go first.
    fn begin_waiting(&mut self) {
        loop {
            let free = self.free();
            if free == 0 {
                return;
            }
            match self.waiting.pop(free <= self.reserve()) {
                Some(mail) => self.begin(mail),
                None => return,
            }
        }
    }

    fn begin(&mut self, mut claimed: Claimed) {
        claimed.place = None;
        let worker = Arc::clone(&self.worker);
        let place = self.places.take();
        self.steps += 1;
        self.tasks.spawn(async move {
            worker.step_or_give_up(claimed, place).await;
            Done::Step
        });
    }

    /// Asks the outbox, if there is a reason to, room, and no question under way.
    fn claim(&mut self) {
        let room = self.room();
        if !self.hungry || room == 0 || self.claiming > 0 || Instant::now() < self.pause_until {
            return;
        }
        self.hungry = false;
        self.claiming = room;
        // What the others have here already would wait beside what is claimed.
        let only_preferred = room <= self.reserve() || !self.waiting.is_empty();
        let worker = Arc::clone(&self.worker);
        self.tasks
            .spawn(async move { Done::Claim(worker.claim_due(only_preferred, room).await) });
    }

    /// Tries out accounts that fail, if there are any and nobody is at it.
    fn try_out(&mut self) {
        if self.trying_out || !self.worker.transports.any_resting() {
            return;
        }
        self.trying_out = true;
        let worker = Arc::clone(&self.worker);
        self.tasks.spawn(async move {
            worker.try_out_resting().await;
            Done::TriedOut
        });
    }

    fn keep(&mut self, survey: bool) {
        if self.keeping {
            return;
        }
        self.keeping = true;
        let worker = Arc::clone(&self.worker);
        self.tasks.spawn(async move {
            worker.keep_house(survey).await;
            Done::Kept
        });
    }

    fn done(&mut self, done: Result<Done, tokio::task::JoinError>) {
        match done {
            Ok(Done::Step) => self.steps -= 1,
            Ok(Done::Claim(claimed)) => {
                let asked = std::mem::take(&mut self.claiming);
                for mail in self.claimed(asked, claimed) {
                    self.waiting.push(mail);
                }
                self.begin_waiting();
            }
            Ok(Done::Kept) => self.keeping = false,
            Ok(Done::TriedOut) => self.trying_out = false,
            // Steps catch their panics; a claim or the housekeeping that panicked must not stand in the way for ever.
            Err(error) => {
                tracing::error!(error = %error, "a task of the worker ended abnormally");
                self.claiming = 0;
                self.keeping = false;
                self.trying_out = false;
            }
        }
    }

    fn claimed(&mut self, asked: usize, claimed: Option<Vec<Claimed>>) -> Vec<Claimed> {
        let Some(mails) = claimed else {
            self.pause = (self.pause * 2).clamp(Duration::from_millis(100), LONGEST_PAUSE);
            self.pause_until = Instant::now() + self.pause;
            return Vec::new();
        };
        self.pause = Duration::ZERO;
        // A full answer: there may be more.
        self.hungry |= mails.len() >= asked;
        mails
    }

    /// Waits for what is under way, then gives back what was leased and not begun.
    async fn finish(mut self, mut unbegun: Vec<(EntryId, LeaseId)>) {
        while let Some(done) = self.tasks.join_next().await {
            if let Ok(Done::Claim(Some(mails))) = done {
                unbegun.extend(mails.into_iter().map(|mail| (mail.id, mail.lease)));
            }
        }
        if unbegun.is_empty() {
            return;
        }
        for wait in [100, 400, 1000] {
            match self.worker.outbox.release(unbegun.clone()).await {
                Ok(()) => return,
                Err(error) => tracing::error!(error = %error, "leased mails cannot be given back yet"),
            }
            sleep(Duration::from_millis(wait)).await;
        }
    }
}

//! One check of one inbox: read what is new, note what it tells, delete where no copy is to stay.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use tokio::time::{Instant, timeout};

use super::{
    Collector,
    examine::{Finding, examine},
    session::{Handle, LARGEST, Listing, Session, Waiting},
    wire::Trouble,
};
use crate::{
    domain::{
        backoff::Jitter,
        delivery::{SendFailure, Stage},
        id::{EntryId, InboxId, LeaseId},
        inbox::{Inbox, Position, SeenId, next_check},
        report::Report,
    },
    mail::journal::Journal,
    store::{BegunCheck, CheckEnd, StoreError, StoreResult},
};

/// The most messages that one check reads.
const MOST_MESSAGES: usize = 100;

/// No further message is begun after this.
const READING: Duration = Duration::from_secs(20);

/// How long a check may take in all. Callers wait for it.
const WHOLE: Duration = Duration::from_secs(30);

/// How long an inbox is one reader's alone: longer than a check with all it writes.
const HOLD: Duration = Duration::from_secs(45);

/// How soon the next check follows one that left something unread.
const SOON: Duration = Duration::from_secs(1);

/// How a check went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Why it failed; `None`: it did not. Bounded, one line, no secrets.
    pub error: Option<String>,
    /// How many messages were read.
    pub read: u32,
    /// How many were passed over, because they are too large or cannot be had.
    pub skipped: u32,
    /// How many were deleted at the server.
    pub deleted: u32,
    /// What was told of our mails.
    pub matched: Vec<Matched>,
    /// Whether there is more to read.
    pub more: bool,
}

/// What was told of one of our mails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched {
    /// The mail.
    pub entry: EntryId,
    /// What was told.
    pub report: Report,
}

/// What became of the wish to check an inbox.
#[derive(Clone, Debug)]
pub enum Checked {
    /// It was checked.
    Done(CheckReport),
    /// Somebody else is reading it.
    Busy,
    /// No such inbox.
    Unknown,
}

/// A check under way. It is kept outside of the reading, so that what was done is known when that is cut short.
struct Check<'a> {
    collector: &'a Collector,
    inbox: &'a Inbox,
    lease: LeaseId,
    position: Position,
    report: CheckReport,
}

/// Why reading ended early.
enum Stop {
    /// The server's fault, or the network's.
    Server(SendFailure),
    /// The store's.
    Store(StoreError),
    /// Somebody changed the inbox, or reads it meanwhile.
    Lease,
}

impl Collector {
    /// Checks an inbox, unless somebody else does. An error: the store could not be asked whether one may.
    #[tracing::instrument(name = "mail.check_inbox", skip_all, fields(inbox.id = %id))]
    pub async fn check(&self, id: InboxId) -> StoreResult<Checked> {
        let lease = LeaseId::random(&*self.entropy);
        let (inbox, position) = match self.inboxes.begin_check(id, lease, HOLD).await? {
            BegunCheck::Begun(inbox, position) => (inbox, position),
            BegunCheck::Busy => return Ok(Checked::Busy),
            BegunCheck::Unknown => return Ok(Checked::Unknown),
        };
        let mut check = Check {
            collector: self,
            inbox: &inbox,
            lease,
            position,
            report: CheckReport::default(),
        };
        let mut journal = Journal::new();
        let result = timeout(WHOLE, check.run(&mut journal)).await;
        let stop = match result {
            Ok(Ok(())) => None,
            Ok(Err(stop)) => Some(stop),
            Err(_) => Some(Stop::Server(journal.lost("the check took too long"))),
        };
        check.report.error = stop.map(|stop| told(&stop));
        check.end().await;
        Ok(Checked::Done(check.report))
    }
}

impl Check<'_> {
    async fn run(&mut self, journal: &mut Journal) -> Result<(), Stop> {
        let settings = &self.inbox.settings;
        let to_delete = !settings.keep_copy;
        let mut session = Session::open(self.collector, self.inbox, to_delete, journal)
            .await
            .map_err(Stop::Server)?;
        let listing = session.list(self.collector, self.inbox, &mut self.position).await;
        let Listing { fresh, present } = listing.map_err(|trouble| stop(&session, journal, &trouble))?;
        self.position.seen.retain(|id| present.contains(id));
        let until = Instant::now() + READING;
        let mut done = Vec::new();
        for (index, waiting) in fresh.iter().enumerate() {
            if index >= MOST_MESSAGES || Instant::now() >= until {
                self.report.more = true;
                break;
            }
            if self.read(&mut session, waiting, journal).await? {
                done.push(waiting.handle);
            }
        }
        if !to_delete || done.is_empty() {
            session.leave().await;
            return Ok(());
        }
        // Asked right before: whoever changed the inbox meanwhile may want its messages kept.
        let holds = self
            .collector
            .inboxes
            .holds_check(self.inbox.id, self.lease)
            .await;
        if !holds.map_err(Stop::Store)? {
            return Err(Stop::Lease);
        }
        let hidden = session.hidden().clone();
        let deleted = session.delete(&done).await;
        deleted.map_err(|trouble| Stop::Server(journal.lost(hidden.clean(&trouble.text()))))?;
        for handle in &done {
            self.pass(*handle);
        }
        self.report.deleted = count(done.len());
        Ok(())
    }

    /// Reads one message and notes what it tells; `false`: it was passed over. A message that is to be deleted is passed
    /// only when it is: if the check ends before, it is read again.
    async fn read(
        &mut self,
        session: &mut Session,
        waiting: &Waiting,
        journal: &Journal,
    ) -> Result<bool, Stop> {
        let fetched = if waiting.size > LARGEST {
            Err(Trouble::Refused(String::new()))
        } else {
            session.fetch(waiting.handle).await
        };
        let raw = match fetched {
            Ok(raw) => raw,
            Err(Trouble::Refused(_)) => {
                self.report.skipped += 1;
                self.pass(waiting.handle);
                return Ok(false);
            }
            Err(trouble) => {
                if matches!(trouble, Trouble::TooLong) {
                    // Larger than the server had said. It would break the next check as well.
                    self.report.skipped += 1;
                    self.pass(waiting.handle);
                }
                return Err(stop(session, journal, &trouble));
            }
        };
        // The parser promises not to panic. Should it, one message tells nothing and the rest is read.
        let finding = catch_unwind(AssertUnwindSafe(|| examine(&raw))).unwrap_or_default();
        self.report.read += 1;
        if let Some(finding) = finding {
            self.note(finding).await.map_err(Stop::Store)?;
        }
        if self.inbox.settings.keep_copy {
            self.pass(waiting.handle);
        }
        Ok(true)
    }

    async fn note(&mut self, finding: Finding) -> StoreResult<()> {
        let report = Report {
            kind: finding.told.kind,
            status: finding.told.status,
            text: finding.told.text,
            received_at: self.collector.clock.now(),
        };
        let store = &self.collector.reports;
        let noted = store
            .report(finding.entry, &finding.message_id, report.clone())
            .await?;
        let Some(noted) = noted else { return Ok(()) };
        metrics::counter!("mailfactor_inbox_reports_total", "kind" => report.kind.name()).increment(1);
        tracing::info!(entry.id = %noted.entry, kind = report.kind.name(), status = report.status, "a mail was reported on");
        if let Some(challenge) = noted.challenge.filter(|_| noted.changed) {
            self.collector.changes.ring(challenge);
        }
        self.report.matched.push(Matched {
            entry: noted.entry,
            report,
        });
        Ok(())
    }

    /// The message need not be read again.
    fn pass(&mut self, handle: Handle) {
        match handle {
            Handle::Uid(uid) => self.position.last_uid = self.position.last_uid.max(uid),
            Handle::Number(_, id) => self.remember(id),
        }
    }

    fn remember(&mut self, id: SeenId) {
        if !self.position.seen.contains(&id) {
            self.position.seen.push(id);
        }
    }

    async fn end(&self) {
        let (collector, inbox, report) = (self.collector, self.inbox, &self.report);
        let outcome = if report.error.is_some() { "failed" } else { "ok" };
        metrics::counter!("mailfactor_inbox_checks_total", "outcome" => outcome).increment(1);
        let now = collector.clock.now();
        let failures = inbox.standing.failures + 1;
        let jitter = Jitter::random(&*collector.entropy);
        let interval = inbox.settings.interval;
        let next_check_at = match &report.error {
            Some(_) => next_check(interval, failures, jitter, now),
            None if report.more => now.plus(SOON),
            None => next_check(interval, 0, jitter, now),
        };
        if let Some(error) = &report.error {
            tracing::warn!(inbox.name = %inbox.settings.name, error, failures, "an inbox cannot be read");
        }
        let end = CheckEnd {
            at: now,
            error: report.error.clone(),
            next_check_at,
            messages_read: report.read.into(),
            reports_matched: report.matched.len() as u64,
            position: self.position.clone(),
        };
        if let Err(error) = collector.inboxes.end_check(inbox.id, self.lease, end).await {
            tracing::warn!(error = %error, "the end of a check could not be noted; it is repeated");
        }
    }
}

fn stop(session: &Session, journal: &Journal, trouble: &Trouble) -> Stop {
    Stop::Server(journal.lost(session.hidden().clean(&trouble.text())))
}

/// Why, for people.
fn told(why: &Stop) -> String {
    match why {
        Stop::Server(failure) => {
            let work = match failure.stage {
                Stage::Resolve => "finding the server",
                Stage::Connect => "connecting",
                Stage::Tls => "TLS",
                Stage::Ehlo => "greeting",
                Stage::Auth => "logging in",
                _ => "reading",
            };
            let mut text = format!("{work} failed: {}", failure.reply);
            text.truncate(text.floor_char_boundary(512));
            text
        }
        Stop::Store(error) => error.to_string(),
        Stop::Lease => "the inbox was changed meanwhile".to_owned(),
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

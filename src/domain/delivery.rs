//! Delivery: how far a mail has come, and what a failed attempt means for it.

use std::time::Duration;

use super::{
    backoff::{Jitter, retry_delay},
    clock::Timestamp,
};

/// How far a mail has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeliveryState {
    /// Durable, not yet tried.
    Queued,
    /// A mail server took it.
    Sent,
    /// Failed for now, tried again later.
    Deferred,
    /// Refused for good, or of unknown outcome too often.
    Failed,
    /// Came back.
    Bounced,
    /// Its code expired first.
    Expired,
    /// Cancelled, verified or replaced before it was sent.
    Withdrawn,
}

impl DeliveryState {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Sent,
        Self::Deferred,
        Self::Failed,
        Self::Bounced,
        Self::Expired,
        Self::Withdrawn,
    ];

    /// Its name in metrics and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Deferred => "deferred",
            Self::Failed => "failed",
            Self::Bounced => "bounced",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// The state of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// The number that stands for it in the store.
    #[must_use]
    pub const fn tag(self) -> i64 {
        match self {
            Self::Queued => 1,
            Self::Sent => 2,
            Self::Deferred => 3,
            Self::Failed => 4,
            Self::Bounced => 5,
            Self::Expired => 6,
            Self::Withdrawn => 7,
        }
    }

    /// The state of a tag.
    #[must_use]
    pub fn from_tag(tag: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.tag() == tag)
    }

    /// Whether a worker still owes the mail.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::Deferred)
    }
}

/// The step of a submission that an attempt reached last, in the order they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Building the message.
    Render,
    /// Getting an access token, for accounts with OAuth 2.0.
    Token,
    /// Resolving the server's name.
    Resolve,
    /// Connecting by TCP.
    Connect,
    /// TLS, or the STARTTLS exchange before it.
    Tls,
    /// The greeting and EHLO.
    Ehlo,
    /// AUTH.
    Auth,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA, up to the final dot.
    Data,
    /// The answer to the final dot.
    Accept,
    /// RSET, the end of a connection test.
    Reset,
    /// Opening the mailbox of an inbox, the end of its test.
    Select,
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Self; 13] = [
        Self::Render,
        Self::Token,
        Self::Resolve,
        Self::Connect,
        Self::Tls,
        Self::Ehlo,
        Self::Auth,
        Self::Mail,
        Self::Rcpt,
        Self::Data,
        Self::Accept,
        Self::Reset,
        Self::Select,
    ];

    /// Its name in metrics, logs and the store.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Render => "render",
            Self::Token => "token",
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Ehlo => "ehlo",
            Self::Auth => "auth",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Data => "data",
            Self::Accept => "accept",
            Self::Reset => "reset",
            Self::Select => "select",
        }
    }

    /// The stage of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.name() == name)
    }

    /// Whether a failure here speaks of the account and its server, and not of the one mail.
    #[must_use]
    pub fn concerns_account(self) -> bool {
        (Self::Token..=Self::Auth).contains(&self)
    }
}

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// Worth another try: a 4xx reply, no connection, a time-out before the final dot.
    Temporary,
    /// Never worth one: a 5xx reply to the mail itself.
    Permanent,
    /// The connection was lost after the final dot: the server may have taken the mail.
    Ambiguous,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} failed: {reply}", stage.name())]
pub struct SendFailure {
    /// How far it came.
    pub stage: Stage,
    /// What kind of failure.
    pub kind: FailureKind,
    /// The server's reply code, if it gave one; in [`Stage::Token`] the HTTP status of a refusal for good.
    pub code: Option<u16>,
    /// What the server said, or what went wrong. Bounded, one line, no secrets.
    pub reply: String,
}

impl SendFailure {
    /// Whether the account's login was refused: by the mail server, or by the token endpoint for good. No repetition
    /// mends that, and many servers answer it with a lock.
    #[must_use]
    pub fn is_rejection(&self) -> bool {
        match self.stage {
            Stage::Token => self.code.is_some(),
            Stage::Auth => self.code.is_some_and(|code| code >= 500),
            _ => false,
        }
    }
}

/// One stage of a connection test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageReport {
    /// Which one.
    pub stage: Stage,
    /// Whether it passed.
    pub passed: bool,
    /// What the server said, or what went wrong. Bounded, one line, no secrets.
    pub reply: String,
    /// How long it took.
    pub duration: Duration,
}

/// A connection test: every stage tried, in order. It passed if the last one is [`Stage::Reset`] and passed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionReport {
    /// The stages.
    pub stages: Vec<StageReport>,
    /// How it was encrypted; `None`: not, or not that far.
    pub tls: Option<TlsReport>,
}

/// What TLS came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsReport {
    /// The version, such as `TLSv1.3`.
    pub version: String,
    /// The cipher suite, by its name in the registry of IANA.
    pub cipher: String,
    /// The server's certificate, if it can be read.
    pub certificate: Option<PeerCertificate>,
}

/// A mail server's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Whose it is.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// From when on it is good.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// The SHA-256 of the whole, in hexadecimal with colons.
    pub fingerprint: String,
}

impl ConnectionReport {
    /// Whether every stage passed.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.stages
            .last()
            .is_some_and(|last| matches!(last.stage, Stage::Reset | Stage::Select) && last.passed)
    }
}

/// What becomes of a mail after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// Try again at this moment.
    Retry(Timestamp),
    /// Give up.
    Fail,
    /// There is no time for another attempt before the code expires.
    Expire,
}

/// How many copies of a mail may exist whose fate is unknown: the one that was meant, and one more.
pub const MOST_UNSURE: u32 = 2;

/// Decides after failed attempt number `attempt`, counted from 1, of a mail with `unsure` copies of unknown fate.
#[must_use]
pub fn after_failure(
    failure: &SendFailure,
    attempt: u32,
    unsure: u32,
    now: Timestamp,
    expires_at: Timestamp,
    jitter: Jitter,
) -> NextStep {
    match failure.kind {
        FailureKind::Permanent => return NextStep::Fail,
        FailureKind::Ambiguous if unsure >= MOST_UNSURE => return NextStep::Fail,
        FailureKind::Ambiguous | FailureKind::Temporary => {}
    }
    let next = now.plus(retry_delay(attempt, jitter));
    if next < expires_at {
        NextStep::Retry(next)
    } else {
        NextStep::Expire
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(kind: FailureKind) -> SendFailure {
        SendFailure {
            stage: Stage::Rcpt,
            kind,
            code: Some(450),
            reply: "later".into(),
        }
    }

    fn decide(kind: FailureKind, unsure: u32, left: u64) -> NextStep {
        let now = Timestamp::from_micros(1_000_000_000);
        after_failure(
            &failure(kind),
            1,
            unsure,
            now,
            now.plus(Duration::from_secs(left)),
            Jitter::NONE,
        )
    }

    #[test]
    fn temporary_failures_are_tried_again_while_the_code_lives() {
        let retry = NextStep::Retry(Timestamp::from_micros(1_001_000_000));
        assert_eq!(decide(FailureKind::Temporary, 0, 300), retry);
        assert_eq!(decide(FailureKind::Temporary, 0, 1), NextStep::Expire);
        assert_eq!(decide(FailureKind::Permanent, 0, 300), NextStep::Fail);
    }

    #[test]
    fn an_unknown_outcome_is_tried_again_once() {
        let retry = NextStep::Retry(Timestamp::from_micros(1_001_000_000));
        assert_eq!(decide(FailureKind::Ambiguous, 1, 300), retry);
        assert_eq!(decide(FailureKind::Ambiguous, 2, 300), NextStep::Fail);
    }

    #[test]
    fn names_and_tags_lead_back() {
        for state in DeliveryState::ALL {
            assert_eq!(DeliveryState::from_tag(state.tag()), Some(state));
            assert_eq!(DeliveryState::from_name(state.name()), Some(state));
        }
        for stage in Stage::ALL {
            assert_eq!(Stage::from_name(stage.name()), Some(stage));
        }
    }
}

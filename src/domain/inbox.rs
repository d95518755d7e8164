//! Inboxes: mailboxes at POP3 and IMAP servers that are read to learn what became of our mails.

mod draft;

use std::time::Duration;

pub use draft::InboxDraft;

use super::{
    account::{Link, Login, Risk, Security, Server},
    backoff::Jitter,
    clock::Timestamp,
    id::InboxId,
};

/// How a mailbox is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `IMAP4rev1` (RFC 3501).
    Imap,
    /// POP3 (RFC 1939).
    Pop3,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Imap, Self::Pop3];

    /// Its name in the store and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Imap => "imap",
            Self::Pop3 => "pop3",
        }
    }

    /// The protocol of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.name() == name)
    }

    /// The usual port: with TLS from the first byte one of RFC 8314, 3.2 and 3.3, else that of the protocol.
    #[must_use]
    pub const fn usual_port(self, security: Security) -> u16 {
        match (self, security) {
            (Self::Imap, Security::ImplicitTls) => 993,
            (Self::Imap, Security::StartTls | Security::Plain) => 143,
            (Self::Pop3, Security::ImplicitTls) => 995,
            (Self::Pop3, Security::StartTls | Security::Plain) => 110,
        }
    }
}

/// An inbox as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inbox {
    /// Its identifier.
    pub id: InboxId,
    /// What an administrator set.
    pub settings: InboxSettings,
    /// How its checks went.
    pub standing: InboxStanding,
    /// When it was created.
    pub created_at: Timestamp,
    /// When an administrator last changed it.
    pub updated_at: Timestamp,
    /// Counts the changes: an update names the version it was made from.
    pub version: i64,
}

impl Inbox {
    /// The place its secret is sealed for.
    #[must_use]
    pub fn secret_place(id: &InboxId) -> String {
        format!("inbox/{id}/secret")
    }
}

/// What an administrator sets, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxSettings {
    /// Its name for people, unique.
    pub name: String,
    /// Whether it may be read.
    pub enabled: bool,
    /// Whether it is read every interval by itself.
    pub automatic_check: bool,
    /// Whether messages stay on the server once they were read.
    pub keep_copy: bool,
    /// How long after a check the next one comes.
    pub interval: Duration,
    /// How it is read.
    pub protocol: Protocol,
    /// The server.
    pub server: Server,
    /// Whom to believe.
    pub link: Link,
    /// How to log in.
    pub login: Login,
}

impl InboxSettings {
    /// What is risky about them.
    #[must_use]
    pub fn risks(&self) -> Vec<Risk> {
        Risk::of(&self.server, &self.link)
    }

    /// Whether the messages in it are no longer those that were there before: another server, protocol or user.
    #[must_use]
    pub fn is_elsewhere(&self, before: &Self) -> bool {
        self.protocol != before.protocol
            || self.server.host != before.server.host
            || self.server.port != before.server.port
            || self.login.username != before.login.username
    }
}

/// How the checks of an inbox went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InboxStanding {
    /// Whether one is under way.
    pub checking: bool,
    /// When the last one ended.
    pub last_check_at: Option<Timestamp>,
    /// When the last one that succeeded ended.
    pub last_success_at: Option<Timestamp>,
    /// Why the last one failed; empty where it did not.
    pub last_error: String,
    /// How many failed in a row.
    pub failures: u32,
    /// When the next one is due, where it is read by itself.
    pub next_check_at: Timestamp,
    /// How many messages were read in all.
    pub messages_read: u64,
    /// How many of them told of a mail of ours.
    pub reports_matched: u64,
}

/// Where reading goes on: what was read and need not be read again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The UIDVALIDITY that `last_uid` belongs to (RFC 3501, 2.3.1.1); 0 before the first check, and with POP3.
    pub uid_validity: u32,
    /// The highest UID that was read.
    pub last_uid: u32,
    /// Of POP3: keyed hashes of the unique ids (RFC 1939, 7) that were read and are still there.
    pub seen: Vec<SeenId>,
}

/// The keyed hash of a message's unique id at a POP3 server, cut short: enough among the few that are kept.
pub type SeenId = [u8; 16];

/// The longest wait between checks of an inbox that fails, unless its own interval is longer.
const LONGEST_WAIT: Duration = Duration::from_mins(15);

/// When to check again after `failures` checks that failed in a row: the interval, doubled with each, a little off.
#[must_use]
pub fn next_check(interval: Duration, failures: u32, jitter: Jitter, now: Timestamp) -> Timestamp {
    if failures == 0 {
        return now.plus(interval);
    }
    let wait = interval * 2_u32.pow(failures.min(10));
    now.plus(jitter.off(wait.min(LONGEST_WAIT.max(interval))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_double_the_wait_up_to_a_quarter_of_an_hour() {
        let now = Timestamp::from_micros(0);
        let wait = |interval, failures| {
            next_check(Duration::from_secs(interval), failures, Jitter::NONE, now)
                .since(now)
                .as_secs()
        };
        assert_eq!(
            [0, 1, 2, 3, 4, 99].map(|n| wait(60, n)),
            [60, 120, 240, 480, 900, 900]
        );
        assert_eq!([0, 1, 2].map(|n| wait(3600, n)), [3600, 3600, 3600]);
    }

    #[test]
    fn names_lead_back() {
        for protocol in Protocol::ALL {
            assert_eq!(Protocol::from_name(protocol.name()), Some(protocol));
        }
    }
}

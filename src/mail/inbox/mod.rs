//! The letter boxes of the post room: POP3 and IMAP mailboxes, read to learn what became of our mails.
//!
//! `rounds` looks which inboxes are due and has each read by one `check` at a time: a `session` (`imap` or `pop3`, over a
//! `wire` that bounds every answer in size and time) lists what is new and hands over message by message, `examine` finds
//! in each what it tells of which mail, and the store notes it. Only then is a message deleted, where no copy is to stay.
//!
//! Connections come from the dialer, as those for mail do. What is read was written by anybody: it can name a mail by its
//! unguessable Message-ID and say that it came back; nothing else follows from it, and nothing of its text is kept but a
//! bounded line of the server's. The protocols are spoken by ourselves, in the few words that this takes: the crates
//! for IMAP gather answers of any size and parse them by recursion, which a hostile server turns into a crash.

mod check;
mod examine;
mod imap;
mod mime;
mod pop3;
mod rounds;
mod session;
mod wire;

use std::sync::Arc;

use tokio::{sync::mpsc, time::timeout};

pub use check::{CheckReport, Checked, Matched};
pub use rounds::{CheckDesk, Rounds};

use super::{Transports, journal::Journal};
use crate::{
    domain::{clock::Clock, delivery::ConnectionReport, entropy::Entropy, inbox::Inbox, keyring::Keyring},
    store::{Inboxes, Reports, changes::Changes},
};
use session::Session;

/// Reads inboxes.
#[derive(Clone)]
pub struct Collector {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for leases and jitter.
    pub entropy: Arc<dyn Entropy>,
    /// The service's keys.
    pub keyring: Arc<Keyring>,
    /// The inboxes.
    pub inboxes: Arc<dyn Inboxes>,
    /// What was told of mails.
    pub reports: Arc<dyn Reports>,
    /// The dialer and its limits.
    pub transports: Arc<Transports>,
    /// Rung for every challenge whose mail came back.
    pub changes: Changes,
}

impl Collector {
    /// Tries an inbox, stage by stage, up to opening the mailbox.
    pub async fn test(&self, inbox: &Inbox) -> ConnectionReport {
        let mut journal = Journal::new();
        let probe = async {
            let session = Session::open(self, inbox, false, &mut journal).await?;
            session.leave().await;
            Ok(())
        };
        let result = timeout(self.transports.settings().attempt_timeout, probe).await;
        let failure = match result {
            Ok(Ok(())) => None,
            Ok(Err(failure)) => Some(failure),
            Err(_) => Some(journal.lost("the test took too long")),
        };
        if let Some(failure) = failure {
            journal.failed(&failure);
        }
        journal.into_report()
    }

    /// The rounds over all inboxes, and the desk at which a check is asked for.
    #[must_use]
    pub fn rounds(self) -> (Rounds, CheckDesk) {
        let (sender, requests) = mpsc::channel(rounds::WAITING);
        (
            Rounds {
                collector: Arc::new(self),
                requests,
            },
            CheckDesk { sender },
        )
    }
}

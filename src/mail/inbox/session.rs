//! A session: one connection to an inbox's server, logged in, whichever protocol it speaks.

use super::{
    super::{
        MailSettings,
        guard::Stream,
        journal::Journal,
        reply::{Hidden, failure},
        secret, tls,
    },
    Collector,
    imap::Imap,
    pop3::Pop3,
    wire::{Allowance, Trouble, Wire},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    domain::{
        account::Security,
        delivery::{FailureKind, SendFailure, Stage},
        inbox::{Inbox, Position, Protocol, SeenId},
        keyring::SubjectKind,
    },
    secret_files::Shape,
};

/// The newest messages that are looked at; older ones are passed over.
pub(super) const WINDOW: u64 = 1_000;

/// The largest message that is read. Reports carry our own mails back, which are far smaller.
pub(super) const LARGEST: u64 = 256 * 1024;

/// What answers may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// To a command.
    pub(super) line: Allowance,
    /// A list of messages: of POP3 all there are, some 20,000.
    pub(super) list: Allowance,
    /// A message.
    pub(super) message: Allowance,
}

impl Limits {
    fn of(settings: &MailSettings) -> Self {
        let allow = |bytes| Allowance {
            patience: settings.command_timeout,
            bytes,
        };
        Self {
            line: allow(64 * 1024),
            list: allow(2 * 1024 * 1024),
            message: Allowance {
                patience: settings.accept_timeout,
                // The server counts line ends its own way, and says a line of its own.
                bytes: usize::try_from(LARGEST).unwrap_or(usize::MAX) + 32 * 1024,
            },
        }
    }
}

/// What names a message at the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Handle {
    /// Of IMAP.
    Uid(u32),
    /// Of POP3: its number in this session, and what it is remembered by.
    Number(u32, SeenId),
}

/// A message that was not read yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) handle: Handle,
    /// Its bytes, as the server counts them.
    pub(super) size: u64,
}

/// What is there.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// What was not read yet, oldest first.
    pub(super) fresh: Vec<Waiting>,
    /// Of POP3: what is there at all.
    pub(super) present: Vec<SeenId>,
}

type Plug = Box<dyn Stream>;

/// A session.
pub(super) struct Session {
    talk: Talk,
    hidden: Hidden,
}

enum Talk {
    Imap(Imap<Plug>),
    Pop3(Pop3<Plug>),
}

impl Session {
    /// Dials, greets, logs in and opens the mailbox: [`Stage::Resolve`] to [`Stage::Select`].
    pub(super) async fn open(
        collector: &Collector,
        inbox: &Inbox,
        to_delete: bool,
        journal: &mut Journal,
    ) -> Result<Self, SendFailure> {
        let settings = &inbox.settings;
        let mut hidden = Hidden::default();
        let mut talk = dial(collector, inbox, journal).await?;
        journal.begin(Stage::Auth);
        let place = Inbox::secret_place(&inbox.id);
        let secret = secret::fetch(
            &place,
            &settings.login.secret,
            &collector.keyring,
            secret::NamedBy::Account(&collector.transports.settings().secret_files),
            secret::MOST_PASSWORD,
            Shape::Line,
        )
        .await;
        let secret = secret.and_then(|secret| {
            // It stands in a line of its own; nobody writes a second one with it.
            let whole = !secret.chars().any(char::is_control);
            whole
                .then_some(secret)
                .ok_or_else(|| "the secret has a control character".to_owned())
        });
        let secret = secret.map_err(|text| failure(Stage::Auth, FailureKind::Temporary, text))?;
        let username = &settings.login.username;
        hidden.add(STANDARD.encode(format!("\0{username}\0{}", *secret)));
        hidden.add(secret.as_str());
        let logged_in = match &mut talk {
            Talk::Imap(imap) => imap.log_in(username, &secret).await,
            Talk::Pop3(pop3) => pop3.log_in(username, &secret).await,
        };
        logged_in.map_err(|trouble| journal.lost(hidden.clean(&trouble.text())))?;
        journal.passed("logged in");
        journal.begin(Stage::Select);
        let selected = match &mut talk {
            Talk::Imap(imap) => imap.select(to_delete).await,
            Talk::Pop3(pop3) => pop3.select().await,
        };
        let said = selected.map_err(|trouble| journal.lost(hidden.clean(&trouble.text())))?;
        journal.passed(said);
        Ok(Self { talk, hidden })
    }

    /// What is new. A mailbox that was made anew is read from its beginning.
    pub(super) async fn list(
        &mut self,
        collector: &Collector,
        inbox: &Inbox,
        position: &mut Position,
    ) -> Result<Listing, Trouble> {
        match &mut self.talk {
            Talk::Imap(imap) => imap.list(position).await,
            Talk::Pop3(pop3) => {
                let place = inbox.id.to_string();
                let digest = |id: &str| {
                    let whole = collector.keyring.subject(SubjectKind::Message, &[&place, id]);
                    let mut short = SeenId::default();
                    short.copy_from_slice(whole.as_bytes().split_at(size_of::<SeenId>()).0);
                    short
                };
                pop3.list(position, digest).await
            }
        }
    }

    /// A message; empty where it is gone.
    pub(super) async fn fetch(&mut self, handle: Handle) -> Result<Vec<u8>, Trouble> {
        match (&mut self.talk, handle) {
            (Talk::Imap(imap), Handle::Uid(uid)) => imap.fetch(uid).await,
            (Talk::Pop3(pop3), Handle::Number(number, _)) => pop3.fetch(number).await,
            _ => Err(MIXED),
        }
    }

    /// Deletes messages for good, and leaves.
    pub(super) async fn delete(self, handles: &[Handle]) -> Result<(), Trouble> {
        match self.talk {
            Talk::Imap(mut imap) => {
                let uids = handles.iter().filter_map(|handle| match handle {
                    Handle::Uid(uid) => Some(*uid),
                    Handle::Number(..) => None,
                });
                imap.delete(&uids.collect::<Vec<_>>()).await?;
                imap.log_out().await;
                Ok(())
            }
            Talk::Pop3(mut pop3) => {
                for handle in handles {
                    let Handle::Number(number, _) = handle else {
                        return Err(MIXED);
                    };
                    pop3.delete(*number).await?;
                }
                pop3.quit().await
            }
        }
    }

    /// Leaves; how that goes does not matter.
    pub(super) async fn leave(self) {
        match self.talk {
            Talk::Imap(imap) => imap.log_out().await,
            Talk::Pop3(pop3) => drop(pop3.quit().await),
        }
    }

    /// What a server's words may not show.
    pub(super) fn hidden(&self) -> &Hidden {
        &self.hidden
    }
}

const MIXED: Trouble = Trouble::Odd("a message of another protocol");

/// Connects, encrypts where the inbox says so, and greets.
async fn dial(collector: &Collector, inbox: &Inbox, journal: &mut Journal) -> Result<Talk, SendFailure> {
    let settings = collector.transports.settings();
    let (server, link) = (&inbox.settings.server, &inbox.settings.link);
    let dialer = collector.transports.dialer();
    let limits = Limits::of(settings);
    let protocol = inbox.settings.protocol;
    let stream = dialer.open(server, settings, journal).await?;
    if server.security == Security::Plain {
        return greet(Box::new(stream), limits, protocol, false, journal).await;
    }
    journal.begin(Stage::Tls);
    let start_tls = server.security == Security::StartTls;
    let encrypt = async {
        let stream = if start_tls {
            let wire = Wire::new(stream, limits.line);
            let plain = match protocol {
                Protocol::Imap => match Imap::begin(wire, limits, false).await {
                    Ok(imap) => imap.start_tls().await,
                    Err(trouble) => Err(trouble),
                },
                Protocol::Pop3 => match Pop3::begin(wire, limits, false).await {
                    Ok(pop3) => pop3.start_tls().await,
                    Err(trouble) => Err(trouble),
                },
            };
            plain.map_err(|trouble| failure(Stage::Tls, FailureKind::Temporary, trouble.text()))?
        } else {
            stream
        };
        dialer.handshake(stream, server, link).await
    };
    let stream = super::super::dial::within(settings.tls_timeout, Stage::Tls, encrypt).await?;
    journal.encrypted(tls::report(stream.get_ref().1));
    greet(Box::new(stream), limits, protocol, start_tls, journal).await
}

/// The greeting, unless it was given before TLS began, and what the server offers.
async fn greet(
    stream: Plug,
    limits: Limits,
    protocol: Protocol,
    greeted: bool,
    journal: &mut Journal,
) -> Result<Talk, SendFailure> {
    journal.begin(Stage::Ehlo);
    let wire = Wire::new(stream, limits.line);
    let begun = match protocol {
        Protocol::Imap => Imap::begin(wire, limits, greeted).await.map(Talk::Imap),
        Protocol::Pop3 => Pop3::begin(wire, limits, greeted).await.map(Talk::Pop3),
    };
    let nothing = Hidden::default();
    let talk = begun.map_err(|trouble| journal.lost(nothing.clean(&trouble.text())))?;
    journal.passed(nothing.clean(&match &talk {
        Talk::Imap(imap) => imap.offered(),
        Talk::Pop3(pop3) => pop3.offered(),
    }));
    Ok(talk)
}

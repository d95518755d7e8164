//! Transports: a rendered message goes to an account's mail server, over a warm connection where there is one.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::time::timeout;

use super::{
    Accepted, Clearance, MailError, MailSettings, Obstacle, Pass, Rendered, Standing, Unsent,
    bearer::Bearer,
    compose::mailbox_address,
    dial::Dialer,
    envelope::Envelope,
    journal::Journal,
    limit_turns::LimitTurns,
    oauth::{Grants, Tokens},
    pass::Breakers,
    permission::Permission,
    pool::Pool,
    reply::{Hidden, failure},
    session::{Session, Way},
};
use crate::{
    domain::{
        account::{Account, Secret},
        address::EmailAddress,
        clock::{Clock, Timestamp},
        delivery::{ConnectionReport, FailureKind, SendFailure, Stage},
        entropy::Entropy,
        id::AccountId,
        keyring::Keyring,
        mail_queue::MailQueue,
    },
    store::RefreshTokens,
};

/// The connections to mail servers, by account.
#[derive(Debug)]
pub struct Transports {
    settings: MailSettings,
    dialer: Arc<Dialer>,
    tokens: Tokens,
    pool: Pool,
    breakers: Arc<Breakers>,
    limit_turns: LimitTurns,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
}

impl Transports {
    /// With these limits; loads the certificate authorities. `refresh_tokens` keeps those that token endpoints replace.
    pub fn new(
        settings: MailSettings,
        keyring: Arc<Keyring>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        refresh_tokens: Arc<dyn RefreshTokens>,
    ) -> Result<Self, MailError> {
        let dialer = Arc::new(Dialer::new(&settings, Arc::clone(&keyring))?);
        let tokens = Tokens::new(Grants::new(
            Arc::clone(&dialer),
            settings.clone(),
            Arc::clone(&keyring),
            Arc::clone(&clock),
            entropy,
            refresh_tokens,
        ));
        Ok(Self {
            dialer,
            tokens,
            pool: Pool::new(settings.pool_size, settings.pool_idle),
            breakers: Breakers::new(Arc::clone(&clock)),
            limit_turns: LimitTurns::default(),
            settings,
            keyring,
            clock,
        })
    }

    /// The limits.
    #[must_use]
    pub fn settings(&self) -> &MailSettings {
        &self.settings
    }

    /// What opens connections.
    pub(super) fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// Whether mail goes out: some account does not fail, or none was tried yet.
    #[must_use]
    pub fn healthy(&self) -> bool {
        self.breakers.any_closed()
    }

    /// Whether some account fails.
    #[must_use]
    pub fn any_resting(&self) -> bool {
        self.breakers.any_open()
    }

    /// How the account does at present, as this instance sees it.
    #[must_use]
    pub fn standing(&self, account: &Account) -> Standing {
        self.breakers.standing(account)
    }

    /// Whether the account's breaker is open.
    #[must_use]
    pub fn is_resting(&self, account: &Account) -> bool {
        self.breakers.is_open(account)
    }

    /// Finds out, if it is time to, whether an account whose breaker is open works again: connects and logs in, no more.
    pub async fn try_out(&self, account: &Account) {
        let Ok(pass) = self.breakers.enter(account, true) else {
            return;
        };
        let turns = self.pool.turns(account);
        let mut journal = Journal::new();
        let opened = timeout(self.settings.attempt_timeout, self.open(account, &mut journal)).await;
        let result = match opened {
            Ok(Ok(session)) => {
                self.park(account, session);
                let (code, reply) = (250, String::new());
                Ok(Accepted { code, reply })
            }
            Ok(Err(failure)) => Err(failure.into()),
            Err(_) => Err(journal.lost("the server did not answer in time").into()),
        };
        turns.hear(pass.tell(&result));
    }

    /// Asks the account's breaker for an attempt. `Err`: what is in the way, and until when.
    pub fn enter(&self, account: &Account) -> Result<Pass, Obstacle> {
        self.breakers.enter(account, true)
    }

    /// Whose turn it is where an account's limits are spent.
    pub(super) fn limit_turns(&self) -> &LimitTurns {
        &self.limit_turns
    }

    /// The same for a mail of this queue: what the account's limits keep in reserve may be all that is left.
    pub fn enter_for(&self, account: &Account, queue: MailQueue) -> Result<Pass, Obstacle> {
        self.breakers.enter(account, queue.is_preferred())
    }

    /// Sends a message: one attempt, never after `until`. `clearance` is awaited at most once, before anything was said that
    /// invites the message; where the server does not take commands in groups, after it has accepted the recipient. [`FailureKind::Ambiguous`] means that the final dot may have
    /// reached the server and no reply has come back.
    pub async fn send(
        &self,
        pass: Pass,
        account: &Account,
        mail: &Rendered,
        until: Timestamp,
        clearance: impl Future<Output = Clearance> + Send,
    ) -> Result<Accepted, Unsent> {
        let busy = failure(
            Stage::Connect,
            FailureKind::Temporary,
            "all connections are in use",
        );
        let turns = self.pool.turns(account);
        // Waiting for a turn tells nothing of the server: it counts neither as time of the attempt nor as its failure.
        let turn = tokio::select! {
            biased;
            () = pass.overtaken() => return Err(Unsent::Overtaken),
            turn = timeout(self.left(until), Arc::clone(&turns).take()) => turn,
        };
        let Ok(Ok(_turn)) = turn else {
            return Err(busy.into());
        };
        let limit = self.settings.attempt_timeout;
        let patience = self.left(until).min(limit);
        let mut journal = Journal::new();
        // From the question for leave on, a copy may be out: nobody gives way any more.
        let committed = AtomicBool::new(false);
        let permission = Permission::new(clearance, until, self.clock.as_ref(), &committed);
        let attempt = self.attempt(account, mail, permission, &mut journal);
        let overtaken = async {
            pass.overtaken().await;
            if committed.load(Ordering::Acquire) {
                std::future::pending::<()>().await;
            }
        };
        let tried = tokio::select! {
            biased;
            tried = timeout(patience, attempt) => tried,
            () = overtaken => return Err(Unsent::Overtaken),
        };
        let (result, telling) = if let Ok(result) = tried {
            (result, true)
        } else {
            // Cut short because the mail's time is over, it says nothing: the server may be well.
            let late = journal.lost("the attempt took too long");
            (Err(late.into()), patience == limit)
        };
        if telling {
            turns.hear(pass.tell(&result));
        }
        result
    }

    /// Tries an account, stage by stage, up to RSET, with a connection of its own. Where every stage passed, the breaker
    /// of the account as it was tried closes.
    pub async fn test(&self, account: &Account, recipient: &EmailAddress) -> ConnectionReport {
        let mut journal = Journal::new();
        let probe = self.probe(account, recipient, &mut journal);
        let result = timeout(self.settings.attempt_timeout, probe).await;
        let failure = match result {
            Ok(Ok(())) => None,
            Ok(Err(failure)) => Some(failure),
            Err(_) => Some(journal.lost("the test took too long")),
        };
        match failure {
            Some(failure) => journal.failed(&failure),
            None => self.breakers.recovered(account),
        }
        journal.into_report()
    }

    /// Forgets the connections and breakers of all accounts but these.
    pub fn retain<'a>(&self, accounts: impl IntoIterator<Item = &'a Account>) {
        let wanted: Vec<AccountId> = accounts.into_iter().map(|account| account.id).collect();
        self.pool.retain(|id| wanted.contains(id));
        self.breakers.retain(|id| wanted.contains(id));
        self.tokens.retain(|id| wanted.contains(id));
    }

    /// Over a connection from the pool, if there is one; over a fresh one, if that turns out dead before the server has
    /// accepted anything.
    async fn attempt(
        &self,
        account: &Account,
        mail: &Rendered,
        mut permission: Permission<'_, impl Future<Output = Clearance> + Send>,
        journal: &mut Journal,
    ) -> Result<Accepted, Unsent> {
        let settings = self.settings.of(&account.settings.link);
        if let Some(mut session) = self.pool.take(account) {
            let result = session.send(mail, &settings, &mut permission, journal).await;
            if !result.as_ref().is_err_and(|unsent| is_dead(&session, unsent)) {
                self.park(account, session);
                return result;
            }
            permission.unused();
        }
        let mut session = self.open(account, journal).await?;
        let result = session.send(mail, &settings, &mut permission, journal).await;
        self.park(account, session);
        result
    }

    async fn open(&self, account: &Account, journal: &mut Journal) -> Result<Session, SendFailure> {
        self.open_with(account, false, journal).await
    }

    /// Connects and logs in. `anew`: with a new access token in any case, where the account takes one.
    async fn open_with(
        &self,
        account: &Account,
        anew: bool,
        journal: &mut Journal,
    ) -> Result<Session, SendFailure> {
        let settings = self.settings.of(&account.settings.link);
        let way = account.settings.login.as_ref().map(|login| match &login.secret {
            Secret::Oauth(oauth) => {
                let tokens = &self.tokens;
                Way::Token(
                    Bearer {
                        tokens,
                        account,
                        oauth,
                    },
                    anew,
                )
            }
            _ => Way::Password(login, &self.keyring),
        });
        Session::open(&self.dialer, &settings, account, way, journal).await
    }

    async fn probe(
        &self,
        account: &Account,
        recipient: &EmailAddress,
        journal: &mut Journal,
    ) -> Result<(), SendFailure> {
        let sender = mailbox_address(account.settings.sender.envelope())?;
        let recipient = mailbox_address(recipient)?;
        let mut hidden = Hidden::default();
        hidden.add(AsRef::<str>::as_ref(&recipient));
        // A test proves the way from end to end.
        let mut session = self.open_with(account, true, journal).await?;
        let envelope = Envelope {
            sender: &sender,
            recipient: &recipient,
            content: None,
        };
        session.address(&envelope, &hidden, journal).await?;
        journal.begin(Stage::Reset);
        let reply = session.reset(&hidden, journal).await?;
        journal.passed(reply);
        session.quit().await;
        Ok(())
    }

    fn park(&self, account: &Account, mut session: Session) {
        if session.is_usable() {
            session.used = tokio::time::Instant::now();
            self.pool.put(account, session);
        }
    }

    fn left(&self, until: Timestamp) -> std::time::Duration {
        until.since(self.clock.now())
    }
}

/// Whether a connection was over before the server said anything to a mail but that.
fn is_dead(session: &Session, unsent: &Unsent) -> bool {
    let Unsent::Failed(failure) = unsent else {
        return false;
    };
    let silent = failure.code.is_none_or(|code| code == 421);
    failure.stage == Stage::Mail && silent && !session.is_usable()
}

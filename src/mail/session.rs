//! A session: one connection to a mail server, logged in, and what may be said on it, so that the stage of a failure is
//! known.

mod submit;

use tokio::time::Instant;

use super::{
    MailSettings,
    answer::Answer,
    bearer::Bearer,
    conversation::Conversation,
    dial::{Dialed, Dialer},
    envelope::Envelope,
    exchange::{ExchangeError, be_greeted, say_hello},
    guard::Stream,
    journal::Journal,
    login::log_in,
    offers::Offers,
    reply::Hidden,
};
use crate::domain::{
    account::{Account, Login},
    delivery::{SendFailure, Stage},
    keyring::Keyring,
};

/// A connection that is logged in.
pub(super) struct Session {
    talk: Conversation<Box<dyn Stream>>,
    offers: Offers,
    /// When it was last used.
    pub(super) used: Instant,
    condition: Condition,
}

/// How to log in.
#[derive(Clone, Copy)]
pub(super) enum Way<'a> {
    /// With a password.
    Password(&'a Login, &'a Keyring),
    /// With an access token; a new one in any case, if the flag is set.
    Token(Bearer<'a>, bool),
}

/// What the next mail finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    /// Nothing under way.
    Clean,
    /// A transaction that was not completed: RSET comes first.
    Open,
    /// Nobody knows: not to be used again.
    Broken,
}

/// A command, and the stage it belongs to.
type Step = (Stage, String);

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({:?})", self.condition)
    }
}

impl Session {
    /// Dials, greets and logs in.
    pub(super) async fn open(
        dialer: &Dialer,
        settings: &MailSettings,
        account: &Account,
        login: Option<Way<'_>>,
        journal: &mut Journal,
    ) -> Result<Self, SendFailure> {
        // Before the server is kept waiting.
        let token = match &login {
            Some(Way::Token(bearer, anew)) => Some((*bearer, bearer.token(*anew, journal).await?)),
            _ => None,
        };
        let fresh = dialer.dial(account, settings, journal).await?;
        journal.begin(Stage::Ehlo);
        let nothing = Hidden::default();
        let greeted = greet(fresh, &settings.hello_name).await;
        let (talk, offers) = greeted.map_err(|error| nothing.greeting_failure(&error, journal))?;
        journal.passed(nothing.clean(offers.name()));
        let mut session = Self {
            talk,
            offers,
            used: Instant::now(),
            condition: Condition::Clean,
        };
        if let Some((bearer, held)) = token {
            bearer.log_in(&mut session, held, journal).await?;
        } else if let Some(Way::Password(login, keyring)) = login {
            let shown = settings.login_of(login);
            log_in(
                &mut session,
                account,
                &shown,
                keyring,
                &settings.secret_files,
                journal,
            )
            .await?;
        }
        Ok(session)
    }

    /// What the server offers.
    pub(super) fn offers(&self) -> &Offers {
        &self.offers
    }

    /// One line of an AUTH exchange that somebody else conducts, its end included; a refusal is a failure.
    pub(super) async fn authenticate(
        &mut self,
        line: &str,
        hidden: &Hidden,
        journal: &Journal,
    ) -> Result<Answer, SendFailure> {
        let said = self.talk.ask(line).await;
        let answer = said.map_err(|trouble| hidden.trouble(&trouble, journal))?;
        if answer.is_refusal() {
            return Err(hidden.refusal(&answer, journal.stage()));
        }
        Ok(answer)
    }

    /// MAIL and RCPT alone, each with its reply: there is no message.
    pub(super) async fn address(
        &mut self,
        envelope: &Envelope<'_>,
        hidden: &Hidden,
        journal: &mut Journal,
    ) -> Result<(), SendFailure> {
        journal.begin(Stage::Mail);
        let steps = self.steps(envelope)?;
        self.one_by_one(&steps, hidden, journal).await
    }

    /// RSET.
    pub(super) async fn reset(&mut self, hidden: &Hidden, journal: &Journal) -> Result<String, SendFailure> {
        let reply = self.ask("RSET\r\n", hidden, journal).await?;
        self.condition = Condition::Clean;
        Ok(reply)
    }

    /// QUIT, for the sake of good manners: how it goes does not matter.
    pub(super) async fn quit(mut self) {
        if self.is_usable() {
            let _ = self.talk.ask("QUIT\r\n").await;
        }
    }

    /// Whether another mail may go over it.
    pub(super) fn is_usable(&self) -> bool {
        self.condition != Condition::Broken && self.talk.is_in_turn()
    }

    /// Whether it still seems to live after it lay idle. Nobody is asked: the next mail finds out.
    pub(super) fn is_quiet(&mut self) -> bool {
        self.talk.is_quiet()
    }

    /// The commands up to RCPT.
    fn steps(&self, envelope: &Envelope<'_>) -> Result<Vec<Step>, SendFailure> {
        let mut steps = Vec::with_capacity(4);
        if self.condition == Condition::Open {
            steps.push((Stage::Mail, "RSET\r\n".to_owned()));
        }
        steps.push((Stage::Mail, envelope.mail(&self.offers)?));
        steps.push((Stage::Rcpt, envelope.rcpt(&self.offers)));
        Ok(steps)
    }

    async fn one_by_one(
        &mut self,
        steps: &[Step],
        hidden: &Hidden,
        journal: &mut Journal,
    ) -> Result<(), SendFailure> {
        for (stage, command) in steps {
            journal.begin(*stage);
            // Until the transaction is completed, whatever ends it early leaves it open.
            self.condition = Condition::Open;
            let reply = self.ask(command, hidden, journal).await?;
            journal.passed(reply);
        }
        Ok(())
    }

    /// A command that is to be completed.
    async fn ask(
        &mut self,
        command: &str,
        hidden: &Hidden,
        journal: &Journal,
    ) -> Result<String, SendFailure> {
        let answer = self.talk.ask(command).await;
        let answer = answer.map_err(|trouble| self.broken(hidden.trouble(&trouble, journal)))?;
        if answer.is_complete() {
            return Ok(hidden.text_of(&answer));
        }
        Err(self.refused(&answer, hidden, journal))
    }

    /// What a reply means that is not the one that was wished for, and what it leaves behind.
    fn refused(&mut self, answer: &Answer, hidden: &Hidden, journal: &Journal) -> SendFailure {
        if answer.code() == 421 || !answer.is_refusal() {
            // The server closes the connection (RFC 5321, 3.8), or has lost its way.
            self.condition = Condition::Broken;
        } else {
            self.condition = Condition::Open;
        }
        if answer.is_refusal() {
            hidden.refusal(answer, journal.stage())
        } else {
            hidden.unexpected(answer, journal)
        }
    }

    fn broken(&mut self, failure: SendFailure) -> SendFailure {
        self.condition = Condition::Broken;
        failure
    }
}

async fn greet(fresh: Dialed, name: &str) -> Result<(Conversation<Box<dyn Stream>>, Offers), ExchangeError> {
    let mut talk = fresh.talk;
    if fresh.greets {
        be_greeted(&mut talk).await?;
    }
    let offers = say_hello(&mut talk, name).await?;
    Ok((talk, offers))
}

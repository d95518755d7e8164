//! A session: one connection to a mail server, logged in, and what may be said on it, verb by verb, so that the stage
//! of a failure is known.

use std::{future::Future, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lettre::{
    Address,
    transport::smtp::{
        authentication::{Credentials, DEFAULT_MECHANISMS, Mechanism},
        client::AsyncSmtpConnection,
        commands::{Data, Mail, Quit, Rcpt, Rset},
        extension::{ClientId, Extension, MailBodyParameter, MailParameter},
        response::Response,
    },
};
use tokio::time::Instant;

use super::{
    MailSettings, Rendered,
    bearer::Bearer,
    dial::Dialer,
    guard::Gauge,
    journal::Journal,
    outcome::{Accepted, Unsent, Withheld},
    reply::{Hidden, failure, is_complete},
    secret::{self, MOST_PASSWORD},
};
use crate::domain::{
    account::{Account, Login, Secret},
    delivery::{FailureKind, SendFailure, Stage},
    keyring::Keyring,
};

/// A connection that is logged in.
pub(super) struct Session {
    connection: AsyncSmtpConnection,
    gauge: Arc<Gauge>,
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

/// Who a mail goes from and to, for the envelope.
#[derive(Clone, Copy, Debug)]
pub(super) struct Envelope<'a> {
    /// The account's sender: bounces go there.
    pub(super) sender: &'a Address,
    /// The recipient.
    pub(super) recipient: &'a Address,
    /// Whether the message has bytes beyond ASCII, as with SMTPUTF8.
    pub(super) eight_bit: bool,
}

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
        let name = ClientId::Domain(settings.hello_name.clone());
        let nothing = Hidden::default();
        let connection = AsyncSmtpConnection::connect_with_transport(fresh.stream, &name)
            .await
            .map_err(|error| nothing.greeting_failure(&error, journal))?;
        journal.passed(nothing.clean(connection.server_info().name()));
        let mut session = Self {
            connection,
            gauge: fresh.gauge,
            used: Instant::now(),
            condition: Condition::Clean,
        };
        if let Some((bearer, held)) = token {
            bearer.log_in(&mut session, held, journal).await?;
        } else if let Some(Way::Password(login, keyring)) = login {
            journal.begin(Stage::Auth);
            let shown = settings.login_of(login);
            session.log_in(account, &shown, keyring, journal).await?;
        }
        Ok(session)
    }

    async fn log_in(
        &mut self,
        account: &Account,
        login: &Login,
        keyring: &Keyring,
        journal: &mut Journal,
    ) -> Result<(), SendFailure> {
        let stuck = |text: String| failure(Stage::Auth, FailureKind::Temporary, text);
        if self
            .connection
            .server_info()
            .get_auth_mechanism(DEFAULT_MECHANISMS)
            .is_none()
        {
            return Err(stuck(
                "the server offers neither AUTH PLAIN nor AUTH LOGIN".into(),
            ));
        }
        let place = Account::secret_place(&account.id);
        let secret = secret::fetch(&place, &login.secret, keyring, MOST_PASSWORD).await;
        let secret = secret.map_err(stuck)?;
        let mut hidden = Hidden::default();
        hidden.add(STANDARD.encode(format!("\0{}\0{}", login.username, *secret)));
        hidden.add(STANDARD.encode(secret.as_bytes()));
        hidden.add(secret.as_str());
        if is_default(account) {
            hidden.add(STANDARD.encode(&login.username));
            hidden.add(login.username.as_str());
        }
        let credentials = Credentials::new(login.username.clone(), secret.to_string());
        let response = self.connection.auth(DEFAULT_MECHANISMS, &credentials).await;
        let response = response.map_err(|error| hidden.failure(&error, journal))?;
        if !is_complete(&response) {
            return Err(hidden.unexpected(&response, journal));
        }
        journal.passed(hidden.text_of(&response));
        Ok(())
    }

    /// Whether the server offers a mechanism of AUTH.
    pub(super) fn offers(&self, mechanism: Mechanism) -> bool {
        self.connection.server_info().supports_auth_mechanism(mechanism)
    }

    /// One line of an AUTH exchange that somebody else conducts, its end included.
    pub(super) async fn authenticate(
        &mut self,
        line: &str,
        hidden: &Hidden,
        journal: &Journal,
    ) -> Result<Response, SendFailure> {
        let said = self.connection.command(line).await;
        said.map_err(|error| hidden.failure(&error, journal))
    }

    /// MAIL and RCPT.
    pub(super) async fn address(
        &mut self,
        envelope: Envelope<'_>,
        hidden: &Hidden,
        journal: &mut Journal,
    ) -> Result<(), SendFailure> {
        journal.begin(Stage::Mail);
        if self.condition == Condition::Open {
            self.reset(hidden, journal).await?;
        }
        let parameters = self.parameters(envelope)?;
        // Until the transaction is completed, whatever ends it early leaves it open.
        self.condition = Condition::Open;
        let mail = Mail::new(Some(envelope.sender.clone()), parameters);
        let reply = self.say(mail, hidden, journal).await?;
        journal.passed(reply);
        journal.begin(Stage::Rcpt);
        let rcpt = Rcpt::new(envelope.recipient.clone(), Vec::new());
        let reply = self.say(rcpt, hidden, journal).await?;
        journal.passed(reply);
        Ok(())
    }

    /// DATA and the message, for a recipient who was accepted. `clearance` is awaited right before.
    pub(super) async fn transmit(
        &mut self,
        mail: &Rendered,
        settings: &MailSettings,
        clearance: impl Future<Output = Result<(), Withheld>> + Send,
        journal: &mut Journal,
    ) -> Result<Accepted, Unsent> {
        let hidden = &mail.hidden;
        journal.begin(Stage::Data);
        clearance.await.map_err(Unsent::Withheld)?;
        let ready = self.command(Data, hidden, journal).await?;
        if !ready.has_code(354) {
            self.condition = Condition::Broken;
            return Err(hidden.unexpected(&ready, journal).into());
        }
        let payload = payload(&mail.message);
        journal.expect_dot(
            Arc::clone(&self.gauge),
            self.gauge.written() + payload.len() as u64,
        );
        self.gauge.set_patience(settings.accept_timeout);
        // Broken if this is cut short: what follows would be read as part of the message.
        self.condition = Condition::Broken;
        let said = self.connection.command(payload.as_str()).await;
        self.gauge.set_patience(settings.command_timeout);
        let response = said.map_err(|error| {
            let failure = hidden.failure(&error, journal);
            if matches!(failure.code, Some(code) if code != 421) {
                self.condition = Condition::Clean;
            }
            failure
        })?;
        if !is_complete(&response) {
            return Err(hidden.unexpected(&response, journal).into());
        }
        self.condition = Condition::Clean;
        Ok(Accepted {
            code: response.code().into(),
            reply: hidden.text_of(&response),
        })
    }

    /// RSET.
    pub(super) async fn reset(&mut self, hidden: &Hidden, journal: &Journal) -> Result<String, SendFailure> {
        let reply = self.say(Rset, hidden, journal).await?;
        self.condition = Condition::Clean;
        Ok(reply)
    }

    /// QUIT, for the sake of good manners: how it goes does not matter.
    pub(super) async fn quit(mut self) {
        if self.condition != Condition::Broken {
            let _ = self.connection.command(Quit).await;
        }
    }

    /// Whether another mail may go over it.
    pub(super) fn is_usable(&self) -> bool {
        self.condition != Condition::Broken && !self.connection.has_broken()
    }

    fn parameters(&self, envelope: Envelope<'_>) -> Result<Vec<MailParameter>, SendFailure> {
        let server = self.connection.server_info();
        let addresses = [envelope.sender, envelope.recipient].map(AsRef::<str>::as_ref);
        let mut parameters = Vec::new();
        if !addresses.iter().all(|address| address.is_ascii()) {
            if !server.supports_feature(Extension::SmtpUtfEight) {
                let text = "an address needs SMTPUTF8, which the server does not offer";
                return Err(failure(Stage::Mail, FailureKind::Permanent, text));
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        if envelope.eight_bit {
            if !server.supports_feature(Extension::EightBitMime) {
                let text = "the message needs 8BITMIME, which the server does not offer";
                return Err(failure(Stage::Mail, FailureKind::Permanent, text));
            }
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        Ok(parameters)
    }

    async fn say(
        &mut self,
        command: impl std::fmt::Display,
        hidden: &Hidden,
        journal: &Journal,
    ) -> Result<String, SendFailure> {
        let response = self.command(command, hidden, journal).await?;
        if is_complete(&response) {
            Ok(hidden.text_of(&response))
        } else {
            self.condition = Condition::Broken;
            Err(hidden.unexpected(&response, journal))
        }
    }

    async fn command(
        &mut self,
        command: impl std::fmt::Display,
        hidden: &Hidden,
        journal: &Journal,
    ) -> Result<Response, SendFailure> {
        self.connection.command(command).await.map_err(|error| {
            let failure = hidden.failure(&error, journal);
            // 421: the server closes the connection (RFC 5321, 3.8).
            if matches!(failure.code, None | Some(421)) {
                self.condition = Condition::Broken;
            }
            failure
        })
    }
}

/// Whether an account logs in with what the service was given, and even the user name is none of its administrators'.
fn is_default(account: &Account) -> bool {
    let login = account.settings.login.as_ref();
    login.is_some_and(|login| login.secret == Secret::Default)
}

/// The message with leading dots doubled (RFC 5321, 4.5.2) and the final dot: one write, one packet more often than not.
fn payload(message: &str) -> String {
    let mut payload = String::with_capacity(message.len() + 64);
    if message.starts_with('.') {
        payload.push('.');
    }
    payload.push_str(&message.replace("\r\n.", "\r\n.."));
    if !payload.ends_with("\r\n") {
        payload.push_str("\r\n");
    }
    payload.push_str(".\r\n");
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_doubled_and_the_last_one_ends_it() {
        assert_eq!(payload("a\r\n.b\r\n..c\r\n"), "a\r\n..b\r\n...c\r\n.\r\n");
        assert_eq!(payload(".\r\n.\r\n.x"), "..\r\n..\r\n..x\r\n.\r\n");
    }
}

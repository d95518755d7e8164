//! AUTH with a password: PLAIN (RFC 4616), or LOGIN where a server has nothing better.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::{
    answer::Answer,
    journal::Journal,
    reply::{Hidden, failure},
    secret::{self, MOST_PASSWORD, NamedBy},
    session::Session,
};
use crate::{
    domain::{
        account::{Account, Login, Secret},
        delivery::{FailureKind, SendFailure, Stage},
        keyring::Keyring,
    },
    secret_files::{SecretFiles, Shape},
};

/// The longest command line (RFC 5321, 4.5.3.1.4): what is longer goes on a line of its own (RFC 4954, 4).
const LONGEST_COMMAND: usize = 512;

/// Logs in.
pub(super) async fn log_in(
    session: &mut Session,
    account: &Account,
    login: &Login,
    keyring: &Keyring,
    files: &Arc<SecretFiles>,
    journal: &mut Journal,
) -> Result<(), SendFailure> {
    journal.begin(Stage::Auth);
    let stuck = |text: String| failure(Stage::Auth, FailureKind::Temporary, text);
    let is_plain = session.offers().has_mechanism("PLAIN");
    if !is_plain && !session.offers().has_mechanism("LOGIN") {
        return Err(stuck(
            "the server offers neither AUTH PLAIN nor AUTH LOGIN".into(),
        ));
    }
    let place = Account::secret_place(&account.id);
    let named_by = if is_default(account) {
        NamedBy::Configuration
    } else {
        NamedBy::Account(files)
    };
    let secret = secret::fetch(
        &place,
        &login.secret,
        keyring,
        named_by,
        MOST_PASSWORD,
        Shape::Line,
    )
    .await;
    let secret = secret.map_err(stuck)?;
    let encode = |text: &str| Zeroizing::new(STANDARD.encode(text));
    let both = Zeroizing::new(format!("\0{}\0{}", login.username, *secret));
    let (both, username, password) = (encode(&both), encode(&login.username), encode(&secret));
    let mut hidden = Hidden::default();
    hidden.add(both.as_str());
    hidden.add(password.as_str());
    hidden.add(secret.as_str());
    if is_default(account) {
        hidden.add(username.as_str());
        hidden.add(login.username.as_str());
    }
    let answer = if is_plain {
        show(session, "PLAIN", &both, &hidden, journal).await?
    } else {
        // The questions are the user name and the password, in this order, in whatever words.
        say(session, "AUTH LOGIN", &hidden, journal).await?;
        say(session, &username, &hidden, journal).await?;
        let line = Zeroizing::new(format!("{}\r\n", *password));
        session.authenticate(&line, &hidden, journal).await?
    };
    let reply = hidden.completion(&answer, journal)?;
    journal.passed(reply);
    Ok(())
}

/// Begins AUTH and shows what the mechanism wants to see first.
pub(super) async fn show(
    session: &mut Session,
    mechanism: &str,
    shown: &str,
    hidden: &Hidden,
    journal: &Journal,
) -> Result<Answer, SendFailure> {
    let whole = Zeroizing::new(format!("AUTH {mechanism} {shown}\r\n"));
    if whole.len() <= LONGEST_COMMAND {
        return session.authenticate(&whole, hidden, journal).await;
    }
    say(session, &format!("AUTH {mechanism}"), hidden, journal).await?;
    let line = Zeroizing::new(format!("{shown}\r\n"));
    session.authenticate(&line, hidden, journal).await
}

/// A line after which the server asks for another.
async fn say(
    session: &mut Session,
    line: &str,
    hidden: &Hidden,
    journal: &Journal,
) -> Result<(), SendFailure> {
    let line = Zeroizing::new(format!("{line}\r\n"));
    let answer = session.authenticate(&line, hidden, journal).await?;
    if answer.code() == 334 {
        Ok(())
    } else {
        Err(hidden.unexpected(&answer, journal))
    }
}

/// Whether an account logs in with what the service was given, and even the user name is none of its administrators'.
fn is_default(account: &Account) -> bool {
    let login = account.settings.login.as_ref();
    login.is_some_and(|login| login.secret == Secret::Default)
}

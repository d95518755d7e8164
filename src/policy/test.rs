//! Tests: of a connection, stage by stage, and of a whole message.

use std::time::Duration;

use super::{AccountError, AccountInput, AccountRef, Office};
use crate::{
    domain::{
        account::{Account, AccountDraft, Secret},
        address::EmailAddress,
        caller::Caller,
        delivery::{ConnectionReport, DeliveryState},
        id::{AccountId, EntryId},
        message::{Mail, TestMail},
        text::{check_line, check_lines},
        violation::Violations,
    },
    store::{Entry, MailKind, NewEntry, StoreError},
};

/// What to test.
#[derive(Debug)]
pub enum TestTarget {
    /// A saved account.
    Saved(AccountRef),
    /// Settings that need not be saved; with the id of a saved account and no secret, that account's secret is used.
    Unsaved {
        /// The settings.
        input: Box<AccountInput>,
        /// The account whose secret is used.
        secret_of: Option<AccountId>,
    },
}

/// A test message to be sent.
#[derive(Clone, Debug)]
pub struct TestMessage {
    /// Through which account; `None`: the default.
    pub account: Option<AccountRef>,
    /// Where to, unchecked.
    pub recipient: String,
    /// The subject; empty: a built-in one.
    pub subject: String,
    /// The text; empty: a built-in one.
    pub text: String,
    /// Whether to answer only when the mail server has spoken.
    pub wait: bool,
}

/// Why nothing was tested.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    /// Something is wrong with the request.
    #[error(transparent)]
    Invalid(#[from] Violations),
    /// The account could not be had.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// There is no account at all.
    #[error("no mail account is set up")]
    NoAccount,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

const BUILT_IN_SUBJECT: &str = "Test message";
const BUILT_IN_TEXT: &str = "This is a test message. If you can read it, the mail account works.";

/// How often a waiting caller's entry is looked at.
const LOOK: Duration = Duration::from_millis(50);

impl Office {
    /// Tries an account's settings against its mail server, up to RSET. `recipient` empty: the sender itself.
    #[tracing::instrument(name = "policy.test_connection", skip_all, fields(caller.name = %caller.name))]
    pub async fn test_connection(
        &self,
        caller: &Caller,
        target: TestTarget,
        recipient: &str,
    ) -> Result<ConnectionReport, TestError> {
        let account = match target {
            TestTarget::Saved(account) => self.account(&account).await?,
            TestTarget::Unsaved { input, secret_of } => self.unsaved(*input, secret_of).await?,
        };
        let recipient = match recipient {
            "" => account.settings.sender.address.clone(),
            text => {
                let mut faults = Violations::new();
                let address = EmailAddress::parse(text, self.settings.local_part);
                faults.check("recipient", address).ok_or(faults)?
            }
        };
        Ok(self.transports.test(&account, &recipient).await)
    }

    /// Sends a test message through the outbox and the worker.
    #[tracing::instrument(name = "policy.send_test_message", skip_all, fields(caller.name = %caller.name))]
    pub async fn send_test_message(&self, caller: &Caller, message: TestMessage) -> Result<Entry, TestError> {
        let recipient = self.check_message(&message)?;
        let account = match &message.account {
            Some(account) => self.account(account).await?,
            None => {
                let accounts = self.accounts.list().await?;
                accounts
                    .into_iter()
                    .find(|account| account.is_default)
                    .ok_or(TestError::NoAccount)?
            }
        };
        let masked_recipient = self.settings.mask.apply(&recipient);
        let or_built_in = |text: String, built_in: &str| {
            if text.is_empty() {
                built_in.to_owned()
            } else {
                text
            }
        };
        let mail = TestMail {
            recipient,
            subject: or_built_in(message.subject, BUILT_IN_SUBJECT),
            text: or_built_in(message.text, BUILT_IN_TEXT),
            account: account.id,
        };
        let id = self.owe(&Mail::Test(mail), masked_recipient).await?;
        self.entry_after(id, message.wait).await
    }

    fn check_message(&self, message: &TestMessage) -> Result<EmailAddress, Violations> {
        let mut faults = Violations::new();
        let recipient = EmailAddress::parse(&message.recipient, self.settings.local_part);
        let recipient = faults.check("recipient", recipient);
        faults.check("subject", check_line(&message.subject, 200));
        faults.check("text", check_lines(&message.text, 10_000));
        match recipient {
            Some(recipient) if faults.is_empty() => Ok(recipient),
            _ => Err(faults),
        }
    }

    /// Writes the mail to the outbox and hands it to the worker.
    async fn owe(&self, mail: &Mail, masked_recipient: String) -> Result<EntryId, StoreError> {
        let id = EntryId::random(&*self.entropy);
        let slot = self.handoff.slot(&*self.entropy);
        let now = self.clock.now();
        let entry = NewEntry {
            id,
            kind: MailKind::Test,
            challenge: None,
            decoy: false,
            submitted_at: now,
            expires_at: now.plus(self.settings.test_lifetime),
            masked_recipient,
            message_id: NewEntry::message_id(&id, &self.settings.message_id_domain),
            mail: self
                .keyring
                .seal(&NewEntry::place(&id), &mail.to_bytes(), &*self.entropy),
            lease: slot.lease(),
        };
        self.outbox.enqueue(entry.clone()).await?;
        slot.deliver(&entry, &*self.clock);
        Ok(id)
    }

    /// The entry as it stands, or, for a caller that waits, once the mail server has spoken.
    async fn entry_after(&self, id: EntryId, wait: bool) -> Result<Entry, TestError> {
        let deadline = tokio::time::Instant::now() + self.settings.wait;
        loop {
            let entry = self.outbox.find(id).await?.ok_or(StoreError::Corrupt("outbox"))?;
            if !wait || entry.state != DeliveryState::Queued || tokio::time::Instant::now() >= deadline {
                return Ok(entry);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn unsaved(
        &self,
        mut input: AccountInput,
        secret_of: Option<AccountId>,
    ) -> Result<Account, TestError> {
        let id = secret_of.unwrap_or_else(|| AccountId::random(&*self.entropy));
        if let Some(saved) = secret_of {
            let saved = self.account(&AccountRef::Id(saved)).await?;
            borrow_secret(&mut input, &saved)?;
        }
        let settings = self.check_account(&id, input)?;
        let now = self.clock.now();
        Ok(Account {
            id,
            is_default: false,
            settings,
            created_at: now,
            updated_at: now,
            version: 0,
        })
    }
}

/// Uses a saved account's secret, where none is given and only against the server it is for: a test of a stranger's server
/// must not carry it there.
fn borrow_secret(input: &mut AccountInput, saved: &Account) -> Result<(), Violations> {
    if input.password.is_some() || input.draft.secret.is_some() || !input.draft.authentication {
        return Ok(());
    }
    let AccountDraft { host, secret, .. } = &mut input.draft;
    if !host.eq_ignore_ascii_case(&saved.settings.server.host) {
        let mut faults = Violations::new();
        faults.add(
            "settings.secret",
            "is required, because the host is not that of the saved account",
        );
        return Err(faults);
    }
    *secret = saved
        .settings
        .login
        .as_ref()
        .map(|login| -> Secret { login.secret.clone() });
    Ok(())
}

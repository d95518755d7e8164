//! Tests: of a connection, stage by stage, and of a whole message.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::{AccountError, AccountInput, AccountRef, Office, identity::keep_key, oauth::keep_oauth};
use crate::{
    domain::{
        account::{Account, AccountDraft, Secret},
        address::EmailAddress,
        delivery::{ConnectionReport, DeliveryState},
        id::{AccountId, EntryId},
        mail_queue::MailQueue,
        message::{Mail, TestMail, message_id},
        preset::Preset,
        text::{check_line, check_lines},
        violation::Violations,
        visitor::Visitor,
    },
    store::{Entry, MailKind, NewEntry, StoreError, handoff::Owed},
};

/// The subject of a test message without one.
const SUBJECT: &str = "mailfactor test message";

/// How often a test message is looked at while somebody waits for it.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

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
    /// The master switch is off.
    #[error("sending is switched off")]
    SendingDisabled,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Office {
    /// Tries an account's settings against its mail server, up to RSET. `recipient` empty: the sender itself.
    #[tracing::instrument(name = "policy.test_connection", skip_all, fields(caller.name = %caller.name))]
    pub async fn test_connection(
        &self,
        caller: &Visitor,
        target: TestTarget,
        recipient: &str,
    ) -> Result<ConnectionReport, TestError> {
        let mut faults = Violations::new();
        let given = match recipient {
            "" => None,
            text => faults.check("recipient", EmailAddress::parse(text, self.settings.local_part)),
        };
        let saved = matches!(target, TestTarget::Saved(_));
        let account = match target {
            TestTarget::Saved(account) => {
                faults.into_result()?;
                self.account(&account).await?
            }
            TestTarget::Unsaved { input, secret_of } => self.unsaved(*input, secret_of, faults).await?,
        };
        let recipient = given.unwrap_or_else(|| account.settings.sender.address.clone());
        let report = self.transports.test(&account, &recipient).await;
        if saved && let Some(proof) = self.proof_of(&account, &report) {
            self.accounts.note_test(account.id, proof).await?;
        }
        tracing::info!(
            account.name = %account.settings.name,
            succeeded = report.succeeded(),
            "connection tested"
        );
        Ok(report)
    }

    /// Sends a test message through the outbox and the worker.
    #[tracing::instrument(name = "policy.send_test_message", skip_all, fields(caller.name = %caller.name))]
    pub async fn send_test_message(
        &self,
        caller: &Visitor,
        message: TestMessage,
    ) -> Result<Entry, TestError> {
        if !self.policies.current().sending {
            return Err(TestError::SendingDisabled);
        }
        let wait = message.wait;
        let (mail, account) = self.test_mail(message).await?;
        let now = self.clock.now();
        let id = EntryId::random(now, &*self.entropy);
        let masked_recipient = self.policies.current().default.mask.apply(&mail.recipient);
        let recipient = self.recipient_hash(&mail.recipient);
        let mail = Mail::Test(mail).to_bytes();
        let slot = self
            .handoff
            .slot(MailQueue::default(), &*self.entropy, &*self.clock);
        let entry = NewEntry {
            id,
            kind: MailKind::Test,
            challenge: None,
            decoy: false,
            submitted_at: now,
            expires_at: now.plus(self.settings.test_lifetime),
            masked_recipient,
            recipient,
            message_id: message_id(&id, &self.settings.message_id_domain),
            mail: self.keyring.seal(&NewEntry::place(&id), &mail, &*self.entropy),
            queue: MailQueue::default(),
            lease: slot.lease(),
        };
        let (outbox, row) = (Arc::clone(&self.outbox), entry.clone());
        let write = async move { outbox.enqueue(row).await };
        slot.owe(entry, write, |()| Owed::Mail).await?;
        tracing::info!(account.name = %account, entry.id = %id, "test message queued");
        self.queued(id, wait).await
    }

    /// The checked mail, and the name of the account it goes through.
    async fn test_mail(&self, message: TestMessage) -> Result<(TestMail, String), TestError> {
        let subject = if message.subject.trim().is_empty() {
            SUBJECT.to_owned()
        } else {
            message.subject
        };
        // An empty one is the template's to fill.
        let text = message.text.replace("\r\n", "\n");
        let mut faults = Violations::new();
        let recipient = EmailAddress::parse(&message.recipient, self.settings.local_part);
        let recipient = faults.check("recipient", recipient);
        faults.check("subject", check_line(&subject, 200));
        faults.check("text", check_lines(&text, 10_000));
        let (Some(recipient), true) = (recipient, faults.is_empty()) else {
            return Err(faults.into());
        };
        let account = if let Some(account) = &message.account {
            self.account(account).await?
        } else {
            let all = self.accounts.list().await?;
            let default = all.into_iter().find(|account| account.is_default);
            default.ok_or(TestError::NoAccount)?
        };
        let mail = TestMail {
            recipient,
            subject,
            text,
            account: account.id,
        };
        Ok((mail, account.settings.name))
    }

    /// The entry as it stands, or, for those who wait, as it stands when the mail server has spoken.
    async fn queued(&self, id: EntryId, wait: bool) -> Result<Entry, TestError> {
        let until = Instant::now() + self.settings.wait;
        loop {
            let entry = self.outbox.find(id).await?;
            let entry = entry.ok_or(StoreError::Corrupt("the outbox: an entry just written"))?;
            if !wait || entry.state != DeliveryState::Queued || Instant::now() >= until {
                return Ok(entry);
            }
            sleep_until(until.min(Instant::now() + LOOK_AGAIN)).await;
        }
    }

    /// An account that was never saved.
    async fn unsaved(
        &self,
        mut input: AccountInput,
        secret_of: Option<AccountId>,
        faults: Violations,
    ) -> Result<Account, TestError> {
        let id = secret_of.unwrap_or_else(|| AccountId::random(&*self.entropy));
        // Checked like any other settings; a name is only for keeping them.
        if input.draft.name.is_empty() {
            "unsaved".clone_into(&mut input.draft.name);
        }
        let host = host_of(&input.draft);
        if let (Some(id), Some(oauth)) = (secret_of, &mut input.draft.oauth) {
            let saved = self.account(&AccountRef::Id(id)).await?.settings;
            if saved.server.host.eq_ignore_ascii_case(&host) {
                oauth.settle(Preset::from_name(&input.draft.preset).unwrap_or(Preset::OTHER));
                keep_oauth(oauth, &saved);
            }
        }
        if let Some(id) = secret_of
            && input.client_key.is_none()
        {
            let saved = self.account(&AccountRef::Id(id)).await?.settings;
            keep_key(&mut input.draft.identity, &saved, &host);
        }
        let kept = match secret_of {
            Some(id) if input.draft.authentication && !has_secret(&input) => {
                Some(self.kept_secret(id, &host).await?)
            }
            _ => None,
        };
        if kept.is_some() {
            // Stands for the one that is kept, which needs no check.
            input.password = Some("kept".to_owned().into());
        }
        let mut settings = match self.check(id, "settings.", input) {
            Ok(settings) => {
                faults.into_result()?;
                settings
            }
            Err(more) => return Err(joined(faults, &more).into()),
        };
        if let (Some(login), Some(secret)) = (&mut settings.login, kept) {
            login.secret = secret;
        }
        Ok(self.imagined(id, settings))
    }

    /// The secret a saved account logs in with: only against the server it is for, so that no test carries it to a
    /// stranger's.
    async fn kept_secret(&self, id: AccountId, host: &str) -> Result<Secret, TestError> {
        let saved = self.account(&AccountRef::Id(id)).await?.settings;
        let refuse = |why| {
            let mut faults = Violations::new();
            faults.add("settings.secret", why);
            TestError::Invalid(faults)
        };
        // Nothing of a service's default credentials is the account's to lend.
        let login = saved
            .login
            .filter(|login| login.secret != Secret::Default)
            .ok_or_else(|| refuse("is required: the saved account has none"))?;
        if saved.server.host.eq_ignore_ascii_case(host) {
            Ok(login.secret)
        } else {
            Err(refuse("is required: the host is not that of the saved account"))
        }
    }
}

/// The mail server that a draft names, itself or by its preset.
fn host_of(draft: &AccountDraft) -> String {
    let preset = Preset::from_name(&draft.preset).map_or("", Preset::host);
    let named = Some(draft.host.as_str()).filter(|host| !host.is_empty());
    named.unwrap_or(preset).to_owned()
}

fn has_secret(input: &AccountInput) -> bool {
    let AccountInput { draft, password, .. } = input;
    password.is_some() || draft.secret.is_some() || draft.oauth.is_some() || draft.default_credentials
}

fn joined(mut faults: Violations, more: &Violations) -> Violations {
    for fault in more.as_slice() {
        faults.add(&fault.field, &fault.description);
    }
    faults
}

//! Inboxes: create, get, list, update, delete, test, check.

use zeroize::Zeroizing;

use super::{
    inbox_merge::{keep_secret_at_home, merge, names},
    secrets,
};
use crate::{
    domain::{
        account::Secret,
        audit::{Action, Note},
        delivery::ConnectionReport,
        id::{AuditId, EntryId, InboxId},
        inbox::{Inbox, InboxDraft, InboxStanding},
        report::Report,
        violation::Violations,
        visitor::Visitor,
    },
    mail::{CheckDesk, CheckReport, Checked, Collector},
    store::{InboxWrite, StoreError},
};

/// What the use cases of inboxes work with.
pub struct InboxOffice {
    /// Reads inboxes, with all it takes.
    pub collector: Collector,
    /// Where checks are asked for.
    pub desk: CheckDesk,
}

/// An inbox as it was written: the draft, and what is not in it yet.
#[derive(Debug, Default)]
pub struct InboxInput {
    /// All but the password and what follows. `draft.secret` is set for files and variables.
    pub draft: InboxDraft,
    /// Whether messages stay on the server, where it was said.
    pub keep_copy: Option<bool>,
    /// The password itself.
    pub password: Option<Zeroizing<String>>,
}

/// An inbox, named either way.
#[derive(Clone, Debug)]
pub enum InboxRef {
    /// By identifier; or by a name that reads like one, where no inbox has that identifier.
    Id(InboxId),
    /// By name.
    Name(String),
}

/// What to test.
#[derive(Debug)]
pub enum InboxTarget {
    /// A saved inbox.
    Saved(InboxRef),
    /// Settings that need not be saved; with the id of a saved inbox and no secret, that inbox's secret is used.
    Unsaved {
        /// The settings.
        input: Box<InboxInput>,
        /// The inbox whose secret is used.
        secret_of: Option<InboxId>,
    },
}

/// Why an inbox was not saved, found, tested or read.
#[derive(Debug, thiserror::Error)]
pub enum InboxError {
    /// Something is wrong with it.
    #[error(transparent)]
    Invalid(#[from] Violations),
    /// No such inbox.
    #[error("no such inbox")]
    Unknown,
    /// Another has that name.
    #[error("another inbox has that name")]
    NameTaken,
    /// Somebody else changed it in between.
    #[error("the inbox was changed in between")]
    Stale,
    /// There are as many as there may be.
    #[error("there are too many inboxes")]
    Full,
    /// A disabled inbox is not read.
    #[error("the inbox is disabled")]
    Disabled,
    /// Somebody else is reading it.
    #[error("the inbox is being read")]
    Busy,
    /// The process ends.
    #[error("the process ends")]
    Ending,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How often an update without a version is tried when others write at the same time.
const TRIES: u32 = 5;

impl InboxOffice {
    /// Creates an inbox.
    #[tracing::instrument(name = "policy.create_inbox", skip_all)]
    pub async fn create_inbox(&self, caller: &Visitor, input: InboxInput) -> Result<Inbox, InboxError> {
        let id = InboxId::random(&*self.collector.entropy);
        let settings = self.sealed(id, "inbox.", input)?.check("inbox.")?;
        let note = self.note(caller, Action::InboxCreate);
        let write = self
            .collector
            .inboxes
            .create_inbox(id, settings, self.collector.clock.now(), &note)
            .await?;
        let inbox = written(write)?;
        tell(caller, &inbox, "inbox created");
        Ok(inbox)
    }

    /// What goes along with a change.
    fn note(&self, caller: &Visitor, action: Action) -> Note {
        Note::of(caller, AuditId::random(&*self.collector.entropy), action)
    }

    /// Answers with one inbox.
    #[tracing::instrument(name = "policy.inbox", skip_all)]
    pub async fn inbox(&self, inbox: &InboxRef) -> Result<Inbox, InboxError> {
        let name = match inbox {
            InboxRef::Id(id) => match self.collector.inboxes.find_inbox(*id).await? {
                Some(inbox) => return Ok(inbox),
                None => &id.to_string(),
            },
            InboxRef::Name(name) => name,
        };
        let all = self.collector.inboxes.list_inboxes().await?;
        let found = all.into_iter().find(|inbox| inbox.settings.name == *name);
        found.ok_or(InboxError::Unknown)
    }

    /// All inboxes, by name.
    #[tracing::instrument(name = "policy.inboxes", skip_all)]
    pub async fn inboxes(&self) -> Result<Vec<Inbox>, InboxError> {
        Ok(self.collector.inboxes.list_inboxes().await?)
    }

    /// Changes the fields that `mask` names ([`super::UPDATABLE_INBOX`]); empty: all, keeping secret and `keep_copy` where none
    /// is given. `version` refuses to overwrite somebody else's change. Without one, the fields that are not named keep
    /// whatever somebody else makes of them meanwhile.
    #[tracing::instrument(name = "policy.update_inbox", skip_all, fields(inbox.id = %id))]
    pub async fn update_inbox(
        &self,
        caller: &Visitor,
        id: InboxId,
        input: InboxInput,
        mask: &[String],
        version: Option<i64>,
    ) -> Result<Inbox, InboxError> {
        let keep_copy = input.keep_copy;
        // Sealed once: a password leaves this function only sealed.
        let input = self.sealed(id, "inbox.", input)?;
        for _ in 0..TRIES {
            let current = self
                .collector
                .inboxes
                .find_inbox(id)
                .await?
                .ok_or(InboxError::Unknown)?;
            let mut draft = merge(&current.settings, &input, mask);
            if mask.is_empty() && keep_copy.is_none() {
                draft.keep_copy = current.settings.keep_copy;
            }
            let settings = draft.check("inbox.")?;
            let secret_given = input.secret.is_some() && names(mask, "secret");
            keep_secret_at_home(&current.settings, &settings, secret_given)?;
            let based_on = version.unwrap_or(current.version);
            let now = self.collector.clock.now();
            let note = self.note(caller, Action::InboxUpdate);
            let write = self
                .collector
                .inboxes
                .update_inbox(id, settings, Some(based_on), now, &note)
                .await?;
            match written(write) {
                Err(InboxError::Stale) if version.is_none() => {}
                Ok(inbox) => {
                    tell(caller, &inbox, "inbox changed");
                    return Ok(inbox);
                }
                Err(error) => return Err(error),
            }
        }
        Err(InboxError::Stale)
    }

    /// Deletes an inbox.
    #[tracing::instrument(name = "policy.delete_inbox", skip_all)]
    pub async fn delete_inbox(
        &self,
        caller: &Visitor,
        inbox: &InboxRef,
        version: Option<i64>,
    ) -> Result<(), InboxError> {
        let id = self.inbox(inbox).await?.id;
        let note = self.note(caller, Action::InboxDelete);
        let inbox = written(self.collector.inboxes.delete_inbox(id, version, &note).await?)?;
        tell(caller, &inbox, "inbox deleted");
        Ok(())
    }

    /// Tries an inbox's settings against its server, up to opening the mailbox.
    #[tracing::instrument(name = "policy.test_inbox", skip_all, fields(caller.name = %caller.name))]
    pub async fn test_inbox(
        &self,
        caller: &Visitor,
        target: InboxTarget,
    ) -> Result<ConnectionReport, InboxError> {
        let inbox = match target {
            InboxTarget::Saved(inbox) => self.inbox(&inbox).await?,
            InboxTarget::Unsaved { input, secret_of } => self.unsaved(*input, secret_of).await?,
        };
        let report = self.collector.test(&inbox).await;
        tracing::info!(inbox.name = %inbox.settings.name, succeeded = report.succeeded(), "inbox tested");
        Ok(report)
    }

    /// Reads an inbox now.
    #[tracing::instrument(name = "policy.check_inbox", skip_all, fields(caller.name = %caller.name))]
    pub async fn check_inbox(&self, caller: &Visitor, inbox: &InboxRef) -> Result<CheckReport, InboxError> {
        let inbox = self.inbox(inbox).await?;
        if !inbox.settings.enabled {
            return Err(InboxError::Disabled);
        }
        match self.desk.check(inbox.id).await {
            Some(Ok(Checked::Done(report))) => Ok(report),
            Some(Ok(Checked::Busy)) => Err(InboxError::Busy),
            Some(Ok(Checked::Unknown)) => Err(InboxError::Unknown),
            Some(Err(error)) => Err(error.into()),
            None => Err(InboxError::Ending),
        }
    }

    /// What was told of an outbox entry, oldest first.
    #[tracing::instrument(name = "policy.reports", skip_all)]
    pub async fn reports(&self, entry: EntryId) -> Result<Vec<Report>, StoreError> {
        self.collector.reports.reports(entry).await
    }

    /// An inbox that was never saved.
    async fn unsaved(&self, mut input: InboxInput, secret_of: Option<InboxId>) -> Result<Inbox, InboxError> {
        let now = self.collector.clock.now();
        let id = secret_of.unwrap_or_else(|| InboxId::random(&*self.collector.entropy));
        let kept = match secret_of {
            Some(id) if input.password.is_none() && input.draft.secret.is_none() => {
                let saved = self
                    .collector
                    .inboxes
                    .find_inbox(id)
                    .await?
                    .ok_or(InboxError::Unknown)?;
                // Only against the server it is for, so that no test carries it to a stranger's.
                if !saved.settings.server.host.eq_ignore_ascii_case(&input.draft.host) {
                    let mut faults = Violations::new();
                    faults.add(
                        "settings.secret",
                        "is required: the host is not that of the saved inbox",
                    );
                    return Err(faults.into());
                }
                Some(saved.settings.login.secret)
            }
            _ => None,
        };
        if kept.is_some() {
            // Stands for the one that is kept, which needs no check.
            input.password = Some("kept".to_owned().into());
        }
        let mut settings = self.sealed(id, "settings.", input)?.check("settings.")?;
        if let Some(secret) = kept {
            settings.login.secret = secret;
        }
        Ok(Inbox {
            id,
            settings,
            standing: InboxStanding::default(),
            created_at: now,
            updated_at: now,
            version: 0,
        })
    }

    /// The draft with its secret checked, and sealed where it is a password.
    fn sealed(&self, id: InboxId, prefix: &str, input: InboxInput) -> Result<InboxDraft, Violations> {
        let mut draft = input.draft;
        draft.keep_copy = input.keep_copy.unwrap_or(true);
        let secret: Option<Secret> = draft.secret.take();
        let checked = match (input.password, secret) {
            (None, None) => return Ok(draft),
            (Some(password), _) => {
                let place = Inbox::secret_place(&id);
                secrets::seal(
                    &self.collector.keyring,
                    &*self.collector.entropy,
                    &place,
                    &password,
                )
            }
            (None, Some(secret)) => {
                secrets::check(secret, &self.collector.transports.settings().secret_files)
            }
        };
        let mut faults = Violations::new();
        draft.secret = faults.check(&format!("{prefix}secret"), checked);
        faults.into_result().map(|()| draft)
    }
}

/// The inbox a write left, or why it wrote nothing.
fn written(write: InboxWrite) -> Result<Inbox, InboxError> {
    match write {
        InboxWrite::Saved(inbox) => Ok(*inbox),
        InboxWrite::NameTaken => Err(InboxError::NameTaken),
        InboxWrite::Stale => Err(InboxError::Stale),
        InboxWrite::Unknown => Err(InboxError::Unknown),
        InboxWrite::Full => Err(InboxError::Full),
    }
}

/// For the record of who changed what.
fn tell(caller: &Visitor, inbox: &Inbox, what: &'static str) {
    tracing::info!(
        caller.name = %caller.name,
        inbox.name = %inbox.settings.name,
        inbox.id = %inbox.id,
        "{what}"
    );
    for risk in inbox.settings.risks() {
        tracing::warn!(inbox.name = %inbox.settings.name, risk = risk.text(), "the inbox is risky");
    }
}

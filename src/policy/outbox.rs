//! The outbox report.

use std::fmt;

use super::Office;
use crate::domain::{
    address::EmailAddress,
    id::EntryId,
    keyring::{Subject, SubjectKind},
};
pub use crate::store::{AttemptRecord, Entry, EntryFilter, EntryOrder, MailKind, PageKey, StoreError};

/// Entries that are read at a time where each has to be looked at.
const BATCH: u32 = 500;

/// How many times that is done for one page: 5,000 entries at the most.
const BATCHES: usize = 10;

/// Which entries are asked for: what the store can find by itself, and what is looked for in each entry.
#[derive(Clone, Default)]
pub struct EntrySearch {
    /// For the store; its `recipient` is set by [`EntrySearch::recipient`].
    pub filter: EntryFilter,
    /// A whole address, or a part of a masked one; empty: any.
    pub recipient: String,
    /// A part of the subject or of the last error; empty: any.
    pub text: String,
}

impl fmt::Debug for EntrySearch {
    /// Without the recipient: it may be an address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntrySearch")
            .field("filter", &self.filter)
            .finish_non_exhaustive()
    }
}

/// A page of entries.
#[derive(Clone, Debug)]
pub struct EntryPage {
    /// The entries, in the order asked for.
    pub entries: Vec<Entry>,
    /// Where the next page begins; `None`: this was the last.
    pub next: Option<PageKey>,
}

/// Why an entry was not shown.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// No such entry.
    #[error("no such outbox entry")]
    Unknown,
    /// Too many reports are being read.
    #[error("too many reports are being read")]
    Overloaded,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Office {
    /// A page of up to `size` entries. Where each entry has to be looked at it may hold fewer and not be the last: the
    /// work of one call is bounded.
    #[tracing::instrument(name = "policy.list_entries", skip_all)]
    pub async fn list_entries(
        &self,
        search: &EntrySearch,
        after: Option<PageKey>,
        size: u32,
    ) -> Result<EntryPage, OutboxError> {
        let (filter, sieve) = self.sieve(search);
        if sieve.lets_all() {
            // One more than is shown tells whether there is a next page.
            let entries = self.outbox.list(&filter, after, size.saturating_add(1)).await?;
            return Ok(page(entries, size));
        }
        let most = usize::try_from(size).unwrap_or(usize::MAX);
        let mut entries = Vec::new();
        let mut next = after;
        for _ in 0..BATCHES {
            let batch = self.outbox.list(&filter, next, BATCH).await?;
            let last = batch.len() < usize::try_from(BATCH).unwrap_or(usize::MAX);
            for entry in batch {
                next = Some(key(&entry));
                if sieve.lets(&entry) {
                    entries.push(entry);
                }
                if entries.len() >= most {
                    return Ok(EntryPage { entries, next });
                }
            }
            if last {
                return Ok(EntryPage { entries, next: None });
            }
        }
        Ok(EntryPage { entries, next })
    }

    /// One entry with its attempts.
    #[tracing::instrument(name = "policy.entry", skip_all, fields(entry.id = %id))]
    pub async fn entry(&self, id: EntryId) -> Result<(Entry, Vec<AttemptRecord>), OutboxError> {
        let entry = self.outbox.find(id).await?.ok_or(OutboxError::Unknown)?;
        let attempts = self.outbox.attempts(id).await?;
        Ok((entry, attempts))
    }

    /// The keyed hash that an outbox entry to this address carries.
    pub(super) fn recipient_hash(&self, address: &EmailAddress) -> Subject {
        self.keyring.subject(SubjectKind::Address, &[&address.folded()])
    }

    /// What the store finds by itself, and what is left to be looked at.
    pub(super) fn sieve(&self, search: &EntrySearch) -> (EntryFilter, Sieve) {
        let mut filter = search.filter.clone();
        let mut sieve = Sieve {
            recipient: search.recipient.to_lowercase(),
            text: search.text.to_lowercase(),
        };
        if let Ok(address) = EmailAddress::parse(&search.recipient, self.settings.local_part) {
            filter.recipient = Some(self.recipient_hash(&address));
            sieve.recipient.clear();
        }
        (filter, sieve)
    }
}

/// What is looked for in each entry, in lower case.
pub(super) struct Sieve {
    recipient: String,
    text: String,
}

impl Sieve {
    fn lets_all(&self) -> bool {
        self.recipient.is_empty() && self.text.is_empty()
    }

    pub(super) fn lets(&self, entry: &Entry) -> bool {
        let within = |text: &str, part: &str| text.to_lowercase().contains(part);
        within(&entry.masked_recipient, &self.recipient)
            && (within(&entry.subject, &self.text) || within(&entry.last_error, &self.text))
    }
}

fn page(mut entries: Vec<Entry>, size: u32) -> EntryPage {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let more = entries.len() > size;
    entries.truncate(size);
    let next = entries.last().filter(|_| more).map(key);
    EntryPage { entries, next }
}

fn key(entry: &Entry) -> PageKey {
    PageKey {
        submitted_at: entry.submitted_at,
        id: entry.id,
    }
}

//! Export: the whole report, page by page.

use std::sync::Arc;

use futures_util::{Stream, stream};

use super::{EntryPage, EntrySearch, Office, OutboxError, PageKey};
use crate::domain::caller::Caller;

/// Entries that are read at a time.
const PAGE: u32 = 500;

/// How far an export has come.
enum Next {
    First,
    After(PageKey),
    End,
}

impl Office {
    /// Every entry asked for, a page at a time; a page may be empty. The stream ends after an error.
    pub fn export_entries(
        self: &Arc<Self>,
        caller: Arc<Caller>,
        search: EntrySearch,
    ) -> impl Stream<Item = Result<EntryPage, OutboxError>> + Send + 'static + use<> {
        let office = Arc::clone(self);
        stream::unfold(
            (office, caller, search, Next::First),
            |(office, caller, search, next)| async move {
                let after = match next {
                    Next::First => None,
                    Next::After(key) => Some(key),
                    Next::End => return None,
                };
                // Page by page: one who takes an export slowly holds no turn meanwhile.
                let page = match office.reports.turn(&caller).await {
                    Some(_turn) => office.list_entries(&search, after, PAGE).await,
                    None => Err(OutboxError::Overloaded),
                };
                let key = page.as_ref().ok().and_then(|page| page.next);
                let next = key.map_or(Next::End, Next::After);
                Some((page, (office, caller, search, next)))
            },
        )
    }
}

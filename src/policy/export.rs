//! Export: the whole report, page by page.

use std::sync::Arc;

use futures_util::{Stream, stream};

use super::{EntryPage, EntrySearch, Office, OutboxError, PageKey};

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
        search: EntrySearch,
    ) -> impl Stream<Item = Result<EntryPage, OutboxError>> + Send + 'static + use<> {
        let office = Arc::clone(self);
        stream::unfold(
            (office, search, Next::First),
            |(office, search, next)| async move {
                let after = match next {
                    Next::First => None,
                    Next::After(key) => Some(key),
                    Next::End => return None,
                };
                let page = office.list_entries(&search, after, PAGE).await;
                let key = page.as_ref().ok().and_then(|page| page.next);
                let next = key.map_or(Next::End, Next::After);
                Some((page, (office, search, next)))
            },
        )
    }
}

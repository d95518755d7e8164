//! Pages of the outbox report. Every page is read by an index that begins with what is asked for by equality and ends
//! with the order of the list, from where the page begins: it costs what its rows cost, however long the table is.

use super::{
    Failure,
    dialect::Engine,
    outbox_report::{COLUMNS, entry},
    query::{Connection, Query, passing_query},
};
use crate::{
    domain::{clock::Timestamp, delivery::DeliveryState},
    store::{Entry, EntryFilter, EntryOrder, MailKind, PageKey},
};

/// By which index a list is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// One recipient has few mails: what else is asked for is looked at row by row.
    Recipient,
    /// Nor are there many test messages.
    Tests,
    /// An account's, state by state.
    Account,
    /// State by state.
    States,
    /// One after another.
    All,
}

impl Way {
    fn of(filter: &EntryFilter) -> Self {
        if filter.recipient.is_some() {
            Self::Recipient
        } else if filter.kind == Some(MailKind::Test) {
            Self::Tests
        } else if filter.account.is_some() {
            Self::Account
        } else if !filter.states.is_empty() {
            Self::States
        } else {
            Self::All
        }
    }

    const fn index(self) -> &'static str {
        match self {
            Self::Recipient => "outbox_recipients",
            Self::Tests => "outbox_tests",
            Self::Account => "outbox_accounts",
            Self::States => "outbox_states",
            Self::All => "outbox_report",
        }
    }

    /// The states that are read one by one; `None`: the states play no part in the index.
    fn states(self, filter: &EntryFilter) -> Vec<Option<DeliveryState>> {
        match self {
            Self::Account if filter.states.is_empty() => DeliveryState::ALL.map(Some).to_vec(),
            Self::Account | Self::States => filter.states.iter().copied().map(Some).collect(),
            Self::Recipient | Self::Tests | Self::All => vec![None],
        }
    }
}

/// A page of at most `limit` entries after `after`.
pub(super) async fn list(
    connection: &mut Connection,
    filter: &EntryFilter,
    after: Option<PageKey>,
    limit: u32,
) -> Result<Vec<Entry>, Failure> {
    let mut found = Vec::new();
    for state in Way::of(filter).states(filter) {
        let query = page(connection.engine(), "", filter, state, after, limit);
        // The text depends on the filter: kept statements would push out those of every day.
        let rows = query.fetch_all(&mut *connection).await?;
        for row in &rows {
            found.push(entry(row)?);
        }
    }
    // Each state came in order; together they are put in order here.
    found.sort_by_key(|entry| (entry.submitted_at, entry.id));
    if filter.order == EntryOrder::NewestFirst {
        found.reverse();
    }
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(found)
}

/// The statement for a page of one state, or of all of them.
fn page(
    engine: Engine,
    prefix: &'static str,
    filter: &EntryFilter,
    state: Option<DeliveryState>,
    after: Option<PageKey>,
    limit: u32,
) -> Query<'static> {
    let way = Way::of(filter);
    let mut query = passing_query(prefix);
    query.push("SELECT ").push(COLUMNS).push(" FROM outbox");
    query.push(&engine.by_index(way.index())).push(" WHERE decoy = 0");
    // What partial indexes say, word for word, so that they are used.
    match way {
        Way::Tests => query.push(" AND kind = 2"),
        Way::Account => query.push(" AND account <> ''"),
        Way::Recipient | Way::States | Way::All => &mut query,
    };
    alike(&mut query, filter);
    match state {
        Some(state) => {
            query.push(" AND state = ").push_bind(state.tag());
        }
        None => among(&mut query, &filter.states),
    }
    between(&mut query, filter, after);
    query.push(match filter.order {
        EntryOrder::NewestFirst => " ORDER BY submitted_at DESC, id DESC LIMIT ",
        EntryOrder::OldestFirst => " ORDER BY submitted_at, id LIMIT ",
    });
    query.push_bind(i64::from(limit));
    query
}

/// What is asked for by equality, but for the states.
pub(super) fn alike(query: &mut Query<'static>, filter: &EntryFilter) {
    if let Some(recipient) = &filter.recipient {
        query.push(" AND recipient_hash = ");
        query.push_bind(recipient.as_bytes().to_vec());
    }
    if let Some(account) = &filter.account {
        query.push(" AND account = ").push_bind(account.clone());
    }
    if let Some(kind) = filter.kind {
        query.push(" AND kind = ").push_bind(kind.tag());
    }
}

/// In one of these states; none: in any.
pub(super) fn among(query: &mut Query<'static>, states: &[DeliveryState]) {
    if states.is_empty() {
        return;
    }
    query.push(" AND state IN (");
    query.push_list(states.iter().map(|state| state.tag()));
    query.push(")");
}

/// From when to when, and after which entry. Only one bound a side is given, the narrower one: with two, the index
/// might be entered at the wider.
fn between(query: &mut Query<'static>, filter: &EntryFilter, after: Option<PageKey>) {
    let (mut from, mut until) = (filter.from, filter.until);
    if let Some(key) = after {
        let (bound, comparison, passed) = match filter.order {
            EntryOrder::NewestFirst => {
                let passed = until.is_some_and(|until| until <= key.submitted_at);
                (&mut until, "<", passed)
            }
            EntryOrder::OldestFirst => {
                let passed = from.is_some_and(|from| from > key.submitted_at);
                (&mut from, ">", passed)
            }
        };
        if !passed {
            *bound = None;
            query.push(" AND (submitted_at, id) ").push(comparison).push(" (");
            query.push_bind(key.submitted_at.as_micros()).push(", ");
            query.push_bind(key.id.as_bytes().to_vec()).push(")");
        }
    }
    submitted(query, from, until);
}

/// At or after the one moment, before the other.
pub(super) fn submitted(query: &mut Query<'static>, from: Option<Timestamp>, until: Option<Timestamp>) {
    for (comparison, moment) in [(">= ", from), ("< ", until)] {
        if let Some(moment) = moment {
            query.push(" AND submitted_at ").push(comparison);
            query.push_bind(moment.as_micros());
        }
    }
}

#[cfg(test)]
#[path = "outbox_pages_tests.rs"]
mod tests;

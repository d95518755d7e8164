//! What happened in the outbox since a moment, in the order it happened. Read by one index, from where it was last read:
//! what else is asked for is looked at row by row, among the rows that changed.

use super::{
    Failure,
    dialect::Engine,
    outbox_pages::{alike, among, submitted},
    outbox_report::{COLUMNS, entry},
    query::{Connection, Query, passing_query},
};
use crate::{
    domain::clock::Timestamp,
    store::{ChangeKey, Entry, EntryFilter},
};

/// At most `limit` entries that changed at or after `from`, after `after`.
pub(super) async fn page(
    connection: &mut Connection,
    filter: &EntryFilter,
    from: Timestamp,
    after: Option<ChangeKey>,
    limit: u32,
) -> Result<Vec<Entry>, Failure> {
    let query = statement(connection.engine(), "", filter, from, after, limit);
    let rows = query.fetch_all(connection).await?;
    rows.iter().map(entry).collect()
}

fn statement(
    engine: Engine,
    prefix: &'static str,
    filter: &EntryFilter,
    from: Timestamp,
    after: Option<ChangeKey>,
    limit: u32,
) -> Query<'static> {
    let mut query = passing_query(prefix);
    query.push("SELECT ").push(COLUMNS).push(" FROM outbox");
    query
        .push(&engine.by_index("outbox_changes"))
        .push(" WHERE decoy = 0 AND ");
    // One bound, the narrower one: with two, the index might be entered at the wider.
    match after.filter(|key| key.changed_at >= from) {
        Some(key) => {
            query.push("(changed_at, id) > (");
            query.push_bind(key.changed_at.as_micros()).push(", ");
            query.push_bind(key.id.as_bytes().to_vec()).push(")");
        }
        None => {
            query.push("changed_at >= ").push_bind(from.as_micros());
        }
    }
    alike(&mut query, filter);
    among(&mut query, &filter.states);
    submitted(&mut query, filter.from, filter.until);
    query.push(" ORDER BY changed_at, id LIMIT ");
    query.push_bind(i64::from(limit));
    query
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::{
        domain::{clock::Clock as _, delivery::DeliveryState, id::EntryId, keyring::Subject},
        store::{
            MailKind,
            contract::{ManualClock, Place as _},
            sql::tests::File,
        },
    };

    #[tokio::test]
    async fn changes_are_read_by_their_index_whatever_is_asked_for() {
        let clock = ManualClock::new();
        let now = clock.now();
        let file = File::new();
        let store = file.open(clock).await;
        let mut reader = store.reader().await.unwrap();
        let all = EntryFilter {
            states: vec![DeliveryState::Sent, DeliveryState::Failed],
            account: Some("a".into()),
            kind: Some(MailKind::Test),
            recipient: Some(Subject::from_bytes([1; 32])),
            from: Some(now),
            until: Some(now),
            ..EntryFilter::default()
        };
        let key = ChangeKey {
            changed_at: now,
            id: EntryId::from_bytes([1; 16]),
        };
        for filter in [EntryFilter::default(), all] {
            for after in [None, Some(key)] {
                let query = statement(Engine::Sqlite, "EXPLAIN QUERY PLAN ", &filter, now, after, 10);
                let rows = query.fetch_all(&mut reader).await.unwrap();
                let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
                assert!(
                    plan.len() == 1 && plan[0].starts_with("SEARCH outbox USING INDEX outbox_changes ("),
                    "{plan:?}"
                );
            }
        }
    }
}

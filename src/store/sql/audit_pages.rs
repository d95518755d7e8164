//! Pages of the audit. What is asked for by identifier or name is read by an index for each, in the order of the list,
//! and put together here.

use super::{
    Failure,
    audit::event,
    dialect::Engine,
    query::{Connection, Query, passing_query},
};
use crate::{
    domain::audit::AuditEvent,
    store::{AuditFilter, AuditKey},
};

/// An index, and what it is entered with.
type Way<'f> = (&'static str, Option<(&'static str, &'f str)>);

/// Together they find every event asked for; one may be found twice.
fn ways(filter: &AuditFilter) -> Vec<Way<'_>> {
    if let Some(object) = &filter.object {
        vec![
            ("audit_object_ids", Some(("object_id", object))),
            ("audit_object_names", Some(("object_name", object))),
        ]
    } else if let Some(actor) = &filter.actor {
        vec![
            ("audit_actor_ids", Some(("actor_id", actor))),
            ("audit_actor_names", Some(("actor_name", actor))),
        ]
    } else if filter.actions.is_empty() {
        vec![("audit_moments", None)]
    } else {
        let actions = filter.actions.iter();
        actions
            .map(|action| ("audit_actions", Some(("action", action.name()))))
            .collect()
    }
}

/// A page of at most `limit` events after `after`.
pub(super) async fn list(
    connection: &mut Connection,
    filter: &AuditFilter,
    after: Option<AuditKey>,
    limit: u32,
) -> Result<Vec<AuditEvent>, Failure> {
    let mut found = Vec::new();
    for way in ways(filter) {
        let query = page(connection.engine(), "", filter, way, after, limit);
        let rows = query.fetch_all(&mut *connection).await?;
        for row in &rows {
            found.push(event(row)?);
        }
    }
    found.sort_by_key(|event| std::cmp::Reverse((event.at, event.note.id)));
    found.dedup_by_key(|event| event.note.id);
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(found)
}

fn page(
    engine: Engine,
    prefix: &'static str,
    filter: &AuditFilter,
    (index, entered): Way<'_>,
    after: Option<AuditKey>,
    limit: u32,
) -> Query<'static> {
    let mut query = passing_query(prefix);
    query
        .push("SELECT * FROM audit_events")
        .push(&engine.by_index(index));
    // Something to begin with, so that everything else begins with AND.
    query.push(" WHERE 1 = 1");
    if let Some((column, value)) = entered {
        query.push(" AND ").push(column).push(" = ");
        query.push_bind(value.to_owned());
    }
    if let Some(actor) = &filter.actor {
        query.push(" AND (actor_id = ").push_bind(actor.clone());
        query.push(" OR actor_name = ").push_bind(actor.clone()).push(")");
    }
    if !filter.actions.is_empty() {
        query.push(" AND action IN (");
        query.push_list(filter.actions.iter().map(|action| action.name()));
        query.push(")");
    }
    if let Some(from) = filter.from {
        query.push(" AND at >= ").push_bind(from.as_micros());
    }
    // One upper bound, the narrower one: with two, the index might be entered at the wider.
    match (after, filter.until) {
        (Some(key), until) if until.is_none_or(|until| until > key.at) => {
            query
                .push(" AND (at, id) < (")
                .push_bind(key.at.as_micros())
                .push(", ");
            query.push_bind(key.id.as_bytes().to_vec()).push(")");
        }
        (_, Some(until)) => {
            query.push(" AND at < ").push_bind(until.as_micros());
        }
        (_, None) => {}
    }
    query.push(" ORDER BY at DESC, id DESC LIMIT ");
    query.push_bind(i64::from(limit));
    query
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        domain::{audit::Action, clock::Clock as _, id::AuditId},
        store::{
            contract::{ManualClock, Place as _},
            sql::tests::File,
        },
    };

    #[tokio::test]
    async fn whatever_is_asked_for_an_index_answers_in_its_order() {
        let clock = ManualClock::new();
        let now = clock.now();
        let file = File::new();
        let store = file.open(clock).await;
        let mut reader = store.reader().await.unwrap();
        for bits in 0..64_u32 {
            let on = |bit: u32| bits & (1 << bit) != 0;
            let filter = AuditFilter {
                actions: if on(0) {
                    Action::meant_by("user")
                } else {
                    Vec::new()
                },
                object: on(1).then(|| "ann".to_owned()),
                actor: on(2).then(|| "ops".to_owned()),
                from: on(3).then_some(now),
                until: on(4).then(|| now.plus(Duration::from_secs(1))),
            };
            let after = on(5).then(|| AuditKey {
                at: now,
                id: AuditId::from_bytes([1; 16]),
            });
            for way in ways(&filter) {
                let query = page(Engine::Sqlite, "EXPLAIN QUERY PLAN ", &filter, way, after, 10);
                let rows = query.fetch_all(&mut reader).await.unwrap();
                let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
                let used = format!(" audit_events USING INDEX {}", way.0);
                assert!(plan.len() == 1 && plan[0].contains(&used), "{plan:?} {filter:?}");
            }
        }
    }
}

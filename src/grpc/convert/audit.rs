//! The audit.

use super::{field, moment, page};
use crate::{
    domain::{clock::Timestamp, id::AuditId, text::check_line, violation::Violations},
    pb::v1 as pb,
    policy::{Action, ActorKind, AuditEvent, AuditFilter, AuditKey},
};

/// A checked request for a page.
#[derive(Debug)]
pub(in crate::grpc) struct AuditListing {
    /// Which events.
    pub(in crate::grpc) filter: AuditFilter,
    /// After which one.
    pub(in crate::grpc) after: Option<AuditKey>,
    /// How many.
    pub(in crate::grpc) size: u32,
}

/// A request for a page.
pub(in crate::grpc) fn list_audit_events(
    request: &pb::ListAuditEventsRequest,
) -> Result<AuditListing, Violations> {
    let mut faults = Violations::new();
    let size = faults.check("page_size", page::size(request.page_size));
    faults.check("object", check_line(&request.object, 320));
    faults.check("actor", check_line(&request.actor, 64));
    let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let from = request.from.as_ref().map(field::moment).transpose();
    let until = request.until.as_ref().map(field::moment).transpose();
    let filter = AuditFilter {
        actions: faults
            .check("action", actions(&request.action))
            .unwrap_or_default(),
        object: given(&request.object),
        actor: given(&request.actor),
        from: faults.check("from", from).flatten(),
        until: faults.check("until", until).flatten(),
    };
    let after = match request.page_token.as_str() {
        "" => None,
        token => faults.check("page_token", page::open(token, &filters(&filter))),
    };
    match size {
        Some(size) if faults.is_empty() => Ok(AuditListing {
            filter,
            after: after.map(|(at, id)| AuditKey {
                at,
                id: AuditId::from_bytes(id),
            }),
            size,
        }),
        _ => Err(faults),
    }
}

fn actions(word: &str) -> Result<Vec<Action>, String> {
    let actions = Action::meant_by(word);
    if word.is_empty() || !actions.is_empty() {
        return Ok(actions);
    }
    let names = Action::ALL.map(Action::name).join(", ");
    Err(format!("must be one of {names}, or what stands before the dot"))
}

/// The token of the next page; empty where there is none.
pub(in crate::grpc) fn audit_page_token(next: Option<AuditKey>, filter: &AuditFilter) -> String {
    next.map(|key| page::token(key.at, key.id.as_bytes(), &filters(filter)))
        .unwrap_or_default()
}

fn filters(filter: &AuditFilter) -> String {
    let moment = |moment: Option<Timestamp>| moment.map(Timestamp::as_micros);
    format!(
        "audit {:?} {:?} {:?} {:?} {:?}",
        filter.actions,
        filter.object,
        filter.actor,
        moment(filter.from),
        moment(filter.until)
    )
}

/// Something that was done.
pub(in crate::grpc) fn audit_event(event: AuditEvent) -> pb::AuditEvent {
    let kind = match event.note.actor.kind {
        ActorKind::Caller => pb::ActorKind::Caller,
        ActorKind::Local => pb::ActorKind::Local,
    };
    pb::AuditEvent {
        audit_id: event.note.id.to_string(),
        at: Some(moment(event.at)),
        action: event.note.action.name().to_owned(),
        actor_kind: kind.into(),
        actor_id: event.note.actor.id,
        actor_name: event.note.actor.name,
        peer: event.note.peer,
        request_id: event.note.request_id,
        object_id: event.object.id,
        object_name: event.object.name,
        before: serde_json::Value::from(event.change.before).to_string(),
        after: serde_json::Value::from(event.change.after).to_string(),
    }
}

//! The outbox report.

use super::{count, delivery, field, moment, page, reply, span};
use crate::{
    domain::{clock::Timestamp, id::EntryId, text::check_line, violation::Violations},
    pb::v1 as pb,
    policy::{AttemptRecord, Entry, EntryFilter, EntryNews, EntryOrder, EntrySearch, MailKind, PageKey},
};

/// A checked request for a page.
#[derive(Debug)]
pub(in crate::grpc) struct Listing {
    /// Which entries.
    pub(in crate::grpc) search: EntrySearch,
    /// After which one.
    pub(in crate::grpc) after: Option<PageKey>,
    /// How many.
    pub(in crate::grpc) size: u32,
}

/// A request for a page.
pub(in crate::grpc) fn list_entries(request: pb::ListEntriesRequest) -> Result<Listing, Violations> {
    let mut faults = Violations::new();
    let size = faults.check("page_size", page::size(request.page_size));
    let page_token = request.page_token.clone();
    let search = search(request, &mut faults);
    let after = match page_token.as_str() {
        "" => None,
        token => faults.check("page_token", page::open(token, &filters(&search))),
    };
    match size {
        Some(size) if faults.is_empty() => Ok(Listing {
            search,
            after: after.map(|(submitted_at, id)| PageKey {
                submitted_at,
                id: EntryId::from_bytes(id),
            }),
            size,
        }),
        _ => Err(faults),
    }
}

/// What to export.
pub(in crate::grpc) fn export_entries(request: pb::ExportEntriesRequest) -> Result<EntrySearch, Violations> {
    let mut faults = Violations::new();
    let search = search(request.entries.unwrap_or_default(), &mut faults);
    faults.into_result().map(|()| search)
}

/// What to follow, and how many of the newest entries to tell first.
pub(in crate::grpc) fn watch_entries(
    request: pb::WatchEntriesRequest,
) -> Result<(EntrySearch, u32), Violations> {
    let mut faults = Violations::new();
    let search = search(request.entries.unwrap_or_default(), &mut faults);
    let recent = u32::try_from(request.recent).ok().filter(|recent| *recent <= 500);
    let recent = faults.check("recent", recent.ok_or("must be between 0 and 500"));
    match recent {
        Some(recent) if faults.is_empty() => Ok((search, recent)),
        _ => Err(faults),
    }
}

/// What happened in the outbox.
pub(in crate::grpc) fn entry_news(news: EntryNews) -> pb::WatchEntriesResponse {
    use pb::watch_entries_response::News;
    let news = match news {
        EntryNews::Entry(told) => News::Entry(entry(*told)),
        EntryNews::Live(since) => News::Live(pb::WatchLive {
            since: Some(moment(since)),
        }),
        EntryNews::Missed(from, until) => News::Missed(pb::WatchMissed {
            from: Some(moment(from)),
            until: Some(moment(until)),
        }),
    };
    pb::WatchEntriesResponse { news: Some(news) }
}

/// Which entries a request asks for; what is wrong with it is noted.
fn search(given: pb::ListEntriesRequest, faults: &mut Violations) -> EntrySearch {
    let mut states = Vec::new();
    for (index, number) in given.states.into_iter().enumerate() {
        let state = faults.check(&format!("states[{index}]"), delivery::filtered_state(number));
        states.extend(state.filter(|state| !states.contains(state)));
    }
    faults.check("account", check_line(&given.account, 64));
    faults.check("recipient", check_line(&given.recipient, 320));
    faults.check("text", check_line(&given.text, 200));
    let from = given.submitted_from.as_ref().map(field::moment).transpose();
    let until = given.submitted_until.as_ref().map(field::moment).transpose();
    EntrySearch {
        filter: EntryFilter {
            states,
            account: Some(given.account).filter(|name| !name.is_empty()),
            kind: faults.check("kind", kind(given.kind)).flatten(),
            recipient: None,
            from: faults.check("submitted_from", from).flatten(),
            until: faults.check("submitted_until", until).flatten(),
            order: faults.check("order", order(given.order)).unwrap_or_default(),
        },
        recipient: given.recipient,
        text: given.text,
    }
}

fn kind(number: i32) -> Result<Option<MailKind>, &'static str> {
    match pb::MailKind::try_from(number) {
        Ok(pb::MailKind::Unspecified) => Ok(None),
        Ok(pb::MailKind::Code) => Ok(Some(MailKind::Code)),
        Ok(pb::MailKind::Test) => Ok(Some(MailKind::Test)),
        Err(_) => Err("is no kind of mail"),
    }
}

fn order(number: i32) -> Result<EntryOrder, &'static str> {
    match pb::EntryOrder::try_from(number) {
        Ok(pb::EntryOrder::Unspecified | pb::EntryOrder::NewestFirst) => Ok(EntryOrder::NewestFirst),
        Ok(pb::EntryOrder::OldestFirst) => Ok(EntryOrder::OldestFirst),
        Err(_) => Err("is no order"),
    }
}

/// The token of the next page; empty where there is none.
pub(in crate::grpc) fn page_token(next: Option<PageKey>, search: &EntrySearch) -> String {
    next.map(|key| page::token(key.submitted_at, key.id.as_bytes(), &filters(search)))
        .unwrap_or_default()
}

fn filters(search: &EntrySearch) -> String {
    let filter = &search.filter;
    let mut states: Vec<i64> = filter.states.iter().map(|state| state.tag()).collect();
    states.sort_unstable();
    let moment = |moment: Option<Timestamp>| moment.map(Timestamp::as_micros);
    // Debug output separates the fields beyond confusion.
    format!(
        "{states:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        filter.account,
        filter.kind,
        moment(filter.from),
        moment(filter.until),
        filter.order,
        search.recipient,
        search.text
    )
}

/// An outbox entry.
pub(in crate::grpc) fn entry(entry: Entry) -> pb::OutboxEntry {
    let kind = match entry.kind {
        MailKind::Code => pb::MailKind::Code,
        MailKind::Test => pb::MailKind::Test,
    };
    pb::OutboxEntry {
        entry_id: entry.id.to_string(),
        kind: kind.into(),
        state: delivery::state(entry.state).into(),
        submitted_at: Some(moment(entry.submitted_at)),
        sent_at: entry.sent_at.map(moment),
        expires_at: Some(moment(entry.expires_at)),
        next_attempt_at: entry.next_attempt_at.map(moment),
        masked_recipient: entry.masked_recipient,
        subject: entry.subject,
        account: entry.account,
        attempts: count(entry.attempts),
        last_error: reply(entry.last_error),
        message_id: entry.message_id,
        sender: entry.sender,
        updated_at: Some(moment(entry.changed_at)),
    }
}

/// One attempt to send it.
pub(in crate::grpc) fn attempt(record: AttemptRecord) -> pb::Attempt {
    pb::Attempt {
        number: count(record.number),
        started_at: Some(moment(record.started_at)),
        duration: Some(span(record.duration)),
        account: record.account,
        stage: delivery::stage(record.stage).into(),
        reply: reply(record.reply),
        reply_code: record.reply_code.map_or(0, i32::from),
        outcome: delivery::state(record.outcome).into(),
    }
}

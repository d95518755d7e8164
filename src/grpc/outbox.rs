//! `MailOutbox`: parse, call the office, map.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{caller, convert, status};
use crate::{pb::v1 as pb, policy::Office};

/// The service over the office.
pub(super) struct Outbox {
    pub(super) office: Arc<Office>,
}

#[tonic::async_trait]
impl pb::mail_outbox_server::MailOutbox for Outbox {
    async fn list_entries(
        &self,
        request: Request<pb::ListEntriesRequest>,
    ) -> Result<Response<pb::ListEntriesResponse>, Status> {
        let listing =
            convert::list_entries(request.into_inner()).map_err(|faults| status::invalid(&faults))?;
        let page = self
            .office
            .list_entries(&listing.search, listing.after, listing.size)
            .await
            .map_err(|error| status::outbox(&error))?;
        Ok(Response::new(pb::ListEntriesResponse {
            next_page_token: convert::page_token(page.next, &listing.search),
            entries: page.entries.into_iter().map(convert::entry).collect(),
        }))
    }

    async fn get_entry(
        &self,
        request: Request<pb::GetEntryRequest>,
    ) -> Result<Response<pb::GetEntryResponse>, Status> {
        let id = convert::id("entry_id", &request.get_ref().entry_id)
            .map_err(|faults| status::invalid(&faults))?;
        let found = self.office.entry(id).await;
        let (entry, attempts) = found.map_err(|error| status::outbox(&error))?;
        Ok(Response::new(pb::GetEntryResponse {
            entry: Some(convert::entry(entry)),
            attempts: attempts.into_iter().map(convert::attempt).collect(),
        }))
    }

    async fn requeue_entry(
        &self,
        request: Request<pb::RequeueEntryRequest>,
    ) -> Result<Response<pb::RequeueEntryResponse>, Status> {
        let caller = caller::of(&request)?;
        let id = convert::id("entry_id", &request.get_ref().entry_id)
            .map_err(|faults| status::invalid(&faults))?;
        let requeued = self.office.requeue_entry(&caller, id).await;
        let entry = requeued.map_err(|error| status::requeue(&error))?;
        Ok(Response::new(pb::RequeueEntryResponse {
            entry: Some(convert::entry(entry)),
        }))
    }
}

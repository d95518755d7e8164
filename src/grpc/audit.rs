//! `MailAudit`: parse, call the office, map.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{caller, convert, status};
use crate::{pb::v1 as pb, policy::Office};

/// The service over the office.
pub(super) struct Audit {
    pub(super) office: Arc<Office>,
}

#[tonic::async_trait]
impl pb::mail_audit_server::MailAudit for Audit {
    async fn list_audit_events(
        &self,
        request: Request<pb::ListAuditEventsRequest>,
    ) -> Result<Response<pb::ListAuditEventsResponse>, Status> {
        let caller = caller::of(&request)?;
        let listing =
            convert::list_audit_events(request.get_ref()).map_err(|faults| status::invalid(&faults))?;
        let turn = self.office.reports.turn(&caller).await;
        let _turn = turn.ok_or_else(status::reports_overloaded)?;
        let page = self
            .office
            .list_audit_events(&listing.filter, listing.after, listing.size)
            .await
            .map_err(|error| status::store(&error))?;
        Ok(Response::new(pb::ListAuditEventsResponse {
            next_page_token: convert::audit_page_token(page.next, &listing.filter),
            events: page.events.into_iter().map(convert::audit_event).collect(),
        }))
    }
}

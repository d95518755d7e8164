//! `MailInbox`: parse, call the office, map.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{caller, convert, status};
use crate::{domain::violation::Violations, pb::v1 as pb, policy::InboxOffice};

/// The service over the office.
pub(super) struct Inbox {
    pub(super) inboxes: Arc<InboxOffice>,
}

#[tonic::async_trait]
impl pb::mail_inbox_server::MailInbox for Inbox {
    async fn create_inbox(
        &self,
        request: Request<pb::CreateInboxRequest>,
    ) -> Result<Response<pb::CreateInboxResponse>, Status> {
        let caller = caller::of(&request)?;
        let input = convert::create_inbox(request.into_inner()).map_err(invalid)?;
        let saved = self.inboxes.create_inbox(&caller, input).await;
        let inbox = Some(convert::inbox(saved.map_err(|error| status::inbox(&error))?));
        Ok(Response::new(pb::CreateInboxResponse { inbox }))
    }

    async fn get_inbox(
        &self,
        request: Request<pb::GetInboxRequest>,
    ) -> Result<Response<pb::GetInboxResponse>, Status> {
        let named = convert::named_inbox(&request.get_ref().inbox).map_err(invalid)?;
        let found = self.inboxes.inbox(&named).await;
        let inbox = Some(convert::inbox(found.map_err(|error| status::inbox(&error))?));
        Ok(Response::new(pb::GetInboxResponse { inbox }))
    }

    async fn list_inboxes(
        &self,
        _request: Request<pb::ListInboxesRequest>,
    ) -> Result<Response<pb::ListInboxesResponse>, Status> {
        let found = self.inboxes.inboxes().await;
        let found = found.map_err(|error| status::inbox(&error))?;
        let inboxes = found.into_iter().map(convert::inbox).collect();
        Ok(Response::new(pb::ListInboxesResponse { inboxes }))
    }

    async fn update_inbox(
        &self,
        request: Request<pb::UpdateInboxRequest>,
    ) -> Result<Response<pb::UpdateInboxResponse>, Status> {
        let caller = caller::of(&request)?;
        let update = convert::update_inbox(request.into_inner()).map_err(invalid)?;
        let saved = self
            .inboxes
            .update_inbox(&caller, update.id, update.input, &update.mask, update.version)
            .await;
        let inbox = Some(convert::inbox(saved.map_err(|error| status::inbox(&error))?));
        Ok(Response::new(pb::UpdateInboxResponse { inbox }))
    }

    async fn delete_inbox(
        &self,
        request: Request<pb::DeleteInboxRequest>,
    ) -> Result<Response<pb::DeleteInboxResponse>, Status> {
        let caller = caller::of(&request)?;
        let (named, version) = convert::delete_inbox(request.get_ref()).map_err(invalid)?;
        let deleted = self.inboxes.delete_inbox(&caller, &named, version).await;
        deleted.map_err(|error| status::inbox(&error))?;
        Ok(Response::new(pb::DeleteInboxResponse {}))
    }

    async fn test_inbox(
        &self,
        request: Request<pb::TestInboxRequest>,
    ) -> Result<Response<pb::TestInboxResponse>, Status> {
        let caller = caller::of(&request)?;
        let target = convert::test_inbox(request.into_inner()).map_err(invalid)?;
        let tested = self.inboxes.test_inbox(&caller, target).await;
        let report = tested.map_err(|error| status::inbox(&error))?;
        Ok(Response::new(convert::inbox_test_report(report)))
    }

    async fn check_inbox(
        &self,
        request: Request<pb::CheckInboxRequest>,
    ) -> Result<Response<pb::CheckInboxResponse>, Status> {
        let caller = caller::of(&request)?;
        let named = convert::named_inbox(&request.get_ref().inbox).map_err(invalid)?;
        let checked = self.inboxes.check_inbox(&caller, &named).await;
        let report = checked.map_err(|error| status::inbox(&error))?;
        Ok(Response::new(convert::check_report(report)))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "fits map_err")]
fn invalid(faults: Violations) -> Status {
    status::invalid(&faults)
}

//! `MailSenderPolicy`: parse, call the office, map.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{caller, convert, status};
use crate::{
    domain::{address::LocalPart, violation::Violations},
    pb::v1 as pb,
    policy::Office,
};

/// The service over the office.
pub(super) struct Policy {
    pub(super) office: Arc<Office>,
    pub(super) local_part: LocalPart,
}

#[tonic::async_trait]
impl pb::mail_sender_policy_server::MailSenderPolicy for Policy {
    async fn create_account(
        &self,
        request: Request<pb::CreateAccountRequest>,
    ) -> Result<Response<pb::CreateAccountResponse>, Status> {
        let caller = caller::of(&request)?;
        let input = convert::create_account(request.into_inner(), self.local_part).map_err(invalid)?;
        let saved = self.office.create_account(&caller, input).await;
        let account = Some(convert::account(saved.map_err(|error| status::account(&error))?));
        Ok(Response::new(pb::CreateAccountResponse { account }))
    }

    async fn get_account(
        &self,
        request: Request<pb::GetAccountRequest>,
    ) -> Result<Response<pb::GetAccountResponse>, Status> {
        let named = convert::named_account(&request.get_ref().account).map_err(invalid)?;
        let found = self.office.account(&named).await;
        let account = Some(convert::account(found.map_err(|error| status::account(&error))?));
        Ok(Response::new(pb::GetAccountResponse { account }))
    }

    async fn list_accounts(
        &self,
        _request: Request<pb::ListAccountsRequest>,
    ) -> Result<Response<pb::ListAccountsResponse>, Status> {
        let found = self
            .office
            .accounts()
            .await
            .map_err(|error| status::account(&error))?;
        let accounts = found.into_iter().map(convert::account).collect();
        Ok(Response::new(pb::ListAccountsResponse { accounts }))
    }

    async fn update_account(
        &self,
        request: Request<pb::UpdateAccountRequest>,
    ) -> Result<Response<pb::UpdateAccountResponse>, Status> {
        let caller = caller::of(&request)?;
        let update = convert::update_account(request.into_inner()).map_err(invalid)?;
        let saved = self
            .office
            .update_account(&caller, update.id, update.input, &update.mask, update.version)
            .await;
        let account = Some(convert::account(saved.map_err(|error| status::account(&error))?));
        Ok(Response::new(pb::UpdateAccountResponse { account }))
    }

    async fn delete_account(
        &self,
        request: Request<pb::DeleteAccountRequest>,
    ) -> Result<Response<pb::DeleteAccountResponse>, Status> {
        let caller = caller::of(&request)?;
        let (named, version) = convert::delete_account(request.get_ref()).map_err(invalid)?;
        let deleted = self.office.delete_account(&caller, &named, version).await;
        deleted.map_err(|error| status::account(&error))?;
        Ok(Response::new(pb::DeleteAccountResponse {}))
    }

    async fn set_default_account(
        &self,
        request: Request<pb::SetDefaultAccountRequest>,
    ) -> Result<Response<pb::SetDefaultAccountResponse>, Status> {
        let caller = caller::of(&request)?;
        let named = convert::named_account(&request.get_ref().account).map_err(invalid)?;
        let saved = self.office.set_default_account(&caller, &named).await;
        let account = Some(convert::account(saved.map_err(|error| status::account(&error))?));
        Ok(Response::new(pb::SetDefaultAccountResponse { account }))
    }

    async fn list_presets(
        &self,
        _request: Request<pb::ListPresetsRequest>,
    ) -> Result<Response<pb::ListPresetsResponse>, Status> {
        Ok(Response::new(convert::presets()))
    }

    async fn test_connection(
        &self,
        request: Request<pb::TestConnectionRequest>,
    ) -> Result<Response<pb::TestConnectionResponse>, Status> {
        let caller = caller::of(&request)?;
        let (target, recipient) =
            convert::test_connection(request.into_inner(), self.local_part).map_err(invalid)?;
        let tested = self.office.test_connection(&caller, target, &recipient).await;
        let report = tested.map_err(|error| status::test(&error))?;
        Ok(Response::new(convert::report(report)))
    }

    async fn send_test_message(
        &self,
        request: Request<pb::SendTestMessageRequest>,
    ) -> Result<Response<pb::SendTestMessageResponse>, Status> {
        let caller = caller::of(&request)?;
        let message = convert::test_message(request.into_inner(), self.local_part).map_err(invalid)?;
        let sent = self.office.send_test_message(&caller, message).await;
        let entry = Some(convert::entry(sent.map_err(|error| status::test(&error))?));
        Ok(Response::new(pb::SendTestMessageResponse { entry }))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "map_err gives the value")]
fn invalid(faults: Violations) -> Status {
    status::invalid(&faults)
}

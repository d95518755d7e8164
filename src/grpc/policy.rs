//! `MailSenderPolicy`: parse, call the office, map.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{caller, convert, status};
use crate::{
    domain::{account::Account, address::LocalPart, template::TemplateParts, violation::Violations},
    pb::v1 as pb,
    policy::Office,
};

/// The service over the office.
pub(super) struct Policy {
    pub(super) office: Arc<Office>,
    pub(super) local_part: LocalPart,
}

impl Policy {
    fn shown(&self, account: Account) -> pb::Account {
        let standing = self.office.standing(&account);
        convert::account(account, standing)
    }
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
        let saved = saved.map_err(|error| status::account(&error))?;
        Ok(Response::new(pb::CreateAccountResponse {
            account: Some(self.shown(saved.account)),
            test: saved.report.map(convert::report),
        }))
    }

    async fn get_account(
        &self,
        request: Request<pb::GetAccountRequest>,
    ) -> Result<Response<pb::GetAccountResponse>, Status> {
        let named = convert::named_account(&request.get_ref().account).map_err(invalid)?;
        let found = self.office.account(&named).await;
        let account = Some(self.shown(found.map_err(|error| status::account(&error))?));
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
        let accounts = found.into_iter().map(|account| self.shown(account)).collect();
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
        let saved = saved.map_err(|error| status::account(&error))?;
        Ok(Response::new(pb::UpdateAccountResponse {
            account: Some(self.shown(saved.account)),
            test: saved.report.map(convert::report),
        }))
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
        let account = Some(self.shown(saved.map_err(|error| status::account(&error))?));
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

    async fn get_otp_policy(
        &self,
        request: Request<pb::GetOtpPolicyRequest>,
    ) -> Result<Response<pb::GetOtpPolicyResponse>, Status> {
        let event = convert::policy_event(&request.get_ref().event).map_err(invalid)?;
        let found = self.office.otp_policy(event).await;
        let policy = Some(convert::policy(
            found.map_err(|error| status::otp_policy(&error))?,
        ));
        Ok(Response::new(pb::GetOtpPolicyResponse { policy }))
    }

    async fn update_otp_policy(
        &self,
        request: Request<pb::UpdateOtpPolicyRequest>,
    ) -> Result<Response<pb::UpdateOtpPolicyResponse>, Status> {
        let caller = caller::of(&request)?;
        let (target, draft) = convert::update_policy(request.into_inner()).map_err(invalid)?;
        let set = self
            .office
            .update_otp_policy(&caller, &target.event, draft, &target.paths, target.version)
            .await;
        let policy = Some(convert::policy(set.map_err(|error| status::otp_policy(&error))?));
        Ok(Response::new(pb::UpdateOtpPolicyResponse { policy }))
    }

    async fn reset_otp_policy(
        &self,
        request: Request<pb::ResetOtpPolicyRequest>,
    ) -> Result<Response<pb::ResetOtpPolicyResponse>, Status> {
        let caller = caller::of(&request)?;
        let target = convert::reset_policy(request.into_inner()).map_err(invalid)?;
        let set = self
            .office
            .reset_otp_policy(&caller, &target.event, &target.paths, target.version)
            .await;
        let policy = Some(convert::policy(set.map_err(|error| status::otp_policy(&error))?));
        Ok(Response::new(pb::ResetOtpPolicyResponse { policy }))
    }

    async fn list_events(
        &self,
        _request: Request<pb::ListEventsRequest>,
    ) -> Result<Response<pb::ListEventsResponse>, Status> {
        let found = self.office.events().await;
        let found = found.map_err(|error| status::otp_policy(&error))?;
        let events = found.into_iter().map(convert::event).collect();
        Ok(Response::new(pb::ListEventsResponse { events }))
    }

    async fn create_event(
        &self,
        request: Request<pb::CreateEventRequest>,
    ) -> Result<Response<pb::CreateEventResponse>, Status> {
        let caller = caller::of(&request)?;
        let created = self.office.create_event(&caller, &request.get_ref().event).await;
        let event = Some(convert::event(
            created.map_err(|error| status::otp_policy(&error))?,
        ));
        Ok(Response::new(pb::CreateEventResponse { event }))
    }

    async fn delete_event(
        &self,
        request: Request<pb::DeleteEventRequest>,
    ) -> Result<Response<pb::DeleteEventResponse>, Status> {
        let caller = caller::of(&request)?;
        let (event, version) = convert::delete_event(request.get_ref()).map_err(invalid)?;
        let deleted = self.office.delete_event(&caller, event, version).await;
        deleted.map_err(|error| status::otp_policy(&error))?;
        Ok(Response::new(pb::DeleteEventResponse {}))
    }

    async fn get_sending(
        &self,
        _request: Request<pb::GetSendingRequest>,
    ) -> Result<Response<pb::GetSendingResponse>, Status> {
        let sending = self.office.sending().await;
        let sending = Some(convert::sending(sending.map_err(|error| status::store(&error))?));
        Ok(Response::new(pb::GetSendingResponse { sending }))
    }

    async fn set_sending(
        &self,
        request: Request<pb::SetSendingRequest>,
    ) -> Result<Response<pb::SetSendingResponse>, Status> {
        let caller = caller::of(&request)?;
        let enabled = convert::set_sending(*request.get_ref()).map_err(invalid)?;
        let set = self.office.set_sending(&caller, enabled).await;
        let sending = Some(convert::sending(set.map_err(|error| status::store(&error))?));
        Ok(Response::new(pb::SetSendingResponse { sending }))
    }

    async fn list_templates(
        &self,
        _request: Request<pb::ListTemplatesRequest>,
    ) -> Result<Response<pb::ListTemplatesResponse>, Status> {
        let found = self.office.templates().await;
        let (own, built_in) = found.map_err(|error| status::template(&error))?;
        let templates = convert::template_keys(own, built_in);
        Ok(Response::new(pb::ListTemplatesResponse { templates }))
    }

    async fn get_template(
        &self,
        request: Request<pb::GetTemplateRequest>,
    ) -> Result<Response<pb::GetTemplateResponse>, Status> {
        let key = convert::get_template(request.get_ref()).map_err(invalid)?;
        let found = self.office.template(&key).await;
        let template = Some(convert::shown(found.map_err(|error| status::template(&error))?));
        Ok(Response::new(pb::GetTemplateResponse { template }))
    }

    async fn update_template(
        &self,
        request: Request<pb::UpdateTemplateRequest>,
    ) -> Result<Response<pb::UpdateTemplateResponse>, Status> {
        let caller = caller::of(&request)?;
        let (key, parts, version) =
            convert::written_template(request.into_inner().template).map_err(invalid)?;
        let saved = self.office.update_template(&caller, key, parts, version).await;
        let template = Some(convert::template(
            saved.map_err(|error| status::template(&error))?,
        ));
        Ok(Response::new(pb::UpdateTemplateResponse { template }))
    }

    async fn reset_template(
        &self,
        request: Request<pb::ResetTemplateRequest>,
    ) -> Result<Response<pb::ResetTemplateResponse>, Status> {
        let caller = caller::of(&request)?;
        let (key, version) = convert::reset_template(request.get_ref()).map_err(invalid)?;
        let left = self.office.reset_template(&caller, key, version).await;
        let template = Some(convert::shown(left.map_err(|error| status::template(&error))?));
        Ok(Response::new(pb::ResetTemplateResponse { template }))
    }

    async fn preview_template(
        &self,
        request: Request<pb::PreviewTemplateRequest>,
    ) -> Result<Response<pb::PreviewTemplateResponse>, Status> {
        let (key, parts, _) = convert::written_template(request.into_inner().template).map_err(invalid)?;
        let given = (parts != TemplateParts::default()).then_some(parts);
        let shown = self.office.preview_template(key, given).await;
        let sample = shown.map_err(|error| status::template(&error))?;
        Ok(Response::new(convert::sample(sample)))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "map_err gives the value")]
fn invalid(faults: Violations) -> Status {
    status::invalid(&faults)
}

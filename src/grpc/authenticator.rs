//! `EmailOtpAuthenticator`: parse, call the desk, map.

use std::sync::Arc;

use futures_util::StreamExt as _;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::{BoxStream, caller, convert, observe::Call, status};
use crate::{
    domain::{address::LocalPart, id::ChallengeId},
    factor::Desk,
    pb::v1 as pb,
};

/// The service over the desk.
pub(super) struct Authenticator {
    pub(super) desk: Arc<Desk>,
    pub(super) soft: CancellationToken,
    pub(super) local_part: LocalPart,
}

#[tonic::async_trait]
impl pb::email_otp_authenticator_server::EmailOtpAuthenticator for Authenticator {
    async fn start_challenge(
        &self,
        request: Request<pb::StartChallengeRequest>,
    ) -> Result<Response<pb::StartChallengeResponse>, Status> {
        let caller = caller::of(&request)?;
        let request = convert::start(request.into_inner(), self.local_part)
            .map_err(|faults| status::invalid(&faults))?;
        let started = self.desk.start(&caller, request).await;
        let view = started.map_err(|error| status::start(&error, self.desk.clock.now()))?;
        Call::concerns(view.challenge.id);
        let challenge = Some(convert::challenge(view));
        Ok(Response::new(pb::StartChallengeResponse { challenge }))
    }

    async fn resend_code(
        &self,
        request: Request<pb::ResendCodeRequest>,
    ) -> Result<Response<pb::ResendCodeResponse>, Status> {
        let caller = caller::of(&request)?;
        let request = convert::resend(request.get_ref()).map_err(|faults| status::invalid(&faults))?;
        Call::concerns(request.id);
        let resent = self.desk.resend(&caller, request).await;
        let view = resent.map_err(|error| status::resend(&error, self.desk.clock.now()))?;
        let challenge = Some(convert::challenge(view));
        Ok(Response::new(pb::ResendCodeResponse { challenge }))
    }

    async fn verify_code(
        &self,
        request: Request<pb::VerifyCodeRequest>,
    ) -> Result<Response<pb::VerifyCodeResponse>, Status> {
        let caller = caller::of(&request)?;
        let request = convert::verify(request.into_inner()).map_err(|faults| status::invalid(&faults))?;
        Call::concerns(request.id);
        let judged = self.desk.verify(&caller, request).await;
        let judgement = judged.map_err(|error| status::verify(&error))?;
        Ok(Call::found(judgement.verdict, convert::verdict(judgement)))
    }

    async fn cancel_challenge(
        &self,
        request: Request<pb::CancelChallengeRequest>,
    ) -> Result<Response<pb::CancelChallengeResponse>, Status> {
        let caller = caller::of(&request)?;
        let id = challenge_id(&request.get_ref().challenge_id)?;
        let cancelled = self.desk.cancel(&caller, id).await;
        let view = cancelled.map_err(|error| status::cancel(&error))?;
        let challenge = Some(convert::challenge(view));
        Ok(Response::new(pb::CancelChallengeResponse { challenge }))
    }

    async fn get_challenge(
        &self,
        request: Request<pb::GetChallengeRequest>,
    ) -> Result<Response<pb::GetChallengeResponse>, Status> {
        let caller = caller::of(&request)?;
        let id = challenge_id(&request.get_ref().challenge_id)?;
        let view = self
            .desk
            .get(&caller, id)
            .await
            .map_err(|error| status::get(&error))?;
        let challenge = Some(convert::challenge(view));
        Ok(Response::new(pb::GetChallengeResponse { challenge }))
    }

    type WatchChallengeStream = BoxStream<pb::WatchChallengeResponse>;

    async fn watch_challenge(
        &self,
        request: Request<pb::WatchChallengeRequest>,
    ) -> Result<Response<Self::WatchChallengeStream>, Status> {
        let caller = caller::of(&request)?;
        let id = challenge_id(&request.get_ref().challenge_id)?;
        let views = self
            .desk
            .watch(&caller, id)
            .await
            .map_err(|error| status::get(&error))?;
        let news = views.map(|view| match view {
            Ok(view) => Ok(pb::WatchChallengeResponse {
                challenge: Some(convert::challenge(view)),
            }),
            Err(error) => Err(status::store(&error)),
        });
        Ok(Response::new(super::until(self.soft.clone(), news)))
    }
}

fn challenge_id(text: &str) -> Result<ChallengeId, Status> {
    let id = convert::id("challenge_id", text).map_err(|faults| status::invalid(&faults))?;
    Call::concerns(id);
    Ok(id)
}

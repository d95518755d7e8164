//! The ceiling: a bare tonic server that answers `VerifyCode` with what the service answers, and does nothing else.

use mailfactor::pb::v1::{
    self as pb,
    email_otp_authenticator_server::{EmailOtpAuthenticator, EmailOtpAuthenticatorServer},
};
use tonic::{
    Request, Response, Status,
    codegen::BoxStream,
    transport::{Server, server::TcpIncoming},
};

use super::Outcome;

/// Answers, and does nothing.
struct Echo;

#[tonic::async_trait]
impl EmailOtpAuthenticator for Echo {
    async fn verify_code(
        &self,
        request: Request<pb::VerifyCodeRequest>,
    ) -> Result<Response<pb::VerifyCodeResponse>, Status> {
        // Read, so that it is decoded as the service decodes it.
        if request.get_ref().code.is_empty() {
            return Err(Status::invalid_argument("no code"));
        }
        Ok(Response::new(pb::VerifyCodeResponse {
            result: pb::VerifyResult::Verified.into(),
            attempts_left: 5,
            verified_at: Some(prost_types::Timestamp {
                seconds: 1_767_323_045,
                nanos: 123_456_000,
            }),
            ..pb::VerifyCodeResponse::default()
        }))
    }

    async fn start_challenge(
        &self,
        _: Request<pb::StartChallengeRequest>,
    ) -> Result<Response<pb::StartChallengeResponse>, Status> {
        Err(nothing())
    }

    async fn resend_code(
        &self,
        _: Request<pb::ResendCodeRequest>,
    ) -> Result<Response<pb::ResendCodeResponse>, Status> {
        Err(nothing())
    }

    async fn cancel_challenge(
        &self,
        _: Request<pb::CancelChallengeRequest>,
    ) -> Result<Response<pb::CancelChallengeResponse>, Status> {
        Err(nothing())
    }

    async fn get_challenge(
        &self,
        _: Request<pb::GetChallengeRequest>,
    ) -> Result<Response<pb::GetChallengeResponse>, Status> {
        Err(nothing())
    }

    type WatchChallengeStream = BoxStream<pb::WatchChallengeResponse>;

    async fn watch_challenge(
        &self,
        _: Request<pb::WatchChallengeRequest>,
    ) -> Result<Response<Self::WatchChallengeStream>, Status> {
        Err(nothing())
    }
}

fn nothing() -> Status {
    Status::unimplemented("the echo answers VerifyCode alone")
}

/// Serves until the process ends, and tells where.
pub(crate) async fn serve() -> Outcome<()> {
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse()?)?.with_nodelay(Some(true));
    println!("{}", incoming.local_addr()?);
    Server::builder()
        .add_service(EmailOtpAuthenticatorServer::new(Echo))
        .serve_with_incoming(incoming)
        .await?;
    Ok(())
}

//! A request's way in, step by step, and its answer's way out.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response, StatusCode, header};
use http_body::Body as HttpBody;
use http_body_util::Full;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, body::Body, service::Routes};
use tower::ServiceExt as _;
use tracing::Instrument as _;

use super::{
    accept::Peer,
    caller,
    load::{Load, Place},
    methods::{self, Kind, Method},
    observe::Call,
    request::{self, Ending, Refusal},
    revocation::Revocable,
    status,
};
use crate::policy::Gate;

/// What stands between a connection and the services.
pub(super) struct Porch {
    pub(super) routes: Routes,
    pub(super) gate: Arc<Gate>,
    pub(super) load: Load,
    pub(super) reflection: bool,
    pub(super) message_limit: usize,
    pub(super) message_timeout: Duration,
    pub(super) soft: CancellationToken,
}

impl Porch {
    /// Answers a request, whatever it is.
    pub(super) async fn answer<B>(&self, request: Request<B>, peer: &Peer) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let method = methods::find(request.uri().path(), self.reflection);
        let call = Call::begin(method);
        let work = self.let_in(request, method, peer);
        // A panic is one call's, not the connection's. Its message may hold anything: the panic hook has told it.
        let answer = AssertUnwindSafe(work)
            .catch_unwind()
            .instrument(call.span())
            .await;
        let (response, place) = match answer {
            Ok(Ok((response, place))) => (response, place),
            Ok(Err(Refusal::Grpc(status))) => (status.into_http(), None),
            Ok(Err(Refusal::Http(status))) => (plain(status), None),
            Err(_) => (status::internal().into_http(), None),
        };
        call.follow(reasoned(response), place)
    }

    /// The answer, and the place that the call holds until its end.
    async fn let_in<B>(
        &self,
        request: Request<B>,
        method: Option<&Method>,
        peer: &Peer,
    ) -> Result<(Response<Body>, Option<Place>), Refusal>
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        request::check(&request)?;
        let method = method.ok_or_else(status::method_unknown)?;
        let patience = request::timeout(request.headers());
        // Boxed: it is moved several times before it is first polled.
        let work = Box::pin(self.pass_on(request, method, peer));
        let passed = match patience {
            Some(patience) => timeout(patience, work)
                .await
                .map_err(|_| status::deadline_passed())?,
            None => work.await,
        };
        let (response, place) = passed?;
        // The answer of a call is whole by now: a peer that is slow to take it holds nobody else up.
        Ok((response, place.filter(|_| method.kind != Kind::Call)))
    }

    async fn pass_on<B>(
        &self,
        request: Request<B>,
        method: &Method,
        peer: &Peer,
    ) -> Result<(Response<Body>, Option<Place>), Status>
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let admitted = caller::admit(&self.gate, request.headers(), peer, method).await?;
        let claim = self
            .load
            .claim(admitted.as_ref().map(|(caller, _)| &**caller), peer);
        let (mut parts, body) = request.into_parts();
        // The key has done its work; nobody behind the door has a use for it.
        parts.headers.remove(header::AUTHORIZATION);
        if let Some((caller, _)) = &admitted {
            let visitor = caller::visitor(Arc::clone(caller), &parts.headers, peer);
            parts.extensions.insert(visitor);
        }
        let body = if method.kind == Kind::Dialogue {
            Body::new(Ending::new(body, self.soft.clone()))
        } else {
            // A place of calls is for work: who is slow to say what it wants has none yet.
            let arriving = self.load.arrive(claim)?;
            let message = timeout(self.message_timeout, request::message(body, self.message_limit)).await;
            drop(arriving);
            Body::new(Full::new(message.map_err(|_| status::deadline_passed())??))
        };
        let place = self.load.enter(method, claim).await?;
        let answered = self
            .routes
            .clone()
            .oneshot(Request::from_parts(parts, body))
            .await;
        let response = match answered {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let response = match admitted {
            Some((caller, proof)) if method.kind == Kind::Watch => {
                let gate = Arc::clone(&self.gate);
                response.map(|body| Body::new(Revocable::new(body, gate, caller, proof)))
            }
            _ => response,
        };
        Ok((response, place))
    }
}

/// An answer to what is no gRPC call.
fn plain(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    if status == StatusCode::METHOD_NOT_ALLOWED {
        let allowed = header::HeaderValue::from_static("POST");
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}

/// Gives the statuses that tonic makes itself a reason and a constant text. Ours have one already. tonic fails by itself
/// in two ways before a handler runs: the message is no protobuf of its type, or the path leads nowhere.
fn reasoned(response: Response<Body>) -> Response<Body> {
    let headers = response.headers();
    let (Some(code), false) = (
        headers.get(Status::GRPC_STATUS),
        headers.contains_key(Status::GRPC_STATUS_DETAILS),
    ) else {
        return response;
    };
    match Code::from_bytes(code.as_bytes()) {
        Code::Ok | Code::Cancelled => response,
        Code::Internal => status::malformed("the message cannot be decoded").into_http(),
        Code::Unimplemented => status::method_unknown().into_http(),
        code => {
            tracing::error!(?code, "tonic failed by itself");
            status::internal().into_http()
        }
    }
}

//! What is told of each call: a span, one line in the log, two metrics. Nothing a user typed.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use metrics::{counter, histogram};
use tokio::time::Instant;
use tonic::{Code, Status, body::Body};
use tracing::{Span, field::Empty};

use super::methods::{Kind, Method};
use crate::domain::{challenge::Verdict, id::ChallengeId};

/// One call, from its headers to its trailers. It is told of when it is dropped.
#[derive(Debug)]
pub(super) struct Call {
    method: &'static str,
    kind: Kind,
    began: Instant,
    span: Span,
    code: Option<&'static str>,
    verdict: Option<&'static str>,
}

/// Goes with the answer to a code that was judged.
#[derive(Clone, Copy)]
struct Found(&'static str);

impl Call {
    /// It begins. The names of methods that do not exist are not repeated: anybody may make them up.
    pub(super) fn begin(method: Option<&'static Method>) -> Self {
        let path = method.map_or("unknown", |method| method.path.trim_start_matches('/'));
        let span = tracing::info_span!(
            "grpc.call",
            grpc.method = path,
            caller.name = Empty,
            challenge.id = Empty
        );
        Self {
            method: path,
            kind: method.map_or(Kind::Call, |method| method.kind),
            began: Instant::now(),
            span,
            code: None,
            verdict: None,
        }
    }

    /// Names the challenge that the present call is about.
    pub(super) fn concerns(challenge: ChallengeId) {
        Span::current().record("challenge.id", tracing::field::display(challenge));
    }

    /// Says beside the answer what a code was found to be.
    pub(super) fn found<T>(verdict: Verdict, answer: T) -> tonic::Response<T> {
        let mut response = tonic::Response::new(answer);
        response.extensions_mut().insert(Found(verdict.name()));
        response
    }

    /// Its span.
    pub(super) fn span(&self) -> Span {
        self.span.clone()
    }

    /// Goes along with the answer to its end. `place` is what the call holds until then.
    pub(super) fn follow<P: Send + Unpin + 'static>(
        mut self,
        response: Response<Body>,
        place: P,
    ) -> Response<Body> {
        self.code = match response.status() {
            StatusCode::OK => code_in(response.headers()),
            StatusCode::METHOD_NOT_ALLOWED => Some("HTTP_405"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Some("HTTP_415"),
            _ => Some("HTTP_400"),
        };
        self.verdict = response.extensions().get().map(|Found(verdict)| *verdict);
        let call = Some(self);
        response.map(|body| {
            Body::new(Followed {
                body,
                call,
                _place: place,
            })
        })
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // The caller went away, or its connection did.
        let code = self.code.unwrap_or("CANCELLED");
        let seconds = self.began.elapsed().as_secs_f64();
        counter!("mailfactor_rpcs_total", "method" => self.method, "code" => code).increment(1);
        histogram!("mailfactor_rpc_seconds", "method" => self.method).record(seconds);
        let (span, verdict) = (&self.span, self.verdict);
        // Load balancers ask for health all the time.
        if self.kind == Kind::Pulse {
            tracing::debug!(parent: span, grpc.code = code, seconds, "call");
        } else {
            tracing::info!(parent: span, grpc.code = code, challenge.verdict = verdict, seconds, "call");
        }
    }
}

/// An answer's body, watched for the status at its end.
struct Followed<P> {
    body: Body,
    call: Option<Call>,
    _place: P,
}

impl<P: Send + Unpin + 'static> HttpBody for Followed<P> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        // The answer of a call is there already; others are made as they are sent.
        let goes_on = |call: &&Call| matches!(call.kind, Kind::Watch | Kind::Dialogue);
        let going_on = self.call.as_ref().filter(goes_on);
        let span = going_on.map_or_else(Span::none, Call::span);
        let polled = span.in_scope(|| Pin::new(&mut self.body).poll_frame(context));
        let code = match &polled {
            Poll::Ready(Some(Ok(frame))) => frame.trailers_ref().and_then(code_in),
            Poll::Ready(Some(Err(status))) => Some(name(status.code())),
            Poll::Ready(None) | Poll::Pending => None,
        };
        if let Some(code) = code
            && let Some(mut call) = self.call.take()
        {
            call.code = Some(code);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn code_in(headers: &HeaderMap) -> Option<&'static str> {
    let value = headers.get(Status::GRPC_STATUS)?;
    Some(name(Code::from_bytes(value.as_bytes())))
}

/// The name of a code, as the protocol's documentation writes it.
const fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

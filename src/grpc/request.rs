//! The request guard: only what is a gRPC call reaches tonic, and a unary call has exactly one message of bounded size.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, Method, Request, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{Code, Status};

use super::status;

/// Why a request is turned away.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It is no gRPC call at all: an HTTP status says so.
    Http(StatusCode),
    /// It is one, and its caller gets a status.
    Grpc(Status),
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self::Grpc(status)
    }
}

const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// The flag and the length before each message.
const PREFIX: usize = 5;

/// Checks what a call's headers must be (gRPC over HTTP/2, "Requests").
pub(super) fn check<B>(request: &Request<B>) -> Result<(), Refusal> {
    if request.method() != Method::POST {
        return Err(Refusal::Http(StatusCode::METHOD_NOT_ALLOWED));
    }
    let headers = request.headers();
    let kind = headers
        .get(header::CONTENT_TYPE)
        .map_or(&b""[..], |value| value.as_bytes());
    // Whatever follows a semicolon are parameters.
    let kind = kind
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    if !matches!(kind, b"application/grpc" | b"application/grpc+proto") {
        return Err(Refusal::Http(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    // RFC 9113, 8.2.2: `te` says `trailers` or is not there.
    if headers
        .get_all(header::TE)
        .iter()
        .any(|value| value != "trailers")
    {
        return Err(Refusal::Http(StatusCode::BAD_REQUEST));
    }
    if headers.get_all(ENCODING).iter().any(|value| value != "identity") {
        return Err(compressed().into());
    }
    Ok(())
}

/// How long the caller waits: `grpc-timeout`, up to eight digits and a unit. One that cannot be read is not there.
pub(super) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_hours(number)),
        "M" => Some(Duration::from_mins(number)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// Reads the one message of a unary call, its prefix included. What the prefix announces is believed only as far as
/// `limit`, and is not reserved: memory grows with what really arrives.
pub(super) async fn message<B>(body: B, limit: usize) -> Result<Bytes, Status>
where
    B: Body<Data = Bytes>,
{
    let mut body = std::pin::pin!(body);
    let mut read = Bytes::new();
    let mut more = BytesMut::new();
    while let Some(frame) = body.frame().await {
        // The connection is gone or the stream was reset: nobody reads this.
        let frame = frame.map_err(|_| Status::cancelled("the request ended early"))?;
        let Ok(data) = frame.into_data() else { continue };
        if read.is_empty() && more.is_empty() {
            // Nearly always this is all of it, and is passed on as it came.
            read = data;
        } else {
            more.extend_from_slice(&std::mem::take(&mut read));
            more.extend_from_slice(&data);
        }
        measure(if more.is_empty() { &read } else { &more }, limit)?;
    }
    let whole = if more.is_empty() { read } else { more.freeze() };
    match measure(&whole, limit)? {
        Some(0) => Ok(whole),
        _ => Err(status::malformed("the request has no complete message")),
    }
}

/// How many bytes of the message are still to come, if that can be told yet.
fn measure(read: &[u8], limit: usize) -> Result<Option<usize>, Status> {
    let mut prefix = read;
    if prefix.len() < PREFIX {
        // The flag comes first and may be wrong already.
        return prefix
            .first()
            .map_or(Ok(None), |flag| check_flag(*flag).map(|()| None));
    }
    check_flag(prefix.get_u8())?;
    let announced = usize::try_from(prefix.get_u32()).unwrap_or(usize::MAX);
    if announced > limit {
        // As grpc-java, grpc-go and the C core answer it.
        return Err(status::refuse(
            Code::ResourceExhausted,
            "MESSAGE_TOO_LARGE",
            "the message is larger than this service reads",
        ));
    }
    match announced.checked_sub(prefix.len()) {
        Some(missing) => Ok(Some(missing)),
        None => Err(status::malformed(
            "a unary call has one message, this one has more",
        )),
    }
}

fn check_flag(flag: u8) -> Result<(), Status> {
    match flag {
        0 => Ok(()),
        1 => Err(compressed()),
        _ => Err(status::malformed(
            "the message does not begin as gRPC messages do",
        )),
    }
}

fn compressed() -> Status {
    let mut status = status::refuse(
        Code::Unimplemented,
        "COMPRESSION_UNSUPPORTED",
        "compressed messages are not read",
    );
    let identity = tonic::metadata::MetadataValue::from_static("identity");
    status.metadata_mut().insert("grpc-accept-encoding", identity);
    status
}

/// The body of a dialogue: it ends when the process does, and the answer with it.
pub(super) struct Ending<B> {
    body: B,
    soft: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<B> Ending<B> {
    /// Of a request's body.
    pub(super) fn new(body: B, soft: CancellationToken) -> Self {
        Self {
            body,
            soft: Box::pin(soft.cancelled_owned()),
        }
    }
}

impl<B: Body + Unpin> Body for Ending<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Pending if self.soft.as_mut().poll(context).is_ready() => Poll::Ready(None),
            polled => polled,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;

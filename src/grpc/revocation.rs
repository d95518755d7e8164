//! Open streams end when their caller may not call any more: it was removed or changed, or its key was superseded.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::sleep;
use tonic::{Code, Status, body::Body};

use super::status;
use crate::{
    domain::caller::Caller,
    policy::{Gate, Proof},
};

/// How often it is asked whether the caller may still call. The gate asks the store only every few seconds.
const LOOK: Duration = Duration::from_secs(1);

/// The body of a stream, which ends with its caller's right to it.
pub(super) struct Revocable {
    body: Body,
    revoked: Pin<Box<dyn Future<Output = ()> + Send>>,
    ended: bool,
}

impl Revocable {
    /// Of an answer to this caller, which proved itself so.
    pub(super) fn new(body: Body, gate: Arc<Gate>, caller: Arc<Caller>, proof: Proof) -> Self {
        let revoked = async move {
            while gate.still_admits(&caller, &proof).await {
                sleep(LOOK).await;
            }
        };
        Self {
            body,
            revoked: Box::pin(revoked),
            ended: false,
        }
    }
}

impl HttpBody for Revocable {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if self.revoked.as_mut().poll(context).is_ready() {
            self.ended = true;
            self.body = Body::empty();
            return Poll::Ready(Some(trailers(&revoked()).map(Frame::trailers)));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn trailers(status: &Status) -> Result<HeaderMap, Status> {
    let mut trailers = HeaderMap::new();
    status.add_header(&mut trailers)?;
    Ok(trailers)
}

fn revoked() -> Status {
    status::refuse(
        Code::Unauthenticated,
        "CALLER_CHANGED",
        "the caller was removed or changed, or its key was superseded, while the stream was open",
    )
}

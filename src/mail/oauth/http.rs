//! One request to a token endpoint over HTTP/1.1: a POST, its answer bounded, no redirect followed.

use std::pin::pin;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::{
    HeaderValue, Method, Request,
    header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, USER_AGENT},
};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use zeroize::Zeroizing;

use crate::{domain::oauth::TokenEndpoint, mail::guard::Stream};

/// The most bytes of an answer's body. Tokens have a few thousand.
const MOST_BODY: usize = 64 * 1024;

/// The most bytes of an answer's headers.
const MOST_HEAD: usize = 16 * 1024;

/// What came back.
pub(super) struct Answer {
    /// The status.
    pub(super) status: u16,
    /// The whole body.
    pub(super) body: Zeroizing<Vec<u8>>,
}

/// Posts a form. Whoever calls puts a deadline round it.
pub(super) async fn post(
    stream: Box<dyn Stream>,
    endpoint: &TokenEndpoint,
    basic: Option<&str>,
    form: Zeroizing<String>,
) -> Result<Answer, String> {
    let request = request(endpoint, basic, form).map_err(|_| "the request cannot be written".to_owned())?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MOST_HEAD)
        .handshake::<_, Full<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(|error| said(&error))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| said(&error))?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), MOST_BODY).collect().await;
        let body = body.map_err(|error| {
            if error.is::<LengthLimitError>() {
                format!("the token endpoint's answer is longer than {MOST_BODY} bytes")
            } else {
                "the token endpoint's answer broke off".to_owned()
            }
        })?;
        Ok(Answer {
            status,
            body: Zeroizing::new(body.to_bytes().to_vec()),
        })
    };
    match select(pin!(exchange), pin!(connection)).await {
        Either::Left((answer, _)) => answer,
        // The connection is over; what it brought is still to be read.
        Either::Right((_, exchange)) => exchange.await,
    }
}

fn request(
    endpoint: &TokenEndpoint,
    basic: Option<&str>,
    form: Zeroizing<String>,
) -> http::Result<Request<Full<Bytes>>> {
    let (target, host) = endpoint.target();
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(target)
        .header(HOST, host)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, concat!("mailfactor/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close");
    if let Some(basic) = basic {
        let mut value = HeaderValue::from_str(basic)?;
        value.set_sensitive(true);
        request = request.header(AUTHORIZATION, value);
    }
    // Wiped when the request is done with.
    request.body(Full::new(Bytes::from_owner(Owned(form))))
}

struct Owned(Zeroizing<String>);

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

fn said(error: &hyper::Error) -> String {
    if error.is_parse_too_large() {
        format!("the token endpoint's answer has more than {MOST_HEAD} bytes of headers")
    } else if error.is_parse() {
        "the token endpoint's answer is no HTTP".to_owned()
    } else {
        "the token endpoint closed the connection".to_owned()
    }
}

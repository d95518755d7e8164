//! Who is calling, and whether it may call this.
//!
//! An API key in `authorization`, or the client certificate of the connection. Where there is a header, it decides alone: a
//! wrong key is not made good by a certificate.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, header::AUTHORIZATION};
use tonic::{Code, Request, Status};

use super::{
    accept::Peer,
    methods::{Access, Method},
    status,
};
use crate::{
    domain::{
        caller::{ApiKey, Caller},
        visitor::Visitor,
    },
    policy::{Gate, Proof},
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Lets the caller of a method in: `None` where everybody may call it.
pub(super) async fn admit(
    gate: &Gate,
    headers: &HeaderMap,
    peer: &Peer,
    method: &Method,
) -> Result<Option<(Arc<Caller>, Proof)>, Status> {
    let Access::Roles(roles) = method.access else {
        return Ok(None);
    };
    let (caller, proof) = recognise(gate, headers, peer).await?;
    tracing::Span::current().record("caller.name", caller.name.as_str());
    if roles.contains(&caller.role) {
        Ok(Some((caller, proof)))
    } else {
        Err(status::refuse(
            Code::PermissionDenied,
            "ROLE_MISSING",
            "this caller's role may not call this method",
        ))
    }
}

/// The caller that was let in, on this call.
pub(super) fn visitor(caller: Arc<Caller>, headers: &HeaderMap, peer: &Peer) -> Arc<Visitor> {
    Arc::new(Visitor {
        caller,
        peer: peer.address,
        request_id: request_id(headers),
    })
}

/// The caller that was let in with a request.
pub(super) fn of<T>(request: &Request<T>) -> Result<Arc<Visitor>, Status> {
    let visitor = request.extensions().get::<Arc<Visitor>>();
    visitor.map(Arc::clone).ok_or_else(unknown)
}

/// What the caller names the call in `x-request-id`: 1 to 128 visible characters of ASCII. Anything else is none.
fn request_id(headers: &HeaderMap) -> String {
    let text = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let fits =
        |text: &&str| (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    text.filter(fits).unwrap_or_default().to_owned()
}

async fn recognise(gate: &Gate, headers: &HeaderMap, peer: &Peer) -> Result<(Arc<Caller>, Proof), Status> {
    let proof = match (headers.contains_key(AUTHORIZATION), peer.certificate) {
        (true, _) => bearer(headers).map(|key| Proof::Key(key.caller, key.digest())),
        (false, certificate) => certificate.map(Proof::Certificate),
    };
    let proof = proof.ok_or_else(unknown)?;
    let found = gate.admit(&proof).await;
    let caller = found.map_err(|error| status::store(&error))?;
    Ok((caller.ok_or_else(unknown)?, proof))
}

/// The key of the one `authorization: Bearer mf_...` header (RFC 6750, 2.1; the scheme in any case: RFC 9110, 11.1).
fn bearer(headers: &HeaderMap) -> Option<ApiKey> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| ApiKey::parse(key.trim()))?
}

/// One text for no key, a malformed one, a wrong one and a removed one.
fn unknown() -> Status {
    status::refuse(
        Code::Unauthenticated,
        "CALLER_UNKNOWN",
        "an API key or a client certificate of a known caller is required",
    )
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::{domain::caller::CallerId, system::SystemEntropy};

    fn headers(values: &[&str]) -> HeaderMap {
        let values = values
            .iter()
            .map(|value| (AUTHORIZATION, HeaderValue::from_str(value).unwrap()));
        values.collect()
    }

    #[test]
    fn a_request_id_is_taken_as_far_as_it_can_be_read_again() {
        let of = |text: &'static str| {
            let value = HeaderValue::from_bytes(text.as_bytes()).unwrap();
            request_id(&HeaderMap::from_iter([(REQUEST_ID, value)]))
        };
        assert_eq!(of("change-4711"), "change-4711");
        for none in ["", "two words", "tab\there", "\u{e4}"] {
            assert_eq!(of(none), "", "{none}");
        }
        assert_eq!(request_id(&HeaderMap::new()), "");
    }

    #[test]
    fn takes_exactly_one_key() {
        let key = ApiKey::random(CallerId::random(&SystemEntropy), &SystemEntropy).reveal();
        let (good, lower) = (format!("Bearer {}", *key), format!("bearer {}", *key));
        assert!(bearer(&headers(&[&good])).is_some());
        assert!(bearer(&headers(&[&lower])).is_some());
        for bad in [
            vec![],
            vec![good.as_str(), &good],
            vec![key.as_str()],
            vec!["Bearer "],
            vec!["Basic eDp5"],
        ] {
            assert!(bearer(&headers(&bad)).is_none(), "{bad:?}");
        }
    }
}

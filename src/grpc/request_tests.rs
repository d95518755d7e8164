use std::convert::Infallible;

use futures_util::stream;
use http_body_util::StreamBody;
use tonic_types::StatusExt as _;

use super::*;

/// Reads a body that arrives in these pieces, then stays open or ends.
async fn read(pieces: &[&[u8]], ends: bool) -> Result<Bytes, Status> {
    use futures_util::StreamExt as _;
    let pieces: Vec<_> = pieces
        .iter()
        .map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::copy_from_slice(piece))))
        .collect();
    let rest = if ends {
        stream::empty().left_stream()
    } else {
        stream::pending().right_stream()
    };
    message(StreamBody::new(stream::iter(pieces).chain(rest)), 8).await
}

async fn reason(pieces: &[&[u8]], ends: bool) -> (Code, String) {
    let status = read(pieces, ends).await.unwrap_err();
    (status.code(), status.get_details_error_info().unwrap().reason)
}

#[tokio::test]
async fn one_message_passes_however_it_is_cut() {
    let whole = b"\0\0\0\0\x03abc";
    assert_eq!(read(&[whole], true).await.unwrap(), &whole[..]);
    let bytes: Vec<&[u8]> = whole.chunks(1).collect();
    assert_eq!(read(&bytes, true).await.unwrap(), &whole[..]);
    assert_eq!(read(&[b"", whole, b""], true).await.unwrap(), &whole[..]);
    assert_eq!(read(&[b"\0\0\0\0\0"], true).await.unwrap().len(), PREFIX);
}

#[tokio::test]
async fn a_second_message_is_refused_before_the_body_ends() {
    let malformed = (Code::InvalidArgument, "MALFORMED_REQUEST".to_owned());
    assert_eq!(reason(&[b"\0\0\0\0\x01a", b"\0"], false).await, malformed);
    assert_eq!(reason(&[b"\0\0\0\0\x01a\0\0\0\0\x01b"], false).await, malformed);
}

#[tokio::test]
async fn no_message_or_half_of_one_is_refused() {
    let malformed = (Code::InvalidArgument, "MALFORMED_REQUEST".to_owned());
    let cases: [&[&[u8]]; 4] = [&[], &[b""], &[b"\0\0\0"], &[b"\0\0\0\0\x05abc"]];
    for pieces in cases {
        assert_eq!(reason(pieces, true).await, malformed);
    }
}

#[tokio::test]
async fn five_bytes_reserve_nothing() {
    let large = (Code::ResourceExhausted, "MESSAGE_TOO_LARGE".to_owned());
    assert_eq!(reason(&[b"\0\xff\xff\xff\xff"], false).await, large);
    assert_eq!(reason(&[b"\0\0\0\0", b"\x09"], false).await, large);
}

#[tokio::test]
async fn compression_is_refused_by_its_flag() {
    assert_eq!(
        reason(&[b"\x01"], false).await,
        (Code::Unimplemented, "COMPRESSION_UNSUPPORTED".to_owned())
    );
    assert_eq!(reason(&[b"\x02"], false).await.1, "MALFORMED_REQUEST");
}

#[test]
fn only_grpc_passes() {
    let request = |method: &str, headers: &[(&str, &str)]| {
        let mut request = Request::builder().method(method);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap())
    };
    let grpc = ("content-type", "application/grpc");
    assert!(request("POST", &[grpc, ("te", "trailers")]).is_ok());
    assert!(request("POST", &[("content-type", "application/grpc+proto; v=1")]).is_ok());
    let http = |result| match result {
        Err(Refusal::Http(status)) => status.as_u16(),
        other => panic!("{other:?}"),
    };
    assert_eq!(http(request("GET", &[grpc])), 405);
    for kind in [
        "application/json",
        "application/grpc-web",
        "application/grpc+json",
        "application/grpcx",
        "",
    ] {
        assert_eq!(http(request("POST", &[("content-type", kind)])), 415, "{kind}");
    }
    assert_eq!(http(request("POST", &[])), 415);
    assert_eq!(http(request("POST", &[grpc, ("te", "gzip")])), 400);
    assert!(matches!(
        request("POST", &[grpc, ("grpc-encoding", "gzip")]),
        Err(Refusal::Grpc(status)) if status.code() == Code::Unimplemented
    ));
}

#[test]
fn timeouts_have_digits_and_a_unit() {
    let read = |text: &str| timeout(&HeaderMap::from_iter([(TIMEOUT, text.parse().unwrap())]));
    assert_eq!(read("5S"), Some(Duration::from_secs(5)));
    assert_eq!(read("99999999H"), Some(Duration::from_hours(99_999_999)));
    assert_eq!(read("250m"), Some(Duration::from_millis(250)));
    for bad in ["", "S", "5", "+5S", "123456789S", "5s", "5\u{20}S"] {
        assert_eq!(read(bad), None, "{bad:?}");
    }
}

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::{Code, Status};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_types::StatusExt as _;

use super::{
    DoorSettings, TlsFiles,
    testing::{House, send, settings, told},
};
use crate::{
    domain::caller::{CertificateDigest, Role},
    pb::v1::{self as pb, email_otp_authenticator_client::EmailOtpAuthenticatorClient as Client},
};

const GET: &str = "/mailfactor.v1.EmailOtpAuthenticator/GetChallenge";
const GRPC: (&str, &str) = ("content-type", "application/grpc");

#[tokio::test]
async fn silence_half_a_preface_and_http1_are_closed() {
    let house = House::open(settings()).await;
    for (said, answer) in [
        (&b""[..], &b""[..]),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n", b""),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 400 "),
    ] {
        let mut peer = house.tcp().await;
        peer.write_all(said).await.unwrap();
        let mut read = Vec::new();
        peer.read_to_end(&mut read).await.unwrap();
        assert!(read.starts_with(answer), "{read:?}");
        assert_eq!(read.is_empty(), answer.is_empty());
    }
}

#[tokio::test]
async fn connections_beyond_the_bound_are_closed_and_a_closed_one_makes_room() {
    let house = House::open(DoorSettings {
        most_connections: 1,
        ..settings()
    })
    .await;
    let channel = house.channel().await;
    let mut client = HealthClient::new(channel);
    client.check(HealthCheckRequest::default()).await.unwrap();
    let mut second = house.tcp().await;
    assert_eq!(second.read(&mut [0; 1]).await.unwrap_or(0), 0);
    drop(client);
    loop {
        // The server sees the end of the first when it sees it.
        let uri = format!("http://{}", house.address);
        let lazy = tonic::transport::Channel::from_shared(uri)
            .unwrap()
            .connect_lazy();
        let mut third = HealthClient::new(lazy);
        if third.check(HealthCheckRequest::default()).await.is_ok() {
            break;
        }
    }
}

#[tokio::test]
async fn what_is_no_grpc_call_gets_an_http_status() {
    let mut house = House::open(settings()).await;
    let sender = house.h2().await;
    for (method, headers, expected) in [
        ("GET", &[GRPC][..], 405),
        ("POST", &[], 415),
        ("POST", &[("content-type", "application/json")], 415),
    ] {
        let request = house.wire(method, GET, headers);
        assert_eq!(send(&sender, request, &[], true).await.0, expected);
    }
}

#[tokio::test]
async fn bodies_that_are_not_one_message_are_refused() {
    let mut house = House::open(settings()).await;
    let sender = house.h2().await;
    let key = house.key(Role::Endpoint).to_owned();
    let malformed = (Code::InvalidArgument, "MALFORMED_REQUEST");
    let cases: [(&[&'static [u8]], bool, _); 7] = [
        (&[b"\0\0\0\0\0", b"\0\0\0\0\0"], false, malformed),
        (&[b"\0\0\0\0\0\0"], true, malformed),
        (&[], true, malformed),
        (&[b"\0\0\0\0\x02\xff\xff"], true, malformed),
        (
            &[b"\0\x00\x40\x00\x00"],
            false,
            (Code::ResourceExhausted, "MESSAGE_TOO_LARGE"),
        ),
        (
            &[b"\x01\0\0\0\0"],
            true,
            (Code::Unimplemented, "COMPRESSION_UNSUPPORTED"),
        ),
        // The rest never comes.
        (
            &[b"\0\0\0\0\x05abc"],
            false,
            (Code::DeadlineExceeded, "DEADLINE_PASSED"),
        ),
    ];
    for (pieces, ends, (code, reason)) in cases {
        let request = house.wire("POST", GET, &[GRPC, ("authorization", key.as_str())]);
        let (http, headers) = send(&sender, request, pieces, ends).await;
        assert_eq!(http, 200);
        let status = Status::from_header_map(&headers).unwrap();
        assert_eq!(told(&status), (code, reason.to_owned()), "{pieces:?}");
    }
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_is_closed() {
    let settings = DoorSettings {
        keepalive_interval: Duration::from_millis(50),
        keepalive_timeout: Duration::from_millis(50),
        ..settings()
    };
    let house = House::open(settings).await;
    let mut peer = house.tcp().await;
    // The preface and empty settings: all that a connection needs.
    let said = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    peer.write_all(said).await.unwrap();
    let mut read = Vec::new();
    let _ = peer.read_to_end(&mut read).await;
    assert!(!read.is_empty(), "it was never served");
}

#[tokio::test]
async fn health_is_followed_over_the_wire() {
    let house = House::open(settings()).await;
    let mut health = HealthClient::new(house.channel().await);
    let request = HealthCheckRequest {
        service: "mailfactor.v1.EmailOtpAuthenticator".to_owned(),
    };
    let mut watching = health.watch(request.clone()).await.unwrap().into_inner();
    for store in [true, false, true] {
        house.pulse.send_modify(|pulse| pulse.store = store);
        let told = watching.message().await.unwrap().unwrap().status();
        assert_eq!(told == ServingStatus::Serving, store);
        let checked = health.check(request.clone()).await.unwrap().into_inner();
        assert_eq!(checked.status(), told);
    }
}

#[tokio::test]
async fn the_limits_are_announced_and_kept() {
    let mut house = House::open(settings()).await;
    let sender = house.h2().await;
    let mut client = HealthClient::new(house.channel().await);
    client.check(HealthCheckRequest::default()).await.unwrap();
    let long = "x".repeat(9 * 1024);
    let request = house.wire("POST", GET, &[GRPC, ("x-long", &long)]);
    assert_eq!(send(&sender, request, &[], true).await.0, 431);
    assert_eq!(sender.current_max_send_streams(), 100);
}

#[tokio::test]
async fn callers_are_told_apart_only_by_their_keys() {
    let house = House::open(settings()).await;
    let mut client = Client::new(house.channel().await);
    let get = pb::GetChallengeRequest::default;
    let got = client
        .get_challenge(house.ask(Role::Endpoint, get()))
        .await
        .unwrap();
    let challenge = got.into_inner().challenge.unwrap();
    assert_eq!(challenge.masked_recipient, "endpoint");
    assert_eq!(challenge.endpoint, "None", "the key went further than the door");

    let other = format!("Bearer mf_{}_{}", "0".repeat(16), "A".repeat(43));
    let wrong = house.key(Role::Endpoint).rsplit_once('_').unwrap().0.to_owned() + "_" + &"A".repeat(43);
    let mut answers = Vec::new();
    for key in [
        None,
        Some("Bearer x"),
        Some("Basic eDp5"),
        Some(&*other),
        Some(&*wrong),
    ] {
        let mut request = tonic::Request::new(get());
        if let Some(key) = key {
            request
                .metadata_mut()
                .insert("authorization", key.parse().unwrap());
        }
        answers.push(client.get_challenge(request).await.unwrap_err());
    }
    for status in &answers {
        assert_eq!(told(status), (Code::Unauthenticated, "CALLER_UNKNOWN".to_owned()));
        assert_eq!(status.message(), answers[0].message());
    }
    let status = client
        .get_challenge(house.ask(Role::Auditor, get()))
        .await
        .unwrap_err();
    assert_eq!(told(&status), (Code::PermissionDenied, "ROLE_MISSING".to_owned()));
}

#[tokio::test]
async fn what_is_not_in_the_table_is_not_served() {
    let mut house = House::open(settings()).await;
    let sender = house.h2().await;
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    for path in ["/mailfactor.v1.EmailOtpAuthenticator/Nothing", "/", reflection] {
        let request = house.wire("POST", path, &[GRPC]);
        let (_, headers) = send(&sender, request, &[b"\0\0\0\0\0"], true).await;
        let status = Status::from_header_map(&headers).unwrap();
        assert_eq!(
            told(&status),
            (Code::Unimplemented, "METHOD_UNKNOWN".to_owned()),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_panic_is_one_calls_own() {
    let house = House::open(settings()).await;
    let mut client = Client::new(house.channel().await);
    let start = house.ask(Role::Endpoint, pb::StartChallengeRequest::default());
    let status = client.start_challenge(start).await.unwrap_err();
    assert_eq!(told(&status), (Code::Internal, "INTERNAL".to_owned()));
    assert!(!status.message().contains("test"));
    let get = house.ask(Role::Endpoint, pb::GetChallengeRequest::default());
    client.get_challenge(get).await.unwrap();
}

#[tokio::test]
async fn overload_is_answered_at_once_and_streams_take_no_room_of_calls() {
    let house = House::open(DoorSettings {
        most_requests: 1,
        ..settings()
    })
    .await;
    let mut client = Client::new(house.channel().await);
    let watch = house.ask(Role::Endpoint, pb::WatchChallengeRequest::default());
    let _watching = client.watch_challenge(watch).await.unwrap();
    let verify = || house.ask(Role::Endpoint, pb::VerifyCodeRequest::default());
    let mut second = client.clone();
    let held = second.verify_code(verify());
    let refused = async {
        house.service.entered.notified().await;
        let status = client.verify_code(verify()).await.unwrap_err();
        assert_eq!(told(&status), (Code::ResourceExhausted, "OVERLOADED".to_owned()));
        assert!(status.get_details_retry_info().unwrap().retry_delay.is_some());
        let mut health = HealthClient::new(house.channel().await);
        health.check(HealthCheckRequest::default()).await.unwrap();
        house.service.release.add_permits(1);
    };
    tokio::join!(held, refused).0.unwrap();
    house.service.release.add_permits(1);
    client.verify_code(verify()).await.unwrap();
}

#[tokio::test]
async fn a_callers_deadline_ends_the_call() {
    let mut house = House::open(settings()).await;
    let sender = house.h2().await;
    let key = house.key(Role::Endpoint).to_owned();
    let path = "/mailfactor.v1.EmailOtpAuthenticator/VerifyCode";
    let headers = [GRPC, ("authorization", key.as_str()), ("grpc-timeout", "50m")];
    let request = house.wire("POST", path, &headers);
    let (_, headers) = send(&sender, request, &[b"\0\0\0\0\0"], true).await;
    let status = Status::from_header_map(&headers).unwrap();
    assert_eq!(told(&status).0, Code::DeadlineExceeded);
}

#[tokio::test]
async fn draining_finishes_calls_ends_streams_and_waits_for_nobody_silent() {
    let mut house = House::open(DoorSettings {
        reflection: true,
        ..settings()
    })
    .await;
    let channel = house.channel().await;
    let (mut client, mut health) = (Client::new(channel.clone()), HealthClient::new(channel.clone()));
    let _silent = house.tcp().await;
    // Speaks HTTP/2 and then never again: its connection is not driven, so it acknowledges nothing.
    let (_sender, _idle) = h2::client::handshake(house.tcp().await).await.unwrap();
    let watch = house.ask(Role::Endpoint, pb::WatchChallengeRequest::default());
    let mut watching = client.watch_challenge(watch).await.unwrap().into_inner();
    watching.message().await.unwrap().unwrap();
    let ask = |service: &str| HealthCheckRequest {
        service: service.to_owned(),
    };
    let mut ready = health.watch(ask("")).await.unwrap().into_inner();
    let mut unknown = health.watch(ask("nonsense")).await.unwrap().into_inner();
    assert_eq!(
        ready.message().await.unwrap().unwrap().status(),
        ServingStatus::Serving
    );
    let first = unknown.message().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::ServiceUnknown);
    let status = health.check(ask("nonsense")).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let mut reflecting = dialogue(channel).await;

    let held = house.ask(Role::Endpoint, pb::VerifyCodeRequest::default());
    let stop = async {
        house.service.entered.notified().await;
        house.soft.cancel();
        assert_eq!(
            ready.message().await.unwrap().unwrap().status(),
            ServingStatus::NotServing
        );
        for status in [
            watching.message().await.unwrap_err(),
            ready.message().await.unwrap_err(),
            unknown.message().await.unwrap_err(),
        ] {
            assert_eq!(told(&status), (Code::Unavailable, "SHUTTING_DOWN".to_owned()));
        }
        assert!(reflecting.message().await.unwrap().is_none());
        house.service.release.add_permits(1);
    };
    tokio::join!(client.verify_code(held), stop).0.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(20), house.serving.join_next()).await;
    ended.expect("draining waits for somebody").unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(house.address).await.is_err());
}

/// An open reflection stream that asks for nothing.
async fn dialogue(
    channel: tonic::transport::Channel,
) -> tonic::Streaming<tonic_reflection::pb::v1::ServerReflectionResponse> {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    let silence = futures_util::stream::pending();
    let mut client = ServerReflectionClient::new(channel);
    client.server_reflection_info(silence).await.unwrap().into_inner()
}

#[tokio::test]
async fn reflection_shows_the_protocol_where_it_is_on() {
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let house = House::open(DoorSettings {
        reflection: true,
        ..settings()
    })
    .await;
    let mut client = ServerReflectionClient::new(house.channel().await);
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answers = client
        .server_reflection_info(futures_util::stream::iter([request]))
        .await
        .unwrap();
    let answer = answers.into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!()
    };
    let names: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
    for name in ["mailfactor.v1.MailOutbox", "grpc.health.v1.Health"] {
        assert!(names.iter().any(|known| known == name), "{names:?}");
    }
}

#[tokio::test]
async fn a_client_certificate_is_as_good_as_a_key() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let authority = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (ours, pem) = (authority.cert.pem(), authority.signing_key.serialize_pem());
    let client = rcgen::generate_simple_self_signed(["auditor".to_owned()]).unwrap();
    let tls = TlsFiles {
        certificate: write("server.pem", ours.clone()),
        key: write("server.key", pem),
        client_ca: Some(write("clients.pem", client.cert.pem())),
    };
    let digest = CertificateDigest::of(client.cert.der());
    let house = House::open_for(
        DoorSettings {
            tls: Some(tls),
            ..settings()
        },
        Some(digest),
    )
    .await;
    let identity =
        tonic::transport::Identity::from_pem(client.cert.pem(), client.signing_key.serialize_pem());
    let trust = tonic::transport::ClientTlsConfig::new()
        .ca_certificate(tonic::transport::Certificate::from_pem(ours))
        .domain_name("localhost");
    for (tls, expected) in [
        // The auditor is known by its certificate, and may not use this method: it was recognised.
        (trust.clone().identity(identity), Code::PermissionDenied),
        (trust, Code::Unauthenticated),
    ] {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("https://{}", house.address)).unwrap();
        let channel = endpoint.tls_config(tls).unwrap().connect().await.unwrap();
        let status = Client::new(channel)
            .get_challenge(pb::GetChallengeRequest::default())
            .await
            .unwrap_err();
        assert_eq!(status.code(), expected);
    }
    // Bytes that are no handshake, and none at all.
    for said in [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], b""] {
        let mut peer = house.tcp().await;
        peer.write_all(said).await.unwrap();
        let mut read = Vec::new();
        let _ = peer.read_to_end(&mut read).await;
    }
}

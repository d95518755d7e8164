//! Requests that are wrong: each is told what is wrong with it, and nobody else notices.

use std::time::Duration;

use mailfactor::{
    app::Machine,
    domain::caller::Role,
    pb::v1::{self as pb, account_secret::Source},
};
use nix::sys::signal::Signal;
use prost::Message as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_types::StatusExt as _;

use super::harness::{
    client::health,
    in_time,
    process::Process,
    raw::{Frames, call, methods, once},
    scene::{Scene, refused, start},
    service::Home,
};

/// The fields that a refusal names.
fn named<T: std::fmt::Debug>(result: Result<T, Status>) -> Vec<String> {
    let status = result.unwrap_err();
    let fields = status.get_details_bad_request().unwrap().field_violations;
    assert!(fields.iter().all(|field| !field.description.is_empty()));
    assert_eq!(
        refused::<()>(Err(status)),
        (Code::InvalidArgument, "INVALID_FIELD".to_owned())
    );
    fields.into_iter().map(|field| field.field).collect()
}

#[tokio::test]
async fn everything_that_is_wrong_is_named_at_once() {
    let scene = Scene::set().await;
    let mut policy = scene.admin.policy.clone();
    let bad_start = pb::StartChallengeRequest {
        user: "x".repeat(257),
        repository: "\n".to_owned(),
        purpose: 77,
        event: "no events here".to_owned(),
        endpoint: "\u{2028}".to_owned(),
        locale: "deutsch!".to_owned(),
        client_ip: "256.0.0.1".to_owned(),
        password: "x".repeat(1_025),
        wait_for_mail_server: false,
        request_id: "a b".to_owned(),
        override_address: "two@signs@example.com".to_owned(),
        reply_to: "nobody".to_owned(),
        return_path: "a@b@c".to_owned(),
        confirmation_address: " ".to_owned(),
    };
    assert_eq!(
        named(start(&scene.admin, bad_start).await),
        [
            "user",
            "repository",
            "purpose",
            "event",
            "password",
            "request_id",
            "override_address",
            "reply_to",
            "return_path",
            "confirmation_address"
        ]
    );
    // Those who show nothing but the text see which, too.
    let nameless = start(&scene.admin, pb::StartChallengeRequest::default())
        .await
        .unwrap_err();
    assert!(
        nameless.message().contains("invalid fields: user;"),
        "{nameless:?}"
    );
    let details = nameless.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!(info.metadata.get("field").map(String::as_str), Some("user"));
    let bad_account = pb::Account {
        host: "https://smtp.example.com".to_owned(),
        port: 65_536,
        authentication: true,
        secret: Some(pb::AccountSecret {
            source: Some(Source::Environment("PATH".to_owned())),
        }),
        sender: "nobody".to_owned(),
        display_name: "a\r\nBcc: x@example.com".to_owned(),
        reply_to: "a@b@c".to_owned(),
        ..pb::Account::default()
    };
    let whole = |prefix: &str| {
        let mut fields = [
            "name",
            "host",
            "port",
            "security",
            "username",
            "secret",
            "sender",
            "display_name",
            "reply_to",
        ]
        .map(|field| format!("{prefix}.{field}"));
        fields.sort();
        fields.to_vec()
    };
    let sorted = |mut fields: Vec<String>| {
        fields.sort();
        fields
    };
    let create = pb::CreateAccountRequest {
        account: Some(bad_account.clone()),
    };
    assert_eq!(
        sorted(named(policy.create_account(create).await)),
        whole("account")
    );
    let test = pb::TestConnectionRequest {
        target: Some(pb::test_connection_request::Target::Settings(bad_account)),
        recipient: "@".to_owned(),
    };
    let faults = sorted(named(policy.test_connection(test).await));
    for field in whole("settings") {
        // A name is only for keeping settings, which a test does not.
        assert!(
            field == "settings.name" || faults.contains(&field),
            "{field} is not in {faults:?}"
        );
    }
    assert!(faults.contains(&"recipient".to_owned()), "{faults:?}");
    let empty = pb::TestConnectionRequest::default();
    assert_eq!(named(policy.test_connection(empty).await), ["target"]);
    scene.end().await;
}

#[tokio::test]
async fn everything_that_is_wrong_about_a_submitted_code_is_named_at_once() {
    let scene = Scene::set().await;
    let verify = pb::VerifyCodeRequest {
        expected_user: "ann\n".to_owned(),
        expected_purpose: 99,
        expected_event: Some("a b".to_owned()),
        request_id: "a b".to_owned(),
        ..pb::VerifyCodeRequest::default()
    };
    assert_eq!(
        named(scene.idp.judge(verify).await),
        [
            "challenge_id",
            "code",
            "expected_user",
            "expected_purpose",
            "expected_event",
            "request_id"
        ]
    );
    scene.end().await;
}

#[tokio::test]
async fn everything_that_is_wrong_about_mails_is_named_at_once() {
    let scene = Scene::set().await;
    let (mut policy, mut outbox) = (scene.admin.policy.clone(), scene.admin.outbox.clone());
    let send = pb::SendTestMessageRequest {
        account: "\u{7}".to_owned(),
        recipient: String::new(),
        subject: "x".repeat(201),
        text: "x".repeat(10_001),
        wait_for_mail_server: false,
    };
    assert_eq!(
        named(policy.send_test_message(send).await),
        ["account", "recipient", "subject", "text"]
    );
    let list = pb::ListEntriesRequest {
        page_size: 501,
        page_token: "nonsense".to_owned(),
        states: vec![1, 8, 99, 0],
        account: "\n".to_owned(),
        submitted_from: Some(prost_types::Timestamp {
            seconds: i64::MAX,
            nanos: 0,
        }),
        submitted_until: Some(prost_types::Timestamp {
            seconds: 0,
            nanos: -1,
        }),
        ..pb::ListEntriesRequest::default()
    };
    assert_eq!(
        named(outbox.list_entries(list).await),
        [
            "page_size",
            "states[1]",
            "states[2]",
            "states[3]",
            "account",
            "submitted_from",
            "submitted_until",
            "page_token"
        ]
    );
    scene.end().await;
}

#[tokio::test]
async fn ids_and_page_tokens_that_are_none() {
    let scene = Scene::set().await;
    let (mut policy, mut outbox) = (scene.admin.policy.clone(), scene.admin.outbox.clone());
    let entry = |id: &str| pb::GetEntryRequest {
        entry_id: id.to_owned(),
    };
    assert_eq!(named(outbox.get_entry(entry("")).await), ["entry_id"]);
    assert_eq!(named(outbox.get_entry(entry("x")).await), ["entry_id"]);
    assert_eq!(
        refused(outbox.get_entry(entry("AAAAAAAAAAAAAAAAAAAAAA")).await),
        (Code::NotFound, "ENTRY_UNKNOWN".to_owned())
    );
    let account = |name: &str| pb::GetAccountRequest {
        account: name.to_owned(),
    };
    assert_eq!(named(policy.get_account(account("")).await), ["account"]);
    for unknown in ["nobody", "AAAAAAAAAAAAAAAAAAAAAA"] {
        assert_eq!(
            refused(policy.get_account(account(unknown)).await),
            (Code::NotFound, "ACCOUNT_UNKNOWN".to_owned())
        );
    }
    let page = |token: &str| pb::ListEntriesRequest {
        page_token: token.to_owned(),
        ..pb::ListEntriesRequest::default()
    };
    for token in ["x", "AAAA", &"A".repeat(1_000), "ä", "\0"] {
        assert_eq!(
            named(outbox.list_entries(page(token)).await),
            ["page_token"],
            "{token:?}"
        );
    }
    scene.end().await;
}

/// Numbers that look random and are the same in every run (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).unwrap() % sides
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.roll(most))
            .map(|_| u8::try_from(self.roll(256)).unwrap())
            .collect()
    }

    /// A message that may even be one: fields with numbers, texts and messages in them.
    fn message(&mut self, depth: usize) -> Vec<u8> {
        let mut message = Vec::new();
        for _ in 0..self.roll(6) {
            let field = u64::try_from(1 + self.roll(16)).unwrap();
            let kind = [0, 1, 2, 2, 2, 5, 3][self.roll(7)];
            prost::encoding::encode_varint(field << 3 | kind, &mut message);
            match kind {
                0 => prost::encoding::encode_varint(self.0 >> self.roll(64), &mut message),
                1 => message.extend(self.0.to_le_bytes()),
                2 => {
                    let inner = match self.roll(4) {
                        0 if depth > 0 => self.message(depth - 1),
                        1 => self.bytes(64),
                        2 => "AAAAAAAAAAAAAAAAAAAAAA".into(),
                        _ => ["ann", "x@example.com", "192.0.2.1", "", "\0", "é\u{202e}", "name"]
                            [self.roll(7)]
                        .into(),
                    };
                    prost::encoding::encode_varint(inner.len() as u64, &mut message);
                    message.extend(inner);
                }
                5 => message.extend(&self.0.to_le_bytes()[..4]),
                _ => {}
            }
        }
        if self.roll(8) == 0 {
            message.truncate(self.roll(message.len() + 1));
        }
        message
    }
}

#[tokio::test]
async fn garbage_is_refused_politely_and_the_connection_stays() {
    let home = Home::new();
    home.users(&[("ann", "ann@example.com")]);
    let service = home.serve(Machine::real()).await;
    let key = format!("Bearer {}", home.caller("ops", Role::Admin).await);
    // A second connection is never made: a dropped one fails the test.
    let channel = once(service.grpc).await;
    let mut dice = Dice(0x6d61_696c_6661_6374);
    for method in methods() {
        for round in 0..300 {
            let message = if round % 3 == 0 {
                dice.bytes(200)
            } else {
                dice.message(3)
            };
            let answer = call(&channel, Some(&key), &method.path, message.clone()).await;
            let Err(status) = answer else { continue };
            let (code, _) = refused::<()>(Err(status));
            assert!(
                matches!(
                    code,
                    Code::InvalidArgument
                        | Code::NotFound
                        | Code::FailedPrecondition
                        | Code::ResourceExhausted
                        | Code::AlreadyExists
                ),
                "{code:?} of {} for {message:02x?}",
                method.path
            );
        }
    }
    assert_eq!(health(service.grpc, "").await, Some(ServingStatus::Serving));
    service.stop().await;
}

#[tokio::test]
async fn a_message_too_large_is_refused_and_the_next_one_is_not() {
    let home = Home::new();
    let service = home.serve(Machine::real()).await;
    let key = format!("Bearer {}", home.caller("ops", Role::Admin).await);
    let channel = once(service.grpc).await;
    let path = "/mailfactor.v1.MailSenderPolicy/SendTestMessage";
    let message = |size: usize| {
        pb::SendTestMessageRequest {
            recipient: "ann@example.com".to_owned(),
            text: "x".repeat(size),
            ..pb::SendTestMessageRequest::default()
        }
        .encode_to_vec()
    };
    for size in [65_537, 200_000, 5_000_000] {
        assert_eq!(
            refused(call(&channel, Some(&key), path, message(size)).await),
            (Code::ResourceExhausted, "MESSAGE_TOO_LARGE".to_owned())
        );
    }
    assert_eq!(
        named(call(&channel, Some(&key), path, message(60_000)).await),
        ["text"]
    );
    assert_eq!(
        refused(call(&channel, Some(&key), path, message(10_000)).await),
        (Code::FailedPrecondition, "NO_ACCOUNT".to_owned())
    );
    service.stop().await;
}

const GRPC: (&str, &str) = ("content-type", "application/grpc");
const CHECK: &str = "/grpc.health.v1.Health/Check";
const LIST: &str = "/mailfactor.v1.MailOutbox/ListEntries";

async fn process() -> (Home, Process, String) {
    let home = Home::new().with("server.limits.handshake_timeout", "1s");
    let process = home.spawn().await;
    let key = format!("Bearer {}", home.caller("ops", Role::Admin).await);
    (home, process, key)
}

#[tokio::test]
async fn what_is_no_grpc_call_is_told_so_by_the_binary() {
    let (_home, mut process, key) = process().await;
    let frames = Frames::connect(process.grpc).await;
    let authorization = ("authorization", key.as_str());
    let one: &[&[u8]] = &[b"\0\0\0\0\0"];
    assert_eq!(frames.send("GET", LIST, &[GRPC, authorization], &[]).await.0, 405);
    assert_eq!(frames.send("POST", LIST, &[authorization], one).await.0, 415);
    let json = ("content-type", "application/json");
    assert_eq!(
        frames.send("POST", LIST, &[json, authorization], one).await.0,
        415
    );
    let long = "x".repeat(9 * 1024);
    let headers = [GRPC, authorization, ("x-long", long.as_str())];
    assert_eq!(frames.send("POST", LIST, &headers, one).await.0, 431);
    for (path, body, code, reason) in [
        (
            LIST,
            &[b"\0\0\0\0\0\0\0\0\0\0" as &[u8]][..],
            Code::InvalidArgument,
            "MALFORMED_REQUEST",
        ),
        (
            LIST,
            &[b"\0\0\0\0\0", b"\0\0\0\0\0"],
            Code::InvalidArgument,
            "MALFORMED_REQUEST",
        ),
        (LIST, &[], Code::InvalidArgument, "MALFORMED_REQUEST"),
        (
            LIST,
            &[b"\0\xff\xff\xff\xff"],
            Code::ResourceExhausted,
            "MESSAGE_TOO_LARGE",
        ),
        (
            LIST,
            &[b"\x01\0\0\0\0"],
            Code::Unimplemented,
            "COMPRESSION_UNSUPPORTED",
        ),
        (
            "/mailfactor.v1.MailOutbox/Purge",
            one,
            Code::Unimplemented,
            "METHOD_UNKNOWN",
        ),
        ("/", one, Code::Unimplemented, "METHOD_UNKNOWN"),
    ] {
        let (http, headers) = frames.send("POST", path, &[GRPC, authorization], body).await;
        assert_eq!(http, 200, "{path} {body:?}");
        let status = Status::from_header_map(&headers).unwrap();
        assert_eq!(
            refused::<()>(Err(status)),
            (code, reason.to_owned()),
            "{path} {body:?}"
        );
    }
    // The same connection still serves.
    assert_eq!(frames.send("POST", CHECK, &[GRPC], one).await.0, 200);
    assert_eq!(frames.most_streams(), 100);
    process.signal(Signal::SIGTERM);
    assert!(process.ended().await.success());
}

#[tokio::test]
async fn the_silent_and_the_slow_are_closed_by_the_binary() {
    let (_home, process, _) = process().await;
    let preface: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut peers = Vec::new();
    for said in [
        &b""[..],
        &preface[..10],
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
    ] {
        let mut peer = TcpStream::connect(process.grpc).await.unwrap();
        peer.write_all(said).await.unwrap();
        peers.push(peer);
    }
    for mut peer in peers {
        let mut read = Vec::new();
        // A reset is an end as well.
        let _ = in_time(peer.read_to_end(&mut read)).await;
        assert!(read.is_empty(), "{read:?}");
    }
    // HTTP/1 learns at once that it is in the wrong place.
    let mut browser = TcpStream::connect(process.grpc).await.unwrap();
    browser
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut read = Vec::new();
    in_time(browser.read_to_end(&mut read)).await.unwrap();
    assert!(read.starts_with(b"HTTP/1.1 400 "), "{read:?}");
    assert_eq!(health(process.grpc, "").await, Some(ServingStatus::Serving));
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Header fields, not compressed (RFC 7541, 6.2.2).
fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.bytes());
        }
    }
    block
}

#[tokio::test]
async fn streams_beyond_the_hundredth_are_refused_and_the_others_live() {
    let (_home, process, _) = process().await;
    let mut peer = TcpStream::connect(process.grpc).await.unwrap();
    let mut said = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    said.extend(frame(4, 0, 0, &[]));
    said.extend(frame(4, 1, 0, &[]));
    let watch = fields(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/grpc.health.v1.Health/Watch"),
        (":authority", "x"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]);
    for number in 0..110 {
        // END_HEADERS; the message is still to come.
        said.extend(frame(1, 4, number * 2 + 1, &watch));
    }
    peer.write_all(&said).await.unwrap();
    let mut refused = Vec::new();
    let all_refused = async {
        while refused.len() < 10 {
            let mut head = [0; 9];
            peer.read_exact(&mut head).await.expect("the connection lives");
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            peer.read_exact(&mut payload).await.unwrap();
            assert_ne!(head[3], 7, "the whole connection was sent away: {payload:?}");
            if head[3] == 3 {
                assert_eq!(payload, [0, 0, 0, 7], "REFUSED_STREAM");
                refused.push(u32::from_be_bytes([head[5], head[6], head[7], head[8]]));
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(8), all_refused)
        .await
        .expect("ten streams are refused");
    assert!(refused.iter().all(|stream| *stream > 200), "{refused:?}");
    // One of the hundred goes on as if nothing had happened.
    peer.write_all(&frame(0, 1, 1, b"\0\0\0\0\0")).await.unwrap();
    let answered = async {
        loop {
            let mut head = [0; 9];
            peer.read_exact(&mut head).await.expect("the connection lives");
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            peer.read_exact(&mut payload).await.unwrap();
            if (head[3], head[8]) == (0, 1) {
                return payload;
            }
        }
    };
    let message = in_time(answered).await;
    assert_eq!(message, [0, 0, 0, 0, 2, 8, 1], "SERVING");
}

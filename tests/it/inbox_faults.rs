//! Servers of inboxes that misbehave: silent, endless, out of turn.

use std::net::SocketAddr;

use mailfactor::{app::Machine, domain::caller::Role, pb::v1 as pb};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    harness::{in_time, service::Home},
    inbox::{password, test},
};

use pb::{
    ConnectionSecurity::{self as Security, ImplicitTls, None as Plain, Starttls},
    InboxProtocol::{self as Protocol, Imap, Pop3},
    Stage,
};

/// A server, what it says (one text each time the client has said something, the first at once), the stage at which a test
/// ends, and a part of what is told.
type Case = (Protocol, Security, &'static [&'static [u8]], Stage, &'static str);

static ENDLESS: [u8; 300_000] = [b'x'; 300_000];

const CASES: [Case; 13] = [
    (Imap, Plain, &[b""], Stage::Ehlo, "in time"),
    (Pop3, ImplicitTls, &[b""], Stage::Tls, "in time"),
    (Imap, Plain, &[&ENDLESS], Stage::Ehlo, "too long"),
    (Pop3, Plain, &[b"+OK\r\n", &ENDLESS], Stage::Ehlo, "too long"),
    (Imap, Plain, &[b"* BYE full\r\n"], Stage::Ehlo, "full"),
    (Imap, Plain, &[b"* PREAUTH hello\r\n"], Stage::Ehlo, "PREAUTH"),
    (
        Imap,
        Plain,
        &[b"* OK\r\n", b"* OK {99999999}\r\n"],
        Stage::Ehlo,
        "too long",
    ),
    (Pop3, Plain, &[b"HTTP/1.1 400\r\n"], Stage::Ehlo, "not understood"),
    // Whatever stands in between and speaks after the OK, before TLS, is not believed.
    (
        Imap,
        Starttls,
        &[
            b"* OK\r\n",
            b"* CAPABILITY IMAP4rev1 STARTTLS\r\nA1 OK\r\n",
            b"A2 OK\r\n* CAPABILITY X\r\n",
        ],
        Stage::Tls,
        "before its turn",
    ),
    (
        Pop3,
        Starttls,
        &[b"+OK\r\n", b"+OK\r\nSTLS\r\nUIDL\r\n.\r\n", b"+OK\r\n+OK\r\n"],
        Stage::Tls,
        "before its turn",
    ),
    (
        Imap,
        Starttls,
        &[b"* OK\r\n", b"* CAPABILITY IMAP4rev1\r\nA1 OK\r\n"],
        Stage::Tls,
        "does not offer STARTTLS",
    ),
    (
        Pop3,
        Starttls,
        &[b"+OK\r\n", b"-ERR\r\n"],
        Stage::Tls,
        "does not offer STLS",
    ),
    (
        Imap,
        Plain,
        &[b"* OK\r\n", b"* CAPABILITY IMAP4rev1 LOGINDISABLED\r\nA1 OK\r\n"],
        Stage::Auth,
        "no login",
    ),
];

/// A server that keeps to its text. It ends when it is dropped.
struct Scripted {
    address: SocketAddr,
    _serving: JoinSet<()>,
}

impl Scripted {
    async fn start(texts: &'static [&'static [u8]]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // One client at a time is all there is.
                let _ = recite(stream, texts).await;
            }
        });
        Self {
            address,
            _serving: serving,
        }
    }
}

async fn recite(mut stream: TcpStream, texts: &[&[u8]]) -> std::io::Result<()> {
    let mut buffer = [0; 4096];
    for (index, text) in texts.iter().enumerate() {
        if index > 0 && stream.read(&mut buffer).await? == 0 {
            return Ok(());
        }
        stream.write_all(text).await?;
    }
    // Until the client goes.
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

#[tokio::test]
async fn servers_that_misbehave_are_left() {
    let mut home = Home::new();
    for limit in ["tls", "command"] {
        home.set(&format!("delivery.timeouts.{limit}"), "1s");
    }
    let admin = home.caller("ops", Role::Admin).await;
    let service = home.serve(Machine::real()).await;
    let admin = service.client(&admin).await;
    for (protocol, security, texts, stage, part) in CASES {
        let server = Scripted::start(texts).await;
        let settings = pb::Inbox {
            protocol: protocol.into(),
            security: security.into(),
            host: "127.0.0.1".to_owned(),
            port: server.address.port().into(),
            username: "ann".to_owned(),
            secret: password("secret"),
            ..pb::Inbox::default()
        };
        let tested = in_time(test(&admin, settings)).await;
        let last = tested.stages.last().unwrap();
        assert_eq!((last.stage(), last.passed), (stage, false), "{part}: {tested:?}");
        assert!(last.reply.contains(part), "{part}: {tested:?}");
        assert!(last.reply.len() <= 512);
    }
    service.stop().await;
}

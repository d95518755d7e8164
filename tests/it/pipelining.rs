//! Mails at the rate of the line: how often a mail waits for its server, what goes out together, and what is known of it
//! when something goes wrong in between.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use mailfactor::{
    app::Machine,
    domain::{
        account::Security,
        delivery::{FailureKind, Stage},
    },
    mail::{MailSettings, Unsent, Withheld},
    pb::v1 as pb,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::Instant,
};

use crate::harness::{
    certs::{Authority, Kind},
    ground::Ground,
    in_time,
    post::{Post, address},
    proxy::{Fault, Proxy},
    service::Home,
    smtp::{Act, At, Options, Speech},
};

async fn facing(options: Options) -> Post {
    Post::new(options, MailSettings::default()).await
}

async fn modern() -> Post {
    facing(Options::modern()).await
}

/// The verbs of all flights.
fn flights(post: &Post) -> Vec<String> {
    let flights = post.server.flights();
    flights.iter().map(|flight| flight.verbs.join(" ")).collect()
}

#[tokio::test]
async fn a_mail_takes_two_round_trips_on_a_warm_connection() {
    let authority = Authority::new();
    for security in [Security::Plain, Security::StartTls, Security::ImplicitTls] {
        let options = Options {
            security,
            tls: Some(authority.server(Kind::Good)),
            ..Options::modern()
        };
        let settings = MailSettings {
            extra_roots: Some(authority.path().to_owned()),
            ..MailSettings::default()
        };
        let post = Post::new(options, settings).await;
        post.send().await.unwrap();
        let (before, begun) = (post.server.round_trips(), post.server.flights().len());
        for _ in 0..5 {
            post.send().await.unwrap();
        }
        assert_eq!(post.server.round_trips() - before, 2 * 5, "{security:?}");
        for mail in flights(&post)[begun..].chunks(2) {
            assert_eq!(mail, ["MAIL RCPT DATA", "."], "{security:?}");
        }
        assert_eq!((post.server.connections(), post.server.mails().len()), (1, 6));
    }
}

#[tokio::test]
async fn a_server_that_does_not_offer_it_hears_one_command_at_a_time() {
    let keywords = Options::modern().keywords;
    let post = facing(Options {
        keywords: keywords
            .into_iter()
            .filter(|word| *word != "PIPELINING")
            .collect(),
        ..Options::default()
    })
    .await;
    post.send().await.unwrap();
    let before = post.server.round_trips();
    post.send().await.unwrap();
    assert_eq!(post.server.round_trips() - before, 4);
    assert_eq!(
        flights(&post),
        ["EHLO", "MAIL", "RCPT", "DATA", ".", "MAIL", "RCPT", "DATA", "."]
    );
}

#[tokio::test]
async fn replies_come_in_one_packet_or_in_many() {
    for speech in [Speech::Together, Speech::Bytes] {
        let post = facing(Options {
            speech,
            ..Options::modern()
        })
        .await;
        post.server
            .times(1, At::Rcpt, Act::Reply("550-5.1.1 no\r\n550 5.1.1 such user"));
        let failure = post.send().await.unwrap_err();
        assert_eq!((failure.stage, failure.code), (Stage::Rcpt, Some(550)));
        assert_eq!(failure.reply, "5.1.1 no such user");
        for _ in 0..3 {
            assert_eq!(post.send().await.unwrap().reply, "2.0.0 queued as 1");
        }
        assert_eq!(post.server.connections(), 1, "{speech:?}");
        assert_eq!(post.server.mails()[0].data, post.rendered().message);
    }
}

#[tokio::test]
async fn a_refused_sender_or_recipient_ends_it_and_nothing_is_sent() {
    for invites_to_nobody in [false, true] {
        for (at, stage) in [(At::Mail, Stage::Mail), (At::Rcpt, Stage::Rcpt)] {
            for (reply, kind) in [
                ("451 4.3.0 later", FailureKind::Temporary),
                ("550 5.7.1 never", FailureKind::Permanent),
                // The enhanced status code says that it is not for good.
                ("550 4.7.1 greylisted", FailureKind::Temporary),
            ] {
                let post = facing(Options {
                    invites_to_nobody,
                    ..Options::modern()
                })
                .await;
                post.server.times(1, at, Act::Reply(reply));
                let failure = post.send().await.unwrap_err();
                let code = reply[..3].parse().ok();
                assert_eq!((failure.stage, failure.kind, failure.code), (stage, kind, code));
                assert_eq!(failure.reply, reply[4..]);
                assert!(post.server.mails().is_empty());
                let dots = usize::from(invites_to_nobody);
                assert_eq!(
                    flights(&post).iter().filter(|flight| *flight == ".").count(),
                    dots
                );
                // What it left behind is cleared in the group of the next mail.
                let before = post.server.round_trips();
                post.send().await.unwrap();
                assert_eq!(post.server.round_trips() - before, 2);
                assert_eq!(flights(&post).iter().rev().nth(1).unwrap(), "RSET MAIL RCPT DATA");
                assert_eq!((post.server.connections(), post.server.mails().len()), (1, 1));
            }
        }
    }
}

#[tokio::test]
async fn a_server_that_says_goodbye_in_the_middle_is_not_asked_for_more() {
    for (at, stage, kind) in [
        (At::Mail, Stage::Mail, FailureKind::Temporary),
        (At::Rcpt, Stage::Rcpt, FailureKind::Temporary),
        (At::Data, Stage::Data, FailureKind::Temporary),
        (At::Refuse, Stage::Accept, FailureKind::Temporary),
    ] {
        for act in [
            Act::Farewell("421 4.3.2 shutting down"),
            Act::Reply("421 4.3.2 shutting down"),
        ] {
            let post = modern().await;
            post.server.times(1, at, act);
            assert_eq!(post.fails().await, (stage, kind, Some(421)));
            assert!(post.server.mails().is_empty());
            post.send().await.unwrap();
            assert_eq!((post.server.connections(), post.server.mails().len()), (2, 1));
        }
    }
    // A refusal stays what it was, though the server leaves before it has answered everything.
    let post = modern().await;
    post.server.on(At::Rcpt, Act::Reply("550 5.1.1 unknown"));
    post.server.on(At::Data, Act::Drop);
    assert_eq!(
        post.fails().await,
        (Stage::Rcpt, FailureKind::Permanent, Some(550))
    );
}

#[tokio::test]
async fn a_reply_that_was_not_asked_for_is_not_taken_for_the_last_one() {
    // One too many to the group: it would be read as the answer to the dot.
    let post = modern().await;
    let injected = "354 go ahead\r\n250 2.0.0 queued, believe me\r\n";
    post.server.times(1, At::Data, Act::Raw(injected.into()));
    let failure = post.send().await.unwrap_err();
    assert_eq!(
        (failure.stage, failure.kind),
        (Stage::Data, FailureKind::Temporary)
    );
    assert_eq!(failure.reply, "the server spoke before its turn");
    assert!(post.server.mails().is_empty());
    // One too many to the dot: the mail was taken, and the connection is not used again.
    let twice = "250 2.0.0 queued\r\n250 2.1.0 sender ok\r\n";
    post.server.times(1, At::Dot, Act::Raw(twice.into()));
    post.send().await.unwrap();
    post.send().await.unwrap();
    assert_eq!((post.server.connections(), post.server.mails().len()), (3, 2));
}

#[tokio::test]
async fn leave_is_asked_for_once_before_anything_is_said() {
    let post = modern().await;
    post.send().await.unwrap();
    let asked = AtomicUsize::new(0);
    let said = post.server.commands().len();
    let refuse = async {
        assert_eq!(post.server.commands().len(), said);
        asked.fetch_add(1, Ordering::SeqCst);
        Err(Withheld::Unasked)
    };
    let refused = post.attempt(refuse).await;
    assert_eq!(refused, Err(Unsent::Withheld(Withheld::Unasked)));
    assert_eq!(post.server.commands().len(), said);
    // The connection is as good as before; dead after all, it is replaced, and leave holds for the next one.
    post.server.times(1, At::Mail, Act::Drop);
    let grant = async {
        asked.fetch_add(1, Ordering::SeqCst);
        Ok(())
    };
    post.attempt(grant).await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    assert_eq!((post.server.connections(), post.server.mails().len()), (2, 2));
}

#[tokio::test]
async fn a_mail_whose_time_is_over_is_not_begun() {
    let post = modern().await;
    let clock = post.clock.clone();
    let clearance = async move {
        clock.advance(Duration::from_secs(301));
        Ok(())
    };
    let late = post.attempt(clearance).await;
    assert_eq!(late, Err(Unsent::Withheld(Withheld::Late)));
    assert_eq!(post.server.commands(), ["EHLO"]);
}

#[tokio::test]
async fn the_server_is_told_what_it_wants_to_know() {
    let mut post = modern().await;
    post.send().await.unwrap();
    let size = post.rendered().message.len();
    let told = &post.server.wait_for_mails(1).await[0];
    assert_eq!(
        told.sender,
        format!("<noreply@example.com> SIZE={size} RET=HDRS ENVID=1@example.com")
    );
    assert_eq!(told.recipient, "<ann@example.org> NOTIFY=FAILURE,DELAY");
    post.recipient = address("jürgen@example.org");
    post.send().await.unwrap();
    let told = &post.server.wait_for_mails(2).await[1];
    assert!(
        told.sender
            .starts_with("<noreply@example.com> SMTPUTF8 BODY=8BITMIME SIZE="),
        "{told:?}"
    );
    assert_eq!(told.recipient, "<jürgen@example.org> NOTIFY=FAILURE,DELAY");
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_here_and_for_good() {
    let post = facing(Options {
        keywords: vec!["PIPELINING", "SIZE 200"],
        ..Options::default()
    })
    .await;
    let asked = async { unreachable!("nobody asks for a mail that cannot be sent") };
    let Err(Unsent::Failed(failure)) = post.attempt(asked).await else {
        panic!("it was sent");
    };
    assert_eq!(
        (failure.stage, failure.kind, failure.code),
        (Stage::Mail, FailureKind::Permanent, None)
    );
    assert!(failure.reply.contains("200 at the most"), "{failure:?}");
    assert_eq!(post.server.commands(), ["EHLO"]);
}

#[tokio::test]
async fn a_server_that_comes_back_does_not_get_everybody_at_once() {
    let post = modern().await;
    post.server.on(At::Greeting, Act::Drop);
    for _ in 0..5 {
        post.fails().await;
    }
    let during = post.server.connections();
    post.server.behave();
    post.clock.advance(Duration::from_secs(5));
    // The probe, and then eight that have waited.
    post.send().await.unwrap();
    let mut sends: FuturesUnordered<_> = (0..8).map(|_| post.send()).collect();
    sends.next().await.unwrap().unwrap();
    let opened = post.server.connections() - during;
    assert!(opened <= 2, "{opened} connections at once");
    while let Some(sent) = sends.next().await {
        sent.unwrap();
    }
    assert_eq!(post.server.mails().len(), 9);
}

/// How long a reply takes that the server gives at once.
async fn round_trip(proxy: &Proxy) -> Duration {
    let mut stream = BufReader::new(TcpStream::connect(proxy.address).await.unwrap());
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();
    let mut shortest = Duration::MAX;
    for _ in 0..5 {
        let begun = Instant::now();
        stream.write_all(b"NOOP\r\n").await.unwrap();
        stream.read_line(&mut line).await.unwrap();
        shortest = shortest.min(begun.elapsed());
    }
    shortest
}

#[tokio::test]
async fn a_far_server_costs_a_start_two_round_trips() {
    let mut home = Home::new();
    home.set("delivery.wait", "5s");
    let ground = Ground::set(home).await;
    let proxy = Proxy::start(ground.smtp.address).await;
    let service = ground.home.serve(Machine::real()).await;
    let admin = service.client(&ground.admin).await;
    admin.mail_through(proxy.address).await;
    let idp = service.client(&ground.idp).await;
    proxy.set(Fault::Latency(Duration::from_millis(50)));
    let there_and_back = round_trip(&proxy).await;
    assert!(there_and_back >= Duration::from_millis(100));
    // The first one finds no warm connection; of the others the fastest shows what the way costs, and the rest what else
    // this machine does.
    let mut shortest = Duration::MAX;
    for number in 0..8 {
        let request = pb::StartChallengeRequest {
            user: format!("u{number}"),
            wait_for_mail_server: true,
            ..pb::StartChallengeRequest::default()
        };
        let begun = Instant::now();
        let answer = in_time(idp.challenges.clone().start_challenge(request))
            .await
            .unwrap();
        let took = begun.elapsed();
        let challenge = answer.into_inner().challenge.unwrap();
        assert_eq!(challenge.delivery(), pb::DeliveryState::Sent);
        if number > 0 {
            shortest = shortest.min(took);
        }
    }
    let ratio = shortest.as_secs_f64() / there_and_back.as_secs_f64();
    assert!(
        ratio <= 2.3,
        "{ratio:.2} round trips: {shortest:?} of {there_and_back:?}"
    );
    assert!(
        ratio >= 1.9,
        "{ratio:.2} round trips: not even the message could be there"
    );
    assert_eq!(ground.smtp.connections(), 2);
    service.stop().await;
}

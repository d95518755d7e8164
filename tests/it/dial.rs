//! Every trap and limit of the way to a mail server: what a hostile, broken or silent server may do to us.

use std::{
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use mailfactor::{
    domain::{
        account::{Login, Secret, Security},
        clock::Clock as _,
        delivery::{ConnectionReport, FailureKind, Stage},
    },
    mail::{MailSettings, Unsent, Withheld},
    secret_files::SecretFiles,
    store::Leave,
};

use crate::harness::{
    certs::{Authority, Kind},
    post::{Post, SHORT, address, hasty},
    smtp::{Act, At, Options},
};

/// A post whose server has this kind of certificate, issued by an authority that is believed.
async fn encrypted(security: Security, kind: Kind, settings: MailSettings) -> (Post, Authority) {
    let authority = Authority::new();
    let options = Options {
        security,
        tls: Some(authority.server(kind)),
        ..Options::default()
    };
    let settings = MailSettings {
        extra_roots: Some(authority.path().to_owned()),
        ..settings
    };
    (Post::new(options, settings).await, authority)
}

const TEMPORARY: FailureKind = FailureKind::Temporary;

#[tokio::test]
async fn mails_share_a_connection_and_nothing_is_asked_in_between() {
    let post = Post::plain().await;
    for _ in 0..3 {
        let accepted = post.send().await.unwrap();
        assert_eq!(
            (accepted.code, accepted.reply.as_str()),
            (250, "2.0.0 queued as 1")
        );
    }
    let mails = post.server.wait_for_mails(3).await;
    assert_eq!(post.server.connections(), 1);
    assert_eq!(
        post.server.commands().join(" "),
        "EHLO MAIL RCPT DATA MAIL RCPT DATA MAIL RCPT DATA"
    );
    assert_eq!(mails[0].sender, "<noreply@example.com>");
    assert_eq!(mails[0].recipient, "<ann@example.org>");
    assert_eq!(mails[0].data, post.rendered().message);
}

#[tokio::test]
async fn tls_is_spoken_either_way() {
    for security in [Security::StartTls, Security::ImplicitTls] {
        let (post, _authority) = encrypted(security, Kind::Good, MailSettings::default()).await;
        post.send().await.unwrap();
        post.send().await.unwrap();
        assert_eq!(post.server.connections(), 1);
        let report = post.test().await;
        assert!(report.succeeded(), "{report:?}");
        assert_eq!(
            report.tls.as_ref().map(|tls| tls.version.as_str()),
            Some("TLSv1.3")
        );
    }
}

#[tokio::test]
async fn certificates_that_prove_nothing_end_it_before_a_word_is_said() {
    for security in [Security::StartTls, Security::ImplicitTls] {
        for kind in [Kind::Expired, Kind::WrongName] {
            let (post, _authority) = encrypted(security, kind, MailSettings::default()).await;
            assert_eq!(
                post.fails().await,
                (Stage::Tls, TEMPORARY, None),
                "{security:?} {kind:?}"
            );
            assert_eq!(post.server.count("MAIL"), 0);
        }
        let stranger = Authority::new();
        let options = Options {
            security,
            tls: Some(stranger.server(Kind::Good)),
            ..Options::default()
        };
        let post = Post::new(options, MailSettings::default()).await;
        assert_eq!(post.fails().await, (Stage::Tls, TEMPORARY, None));
    }
}

#[tokio::test]
async fn a_server_without_starttls_learns_nothing() {
    let options = Options {
        security: Security::StartTls,
        offer_starttls: false,
        login: Some(("PLAIN", "user", "hunter22")),
        ..Options::default()
    };
    let mut post = Post::new(options, MailSettings::default()).await;
    post.log_in_with("user", "hunter22");
    let failure = post.send().await.unwrap_err();
    assert_eq!((failure.stage, failure.kind), (Stage::Tls, TEMPORARY));
    assert_eq!(failure.reply, "the server does not offer STARTTLS");
    assert_eq!(post.server.commands(), ["EHLO"]);
}

#[tokio::test]
async fn a_reply_put_in_before_tls_is_not_believed() {
    let (post, _authority) = encrypted(Security::StartTls, Kind::Good, MailSettings::default()).await;
    for injected in ["220 go ahead\r\n250 injected\r\n", "220 go ahead\r\n2"] {
        post.server.on(At::StartTls, Act::Raw(injected.into()));
        let failure = post.send().await.unwrap_err();
        assert_eq!((failure.stage, failure.kind), (Stage::Tls, TEMPORARY));
        assert_eq!(failure.reply, "the server spoke before its turn");
    }
    assert_eq!(post.server.commands(), ["EHLO", "STARTTLS", "EHLO", "STARTTLS"]);
    post.server.on(At::StartTls, Act::Reply("454 4.7.0 no TLS today"));
    assert_eq!(post.fails().await, (Stage::Tls, TEMPORARY, Some(454)));
}

/// Where a plain server can fail, and what that is called.
const STAGES: [(At, Stage, FailureKind); 6] = [
    (At::Greeting, Stage::Ehlo, FailureKind::Temporary),
    (At::Ehlo, Stage::Ehlo, FailureKind::Temporary),
    (At::Mail, Stage::Mail, FailureKind::Temporary),
    (At::Rcpt, Stage::Rcpt, FailureKind::Temporary),
    (At::Data, Stage::Data, FailureKind::Temporary),
    (At::Dot, Stage::Accept, FailureKind::Ambiguous),
];

#[tokio::test]
async fn silence_drips_and_endless_lines_end_in_time_at_the_right_stage() {
    for options in Options::both() {
        for (at, stage, kind) in STAGES {
            for act in [Act::Silence, Act::Drip(Duration::from_millis(20)), Act::Endless] {
                let post = Post::new(options.clone(), hasty()).await;
                post.server.on(at, act.clone());
                assert_eq!(post.fails().await, (stage, kind, None), "{at:?} {act:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_same_holds_before_and_in_tls() {
    for at in [At::Greeting, At::Ehlo, At::StartTls, At::Handshake] {
        for act in [
            Act::Silence,
            Act::Drip(Duration::from_millis(20)),
            Act::Endless,
            Act::Drop,
        ] {
            let (post, _authority) = encrypted(Security::StartTls, Kind::Good, hasty()).await;
            post.server.on(at, act.clone());
            assert_eq!(
                post.fails().await,
                (Stage::Tls, TEMPORARY, None),
                "{at:?} {act:?}"
            );
        }
    }
    let (post, _authority) = encrypted(Security::StartTls, Kind::Good, hasty()).await;
    post.server.on(At::EhloAgain, Act::Silence);
    assert_eq!(post.fails().await, (Stage::Ehlo, TEMPORARY, None));
}

#[tokio::test]
async fn drops_and_resets_are_told_by_their_stage() {
    for options in Options::both() {
        // Whether a message that was read was kept, only the server knows.
        let more = (At::Refuse, Stage::Accept, FailureKind::Ambiguous);
        for (at, stage, kind) in STAGES.into_iter().chain([more]) {
            for act in [Act::Drop, Act::Reset] {
                let post = Post::new(options.clone(), MailSettings::default()).await;
                post.server.on(at, act.clone());
                assert_eq!(post.fails().await, (stage, kind, None), "{at:?} {act:?}");
                assert_eq!(post.server.mails().len(), usize::from(at == At::Dot));
            }
        }
        // Cut while the message comes in: it went out whole, or the dot did not.
        for act in [Act::Drop, Act::Reset] {
            let post = Post::new(options.clone(), MailSettings::default()).await;
            post.server.on(At::Body, act);
            let (stage, kind, _) = post.fails().await;
            let whole = stage == Stage::Accept && kind == FailureKind::Ambiguous;
            assert!(whole || (stage, kind) == (Stage::Data, TEMPORARY), "{stage:?}");
        }
    }
}

#[tokio::test]
async fn refusals_are_temporary_or_permanent_as_the_server_says() {
    let stages = [
        (At::Mail, Stage::Mail),
        (At::Rcpt, Stage::Rcpt),
        (At::Data, Stage::Data),
        (At::Refuse, Stage::Accept),
    ];
    for (options, (at, stage)) in Options::both()
        .into_iter()
        .flat_map(|options| stages.map(|stage| (options.clone(), stage)))
    {
        let post = Post::new(options, MailSettings::default()).await;
        post.server.times(1, at, Act::Reply("451 4.3.0 later"));
        assert_eq!(post.fails().await, (stage, TEMPORARY, Some(451)));
        post.server.times(1, at, Act::Reply("550 5.7.1 never"));
        assert_eq!(post.fails().await, (stage, FailureKind::Permanent, Some(550)));
        post.send().await.unwrap();
        // A refusal is no reason to hang up: RSET clears what it left behind.
        assert_eq!(post.server.connections(), 1, "{at:?}");
    }
    let post = Post::plain().await;
    post.server.on(At::Greeting, Act::Reply("554 5.3.2 not you"));
    assert_eq!(post.fails().await, (Stage::Ehlo, TEMPORARY, Some(554)));
}

#[tokio::test]
async fn replies_that_make_no_sense_are_not_taken_for_success() {
    for (at, text) in [
        (At::Greeting, "HTTP/1.1 400 Bad Request\r\n"),
        (At::Ehlo, "250-test.example\r\n550 8BITMIME\r\n"),
        (At::Ehlo, "\u{1}\u{2}\u{3}\r\n"),
        (At::Mail, "354 what\r\n"),
        (At::Rcpt, "999 what\r\n"),
        (At::Data, "250 thanks\r\n"),
    ] {
        for options in Options::both() {
            let post = Post::new(options, hasty()).await;
            post.server.on(at, Act::Raw(text.into()));
            let failure = post.send().await.unwrap_err();
            assert_eq!(failure.kind, TEMPORARY, "{text:?} {failure:?}");
            assert_eq!(post.server.mails().len(), 0);
        }
    }
    let post = Post::hasty().await;
    post.server.on(At::Dot, Act::Raw("999 what\r\n".into()));
    assert_eq!(post.fails().await, (Stage::Accept, FailureKind::Ambiguous, None));
    // A line that offers nothing is no reason to leave.
    let post = Post::hasty().await;
    let spaces = "250-test.example\r\n250-   \r\n250 8BITMIME\r\n";
    post.server.on(At::Ehlo, Act::Raw(spaces.into()));
    post.send().await.unwrap();
}

#[tokio::test]
async fn what_a_server_says_is_cleaned_before_it_is_kept() {
    let post = Post::plain().await;
    post.server.on(
        At::Rcpt,
        Act::Raw("550-5.1.1 <ann@example.org>\u{1b}[31m\r\n550 5.1.1 no \u{202e}mailbox\r\n".into()),
    );
    let failure = post.send().await.unwrap_err();
    assert_eq!(failure.reply, "5.1.1 <[...]> [31m no  mailbox");
    let long: &'static str = Box::leak(format!("550 {}", "x".repeat(900)).into_boxed_str());
    post.server.on(At::Rcpt, Act::Reply(long));
    assert_eq!(post.send().await.unwrap_err().reply.len(), 512);
}

#[tokio::test]
async fn a_connection_that_died_in_the_pool_is_replaced_unless_the_dot_was_sent() {
    let acts = [
        Act::Drop,
        Act::Reset,
        Act::Reply("421 4.4.2 idle too long"),
        Act::Farewell("421 4.4.2 idle too long"),
    ];
    for (options, act) in Options::both()
        .into_iter()
        .flat_map(|options| acts.clone().map(|act| (options.clone(), act)))
    {
        let post = Post::new(options, MailSettings::default()).await;
        post.send().await.unwrap();
        post.server.times(1, At::Mail, act);
        post.send().await.unwrap();
        assert_eq!((post.server.connections(), post.server.mails().len()), (2, 2));
        post.server.times(1, At::Dot, Act::Drop);
        assert_eq!(post.fails().await, (Stage::Accept, FailureKind::Ambiguous, None));
        assert_eq!((post.server.connections(), post.server.mails().len()), (2, 3));
    }
}

#[tokio::test]
async fn a_changed_account_gets_connections_of_its_own() {
    let mut post = Post::plain().await;
    post.send().await.unwrap();
    post.account.version += 1;
    post.send().await.unwrap();
    assert_eq!(post.server.connections(), 2);
}

#[tokio::test]
async fn logs_in_with_plain_or_login() {
    for mechanisms in ["PLAIN", "LOGIN", "CRAM-MD5 LOGIN PLAIN"] {
        let options = Options {
            login: Some((mechanisms, "user", "hunter22")),
            ..Options::default()
        };
        let mut post = Post::new(options, MailSettings::default()).await;
        post.log_in_with("user", "hunter22");
        post.send().await.unwrap();
        post.send().await.unwrap();
        assert_eq!(post.server.count("AUTH"), 1, "{mechanisms}");
    }
}

#[tokio::test]
async fn a_refused_login_opens_the_breaker_and_gives_no_secret_away() {
    let options = Options {
        login: Some(("PLAIN", "user", "other")),
        ..Options::default()
    };
    let mut post = Post::new(options, MailSettings::default()).await;
    post.log_in_with("user", "hunter22");
    post.server.on(
        At::Auth,
        Act::Reply("535 5.7.8 Hunter22 is wrong, so is AHVzZXIAaHVudGVyMjI="),
    );
    let failure = post.send().await.unwrap_err();
    assert_eq!(
        (failure.stage, failure.kind, failure.code),
        (Stage::Auth, TEMPORARY, Some(535))
    );
    assert_eq!(failure.reply, "5.7.8 [...] is wrong, so is [...]");
    assert!(!post.transports.healthy());
    let again = post.transports.enter(&post.account).unwrap_err();
    assert_eq!(again.until(), post.clock.now().plus(Duration::from_secs(5)));
    // The server takes the password again: the probe finds out.
    post.server.on(At::Auth, Act::Raw("235 2.7.0 welcome\r\n".into()));
    post.clock.advance(Duration::from_secs(5));
    post.send().await.unwrap();
    assert!(post.transports.healthy());
}

#[tokio::test]
async fn a_server_without_a_mechanism_of_ours_is_not_sent_the_password() {
    let options = Options {
        login: Some(("CRAM-MD5", "user", "hunter22")),
        ..Options::default()
    };
    let mut post = Post::new(options, MailSettings::default()).await;
    post.log_in_with("user", "hunter22");
    assert_eq!(post.fails().await, (Stage::Auth, TEMPORARY, None));
    assert_eq!(post.server.count("AUTH"), 0);
}

#[tokio::test]
async fn a_secret_in_a_file_is_read_at_each_login() {
    let options = Options {
        login: Some(("PLAIN", "user", "hunter22")),
        ..Options::default()
    };
    let directory = tempfile::tempdir().unwrap();
    let settings = MailSettings {
        secret_files: Arc::new(SecretFiles::new(vec![directory.path().to_owned()], Vec::new())),
        ..MailSettings::default()
    };
    let mut post = Post::new(options, settings).await;
    let mut file = tempfile::NamedTempFile::new_in(directory.path()).unwrap();
    file.write_all(b"old\n").unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    let login = |secret| Login {
        username: "user".into(),
        secret,
    };
    post.account.settings.login = Some(login(Secret::File(path)));
    assert!(!post.test().await.succeeded());
    std::fs::write(file.path(), "hunter22\n").unwrap();
    assert!(post.test().await.succeeded());
    for secret in [
        Secret::File("/nowhere".into()),
        Secret::File("/dev/zero".into()),
        Secret::Environment("MAILFACTOR_SECRET_NOT_SET".into()),
        Secret::Environment("PATH".into()),
    ] {
        post.account.settings.login = Some(login(secret));
        let report = post.test().await;
        let last = report.stages.last().unwrap();
        assert_eq!((last.stage, last.passed), (Stage::Auth, false));
        assert!(last.reply.to_lowercase().contains("secret"), "{last:?}");
    }
}

#[tokio::test]
async fn five_failures_of_the_account_open_the_breaker_and_an_edit_closes_it() {
    let mut post = Post::plain().await;
    post.server.on(At::Greeting, Act::Drop);
    for _ in 0..5 {
        assert!(post.transports.healthy());
        assert_eq!(post.fails().await.0, Stage::Ehlo);
    }
    assert!(!post.transports.healthy());
    assert!(post.transports.enter(&post.account).is_err());
    post.account.version += 1;
    assert!(post.transports.enter(&post.account).is_ok());
    post.transports.retain([]);
    assert!(post.transports.healthy());
}

#[tokio::test]
async fn failures_of_one_mail_do_not_open_the_breaker() {
    let post = Post::plain().await;
    post.server.on(At::Rcpt, Act::Reply("550 5.1.1 unknown"));
    for _ in 0..8 {
        assert_eq!(post.fails().await.0, Stage::Rcpt);
    }
    assert!(post.transports.healthy());
}

#[tokio::test]
async fn one_deadline_holds_for_the_whole_attempt() {
    let settings = MailSettings {
        attempt_timeout: SHORT,
        ..MailSettings::default()
    };
    let post = Post::new(Options::default(), settings).await;
    for at in [At::Greeting, At::Ehlo, At::Mail, At::Rcpt] {
        post.server.on(at, Act::Delay(SHORT / 3));
    }
    let failure = post.send().await.unwrap_err();
    assert_eq!(failure.kind, TEMPORARY);
    assert_eq!(failure.reply, "the attempt took too long");
    assert_eq!(post.server.mails().len(), 0);
}

#[tokio::test]
async fn a_mail_whose_time_is_over_is_not_transmitted() {
    let post = Post::plain().await;
    let clock = Arc::clone(&post.clock);
    let clearance = async move {
        // What a frozen process, or a slow store, looks like from here.
        clock.advance(Duration::from_secs(301));
        Ok(())
    };
    assert_eq!(
        post.attempt(clearance).await,
        Err(Unsent::Withheld(Withheld::Late))
    );
    assert_eq!(post.server.commands(), ["EHLO", "MAIL", "RCPT"]);
}

#[tokio::test]
async fn leave_is_asked_for_once_after_the_recipient_was_accepted() {
    let post = Post::plain().await;
    let asked = AtomicUsize::new(0);
    let refuse = async {
        assert_eq!(post.server.commands(), ["EHLO", "MAIL", "RCPT"]);
        asked.fetch_add(1, Ordering::SeqCst);
        Err(Withheld::Refused(Leave::Lost))
    };
    let result = post.attempt(refuse).await;
    assert_eq!(result, Err(Unsent::Withheld(Withheld::Refused(Leave::Lost))));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    post.send().await.unwrap();
    assert_eq!(post.server.connections(), 1);
    assert_eq!(post.server.count("RSET"), 1);
    post.server.on(At::Rcpt, Act::Reply("550 no"));
    let never = async { unreachable!("nobody asks for a mail that was refused") };
    assert!(post.attempt(never).await.is_err());
}

#[tokio::test]
async fn addresses_beyond_ascii_need_a_server_that_takes_them() {
    let mut post = Post::plain().await;
    post.recipient = address("jürgen@example.org");
    post.send().await.unwrap();
    let mails = post.server.wait_for_mails(1).await;
    assert_eq!(mails[0].sender, "<noreply@example.com> SMTPUTF8 BODY=8BITMIME");
    assert_eq!(mails[0].recipient, "<jürgen@example.org>");
    let options = Options {
        keywords: vec!["8BITMIME"],
        ..Options::default()
    };
    let mut post = Post::new(options, MailSettings::default()).await;
    post.recipient = address("jürgen@example.org");
    let failure = post.send().await.unwrap_err();
    assert_eq!(
        (failure.stage, failure.kind),
        (Stage::Mail, FailureKind::Permanent)
    );
    assert!(failure.reply.contains("SMTPUTF8"));
}

#[tokio::test]
async fn only_addresses_on_the_allow_list_are_connected_to() {
    for (range, works) in [("127.0.0.0/8", true), ("192.0.2.0/24", false)] {
        let settings = MailSettings {
            egress: vec![range.parse().unwrap()],
            ..MailSettings::default()
        };
        let mut post = Post::new(Options::default(), settings).await;
        post.account.settings.server.host = "localhost".into();
        assert_eq!(post.send().await.is_ok(), works);
        assert_eq!(post.server.connections(), usize::from(works));
    }
}

#[tokio::test]
async fn names_and_ports_that_lead_nowhere() {
    let mut post = Post::plain().await;
    post.account.settings.server.host = "no-such-host.invalid".into();
    assert_eq!(post.fails().await.0, Stage::Resolve);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    post.account.settings.server.host = "127.0.0.1".into();
    post.account.settings.server.port = listener.local_addr().unwrap().port();
    drop(listener);
    assert_eq!(post.fails().await, (Stage::Connect, TEMPORARY, None));
}

#[tokio::test]
async fn a_test_tells_of_every_stage_and_sends_nothing() {
    let (mut post, _authority) = encrypted(Security::StartTls, Kind::Good, MailSettings::default()).await;
    let stages = |report: &ConnectionReport| -> Vec<(Stage, bool)> {
        report
            .stages
            .iter()
            .map(|stage| (stage.stage, stage.passed))
            .collect()
    };
    let passed = [
        Stage::Resolve,
        Stage::Connect,
        Stage::Tls,
        Stage::Ehlo,
        Stage::Mail,
        Stage::Rcpt,
    ];
    let mut expected: Vec<_> = passed.map(|stage| (stage, true)).to_vec();
    expected.push((Stage::Reset, true));
    let report = post.test().await;
    assert_eq!(stages(&report), expected);
    assert_eq!(report.stages[5].reply, "2.1.5 recipient ok");
    post.server.on(At::Rcpt, Act::Reply("550 5.1.1 unknown"));
    expected.truncate(5);
    expected.push((Stage::Rcpt, false));
    let report = post.test().await;
    assert_eq!(stages(&report), expected);
    assert_eq!(report.stages[5].reply, "5.1.1 unknown");
    post.account.settings.server.security = Security::Plain;
    assert!(!stages(&post.test().await).contains(&(Stage::Tls, true)));
    assert_eq!(post.server.mails().len(), 0);
    assert_eq!(post.server.count("DATA"), 0);
}

#[tokio::test]
async fn an_account_has_so_many_connections_and_no_more() {
    let settings = MailSettings {
        pool_size: 2,
        ..MailSettings::default()
    };
    let post = Post::new(Options::default(), settings).await;
    let sends = (0..20).map(|_| post.send());
    let results = futures_util::future::join_all(sends).await;
    assert!(results.iter().all(Result::is_ok));
    assert!(post.server.connections() <= 2);
}

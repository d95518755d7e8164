//! What a token endpoint does wrong, and what a mail server says to a token: scripted, for no real one does it on request.

use std::{sync::Arc, time::Duration};

use mailfactor::{
    app::Machine,
    domain::caller::Role,
    pb::v1::{self as pb, oauth_secret::Source},
};

use crate::harness::{
    ManualClock,
    bearers::{Bearers, CHALLENGE},
    client::Client,
    in_time,
    oauth::{Answer, ScriptedEndpoint},
    scene::refused,
    service::{Home, Service, find_in_files},
    smtp::{Act, At, Options, SmtpServer},
};

struct Scene {
    service: Service,
    smtp: SmtpServer,
    bearers: Bearers,
    endpoint: ScriptedEndpoint,
    clock: Arc<ManualClock>,
    admin: Client,
    idp: Client,
    home: Home,
}

impl Scene {
    async fn set(answer: Answer) -> Self {
        Self::at(Home::new(), answer).await
    }

    async fn at(home: Home, answer: Answer) -> Self {
        home.users(&[("ann", "ann@example.com"), ("bo", "bo@example.com")]);
        let bearers = Bearers::default();
        let smtp = SmtpServer::start(Options {
            bearers: Some(bearers.clone()),
            ..Options::default()
        })
        .await;
        let endpoint = ScriptedEndpoint::start(answer).await;
        let clock = Arc::new(ManualClock::new());
        let machine = Machine {
            clock: clock.clone(),
            ..Machine::real()
        };
        let service = home.serve(machine).await;
        let admin = service.client(&home.caller("ops", Role::Admin).await).await;
        let idp = service
            .client(&home.caller("idp", Role::Authenticator).await)
            .await;
        let scene = Self {
            service,
            smtp,
            bearers,
            endpoint,
            clock,
            admin,
            idp,
            home,
        };
        scene.admin.create_account(scene.account()).await;
        scene
    }

    fn account(&self) -> pb::Account {
        let source = Some(Source::Value("client-canary".to_owned()));
        pb::Account {
            name: "main".into(),
            enabled: true,
            host: self.smtp.address.ip().to_string(),
            port: self.smtp.address.port().into(),
            security: pb::ConnectionSecurity::None.into(),
            authentication: true,
            username: "noreply@example.com".into(),
            sender: "noreply@example.com".into(),
            oauth: Some(pb::Oauth {
                token_endpoint: self.endpoint.url(),
                client_id: "client".into(),
                client_secret: Some(pb::OauthSecret { source }),
                ..pb::Oauth::default()
            }),
            ..pb::Account::default()
        }
    }

    async fn test(&self) -> pb::TestConnectionResponse {
        let request = pb::TestConnectionRequest {
            target: Some(pb::test_connection_request::Target::Account("main".into())),
            recipient: String::new(),
        };
        let mut policy = self.admin.policy.clone();
        policy.test_connection(request).await.unwrap().into_inner()
    }

    /// Sends a test message and answers with its entry when the mail server has spoken, or could not.
    async fn send(&self) -> pb::OutboxEntry {
        let request = pb::SendTestMessageRequest {
            recipient: "somebody@example.org".into(),
            wait_for_mail_server: true,
            ..pb::SendTestMessageRequest::default()
        };
        let mut policy = self.admin.policy.clone();
        let answer = policy.send_test_message(request).await.unwrap();
        answer.into_inner().entry.unwrap()
    }

    async fn attempts(&self, entry: &pb::OutboxEntry) -> Vec<pb::Attempt> {
        let request = pb::GetEntryRequest {
            entry_id: entry.entry_id.clone(),
        };
        let mut outbox = self.admin.outbox.clone();
        outbox.get_entry(request).await.unwrap().into_inner().attempts
    }

    /// Has the connection that waits for mail be lost: the next mail logs in.
    fn lose_the_connection(&self) {
        self.smtp.times(1, At::Mail, Act::Drop);
    }
}

#[tokio::test]
async fn many_mails_at_once_wait_for_one_token() {
    let scene = Scene::set(Answer::Grant(3600)).await;
    scene.endpoint.open(false);
    let mut mails = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let request = pb::SendTestMessageRequest {
            recipient: "somebody@example.org".into(),
            ..pb::SendTestMessageRequest::default()
        };
        let mut policy = scene.admin.policy.clone();
        mails.spawn(async move { policy.send_test_message(request).await.map(|_| ()) });
    }
    while let Some(sent) = mails.join_next().await {
        sent.unwrap().unwrap();
    }
    scene.endpoint.wait_for_requests(1).await;
    scene.endpoint.open(true);
    scene.smtp.wait_for_mails(20).await;
    assert_eq!(scene.endpoint.requests().len(), 1);
    assert!(scene.bearers.tokens().iter().all(|token| token == "token-1"));
    assert_eq!(
        scene.endpoint.requests()[0],
        "grant_type=client_credentials&client_id=client&client_secret=client-canary"
    );
    scene.service.stop().await;
}

#[tokio::test]
async fn a_token_is_replaced_before_it_expires() {
    let scene = Scene::set(Answer::Grant(3600)).await;
    let mail = async |number: usize| {
        if number > 1 {
            scene.lose_the_connection();
        }
        assert_eq!(scene.send().await.state(), pb::DeliveryState::Sent);
        scene.bearers.tokens()[number - 1].clone()
    };
    assert_eq!(mail(1).await, "token-1");
    scene.clock.advance(Duration::from_secs(3200));
    assert_eq!(mail(2).await, "token-1");
    assert_eq!(scene.endpoint.requests().len(), 1);
    // Five minutes before its end: it still serves, and the next one is on its way.
    scene.clock.advance(Duration::from_secs(150));
    assert_eq!(mail(3).await, "token-1");
    scene.endpoint.wait_for_requests(2).await;
    // Long past the end of the first, the second serves.
    scene.clock.advance(Duration::from_secs(900));
    assert_eq!(mail(4).await, "token-2");
    // In the last half minute no mail takes it: the token may be gone when the mail server looks at it.
    scene.clock.advance(Duration::from_secs(2675));
    assert_eq!(mail(5).await, "token-3");
    scene.service.stop().await;
}

#[tokio::test]
async fn a_token_endpoint_that_is_away_hurts_only_when_the_token_ends() {
    let scene = Scene::set(Answer::Grant(3600)).await;
    assert_eq!(scene.send().await.state(), pb::DeliveryState::Sent);
    scene.endpoint.answer(Answer::Say(503, "away".into()));
    scene.clock.advance(Duration::from_secs(3400));
    for _ in 0..2 {
        scene.lose_the_connection();
        assert_eq!(scene.send().await.state(), pb::DeliveryState::Sent);
        scene.endpoint.wait_for_requests(2).await;
    }
    scene.clock.advance(Duration::from_secs(190));
    scene.lose_the_connection();
    let entry = scene.send().await;
    assert_eq!(entry.state(), pb::DeliveryState::Deferred);
    scene.service.stop().await;
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let scene = Scene::set(Answer::Grant(3600)).await;
    assert_eq!(scene.send().await.state(), pb::DeliveryState::Sent);
    scene.bearers.refuse_all_so_far();
    scene.lose_the_connection();
    assert_eq!(scene.send().await.state(), pb::DeliveryState::Sent);
    assert_eq!(scene.bearers.tokens(), ["token-1", "token-1", "token-2"]);
    // All refused: one more try with a new token, and no more.
    scene.bearers.refuse_all();
    scene.lose_the_connection();
    let entry = scene.send().await;
    assert_eq!(entry.state(), pb::DeliveryState::Deferred);
    assert_eq!(scene.bearers.tokens()[3..], ["token-2", "token-3"]);
    let attempts = scene.attempts(&entry).await;
    assert_eq!(
        (attempts[0].stage(), attempts[0].reply_code),
        (pb::Stage::Auth, 535)
    );
    // The challenge is shown as the server meant it.
    assert_eq!(
        attempts[0].reply,
        format!("5.7.8 authentication failed {CHALLENGE}")
    );
    // 535 opens the breaker: no mail tries again at once.
    let held = scene.send().await;
    assert!(held.last_error.contains("held back"), "{held:?}");
    assert_eq!(scene.bearers.tokens().len(), 5);
    scene.service.stop().await;
}

#[tokio::test]
async fn a_client_that_is_refused_for_good_opens_the_breaker_at_once() {
    let body = r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid \u202e'client-canary'\r\nTrace: 1"}"#;
    let scene = Scene::set(Answer::Say(401, body.into())).await;
    let entry = scene.send().await;
    assert_eq!(entry.state(), pb::DeliveryState::Deferred);
    let attempts = scene.attempts(&entry).await;
    assert_eq!(
        (attempts[0].stage(), attempts[0].reply_code),
        (pb::Stage::Token, 401)
    );
    assert_eq!(
        attempts[0].reply,
        "invalid_client: AADSTS7000215: Invalid  '[...]'  Trace: 1 (HTTP 401)"
    );
    let held = scene.send().await;
    assert!(held.last_error.contains("held back"), "{held:?}");
    assert_eq!(scene.endpoint.requests().len(), 1);
    assert_eq!(scene.smtp.connections(), 0);
    // Mended, a test that passes closes the breaker.
    scene.endpoint.answer(Answer::Grant(3600));
    assert!(scene.test().await.succeeded);
    assert_eq!(scene.send().await.state(), pb::DeliveryState::Sent);
    assert_eq!(
        find_in_files(&scene.home.path(""), &["client-canary", "token-2"]),
        None
    );
    scene.service.stop().await;
}

#[tokio::test]
async fn what_a_token_endpoint_does_wrong_is_told_and_does_not_stop_the_next_mail() {
    let home = Home::new().with("delivery.timeouts.attempt", "2s");
    let home = home
        .with("delivery.timeouts.accept", "2s")
        .with("delivery.timeouts.command", "2s")
        .with("delivery.timeouts.connect", "2s")
        .with("delivery.timeouts.tls", "2s");
    let scene = Scene::at(home, Answer::Drop).await;
    let elsewhere = ScriptedEndpoint::start(Answer::Grant(3600)).await;
    let redirect = format!(
        "HTTP/1.1 307 X\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n",
        elsewhere.url()
    );
    let headers = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    let say = |status, body: &str| Answer::Say(status, body.to_owned());
    for (answer, said) in [
        (Answer::Drop, "closed the connection"),
        (Answer::Silence, "did not answer in time"),
        (Answer::Endless, "longer than 65536 bytes"),
        (Answer::Raw(headers.into_bytes()), "bytes of headers"),
        (
            Answer::Raw(b"220 smtp.example.com ESMTP\r\n".to_vec()),
            "is no HTTP",
        ),
        (
            Answer::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".to_vec()),
            "broke off",
        ),
        (Answer::Raw(redirect.into_bytes()), "redirect (HTTP 307)"),
        (say(500, "<html>oops"), "HTTP 500"),
        (say(429, r#"{"error":"slow_down"}"#), "slow_down (HTTP 429)"),
        (say(200, "not json"), "holds no access token"),
        (say(200, r#"{"access_token":"a\u0001b"}"#), "impossible form"),
    ] {
        scene.endpoint.answer(answer);
        let report = in_time(scene.test()).await;
        let last = report.stages.last().unwrap();
        assert_eq!((last.stage(), last.passed), (pb::Stage::Token, false));
        assert!(last.reply.contains(said), "{said}: {}", last.reply);
    }
    assert!(elsewhere.requests().is_empty());
    scene.endpoint.answer(Answer::Grant(3600));
    assert_eq!(scene.send().await.state(), pb::DeliveryState::Sent);
    scene.service.stop().await;
}

#[tokio::test]
async fn a_token_endpoint_outside_the_allow_list_is_not_asked() {
    let home = Home::new().with("delivery.egress", vec!["192.0.2.0/24".to_owned()]);
    let scene = Scene::at(home, Answer::Grant(3600)).await;
    let report = scene.test().await;
    let last = report.stages.last().unwrap();
    assert_eq!(last.stage(), pb::Stage::Token);
    assert!(last.reply.contains("egress allow-list"), "{}", last.reply);
    assert!(scene.endpoint.requests().is_empty());
    scene.service.stop().await;
}

#[tokio::test]
async fn settings_that_cannot_be_are_refused_by_field() {
    let scene = Scene::set(Answer::Grant(3600)).await;
    let refuse = async |change: &dyn Fn(&mut pb::Account)| {
        let mut account = pb::Account {
            name: "other".into(),
            ..scene.account()
        };
        change(&mut account);
        let request = pb::CreateAccountRequest {
            account: Some(account),
        };
        let result = scene.admin.policy.clone().create_account(request).await;
        let status = result.as_ref().unwrap_err().clone();
        assert_eq!(refused(result).0, tonic::Code::InvalidArgument);
        let details = tonic_types::StatusExt::get_details_bad_request(&status).unwrap();
        assert!(!format!("{status:?}").contains("canary"), "{status:?}");
        details.field_violations[0].field.clone()
    };
    let oauth = |account: &mut pb::Account, change: &dyn Fn(&mut pb::Oauth)| {
        change(account.oauth.as_mut().unwrap());
    };
    let secret = |source| Some(pb::OauthSecret { source: Some(source) });
    for (field, change) in [
        (
            "token_endpoint",
            &(|it: &mut pb::Oauth| it.token_endpoint = "http://login.example.com/".into())
                as &dyn Fn(&mut pb::Oauth),
        ),
        ("token_endpoint", &|it| {
            it.token_endpoint = "https://canary:canary@login.example.com/".into();
        }),
        ("tenant", &|it| {
            it.provider = pb::OauthProvider::Microsoft365.into();
        }),
        ("provider", &|it| it.provider = 77),
        ("client_secret", &|it| {
            it.client_secret = secret(Source::Value("canary\nx".into()));
        }),
        ("client_secret", &|it| {
            it.client_secret = secret(Source::File("/etc/passwd".into()));
        }),
        ("client_secret", &|it| {
            it.client_secret = secret(Source::Environment("PATH".into()));
        }),
        ("client_id", &|it| it.client_id = "a\u{202e}b".into()),
        ("private_key", &|it| {
            it.client_secret = None;
            it.private_key = secret(Source::Value("canary".into()));
        }),
    ] {
        let found = refuse(&|account| oauth(account, change)).await;
        assert_eq!(found, format!("account.oauth.{field}"));
    }
    let both = refuse(&|account| {
        account.secret = Some(pb::AccountSecret {
            source: Some(pb::account_secret::Source::Password("canary".into())),
        });
    });
    assert_eq!(both.await, "account.secret");
    scene.idp.start("ann").await.unwrap();
    scene.service.stop().await;
}

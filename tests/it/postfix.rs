//! The whole way through a real Postfix: STARTTLS and implicit TLS, AUTH, and what is told where it refuses.

use mailfactor::{app::Machine, domain::caller::Role, pb::v1 as pb};

use crate::harness::{
    client::Client,
    letter,
    postfix::{PASSWORD, Postfix, USERNAME},
    proxy::Proxy,
    service::{Home, Service, metrics_page},
};

struct Scene {
    postfix: Postfix,
    home: Home,
    service: Service,
    admin: Client,
    idp: Client,
}

impl Scene {
    async fn set() -> Option<Self> {
        let postfix = Postfix::start().await?;
        let home = Home::new().with("delivery.extra_ca", postfix.ca.display().to_string());
        home.users(&[("ann", "ann@example.com"), ("ben", "ben@example.com")]);
        let (admin, idp) = (
            home.caller("ops", Role::Admin).await,
            home.caller("idp", Role::Authenticator).await,
        );
        let service = home.serve(Machine::real()).await;
        let (admin, idp) = (service.client(&admin).await, service.client(&idp).await);
        Some(Self {
            postfix,
            home,
            service,
            admin,
            idp,
        })
    }

    fn account(&self, name: &str, security: pb::ConnectionSecurity, password: &str) -> pb::Account {
        let server = match security {
            pb::ConnectionSecurity::ImplicitTls => self.postfix.tls,
            _ => self.postfix.starttls,
        };
        pb::Account {
            name: name.to_owned(),
            enabled: true,
            host: "localhost".to_owned(),
            port: i32::from(server.port()),
            security: security.into(),
            authentication: true,
            username: USERNAME.to_owned(),
            secret: Some(pb::AccountSecret {
                source: Some(pb::account_secret::Source::Password(password.to_owned())),
            }),
            sender: "login@example.org".to_owned(),
            display_name: "Example Login".to_owned(),
            ..pb::Account::default()
        }
    }

    async fn test(&self, account: pb::Account) -> pb::TestConnectionResponse {
        let request = pb::TestConnectionRequest {
            target: Some(pb::test_connection_request::Target::Settings(account)),
            recipient: String::new(),
        };
        self.admin
            .policy
            .clone()
            .test_connection(request)
            .await
            .unwrap()
            .into_inner()
    }
}

#[tokio::test]
async fn a_code_goes_through_and_verifies_once() {
    let Some(scene) = Scene::set().await else { return };
    for (number, (user, security)) in [
        ("ann", pb::ConnectionSecurity::Starttls),
        ("ben", pb::ConnectionSecurity::ImplicitTls),
    ]
    .into_iter()
    .enumerate()
    {
        let account = scene.account(user, security, PASSWORD);
        let account = scene.admin.create_account(account).await;
        let request = pb::SetDefaultAccountRequest {
            account: account.account_id,
        };
        scene
            .admin
            .policy
            .clone()
            .set_default_account(request)
            .await
            .unwrap();
        let challenge = scene.idp.start(user).await.unwrap();
        let mails = scene.postfix.mails(number + 1).await;
        let mail = mails
            .iter()
            .find(|mail| mail.contains(&format!("{user}@example.com")));
        let mail = mail.unwrap_or_else(|| panic!("no mail for {user}:\n{}", scene.postfix.log()));
        assert!(mail.contains("login@example.org"), "{mail}");
        let code = letter::code(mail);
        let verdict = scene.idp.verify(&challenge.challenge_id, &code).await.unwrap();
        assert_eq!(verdict.result(), pb::VerifyResult::Verified);
        let verdict = scene.idp.verify(&challenge.challenge_id, &code).await.unwrap();
        assert_eq!(verdict.result(), pb::VerifyResult::AlreadyUsed);
    }
    scene.service.stop().await;
    drop(scene.home);
}

#[tokio::test]
async fn a_connection_test_says_how_far_it_came() {
    let Some(scene) = Scene::set().await else { return };
    for security in [
        pb::ConnectionSecurity::Starttls,
        pb::ConnectionSecurity::ImplicitTls,
    ] {
        let report = scene.test(scene.account("good", security, PASSWORD)).await;
        assert!(report.succeeded, "{report:?}");
        assert_eq!(report.summary, "Connected successfully");
        assert!(report.tls_version.starts_with("TLSv1."), "{report:?}");
    }
    let report = scene
        .test(scene.account("bad", pb::ConnectionSecurity::Starttls, "wrong"))
        .await;
    let last = report.stages.last().unwrap();
    assert!(!report.succeeded && !last.passed, "{report:?}");
    assert_eq!(last.stage(), pb::Stage::Auth, "{report:?}");
    assert!(last.reply.contains("5.7.8"), "{report:?}");
    // Without encryption Postfix takes no mail from strangers.
    let mut open = scene.account("open", pb::ConnectionSecurity::None, PASSWORD);
    (open.authentication, open.username, open.secret) = (false, String::new(), None);
    let report = scene.test(open).await;
    assert!(!report.succeeded, "{report:?}");
    assert_eq!(
        report.stages.last().unwrap().stage(),
        pb::Stage::Rcpt,
        "{report:?}"
    );
    scene.service.stop().await;
    drop(scene.home);
}

#[tokio::test]
async fn what_postfix_refuses_is_reported_and_not_tried_for_ever() {
    let Some(scene) = Scene::set().await else { return };
    let account = scene.account("bad", pb::ConnectionSecurity::Starttls, "wrong");
    scene.admin.create_account(account).await;
    let challenge = scene.idp.start("ann").await.unwrap();
    scene
        .idp
        .wait_until(&challenge.challenge_id, pb::DeliveryState::Deferred)
        .await;
    let listed = scene
        .admin
        .outbox
        .clone()
        .list_entries(pb::ListEntriesRequest::default())
        .await
        .unwrap()
        .into_inner();
    let entry = &listed.entries[0];
    assert!(entry.last_error.contains("authentication failed"), "{entry:?}");
    assert!(!entry.masked_recipient.contains("ann"), "{entry:?}");
    let page = metrics_page(scene.service.metrics).await;
    assert!(page.contains("mailfactor_breaker_open"), "{page}");
    scene.service.stop().await;
    drop(scene.home);
}

#[tokio::test]
async fn a_mail_takes_two_round_trips_to_postfix() {
    let Some(scene) = Scene::set().await else { return };
    let proxy = Proxy::start(scene.postfix.tls).await;
    let mut account = scene.account("near", pb::ConnectionSecurity::ImplicitTls, PASSWORD);
    account.port = i32::from(proxy.address.port());
    scene.admin.create_account(account).await;
    let mut turns = Vec::new();
    for (number, user) in ["ann", "ben"].into_iter().enumerate() {
        let challenge = scene.idp.start(user).await.unwrap();
        scene
            .idp
            .wait_until(&challenge.challenge_id, pb::DeliveryState::Sent)
            .await;
        let mails = scene.postfix.mails(number + 1).await;
        assert!(
            mails
                .iter()
                .any(|mail| mail.contains(&format!("{user}@example.com")))
        );
        turns.push(proxy.turns());
    }
    // The second one finds the connection warm. Postfix saw no command out of its turn.
    assert_eq!(turns[1] - turns[0], 2, "{turns:?}");
    let log = scene.postfix.log();
    assert!(!log.contains("improper command pipelining"), "{log}");
    scene.service.stop().await;
    drop(scene.home);
}

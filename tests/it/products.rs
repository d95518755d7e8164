//! Coming from another product: each field that the manuals of five products name is set here, through the API, and seen
//! at work: on the wire, in the mail, in the answer.

pub(crate) mod table;

use mailfactor::{app::Machine, domain::account::Security, domain::caller::Role, pb::v1 as pb};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use self::table::{Product, Seen};
use super::harness::{
    certs::{Authority, Kind},
    client::Client,
    in_time, letter,
    mailbox::{self, Mailbox},
    scene::{header, refused, start, text, waiting},
    service::{Home, Service},
    smtp::{Options, SmtpServer},
};

const USER: &str = "login-7";
const PASSWORD: &str = "kite over 9 hills";

/// A service whose users are ann, and an administrator of a product.
struct Place {
    authority: Authority,
    admin: Client,
    idp: Client,
    service: Service,
    _home: Home,
}

impl Place {
    async fn set(home: Home) -> Self {
        home.users(&[("ann", "ann.miller@example.com")]);
        let service = home.serve(Machine::real()).await;
        let admin = service.client(&home.caller("ops", Role::Admin).await).await;
        let idp = service
            .client(&home.caller("idp", Role::Authenticator).await)
            .await;
        Self {
            authority: Authority::new(),
            admin,
            idp,
            service,
            _home: home,
        }
    }

    /// A mail server that is reached only in this way, and only by those who log in.
    async fn server(&self, security: Security) -> SmtpServer {
        SmtpServer::start(Options {
            security,
            tls: (security != Security::Plain).then(|| self.authority.server(Kind::Good)),
            login: Some(("PLAIN LOGIN", USER, PASSWORD)),
            ..Options::default()
        })
        .await
    }

    /// What every product asks for.
    fn account(&self, name: &str, server: &SmtpServer, security: pb::ConnectionSecurity) -> pb::Account {
        let encrypted = security != pb::ConnectionSecurity::None;
        pb::Account {
            name: name.to_owned(),
            enabled: true,
            host: "127.0.0.1".to_owned(),
            port: server.address.port().into(),
            security: security.into(),
            ca_certificates: if encrypted {
                self.authority.pem().to_owned()
            } else {
                String::new()
            },
            authentication: true,
            username: USER.to_owned(),
            secret: secret(PASSWORD),
            sender: "login@example.org".to_owned(),
            ..pb::Account::default()
        }
    }

    async fn create(&self, account: pb::Account) -> Result<pb::Account, Status> {
        let request = pb::CreateAccountRequest {
            account: Some(account),
        };
        let answer = self.admin.policy.clone().create_account(request).await?;
        Ok(answer.into_inner().account.unwrap())
    }

    async fn update(&self, account: pb::Account, paths: &[&str]) -> Result<pb::Account, Status> {
        let request = pb::UpdateAccountRequest {
            account: Some(account),
            update_mask: Some(prost_types::FieldMask {
                paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            }),
        };
        let answer = self.admin.policy.clone().update_account(request).await?;
        Ok(answer.into_inner().account.unwrap())
    }

    async fn test(&self, settings: pb::Account) -> pb::TestConnectionResponse {
        let request = pb::TestConnectionRequest {
            target: Some(pb::test_connection_request::Target::Settings(settings)),
            recipient: String::new(),
        };
        let answer = self.admin.policy.clone().test_connection(request).await;
        answer.unwrap().into_inner()
    }

    async fn switch(&self, enabled: bool) {
        let request = pb::SetSendingRequest {
            enabled: Some(enabled),
        };
        self.admin.policy.clone().set_sending(request).await.unwrap();
    }

    async fn send_test(&self, account: &str, recipient: &str, subject: &str, text: &str) -> pb::OutboxEntry {
        let request = pb::SendTestMessageRequest {
            account: account.to_owned(),
            recipient: recipient.to_owned(),
            subject: subject.to_owned(),
            text: text.to_owned(),
            wait_for_mail_server: true,
        };
        let answer = self.admin.policy.clone().send_test_message(request).await;
        answer.unwrap().into_inner().entry.unwrap()
    }
}

fn secret(password: &str) -> Option<pb::AccountSecret> {
    Some(pb::AccountSecret {
        source: Some(pb::account_secret::Source::Password(password.to_owned())),
    })
}

/// The fields that a refusal names.
fn fields<T: std::fmt::Debug>(answer: Result<T, Status>) -> Vec<String> {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let bad = status.get_details_bad_request().unwrap().field_violations;
    bad.into_iter().map(|violation| violation.field).collect()
}

/// The code or password in a mail: alone on a line of its text.
fn code(challenge: &pb::Challenge, text: &str) -> String {
    let length = usize::try_from(challenge.code_length).unwrap();
    let lines = text.lines().map(|line| line.replace([' ', '-'], ""));
    let mut found = lines.filter(|line| {
        line.chars().count() == length
            && line
                .chars()
                .all(|letter| challenge.code_alphabet.contains(letter))
    });
    found.next().unwrap_or_else(|| panic!("no code in:\n{text}"))
}

#[tokio::test]
async fn one_access_email_gateway() {
    let mut seen = Seen::of(Product::OneAccess);
    let place = Place::set(Home::new()).await;
    let smtp = place.server(Security::StartTls).await;
    let gateway = pb::Account {
        display_name: "Example Passwords".to_owned(),
        ..place.account("gateway", &smtp, pb::ConnectionSecurity::Starttls)
    };
    let saved = place.create(gateway.clone()).await.unwrap();
    let ssl = place.server(Security::ImplicitTls).await;
    let encrypted = place
        .test(place.account("ssl", &ssl, pb::ConnectionSecurity::ImplicitTls))
        .await;
    let usual = pb::Account {
        name: "usual-port".to_owned(),
        enabled: false,
        port: 0,
        security: pb::ConnectionSecurity::ImplicitTls.into(),
        ..gateway.clone()
    };
    seen.that("SMTP Port", place.create(usual).await.unwrap().port == 465);
    let bare = pb::Account {
        host: "192.0.2.1".to_owned(),
        name: "bare".to_owned(),
        enabled: false,
        authentication: false,
        security: pb::ConnectionSecurity::None.into(),
        ..gateway.clone()
    };
    let refused_fields = fields(place.create(bare.clone()).await);
    let risky = place
        .create(pb::Account {
            acknowledge_risks: true,
            ..bare
        })
        .await
        .unwrap();
    let template = pb::Template {
        purpose: pb::Purpose::Recovery.into(),
        subject: "A password from the gateway".to_owned(),
        text: "Hello {{ user }}, your password is\n\n{{ otp }}\n".to_owned(),
        ..pb::Template::default()
    };
    let request = pb::UpdateTemplateRequest {
        template: Some(template),
    };
    place.admin.policy.clone().update_template(request).await.unwrap();

    place.switch(false).await;
    let recovery = || pb::StartChallengeRequest {
        purpose: pb::Purpose::Recovery.into(),
        ..waiting("ann")
    };
    let switched_off = refused(start(&place.idp, recovery()).await);
    place.switch(true).await;
    let challenge = start(&place.idp, recovery()).await.unwrap();
    seen.that("enable the email gateway", switched_off.1 == "SENDING_DISABLED");

    let mails = smtp.wait_for_mails(1).await;
    seen.that(
        "SMTP HOST",
        saved.host == "127.0.0.1" && letter::recipient(&mails[0]) == "ann.miller@example.com",
    );
    seen.that("Email Address", mails[0].sender.contains("<login@example.org>"));
    seen.that(
        "Sender Name",
        header(&mails[0], "From").unwrap().contains("Example Passwords"),
    );
    seen.that("Authorization Code", smtp.count("AUTH") == 1);
    seen.that(
        "Security type",
        smtp.count("STARTTLS") == 1
            && encrypted.succeeded
            && encrypted.tls_version.starts_with("TLS")
            && refused_fields == ["account.acknowledge_risks"]
            && !risky.warnings.is_empty(),
    );
    seen.that(
        "Template Settings",
        header(&mails[0], "Subject").as_deref() == Some("A password from the gateway"),
    );
    let password = code(&challenge, &text(&mails[0]));
    let verdict = place
        .idp
        .verify(&challenge.challenge_id, &password)
        .await
        .unwrap();
    seen.that(
        "random passwords during password resetting",
        verdict.result() == pb::VerifyResult::Verified && verdict.must_change && password.len() >= 11,
    );
    seen.all();
    place.service.stop().await;
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one field after the other")]
async fn account_mate_system_email_account() {
    let mut seen = Seen::of(Product::AccountMate);
    let place = Place::set(Home::new().with("delivery.tested_accounts_only", true)).await;
    let smtp = place.server(Security::ImplicitTls).await;
    let other = pb::Account {
        preset: "other".to_owned(),
        display_name: "Example Login".to_owned(),
        ..place.account("system", &smtp, pb::ConnectionSecurity::ImplicitTls)
    };
    // What a provider's own preset says, and what it refuses.
    let hosted = |preset: &str, sender: &str| pb::Account {
        name: preset.to_owned(),
        preset: preset.to_owned(),
        sender: sender.to_owned(),
        enabled: false,
        host: String::new(),
        port: 0,
        security: pb::ConnectionSecurity::Unspecified.into(),
        ca_certificates: String::new(),
        ..other.clone()
    };
    let mut hosts = Vec::new();
    for (preset, sender) in [
        ("exchange", "login@example.org"),
        ("gmail", "ann@gmail.com"),
        ("office365", "login@example.org"),
        ("yahoo", "ann@yahoo.com"),
    ] {
        let saved = place.create(hosted(preset, sender)).await.unwrap();
        hosts.push((saved.host, saved.port));
    }
    seen.that(
        "SMTP Mail",
        hosts
            == [
                ("smtp.office365.com".to_owned(), 587),
                ("smtp.gmail.com".to_owned(), 465),
                ("smtp.office365.com".to_owned(), 587),
                ("smtp.mail.yahoo.com".to_owned(), 465),
            ],
    );
    let stranger = pb::Account {
        name: "stranger".to_owned(),
        ..hosted("yahoo", "ann@example.org")
    };
    seen.that(
        "Email",
        fields(place.create(stranger).await) == ["account.sender"],
    );
    let moved = pb::Account {
        name: "moved".to_owned(),
        host: "smtp.example.org".to_owned(),
        ..hosted("gmail", "ann@gmail.com")
    };
    let host_refused = fields(place.create(moved).await) == ["account.host"];
    let elsewhere = pb::Account {
        name: "elsewhere".to_owned(),
        port: 2525,
        ..hosted("gmail", "ann@gmail.com")
    };
    let port_refused = fields(place.create(elsewhere).await) == ["account.port"];

    // The test, and saving only what passed it.
    let good = place.test(other.clone()).await;
    let mistyped = pb::Account {
        secret: secret("kite over 8 hills"),
        ..other.clone()
    };
    let bad = place.test(mistyped.clone()).await;
    seen.that(
        "Test",
        good.summary == "Connected successfully"
            && bad.summary == "Test connection failed. Please review email account information entered.",
    );
    let mistyped = pb::Account {
        name: "mistyped".to_owned(),
        ..mistyped
    };
    // Kept, so that nothing typed is lost, but not used; and not to be enabled as it is.
    let kept = place.create(mistyped.clone()).await.unwrap();
    let unproven = pb::Account {
        account_id: kept.account_id,
        enabled: true,
        ..pb::Account::default()
    };
    let unproven = refused(place.update(unproven, &["enabled"]).await);
    let saved = place.create(other).await.unwrap();
    seen.that(
        "Save",
        !kept.enabled && unproven.1 == "ACCOUNT_TEST_FAILED" && saved.enabled && saved.tested_at.is_some(),
    );

    let request = pb::SetDefaultAccountRequest {
        account: "system".to_owned(),
    };
    place
        .admin
        .policy
        .clone()
        .set_default_account(request)
        .await
        .unwrap();
    let challenge = start(&place.idp, waiting("ann")).await.unwrap();
    let mails = smtp.wait_for_mails(1).await;
    seen.that(
        "Display Name",
        header(&mails[0], "From").unwrap().contains("Example Login"),
    );
    seen.that("Password", bad.stages.last().unwrap().stage() == pb::Stage::Auth);
    seen.that("SMTP Server Name", host_refused && saved.host == "127.0.0.1");
    seen.that(
        "SMTP Server Port",
        port_refused && saved.port == i32::from(smtp.address.port()),
    );
    let verdict = place
        .idp
        .verify(&challenge.challenge_id, &letter::code(&mails[0].data))
        .await
        .unwrap();
    assert_eq!(verdict.result(), pb::VerifyResult::Verified);
    seen.all();
    place.service.stop().await;
}

#[tokio::test]
async fn advanced_authentication_mail_sender() {
    let mut seen = Seen::of(Product::AdvancedAuthentication);
    let place = Place::set(Home::new()).await;
    let smtp = place.server(Security::StartTls).await;
    let ssl = place.server(Security::ImplicitTls).await;
    let open = SmtpServer::plain().await;
    let sender = place.account("sender", &smtp, pb::ConnectionSecurity::Starttls);
    let saved = place.create(sender.clone()).await.unwrap();
    let without_password = pb::Account {
        name: "no-password".to_owned(),
        secret: None,
        ..sender.clone()
    };
    seen.that(
        "Password",
        fields(place.create(without_password).await) == ["account.secret"],
    );
    let without_login = pb::Account {
        authentication: false,
        username: String::new(),
        secret: None,
        ..place.account("no-login", &open, pb::ConnectionSecurity::None)
    };
    let report = place.test(without_login).await;
    seen.that(
        "Authentication Required",
        report.succeeded && open.count("AUTH") == 0,
    );
    let report = place
        .test(place.account("ssl", &ssl, pb::ConnectionSecurity::ImplicitTls))
        .await;
    seen.that("TLS and SSL", report.succeeded && ssl.count("STARTTLS") == 0);

    let policy = pb::OtpPolicy {
        mask: "{local:2}***@{domain:1}***.{tld}".to_owned(),
        ..pb::OtpPolicy::default()
    };
    let request = pb::UpdateOtpPolicyRequest {
        policy: Some(policy),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["mask".to_owned()],
        }),
    };
    place
        .admin
        .policy
        .clone()
        .update_otp_policy(request)
        .await
        .unwrap();
    let unmasked = pb::UpdateOtpPolicyRequest {
        policy: Some(pb::OtpPolicy {
            mask: "{local:64}@{domain:64}.{tld}".to_owned(),
            ..pb::OtpPolicy::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["mask".to_owned()],
        }),
    };
    let off = fields(place.admin.policy.clone().update_otp_policy(unmasked).await) == ["policy.mask"];

    let entry = place
        .send_test("", "you@example.net", "", "Greetings from the policy")
        .await;
    let challenge = start(&place.idp, waiting("ann")).await.unwrap();
    seen.that(
        "Recipient Mask",
        challenge.masked_recipient == "an***@e***.com" && off,
    );
    let mails = smtp.wait_for_mails(2).await;
    seen.that("Host", saved.host == "127.0.0.1" && smtp.connections() > 0);
    seen.that("Port", saved.port == i32::from(smtp.address.port()));
    seen.that("Username", saved.username == USER && smtp.count("AUTH") > 0);
    seen.that("Sender email", mails[1].sender.contains("<login@example.org>"));
    seen.that("Test: E-mail", letter::recipient(&mails[0]) == "you@example.net");
    seen.that(
        "Test: Message",
        text(&mails[0]).contains("Greetings from the policy"),
    );
    seen.that(
        "Send test message!",
        entry.state() == pb::DeliveryState::Sent && entry.kind() == pb::MailKind::Test,
    );
    let request = pb::GetEntryRequest {
        entry_id: entry.entry_id,
    };
    let log = place
        .admin
        .outbox
        .clone()
        .get_entry(request)
        .await
        .unwrap()
        .into_inner();
    seen.that(
        "async log",
        log.attempts.len() == 1
            && log.attempts[0].stage() == pb::Stage::Accept
            && log.attempts[0].reply.contains("queued"),
    );
    seen.all();
    place.service.stop().await;
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one field after the other")]
async fn senhasegura_email_accounts() {
    let mut seen = Seen::of(Product::Senhasegura);
    let place = Place::set(Home::new()).await;
    let smtp = place.server(Security::StartTls).await;
    let ssl = place.server(Security::ImplicitTls).await;
    let open = SmtpServer::plain().await;
    let strange = SmtpServer::start(Options {
        security: Security::ImplicitTls,
        tls: Some(place.authority.server(Kind::WrongName)),
        ..Options::default()
    })
    .await;
    let full = pb::Account {
        reply_to: "help@example.org".to_owned(),
        return_path: "bounces@example.net".to_owned(),
        confirmation_address: "read@example.org".to_owned(),
        read_receipt: true,
        force_settings: true,
        footnote_enabled: true,
        footnote: "Example Ltd, Main Street 1".to_owned(),
        ..place.account("notices", &smtp, pb::ConnectionSecurity::Starttls)
    };
    let saved = place.create(full.clone()).await.unwrap();
    let entry = place
        .send_test("notices", "you@example.net", "A subject", "A body")
        .await;
    let mails = smtp.wait_for_mails(1).await;
    let mail = &mails[0];
    seen.that("Account Name", entry.account == "notices");
    seen.that(
        "Sender email",
        header(mail, "From").unwrap().contains("login@example.org"),
    );
    seen.that(
        "Reply email",
        header(mail, "Reply-To").as_deref() == Some("help@example.org"),
    );
    seen.that(
        "Reply email (return path)",
        mail.sender.contains("<bounces@example.net>"),
    );
    let receipt = "Disposition-Notification-To";
    seen.that(
        "Confirmation email",
        header(mail, receipt).as_deref() == Some("read@example.org"),
    );
    // What a caller wants is heard by an account that forces nothing, and by no other: see below.
    let elsewhere = || pb::StartChallengeRequest {
        reply_to: "caller@example.com".to_owned(),
        return_path: "returned@example.com".to_owned(),
        confirmation_address: "seen@example.com".to_owned(),
        ..waiting("ann")
    };
    start(&place.idp, elsewhere()).await.unwrap();
    let mails = smtp.wait_for_mails(2).await;
    let forced = header(&mails[1], "Reply-To").as_deref() == Some("help@example.org")
        && header(&mails[1], receipt).as_deref() == Some("read@example.org")
        && mails[1].sender.contains("<bounces@example.net>");
    seen.that(
        "Enable footnote",
        text(mail).contains("Example Ltd, Main Street 1"),
    );
    seen.that("SMTP Host", saved.host == "127.0.0.1");
    seen.that("Port", saved.port == i32::from(smtp.address.port()));
    seen.that("Use a safe connection", smtp.count("STARTTLS") == 1);
    let report = place
        .test(place.account("ssl", &ssl, pb::ConnectionSecurity::ImplicitTls))
        .await;
    seen.that(
        "Secure connection type",
        report.succeeded && ssl.count("STARTTLS") == 0,
    );
    seen.that("Use authentication", smtp.count("AUTH") == 1);
    seen.that(
        "Credential for authentication",
        saved.username == USER && saved.secret.is_some(),
    );
    seen.that(
        "Send test mail: recipient, subject, body",
        letter::recipient(mail) == "you@example.net"
            && header(mail, "Subject").as_deref() == Some("A subject")
            && text(mail).contains("A body"),
    );
    let request = pb::ListEntriesRequest {
        account: "notices".to_owned(),
        ..pb::ListEntriesRequest::default()
    };
    let report = place
        .admin
        .outbox
        .clone()
        .list_entries(request)
        .await
        .unwrap()
        .into_inner();
    seen.that(
        "Outbox",
        report.entries.len() == 2
            && report
                .entries
                .iter()
                .all(|entry| entry.state() == pb::DeliveryState::Sent),
    );

    // The second account: everything the other way, and the default.
    let second = pb::Account {
        authentication: false,
        username: String::new(),
        secret: None,
        footnote: "Example Ltd, Main Street 1".to_owned(),
        ..place.account("plain", &open, pb::ConnectionSecurity::None)
    };
    place.create(second).await.unwrap();
    let request = pb::SetDefaultAccountRequest {
        account: "plain".to_owned(),
    };
    place
        .admin
        .policy
        .clone()
        .set_default_account(request)
        .await
        .unwrap();
    start(&place.idp, elsewhere()).await.unwrap();
    let mails = open.wait_for_mails(1).await;
    let heard = header(&mails[0], "Reply-To").as_deref() == Some("caller@example.com")
        && mails[0].sender.contains("<returned@example.com>");
    seen.that("Force settings use", forced && heard);
    seen.that("Default Account", smtp.mails().len() == 2 && mails.len() == 1);
    seen.that("Send read receipt", header(&mails[0], receipt).is_none());
    assert!(!text(&mails[0]).contains("Main Street"), "the footnote is off");

    let blind = pb::Account {
        authentication: false,
        username: String::new(),
        secret: None,
        ca_certificates: String::new(),
        ..place.account("blind", &strange, pb::ConnectionSecurity::ImplicitTls)
    };
    let distrusted = place.test(blind.clone()).await;
    let blind = pb::Account {
        ignore_certificate_errors: true,
        acknowledge_risks: true,
        ..blind
    };
    let trusted = place.test(blind).await;
    seen.that(
        "Ignore certification error",
        !distrusted.succeeded && trusted.succeeded,
    );

    // Disabled, the first account is not used even where it is the only other one.
    let off = pb::Account {
        account_id: saved.account_id,
        enabled: false,
        ..pb::Account::default()
    };
    let off = place.update(off, &["enabled"]).await.unwrap();
    let request = pb::SetDefaultAccountRequest { account: off.name };
    let refusal = refused(place.admin.policy.clone().set_default_account(request).await);
    seen.that("Enabled", refusal.1 == "ACCOUNT_DISABLED");
    seen.all();
    place.service.stop().await;
}

/// The settings of an inbox at one of Dovecot's ports.
fn inbox(mailbox: &Mailbox, protocol: pb::InboxProtocol, security: pb::ConnectionSecurity) -> pb::Inbox {
    let address = match (protocol, security) {
        (pb::InboxProtocol::Pop3, pb::ConnectionSecurity::ImplicitTls) => mailbox.pop3s,
        (pb::InboxProtocol::Pop3, _) => mailbox.pop3,
        (_, pb::ConnectionSecurity::ImplicitTls) => mailbox.imaps,
        _ => mailbox.imap,
    };
    pb::Inbox {
        name: "returned".to_owned(),
        enabled: true,
        protocol: protocol.into(),
        host: "localhost".to_owned(),
        port: address.port().into(),
        security: security.into(),
        username: mailbox::USERNAME.to_owned(),
        secret: secret(mailbox::PASSWORD),
        ca_certificates: mailbox.authority.pem().to_owned(),
        ..pb::Inbox::default()
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one field after the other")]
async fn senhasegura_inbox_accounts() {
    let mut seen = Seen::of(Product::SenhaseguraInbox);
    let Some(mailbox) = Mailbox::start().await else {
        return;
    };
    let place = Place::set(Home::new()).await;
    let inboxes = &place.admin.inbox;
    let full = pb::Inbox {
        keep_copy: Some(false),
        automatic_check: true,
        ..inbox(
            &mailbox,
            pb::InboxProtocol::Imap,
            pb::ConnectionSecurity::ImplicitTls,
        )
    };
    let request = pb::CreateInboxRequest {
        inbox: Some(full.clone()),
    };
    let saved = inboxes.clone().create_inbox(request).await.unwrap().into_inner();
    let saved = saved.inbox.unwrap();
    seen.that("Account name", saved.name == "returned");
    seen.that("Address", saved.host == "localhost");
    seen.that("Port", saved.port == i32::from(mailbox.imaps.port()));

    // By itself, at once and then every interval; what was read is deleted where no copy is kept.
    mailbox.deliver("From: a@example.com\r\nSubject: hello\r\n\r\nhello\r\n");
    let request = pb::GetInboxRequest {
        inbox: saved.inbox_id.clone(),
    };
    let read = async {
        loop {
            let answer = inboxes.clone().get_inbox(request.clone()).await.unwrap();
            let status = answer.into_inner().inbox.unwrap().status.unwrap();
            if status.last_success_at.is_some() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    in_time(read).await;
    seen.that("Automatic check", saved.automatic_check);
    let request = pb::CheckInboxRequest {
        inbox: saved.inbox_id.clone(),
    };
    inboxes.clone().check_inbox(request.clone()).await.unwrap();
    seen.that("Keep copy on server", mailbox.count() == 0);
    let disabled = pb::Inbox {
        inbox_id: saved.inbox_id,
        enabled: false,
        ..pb::Inbox::default()
    };
    let change = pb::UpdateInboxRequest {
        inbox: Some(disabled),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["enabled".to_owned()],
        }),
    };
    inboxes.clone().update_inbox(change).await.unwrap();
    seen.that("Enabled", inboxes.clone().check_inbox(request).await.is_err());

    let test = async |settings: pb::Inbox| {
        let request = pb::TestInboxRequest {
            target: Some(pb::test_inbox_request::Target::Settings(settings)),
        };
        inboxes
            .clone()
            .test_inbox(request)
            .await
            .unwrap()
            .into_inner()
            .succeeded
    };
    let (imap, pop3) = (pb::InboxProtocol::Imap, pb::InboxProtocol::Pop3);
    let (ssl, tls) = (
        pb::ConnectionSecurity::ImplicitTls,
        pb::ConnectionSecurity::Starttls,
    );
    seen.that(
        "Protocol",
        test(inbox(&mailbox, imap, ssl)).await && test(inbox(&mailbox, pop3, ssl)).await,
    );
    seen.that(
        "Secure connection type",
        test(inbox(&mailbox, imap, tls)).await && test(inbox(&mailbox, pop3, tls)).await,
    );
    let plain = pb::Inbox {
        port: mailbox.imaps.port().into(),
        ..inbox(&mailbox, imap, pb::ConnectionSecurity::None)
    };
    seen.that("Use safe connection", !test(plain).await);
    let wrong = pb::Inbox {
        secret: secret("another"),
        ..inbox(&mailbox, imap, ssl)
    };
    seen.that("Credential for authentication", !test(wrong).await);
    let stranger = pb::Inbox {
        ca_certificates: String::new(),
        ..inbox(&mailbox, imap, ssl)
    };
    let believed = pb::Inbox {
        ignore_certificate_errors: true,
        acknowledge_risks: true,
        ..stranger.clone()
    };
    seen.that("Skip certificate", !test(stranger).await && test(believed).await);
    seen.all();
    place.service.stop().await;
}

#[tokio::test]
async fn orchestrator_smtp_server() {
    let mut seen = Seen::of(Product::Orchestrator);
    let home = Home::new();
    let file = home.path("smtp-password");
    std::fs::write(&file, PASSWORD).unwrap();
    let home = home
        .with("default_credentials.username", USER)
        .with("default_credentials.password_file", file.display().to_string());
    let place = Place::set(home).await;
    let smtp = place.server(Security::ImplicitTls).await;
    let alerts = pb::Account {
        display_name: "Example Robots".to_owned(),
        ..place.account("alerts", &smtp, pb::ConnectionSecurity::ImplicitTls)
    };
    let saved = place.create(alerts).await.unwrap();
    place.switch(false).await;
    let switched_off = refused(start(&place.idp, waiting("ann")).await);
    place.switch(true).await;
    start(&place.idp, waiting("ann")).await.unwrap();
    seen.that(
        "Enable email alerts",
        switched_off == (Code::FailedPrecondition, "SENDING_DISABLED".to_owned()),
    );
    let mails = smtp.wait_for_mails(1).await;
    seen.that(
        "Enable SSL",
        smtp.count("STARTTLS") == 0 && saved.security() == pb::ConnectionSecurity::ImplicitTls,
    );
    seen.that("SMTP Host", saved.host == "127.0.0.1");
    seen.that("SMTP Port", saved.port == i32::from(smtp.address.port()));
    seen.that("SMTP Username", saved.username == USER);
    seen.that("SMTP Password", smtp.count("AUTH") == 1);
    seen.that(
        "Default From Address",
        mails[0].sender.contains("<login@example.org>"),
    );
    seen.that(
        "Default From Display Name",
        header(&mails[0], "From").unwrap().contains("Example Robots"),
    );
    let given = place.server(Security::ImplicitTls).await;
    let account = pb::Account {
        username: String::new(),
        secret: None,
        default_credentials: true,
        ..place.account("default", &given, pb::ConnectionSecurity::ImplicitTls)
    };
    let shown = place.create(account).await.unwrap();
    place.send_test("default", "you@example.net", "", "").await;
    seen.that(
        "Use default credentials",
        given.count("AUTH") == 1
            && given.mails().len() == 1
            && shown.secret.is_none()
            && shown.username.is_empty(),
    );
    seen.all();
    place.service.stop().await;
}

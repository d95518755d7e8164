//! Templates over the wire: what an administrator writes is what the next mail says, and what is wrong is refused.

use mail_parser::MessageParser;
use mailfactor::{app::Machine, domain::caller::Role, pb::v1 as pb};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::harness::{
    client::Client,
    command::mailfactor,
    service::{Home, Service},
    smtp::SmtpServer,
};

async fn open(home: &Home) -> (Service, SmtpServer, Client, Client) {
    home.users(&[("ann", "ann@example.com"), ("bob", "bob@example.com")]);
    let smtp = SmtpServer::plain().await;
    let service = home.serve(Machine::real()).await;
    let admin = service.client(&home.caller("ops", Role::Admin).await).await;
    admin.mail_through(smtp.address).await;
    let caller = service
        .client(&home.caller("idp", Role::Authenticator).await)
        .await;
    (service, smtp, admin, caller)
}

fn template(event: &str, language: &str, subject: &str) -> pb::Template {
    pb::Template {
        purpose: pb::Purpose::Login.into(),
        event: event.to_owned(),
        language: language.to_owned(),
        subject: subject.to_owned(),
        text: "{{ user }}: {{ otp }}\n".to_owned(),
        html: "<p>{{ user }}: <b>{{ otp }}</b></p>".to_owned(),
        ..pb::Template::default()
    }
}

async fn save(admin: &Client, template: pb::Template) -> Result<pb::Template, Status> {
    let request = pb::UpdateTemplateRequest {
        template: Some(template),
    };
    let answer = admin.policy.clone().update_template(request).await?;
    Ok(answer.into_inner().template.unwrap())
}

/// The subject of the newest mail to a user who logs in.
async fn subject(caller: &Client, smtp: &SmtpServer, user: &str, event: &str, locale: &str) -> String {
    let before = smtp.mails().len();
    let request = pb::StartChallengeRequest {
        user: user.to_owned(),
        event: event.to_owned(),
        locale: locale.to_owned(),
        ..pb::StartChallengeRequest::default()
    };
    caller.challenges.clone().start_challenge(request).await.unwrap();
    let mails = smtp.wait_for_mails(before + 1).await;
    let mail = MessageParser::default()
        .parse(mails[before].data.as_bytes())
        .unwrap();
    mail.subject().unwrap().to_owned()
}

#[tokio::test]
async fn the_next_mail_says_what_was_written() {
    let home = Home::new()
        .with("policy.sends.user.burst", 20)
        .with("policy.sends.address.burst", 20);
    let (_service, smtp, admin, caller) = open(&home).await;
    assert_eq!(
        subject(&caller, &smtp, "ann", "vpn", "fr-CA").await,
        "Votre code de connexion"
    );
    let every = save(&admin, template("", "", "For everybody")).await.unwrap();
    save(&admin, template("", "fr", "Bonjour <{{ user }}>"))
        .await
        .unwrap();
    let vpn = save(&admin, template("vpn", "", "VPN")).await.unwrap();
    for (event, locale, expected) in [
        ("vpn", "fr-CA", "VPN"),
        ("mail", "fr-CA", "Bonjour <ann>"),
        ("mail", "it", "For everybody"),
    ] {
        assert_eq!(
            subject(&caller, &smtp, "ann", event, locale).await,
            expected,
            "{event} {locale}"
        );
    }
    let mut policy = admin.policy.clone();
    let stale = pb::ResetTemplateRequest {
        purpose: pb::Purpose::Login.into(),
        event: "vpn".to_owned(),
        etag: every.etag,
        ..pb::ResetTemplateRequest::default()
    };
    assert_eq!(
        policy.reset_template(stale.clone()).await.unwrap_err().code(),
        Code::Aborted
    );
    let reset = pb::ResetTemplateRequest {
        etag: vpn.etag,
        ..stale
    };
    let left = policy
        .reset_template(reset.clone())
        .await
        .unwrap()
        .into_inner()
        .template
        .unwrap();
    assert_eq!(left.subject, "For everybody");
    assert_eq!(
        policy.reset_template(reset).await.unwrap_err().code(),
        Code::NotFound
    );
    assert_eq!(subject(&caller, &smtp, "bob", "vpn", "it").await, "For everybody");
    let listed = policy
        .list_templates(pb::ListTemplatesRequest {})
        .await
        .unwrap()
        .into_inner();
    let own = listed
        .templates
        .iter()
        .filter(|template| !template.built_in)
        .count();
    assert_eq!((own, listed.templates.len()), (2, 17));
}

#[tokio::test]
async fn what_is_wrong_is_refused_with_field_line_and_column() {
    let home = Home::new();
    let (_service, _smtp, admin, _caller) = open(&home).await;
    for (change, field, words) in [
        (
            pb::Template {
                text: "a\n{{ otp }} {{ nobody }}".into(),
                ..template("", "", "x")
            },
            "template.text",
            "line 2, column 14",
        ),
        (
            pb::Template {
                html: "<p>{{ otp }</p>".into(),
                ..template("", "", "x")
            },
            "template.html",
            "line 1",
        ),
        (
            pb::Template {
                html: "<p>no code</p>".into(),
                ..template("", "", "x")
            },
            "template.html",
            "{{ otp }}",
        ),
        (
            template("", "", "{{ otp }}"),
            "template.subject",
            "code_in_subject",
        ),
        (
            template("", "", "a\r\nBcc: eve@example.net"),
            "template.subject",
            "control character",
        ),
        (template("a b", "", "x"), "template.event", "letters"),
        (template("", "d_e", "x"), "template.language", "BCP 47"),
        (
            pb::Template {
                text: "x".repeat(9_000),
                ..template("", "", "x")
            },
            "template.text",
            "longer",
        ),
    ] {
        let refused = save(&admin, change).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        let details = refused.get_error_details();
        let faults = &details.bad_request().unwrap().field_violations;
        let told = faults
            .iter()
            .any(|fault| fault.field == field && fault.description.contains(words));
        assert!(told, "{field} {words}: {faults:?}");
    }
}

#[tokio::test]
async fn every_built_in_template_previews_and_can_be_written_back() {
    let home = Home::new();
    let (_service, _smtp, admin, _caller) = open(&home).await;
    let mut policy = admin.policy.clone();
    let all = policy
        .list_templates(pb::ListTemplatesRequest {})
        .await
        .unwrap()
        .into_inner()
        .templates;
    assert_eq!(all.len(), 15);
    for listed in all {
        let request = pb::GetTemplateRequest {
            purpose: listed.purpose,
            event: String::new(),
            language: listed.language.clone(),
        };
        let whole = policy
            .get_template(request)
            .await
            .unwrap()
            .into_inner()
            .template
            .unwrap();
        assert!(whole.built_in);
        let request = pb::PreviewTemplateRequest {
            template: Some(listed),
        };
        let shown = policy.preview_template(request).await.unwrap().into_inner();
        assert!(shown.text.contains("274916") && shown.html.contains("274916") && !shown.subject.is_empty());
        let saved = save(&admin, whole).await.unwrap();
        assert!(!saved.built_in);
    }
}

#[tokio::test]
async fn a_code_in_the_subject_is_masked_in_the_outbox() {
    let home = Home::new().with("delivery.code_in_subject", true);
    let (_service, smtp, admin, caller) = open(&home).await;
    let built_in = subject(&caller, &smtp, "ann", "", "en").await;
    let (code, rest) = built_in.split_once(" - ").unwrap();
    assert_eq!((code.len(), rest), (6, "Your sign-in code"));
    save(&admin, template("", "", "Code {{ otp }}")).await.unwrap();
    let own = subject(&caller, &smtp, "bob", "", "en").await;
    assert_eq!(own.len(), "Code ".len() + 6);
    let entries = admin
        .outbox
        .clone()
        .list_entries(pb::ListEntriesRequest::default())
        .await
        .unwrap();
    for entry in entries.into_inner().entries {
        assert!(!entry.subject.contains(code) && !entry.subject.contains(own.trim_start_matches("Code ")));
    }
}

#[tokio::test]
async fn the_command_line_shows_writes_tries_and_resets() {
    let home = Home::new();
    let (service, _smtp, _admin, _caller) = open(&home).await;
    let key = home.caller("operator", Role::Admin).await;
    let server = format!("http://{}", service.grpc);
    let variables = [
        ("MAILFACTOR_SERVER", server.as_str()),
        ("MAILFACTOR_API_KEY", key.as_str()),
    ];
    let run = |line: String| async move { mailfactor(&line, &variables, "").await };
    let (text, html) = (home.path("own.txt"), home.path("own.html"));
    let (text, html) = (text.display().to_string(), html.display().to_string());
    let shown = run(format!(
        "template show login --language fr-CA --text {text} --html {html}"
    ))
    .await;
    assert!(shown.done().contains("Votre code de connexion"));
    let files = format!("--subject Bonjour --text {text} --html {html}");
    let preview = run(format!("template preview login --language fr {files} --json"))
        .await
        .json();
    assert_eq!(preview["subject"], "Bonjour");
    let saved = run(format!("template set login --language fr {files} --json"))
        .await
        .json();
    assert_eq!(
        (&saved["built_in"], &saved["language"]),
        (&false.into(), &"fr".into())
    );
    let list = run("template list".to_owned()).await.done();
    assert!(
        list.lines().nth(1).is_some_and(|line| line.ends_with("own")),
        "{list}"
    );
    let reset = run("template reset login --language fr --json".to_owned())
        .await
        .json();
    assert_eq!(reset["built_in"], true);
    let again = run("template reset login --language fr".to_owned())
        .await
        .failed(1);
    assert!(
        again.contains("TEMPLATE_UNKNOWN") && again.contains("template list"),
        "{again}"
    );
    std::fs::write(&text, "{{ nobody }}").unwrap();
    let wrong = run(format!("template set login {files}")).await.failed(1);
    assert!(wrong.contains("template.text: line 1, column 4"), "{wrong}");
}

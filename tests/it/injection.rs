//! What somebody puts into a text field stays text: it is refused by the field's name or shown as it is, and the mail
//! has the headers it always has.

use mail_parser::{Message, MessageParser};
use mailfactor::pb::v1 as pb;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::harness::{
    scene::{Scene, start, waiting},
    service::Home,
    smtp::Captured,
};

/// What a mail begins with, in this order, and nothing else.
const HEADERS: [&str; 10] = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "Content-Language",
    "MIME-Version",
    "Content-Type",
];

/// Texts that no field takes: they break lines, or turn what is beside them round.
fn refused_everywhere() -> Vec<String> {
    [
        "a\r\nBcc: eve@example.net",
        "a\nBcc: eve@example.net",
        "a\rb",
        "a\0b",
        "a\u{1b}[2Jb",
        "a\u{85}b",
        "a\u{2028}b",
        "a\u{202e}moc.elpmaxe",
        "a\u{2066}b\u{2069}",
        "a\u{200f}b",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain(["x".repeat(10_000)])
    .collect()
}

/// Texts that mean something elsewhere, and here nothing.
const SHOWN_AS_THEY_ARE: [&str; 10] = [
    "{{ otp }}",
    "{% raw %}{{ user }}",
    "{{ \"\".__class__ }}{# x #}",
    "</td><script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "a & b < c > d ' e \" f",
    "<a href=\"https://evil.example/\">click</a>",
    "Subject: other, \"Bcc\" <eve@example.net>",
    "=?utf-8?q?=0ABcc=3A_eve?=",
    "%s ${x} $(x) `x` \\x",
];

/// The field names of a refusal.
fn fields(status: &Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = status.get_error_details();
    let faults = &details.bad_request().unwrap().field_violations;
    faults.iter().map(|fault| fault.field.clone()).collect()
}

fn parse(mail: &Captured) -> Message<'_> {
    let parsed = MessageParser::default().parse(mail.data.as_bytes()).unwrap();
    let names: Vec<&str> = parsed.headers().iter().map(mail_parser::Header::name).collect();
    assert_eq!(names, HEADERS, "{}", mail.data);
    assert_eq!((parsed.text_body_count(), parsed.html_body_count()), (1, 1));
    assert!(!mail.recipient.contains("eve"), "{}", mail.recipient);
    parsed
}

/// Nothing in the HTML that its template has not put there.
fn check_html(html: &str, text: &str) {
    let low = html.to_lowercase();
    for tag in ["<script", "<img", "<a ", "onerror=\"", "{{", "{%"] {
        let meant = tag.starts_with('{') && text.contains(tag);
        assert!(meant || !low.contains(tag), "{tag} of {text} in\n{html}");
    }
}

/// A text as the built-in HTML shows it.
fn escaped(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            '"' => "&quot;".to_owned(),
            '\'' => "&#x27;".to_owned(),
            '/' => "&#x2f;".to_owned(),
            other => other.to_string(),
        })
        .collect()
}

fn challenge(endpoint: &str) -> pb::StartChallengeRequest {
    pb::StartChallengeRequest {
        endpoint: endpoint.to_owned(),
        ..waiting("ann")
    }
}

async fn scene() -> Scene {
    let home = Home::new()
        .with("policy.sends.user.burst", 50)
        .with("policy.sends.address.burst", 50);
    home.users(&[("ann", "ann@example.com")]);
    Scene::at(home).await
}

/// Both own and built-in, one after the other.
async fn use_own_template(scene: &Scene) {
    let template = pb::Template {
        purpose: pb::Purpose::Login.into(),
        subject: "For {{ user }} at {{ endpoint }}".into(),
        text: "{{ user }} {{ event }} {{ endpoint }} {{ otp }}\n".into(),
        html: "<p title=\"{{ endpoint }}\">{{ user }} {{ event }} {{ endpoint }} {{ otp }}</p>".into(),
        ..pb::Template::default()
    };
    let request = pb::UpdateTemplateRequest {
        template: Some(template),
    };
    scene.admin.policy.clone().update_template(request).await.unwrap();
}

#[tokio::test]
async fn what_a_caller_says_of_a_login_stays_text() {
    let scene = scene().await;
    for text in refused_everywhere() {
        let status = start(&scene.idp, challenge(&text)).await.unwrap_err();
        assert_eq!(fields(&status), ["endpoint"], "{text:?}");
        let event = pb::StartChallengeRequest {
            event: text.clone(),
            ..waiting("ann")
        };
        assert_eq!(
            fields(&start(&scene.idp, event).await.unwrap_err()),
            ["event"],
            "{text:?}"
        );
        let status = start(&scene.idp, waiting(&text)).await.unwrap_err();
        assert_eq!(fields(&status), ["user"], "{text:?}");
        let locale = pb::StartChallengeRequest {
            locale: text.clone(),
            ..waiting("ann")
        };
        assert_eq!(
            fields(&start(&scene.idp, locale).await.unwrap_err()),
            ["locale"],
            "{text:?}"
        );
    }
    let mut sent = 0;
    for own in [false, true] {
        if own {
            use_own_template(&scene).await;
        }
        for text in SHOWN_AS_THEY_ARE {
            start(&scene.idp, challenge(text)).await.unwrap();
            sent += 1;
            let mail = scene.mails(sent).await.remove(sent - 1);
            let parsed = parse(&mail);
            let plain = parsed.body_text(0).unwrap();
            assert!(plain.contains(text), "{text} in\n{plain}");
            let html = parsed.body_html(0).unwrap();
            assert!(html.contains(&escaped(text)), "{text} in\n{html}");
            check_html(&html, text);
            if own {
                assert_eq!(parsed.subject(), Some(format!("For ann at {text}").as_str()));
            }
        }
        for event in SHOWN_AS_THEY_ARE {
            let event = pb::StartChallengeRequest {
                event: event.to_owned(),
                ..waiting("ann")
            };
            assert_eq!(fields(&start(&scene.idp, event).await.unwrap_err()), ["event"]);
        }
    }
    assert_eq!(scene.smtp.mails().len(), sent);
}

#[tokio::test]
async fn what_a_directory_calls_a_user_stays_text() {
    let mut users = String::new();
    for (index, text) in SHOWN_AS_THEY_ARE.iter().enumerate() {
        let name = toml::Value::from(*text);
        let entry = format!(
            "[[user]]\nname = \"u{index}\"\nemail = \"u{index}@example.com\"\ndisplay_name = {name}\n"
        );
        users.push_str(&entry);
    }
    let home = Home::new();
    home.users_text(&users);
    let scene = Scene::at(home).await;
    let mut sent = 0;
    for own in [false, true] {
        if own {
            use_own_template(&scene).await;
        }
        for (index, text) in SHOWN_AS_THEY_ARE.iter().enumerate() {
            start(&scene.idp, waiting(&format!("u{index}"))).await.unwrap();
            sent += 1;
            let mail = scene.mails(sent).await.remove(sent - 1);
            let parsed = parse(&mail);
            assert!(parsed.body_text(0).unwrap().contains(text), "{}", mail.data);
            let html = parsed.body_html(0).unwrap();
            assert!(html.contains(&escaped(text)), "{text} in\n{html}");
            check_html(&html, text);
        }
    }
}

#[tokio::test]
async fn what_an_administrator_calls_the_sender_stays_text() {
    let scene = scene().await;
    let name = format!("test-{}", scene.smtp.address.port());
    let get = pb::GetAccountRequest { account: name };
    let account = scene.admin.policy.clone().get_account(get).await.unwrap();
    let account = account.into_inner().account.unwrap();
    let update = |field: &str, change: pb::Account| {
        let request = pb::UpdateAccountRequest {
            account: Some(pb::Account {
                account_id: account.account_id.clone(),
                ..change
            }),
            update_mask: Some(prost_types::FieldMask {
                paths: vec![field.to_owned()],
            }),
        };
        let mut policy = scene.admin.policy.clone();
        async move { policy.update_account(request).await }
    };
    let named = |text: &str| pb::Account {
        display_name: text.to_owned(),
        ..pb::Account::default()
    };
    for text in refused_everywhere() {
        let status = update("display_name", named(&text)).await.unwrap_err();
        assert_eq!(fields(&status), ["account.display_name"], "{text:?}");
    }
    let addresses = ["sender", "reply_to", "return_path", "confirmation_address"];
    for text in refused_everywhere()
        .into_iter()
        .chain(SHOWN_AS_THEY_ARE.map(str::to_owned))
    {
        for field in addresses {
            let change = pb::Account {
                sender: text.clone(),
                reply_to: text.clone(),
                return_path: text.clone(),
                confirmation_address: text.clone(),
                ..pb::Account::default()
            };
            let status = update(field, change).await.unwrap_err();
            assert_eq!(fields(&status), [format!("account.{field}")], "{text:?}");
        }
    }
    for (index, text) in SHOWN_AS_THEY_ARE.into_iter().enumerate() {
        let updated = update("display_name", named(text)).await;
        // What may be read as encoded, even within quotation marks, is no name.
        let name = if text.contains("=?") {
            assert_eq!(fields(&updated.unwrap_err()), ["account.display_name"]);
            SHOWN_AS_THEY_ARE[index - 1]
        } else {
            updated.unwrap();
            text
        };
        let footnote = pb::Account {
            footnote: text.to_owned(),
            footnote_enabled: true,
            ..pb::Account::default()
        };
        update("footnote_enabled", footnote.clone()).await.unwrap();
        update("footnote", footnote).await.unwrap();
        start(&scene.idp, waiting("ann")).await.unwrap();
        let mail = scene.mails(index + 1).await.remove(index);
        let parsed = parse(&mail);
        let from = parsed.from().unwrap().as_list().unwrap();
        assert_eq!(from.len(), 1, "{}", mail.data);
        assert_eq!(
            (from[0].name(), from[0].address()),
            (Some(name), Some("login@example.org"))
        );
        assert!(parsed.body_text(0).unwrap().contains(text), "{}", mail.data);
        check_html(&parsed.body_html(0).unwrap(), text);
    }
}

#[tokio::test]
async fn what_a_test_message_says_stays_text() {
    let scene = scene().await;
    let message = |subject: &str, text: &str| pb::SendTestMessageRequest {
        recipient: "me@example.com".into(),
        subject: subject.to_owned(),
        text: text.to_owned(),
        wait_for_mail_server: true,
        ..pb::SendTestMessageRequest::default()
    };
    let mut policy = scene.admin.policy.clone();
    for text in refused_everywhere() {
        let status = policy.send_test_message(message(&text, "x")).await.unwrap_err();
        assert_eq!(fields(&status), ["subject"], "{text:?}");
    }
    for (index, text) in SHOWN_AS_THEY_ARE.into_iter().enumerate() {
        policy.send_test_message(message(text, text)).await.unwrap();
        let mail = scene.mails(index + 1).await.remove(index);
        let parsed = parse(&mail);
        assert_eq!(parsed.subject(), Some(text));
        assert!(parsed.body_text(0).unwrap().contains(text), "{}", mail.data);
        check_html(&parsed.body_html(0).unwrap(), text);
    }
}

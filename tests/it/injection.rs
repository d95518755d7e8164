//! What somebody puts into a text field stays text: it is refused by the field's name, brought into one harmless line, or shown as
//! it is, and the mail has the headers it always has.

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

/// What somebody would like a mail of ours to say, and what is left of it.
const PHISHING: [(&str, &str); 18] = [
    ("https://evil.example/login", "https evil example login"),
    ("evil.example", "evil example"),
    ("www.evil.example", "www evil example"),
    ("mailto:eve@evil.example", "mailto eve evil example"),
    ("eve@evil.example", "eve evil example"),
    ("ｅｖｉｌ．ｅｘａｍｐｌｅ", "evil example"),
    ("evil\u{3002}example", "evil example"),
    ("ev\u{200b}il.ex\u{ad}ample", "evil example"),
    ("evil\u{2024}example", "evil example"),
    (
        "laptop\r\n\r\nYour account is closed: http://evil.example",
        "laptop Your account is closed http evil example",
    ),
    ("a\u{202e}elpmaxe.live", "aelpmaxe live"),
    (
        "<a href=\"https://evil.example/\">click</a>",
        "a href https evil example click a",
    ),
    ("\"><img src=x onerror=alert(1)>", "img src x onerror alert(1)"),
    ("{{ otp }}{% raw %}", "otp raw"),
    ("javascript:alert(1)", "javascript alert(1)"),
    ("evil.example:443/x?y=z", "evil example 443 x y z"),
    ("🔒 Bank \u{e0041}\u{e0042}", "Bank"),
    (
        "LAPTOP-7, Firefox 128.0 (Windows 10.0.19045)",
        "LAPTOP-7, Firefox 128.0 (Windows 10.0.19045)",
    ),
];

/// Nothing in a part of a mail that a mail program would make a link of.
fn check_links(part: &str, text: &str) {
    let low = part.to_lowercase();
    for link in [
        "evil.example",
        "http:",
        "https:",
        "www.",
        "mailto:",
        "javascript:",
        "evil\u{2024}",
        "evil\u{3002}",
    ] {
        assert!(!low.contains(link), "{link} of {text:?} in\n{part}");
    }
    assert!(
        !part.contains(['\u{202e}', '\u{200b}', '\u{ad}', '\u{e0041}']),
        "{text:?} in\n{part}"
    );
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
        .with("policy.sends.address.burst", 50)
        .with("policy.sends.user.per_day", 100)
        .with("policy.sends.address.per_day", 100);
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
    }
    let mut sent = 0;
    for own in [false, true] {
        if own {
            use_own_template(&scene).await;
        }
        for (text, shown) in PHISHING {
            let started = start(&scene.idp, challenge(text)).await.unwrap();
            assert!(!started.endpoint.contains(['\r', '\n', '\u{202e}', '\u{200b}']));
            sent += 1;
            let mail = scene.mails(sent).await.remove(sent - 1);
            let parsed = parse(&mail);
            let plain = parsed.body_text(0).unwrap();
            assert!(plain.contains(shown), "{text} in\n{plain}");
            check_links(&plain, text);
            let html = parsed.body_html(0).unwrap();
            assert!(html.contains(&escaped(shown)), "{text} in\n{html}");
            check_html(&html, text);
            if own {
                check_links(&html, text);
                assert_eq!(parsed.subject(), Some(format!("For ann at {shown}").as_str()));
            }
        }
        // An event is letters, digits, dots and dashes: a domain is, too.
        let event = pb::StartChallengeRequest {
            event: "www.evil.example".to_owned(),
            ..waiting("ann")
        };
        start(&scene.idp, event).await.unwrap();
        sent += 1;
        let mail = scene.mails(sent).await.remove(sent - 1);
        let parsed = parse(&mail);
        for part in [parsed.body_text(0).unwrap(), parsed.body_html(0).unwrap()] {
            assert!(part.contains("www evil example"), "{part}");
            assert!(!part.contains("evil.example"), "{part}");
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
    // A users file takes no breaks and marks; what it takes is shown as far as it is a name.
    let names: Vec<(&str, &str)> = PHISHING
        .into_iter()
        .filter(|(text, _)| !text.contains(['\r', '\u{202e}']))
        .collect();
    let mut users = String::new();
    for (index, (text, _)) in names.iter().enumerate() {
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
        for (index, (text, _)) in names.iter().enumerate() {
            start(&scene.idp, waiting(&format!("u{index}"))).await.unwrap();
            sent += 1;
            let mail = scene.mails(sent).await.remove(sent - 1);
            let parsed = parse(&mail);
            let plain = parsed.body_text(0).unwrap();
            // A name without spaces that has a domain is shown without it.
            assert!(plain.contains("Hello ") || own, "{plain}");
            check_links(&plain, text);
            let html = parsed.body_html(0).unwrap();
            check_html(&html, text);
        }
    }
}

/// Locks and lists of mails show subjects: no temporary password is ever in one, whoever asks for it.
#[tokio::test]
async fn a_temporary_password_is_in_no_subject() {
    let home = Home::new().with("delivery.code_in_subject", true);
    home.users(&[("ann", "ann@example.com")]);
    let scene = Scene::at(home).await;
    let recovery = |subject: &str| pb::Template {
        purpose: pb::Purpose::Recovery.into(),
        subject: subject.to_owned(),
        text: "{{ otp }}\n".into(),
        ..pb::Template::default()
    };
    let save = async |template: pb::Template| {
        let request = pb::UpdateTemplateRequest {
            template: Some(template),
        };
        scene.admin.policy.clone().update_template(request).await
    };
    for subject in [
        "{{ otp }}",
        "Password {{ otp|lower }}",
        "{{ otp ~ \"!\" }}",
        "x{% if otp == \"274916\" %}y{% endif %}",
    ] {
        let refused = save(recovery(subject)).await.unwrap_err();
        assert_eq!(fields(&refused), ["template.subject"], "{subject}");
    }
    let start_recovery = || pb::StartChallengeRequest {
        purpose: pb::Purpose::Recovery.into(),
        ..waiting("ann")
    };
    for own in [false, true] {
        if own {
            save(recovery("Your password")).await.unwrap();
        }
        start(&scene.idp, start_recovery()).await.unwrap();
        let sent = usize::from(own) + 1;
        let mail = scene.mails(sent).await.remove(sent - 1);
        let parsed = parse_any(&mail);
        let subject = parsed.subject().unwrap();
        assert_eq!(
            subject,
            if own {
                "Your password"
            } else {
                "Your temporary password"
            }
        );
    }
    // Codes of logins are shown there, as it was asked for.
    start(&scene.idp, waiting("ann")).await.unwrap();
    let mail = scene.mails(3).await.remove(2);
    let code = crate::harness::letter::code(&mail.data);
    assert!(parse_any(&mail).subject().unwrap().starts_with(&code));
}

fn parse_any(mail: &Captured) -> Message<'_> {
    MessageParser::default().parse(mail.data.as_bytes()).unwrap()
}

/// Nothing that is there for the mail alone refuses a login.
#[tokio::test]
async fn what_is_there_for_the_looks_refuses_no_login() {
    let scene = scene().await;
    let long = "x".repeat(10_000);
    let mut sent = 0;
    for (locale, client_ip, endpoint, language, shown) in [
        ("de_DE.UTF-8", "192.0.2.1:4711", "laptop", "de", "192.0.2.1"),
        (
            "de-de",
            "[2001:db8::1]:443",
            "laptop\0\u{202e}",
            "de",
            "2001:db8::1",
        ),
        (
            "fr-CA,fr;q=0.9,en;q=0.8",
            "198.51.100.7, 10.0.0.1",
            "lap\r\ntop",
            "fr",
            "198.51.100.7",
        ),
        ("zh-TW", "fe80::1%eth0", long.as_str(), "zh-Hans", "fe80::1"),
        ("C", "unknown", "", "en", ""),
        ("POSIX", "nonsense", "\u{2028}", "en", ""),
        ("{{ otp }}", "\r\n", "\n", "en", ""),
        (long.as_str(), long.as_str(), "\t", "en", ""),
    ] {
        let request = pb::StartChallengeRequest {
            locale: locale.to_owned(),
            client_ip: client_ip.to_owned(),
            endpoint: endpoint.to_owned(),
            ..waiting("ann")
        };
        let started = start(&scene.idp, request).await;
        let started = started.unwrap_or_else(|error| panic!("{locale:?} {client_ip:?}: {error:?}"));
        assert!(started.endpoint.chars().count() <= 256);
        sent += 1;
        let mail = scene.mails(sent).await.remove(sent - 1);
        let parsed = parse(&mail);
        let spoken = parsed.header_raw("Content-Language").unwrap().trim();
        assert_eq!(spoken, language, "{locale:?}");
        assert!(parsed.body_text(0).unwrap().contains(shown), "{client_ip:?}");
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

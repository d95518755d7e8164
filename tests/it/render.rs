//! Mails as a mail program reads them: every template in every language, and what hostile words do not do to them.

use mail_parser::{Message, MessageParser, MimeHeaders as _};
use mailfactor::{
    domain::{
        account::{Replies, Sender},
        address::{EmailAddress, LocalPart},
        challenge::Purpose,
        clock::Clock as _,
        code::CodeSpec,
        delivery::{FailureKind, SendFailure, Stage},
        id::{AccountId, ChallengeId},
        keyring::KeyId,
        message::{CodeMail, Mail, MailContext, TestMail},
    },
    mail::{Cover, Rendered, Renderer},
};

use crate::harness::{ManualClock, keyring};

/// The languages there are built-in mails in.
const LANGUAGES: [&str; 5] = ["en", "de", "fr", "es", "zh"];

fn address(text: &str) -> EmailAddress {
    EmailAddress::parse(text, LocalPart::Ascii).unwrap()
}

fn sender() -> Sender {
    Sender {
        address: address("noreply@example.com"),
        display_name: "Beispiel Zürich".into(),
        reply_to: Some(address("help@example.com")),
        ..Sender::new(address("noreply@example.com"))
    }
}

fn code_mail(purpose: Purpose, locale: &str) -> CodeMail {
    CodeMail {
        challenge: ChallengeId::from_bytes([7; 16]),
        number: 1,
        purpose,
        spec: CodeSpec::default(),
        key: KeyId::parse("k1").unwrap(),
        lifetime_seconds: 300,
        context: MailContext {
            recipient: address("ann@example.org"),
            user: "Ann Müller".into(),
            endpoint: "laptop-7".into(),
            event: "VPN".into(),
            locale: locale.into(),
            client_ip: "192.0.2.1".into(),
            replies: Replies::default(),
            asked: None,
        },
        account: None,
    }
}

fn test_mail(subject: &str, text: &str) -> Mail {
    Mail::Test(TestMail {
        recipient: address("ann@example.org"),
        subject: subject.into(),
        text: text.into(),
        account: AccountId::from_bytes([1; 16]),
    })
}

fn render_from(sender: &Sender, mail: &Mail) -> Result<Rendered, SendFailure> {
    let cover = Cover {
        sender,
        submitted_at: ManualClock::new().now(),
        message_id: "<abc.1@mailfactor.example.com>",
    };
    Renderer::default().render(mail, cover, &keyring())
}

fn render(mail: &Mail) -> Rendered {
    render_from(&sender(), mail).unwrap()
}

fn code_of(mail: &CodeMail) -> String {
    let keyring = keyring();
    let key = keyring.code_key(&mail.key).unwrap();
    let code = key.derive(&mail.challenge, mail.number, mail.purpose, &mail.spec);
    code.reveal().to_owned()
}

fn parse(message: &str) -> Message<'_> {
    MessageParser::default().parse(message).unwrap()
}

/// What a person sees: subject, text, and the HTML as it is written.
fn seen(message: &str) -> String {
    let message = parse(message);
    let text = message.body_text(0).unwrap().replace("\r\n", "\n");
    let html = message.body_html(0).unwrap().replace("\r\n", "\n");
    format!("{}\n=====\n{text}\n=====\n{html}", message.subject().unwrap())
}

#[test]
fn every_purpose_in_every_language() {
    for locale in LANGUAGES {
        for purpose in Purpose::ALL {
            let mut mail = code_mail(purpose, locale);
            if purpose == Purpose::Recovery {
                mail.spec = CodeSpec::temporary_password();
                mail.number = 3;
                mail.lifetime_seconds = 3600;
            }
            let message = render(&Mail::Code(mail)).message;
            insta::assert_snapshot!(format!("{locale}_{}", purpose.name()), seen(&message));
        }
    }
}

#[test]
fn test_messages() {
    for locale in LANGUAGES {
        let cover = Cover {
            sender: &sender(),
            submitted_at: ManualClock::new().now(),
            message_id: "<abc.1@mailfactor.example.com>",
        };
        let rendered = Renderer::new(locale).render(&test_mail("", ""), cover, &keyring());
        insta::assert_snapshot!(format!("{locale}_test"), seen(&rendered.unwrap().message));
    }
    let own = test_mail("Hi <there>", "one\n\ntwo <b>");
    insta::assert_snapshot!("test_own", seen(&render(&own).message));
}

#[test]
fn locales_get_their_language_or_the_default() {
    let language_of = |default: &str, locale: &str| {
        let cover = Cover {
            sender: &sender(),
            submitted_at: ManualClock::new().now(),
            message_id: "<abc.1@mailfactor.example.com>",
        };
        let mail = Mail::Code(code_mail(Purpose::Login, locale));
        let rendered = Renderer::new(default).render(&mail, cover, &keyring()).unwrap();
        let message = parse(&rendered.message);
        message.header_raw("Content-Language").unwrap().trim().to_owned()
    };
    for (default, locale, spoken) in [
        ("en", "zh-Hans", "zh-Hans"),
        ("en", "zh-CN", "zh-Hans"),
        ("en", "zh-TW", "zh-Hans"),
        ("en", "fr-CA", "fr"),
        ("en", "es-419", "es"),
        ("en", "it", "en"),
        ("fr-FR", "it", "fr"),
        ("fr-FR", "de", "de"),
        ("it", "", "en"),
    ] {
        assert_eq!(language_of(default, locale), spoken, "{default} {locale}");
    }
}

#[test]
fn the_whole_message() {
    insta::assert_snapshot!(
        "whole",
        render(&Mail::Code(code_mail(Purpose::Login, "de-CH")))
            .message
            .replace('\r', "")
    );
}

#[test]
fn has_exactly_the_headers_it_should() {
    let mail = Mail::Code(code_mail(Purpose::Login, "de-CH"));
    let rendered = render(&mail);
    let message = parse(&rendered.message);
    let mut names: Vec<&str> = message.headers().iter().map(mail_parser::Header::name).collect();
    names.sort_unstable();
    let expected = [
        "Auto-Submitted",
        "Content-Language",
        "Content-Type",
        "Date",
        "From",
        "MIME-Version",
        "Message-ID",
        "Reply-To",
        "Subject",
        "To",
        "X-Auto-Response-Suppress",
    ];
    assert_eq!(names, expected);
    let from = message.from().unwrap().first().unwrap();
    assert_eq!(from.name(), Some("Beispiel Zürich"));
    assert_eq!(from.address(), Some("noreply@example.com"));
    let to = message.to().unwrap().first().unwrap();
    assert_eq!((to.name(), to.address()), (None, Some("ann@example.org")));
    let reply_to = message.reply_to().unwrap().first().unwrap();
    assert_eq!(reply_to.address(), Some("help@example.com"));
    assert_eq!(message.message_id(), Some("abc.1@mailfactor.example.com"));
    assert_eq!(message.date().unwrap().to_rfc3339(), "2026-01-02T03:04:05Z");
    assert_eq!(
        message.header_raw("Auto-Submitted").unwrap().trim(),
        "auto-generated"
    );
    assert_eq!(
        message.header_raw("X-Auto-Response-Suppress").unwrap().trim(),
        "All"
    );
    assert_eq!(message.header_raw("Content-Language").unwrap().trim(), "de");
    let kinds: Vec<String> = message
        .parts
        .iter()
        .map(|part| {
            let kind = part.content_type().unwrap();
            format!("{}/{}", kind.ctype(), kind.subtype().unwrap())
        })
        .collect();
    assert_eq!(kinds, ["multipart/alternative", "text/plain", "text/html"]);
    assert!(rendered.message.is_ascii());
    assert!(
        rendered.message.lines().all(|line| line.len() <= 998),
        "RFC 5322, 2.1.1"
    );
}

#[test]
fn the_code_is_in_both_parts_and_not_in_the_subject() {
    for purpose in Purpose::ALL {
        for locale in LANGUAGES {
            let mail = code_mail(purpose, locale);
            let code = code_of(&mail);
            let rendered = render(&Mail::Code(mail));
            let message = parse(&rendered.message);
            assert!(message.body_text(0).unwrap().contains(&code));
            assert!(message.body_html(0).unwrap().contains(&code));
            assert!(!message.subject().unwrap().contains(&code));
            assert_eq!(message.subject().unwrap(), rendered.masked_subject);
            assert!(!format!("{rendered:?}").contains(&code));
        }
    }
}

/// Whoever reads the source can, and nothing is spent on an encoding.
#[test]
fn plain_words_in_english_need_no_encoding() {
    for purpose in Purpose::ALL {
        for number in [1, 12] {
            let mut mail = code_mail(purpose, "en");
            mail.context.user = "Bartholomew Featherstonehaugh".into();
            mail.number = number;
            let message = render(&Mail::Code(mail)).message;
            let encodings: Vec<&str> = message
                .lines()
                .filter_map(|line| line.strip_prefix("Content-Transfer-Encoding: "))
                .collect();
            assert_eq!(encodings, ["7bit", "7bit"], "{message}");
        }
    }
    let message = render(&test_mail("", "")).message;
    assert_eq!(
        message.matches("Content-Transfer-Encoding: 7bit").count(),
        2,
        "{message}"
    );
}

#[test]
fn a_retry_is_the_same_to_the_byte_and_another_number_is_not() {
    let mail = code_mail(Purpose::Login, "en");
    let next = CodeMail {
        number: 2,
        ..mail.clone()
    };
    let first = render(&Mail::Code(mail.clone())).message;
    assert_eq!(first, render(&Mail::Code(mail)).message);
    assert_ne!(first, render(&Mail::Code(next)).message);
}

#[test]
fn what_users_are_called_is_a_name_and_nothing_else() {
    let mut mail = code_mail(Purpose::Login, "en");
    mail.context.user = "<img src=x> & \"Ann\" {{ code }} http://evil.example".into();
    mail.context.endpoint = "</td><script>".into();
    let rendered = render(&Mail::Code(mail));
    let message = parse(&rendered.message);
    let html = message.body_html(0).unwrap();
    assert!(
        html.contains("Hello img src x &amp; Ann code http evil example,"),
        "{html}"
    );
    assert!(!html.contains("<script>") && !html.contains("<img"));
    let text = message.body_text(0).unwrap();
    assert!(
        text.contains("Hello img src x & Ann code http evil example,"),
        "{text}"
    );
}

#[test]
fn what_is_not_known_is_not_mentioned() {
    let mut mail = code_mail(Purpose::Login, "en");
    for word in [
        &mut mail.context.endpoint,
        &mut mail.context.event,
        &mut mail.context.client_ip,
        &mut mail.context.user,
    ] {
        word.clear();
    }
    let rendered = render(&Mail::Code(mail));
    let text = parse(&rendered.message).body_text(0).unwrap().into_owned();
    for word in ["Hello", "For:", "Device:", "Address:", "code number"] {
        assert!(!text.contains(word), "{word}");
    }
}

#[test]
fn control_characters_break_no_line() {
    let refused = |sender: &Sender, mail: &Mail| {
        let failure = render_from(sender, mail).unwrap_err();
        assert_eq!(
            (failure.stage, failure.kind),
            (Stage::Render, FailureKind::Permanent)
        );
        assert!(failure.reply.contains("control character"), "{failure:?}");
    };
    for bad in [
        "a\r\nBcc: eve@example.net",
        "a\nb",
        "a\u{85}b",
        "a\u{2028}b",
        "a\u{202e}b",
        "a\0b",
    ] {
        let named = Sender {
            display_name: bad.into(),
            ..sender()
        };
        refused(&named, &Mail::Code(code_mail(Purpose::Login, "en")));
        refused(&sender(), &test_mail(bad, ""));
        // What callers and directories say becomes one line; older versions kept it as it was.
        let mut mail = code_mail(Purpose::Login, "en");
        let context = &mut mail.context;
        for word in [
            &mut context.user,
            &mut context.event,
            &mut context.endpoint,
            &mut context.client_ip,
        ] {
            *word = bad.into();
        }
        let rendered = render(&Mail::Code(mail));
        let message = parse(&rendered.message);
        let text = message.body_text(0).unwrap().replace("\r\n", "\n");
        assert!(text.contains("\nDevice:  a"), "{text}");
        assert!(
            !text.contains(bad) && !text.contains("\nBcc") && !rendered.message.contains("\nBcc"),
            "{text}"
        );
    }
    refused(&sender(), &test_mail("", "a\r\nb"));
}

#[test]
fn a_code_under_a_key_that_is_gone_cannot_be_rendered() {
    let mut mail = code_mail(Purpose::Login, "en");
    mail.key = KeyId::parse("gone").unwrap();
    let failure = render_from(&sender(), &Mail::Code(mail)).unwrap_err();
    assert_eq!(
        (failure.stage, failure.kind),
        (Stage::Render, FailureKind::Permanent)
    );
}

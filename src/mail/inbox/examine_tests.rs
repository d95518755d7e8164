use super::*;
use crate::domain::message::message_id;

fn ours() -> (EntryId, String) {
    let entry = EntryId::from_bytes([0xab; 16]);
    (entry, message_id(&entry, "mf.example.com"))
}

/// A notification as Postfix writes it.
fn notification(action: &str, status: &str, diagnostic: &str) -> String {
    let (_, id) = ours();
    format!(
        "Return-Path: <>\r\nFrom: MAILER-DAEMON@mx.example (Mail Delivery System)\r\nSubject: Undelivered\r\n\
         Message-Id: <20260101.1@mx.example>\r\nContent-Type: multipart/report; report-type=delivery-status;\r\n\
         \tboundary=\"B/mx\"\r\n\r\nThis is MIME.\r\n\r\n--B/mx\r\nContent-Type: text/plain\r\n\r\nSorry.\r\n\
         --B/mx\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n\r\n\
         Final-Recipient: rfc822; ann@example.com\r\nAction: {action}\r\nStatus: {status}\r\n\
         Diagnostic-Code: smtp; {diagnostic}\r\n\r\n--B/mx\r\nContent-Type: message/rfc822\r\n\r\n\
         From: login@example.org\r\nMessage-ID: {id}\r\nSubject: Your code\r\n\r\n612345\r\n--B/mx--\r\n"
    )
}

fn told(raw: &str) -> Option<Told> {
    let found = examine(raw.as_bytes())?;
    assert_eq!((found.entry, found.message_id), ours());
    Some(found.told)
}

fn expect(kind: ReportKind, status: &str, text: &str) -> Told {
    Told {
        kind,
        status: status.into(),
        text: text.into(),
    }
}

#[test]
fn a_notification_says_what_failed_and_why() {
    let raw = notification(
        "failed",
        "5.1.1 (bad mailbox)",
        "550 5.1.1 <ann@example.com>:\r\n  no such user, code 612345",
    );
    let expected = Some(expect(
        ReportKind::Bounced,
        "5.1.1",
        "550 5.1.1 [...] no such user, code [...]",
    ));
    assert_eq!(told(&raw), expected);
    assert_eq!(told(&raw.replace("\r\n", "\n")), expected);
    let delayed = notification("delayed", "4.4.1", "x");
    assert_eq!(told(&delayed), Some(expect(ReportKind::Delayed, "4.4.1", "x")));
    for action in ["delivered", "relayed", "expanded", "", "failed\r\nX: y z"] {
        let found = told(&notification(action, "x", "y"));
        assert_eq!(found.is_some(), action.starts_with("failed"), "{action}");
    }
}

#[test]
fn one_failure_among_many_recipients_counts() {
    let raw = notification("delayed", "4.4.1", "later").replace(
        "later\r\n\r\n",
        "later\r\n\r\nAction: delivered\r\n\r\nAction: failed\r\nStatus: 5.2.2\r\n\r\nAction: delayed\r\n\r\n",
    );
    assert_eq!(told(&raw), Some(expect(ReportKind::Bounced, "5.2.2", "")));
}

#[test]
fn headers_alone_are_enough() {
    let raw = notification("failed", "5.0.0", "x").replace("message/rfc822", "Text/RFC822-Headers");
    assert!(told(&raw).is_some());
    // Cut off behind the Message-ID.
    let (cut, _) = raw.split_once("Subject: Your code").unwrap();
    assert!(told(cut).is_some());
}

#[test]
fn the_envelope_is_enough() {
    let (_, id) = ours();
    let bare = id.trim_matches(['<', '>']);
    let with = |id: &str| {
        let field = format!("Reporting-MTA: dns; mx.example\r\nOriginal-Envelope-Id: {id}");
        notification("failed", "5.1.1", "x").replace("Reporting-MTA: dns; mx.example", &field)
    };
    let nothing_back = |raw: String| raw.replace("message/rfc822", "text/plain");
    assert!(told(&nothing_back(with(bare))).is_some());
    assert_eq!(told(&nothing_back(with("QQ314159"))), None);
    assert_eq!(told(&nothing_back(notification("failed", "5.1.1", "x"))), None);
    // What came back of the mail says it best.
    let other = message_id(&EntryId::from_bytes([1; 16]), "mf.example.com");
    assert!(told(&with(other.trim_matches(['<', '>']))).is_some());
}

#[test]
fn a_receipt_says_that_it_was_read() {
    let (_, id) = ours();
    let receipt = |disposition: &str| {
        format!(
            "From: ann@example.com\nContent-Type: multipart/report; report-type=disposition-notification; boundary=x\n\n\
             --x\n\nRead.\n--x\nContent-Type: message/disposition-notification\n\nReporting-UA: y\n\
             Final-Recipient: rfc822;ann@example.com\nOriginal-Message-ID: {id}\nDisposition: {disposition}\n--x--\n"
        )
    };
    let read = receipt("manual-action/MDN-sent-manually; displayed");
    assert_eq!(told(&read), Some(expect(ReportKind::Read, "", "")));
    for other in [
        "automatic-action/MDN-sent-automatically; deleted",
        "displayed",
        "",
    ] {
        assert_eq!(told(&receipt(other)), None);
    }
}

#[test]
fn plain_bounces_carry_the_mail_somewhere() {
    let (_, id) = ours();
    let qmail = format!(
        "From: MAILER-DAEMON@mx.example\r\nSubject: failure notice\r\n\r\nHi. This is the qmail-send program.\r\n\r\n\
         <ann@example.com>:\r\nSorry, no mailbox here by that name. (#5.1.1)\r\n\r\n--- Below this line is a copy.\r\n\r\n\
         Return-Path: <login@example.org>\r\nMessage-ID:\r\n {id}\r\nSubject: x\r\n\r\n612345\r\n"
    );
    assert_eq!(told(&qmail), Some(expect(ReportKind::Bounced, "5.1.1", "")));
    let delayed = qmail.replace("failure notice", "Warning: message delayed");
    assert_eq!(told(&delayed), Some(expect(ReportKind::Delayed, "5.1.1", "")));
    let mixed = format!(
        "Return-Path: <>\nFrom: x@mx.example\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\nNo.\n--x\n\
         Content-Type: message/rfc822\n\nMessage-ID: {id}\n\nhello\n--x--\n"
    );
    assert_eq!(told(&mixed), Some(expect(ReportKind::Bounced, "", "")));
    // Whoever answers or forwards one of our mails is no mail system.
    assert_eq!(told(&qmail.replace("MAILER-DAEMON", "ann")), None);
}

#[test]
fn anything_else_tells_nothing() {
    let foreign = notification("failed", "5.1.1", "x").replace(&ours().1, "<somebody@else.example>");
    assert_eq!(examine(foreign.as_bytes()), None);
    let long = format!(
        "From: postmaster@x\n\nMessage-ID: <{}@{}>\n",
        "ab".repeat(16),
        "x".repeat(600)
    );
    assert_eq!(examine(long.as_bytes()), None);
    for garbage in [
        &b""[..],
        b"\r\n",
        b"\xff\xfe\x00",
        b"Content-Type: multipart/report; boundary=\"\"\r\n\r\n--\r\n----\r\n",
        b"Content-Type: multipart/report\r\n\r\n",
        b"From: postmaster\n\nMessage-ID:",
    ] {
        assert_eq!(examine(garbage), None);
    }
}

proptest::proptest! {
    #[test]
    fn nothing_makes_it_panic(cut in 0..900_usize, at in 0..900_usize, with in proptest::collection::vec(proptest::num::u8::ANY, 0..8)) {
        let mut raw = notification("failed", "5.1.1", "x").into_bytes();
        let at = at.min(raw.len());
        raw.splice(at..at, with);
        raw.truncate(raw.len().saturating_sub(cut));
        let _ = examine(&raw);
    }
}

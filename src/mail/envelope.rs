//! The envelope of a mail: the commands before its message, with the parameters that the server knows. Pure.

use std::fmt::Write as _;

use lettre::Address;

use super::{offers::Offers, reply::failure};
use crate::domain::delivery::{FailureKind, SendFailure, Stage};

/// The longest ENVID (RFC 3461, 4.4).
const LONGEST_ID: usize = 100;

/// Who a mail goes from and to, and what the server should know of the message before it comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Envelope<'a> {
    /// The account's sender: bounces go there.
    pub(super) sender: &'a Address,
    /// The recipient.
    pub(super) recipient: &'a Address,
    /// Of the message; `None`: none is going to come.
    pub(super) content: Option<Content<'a>>,
}

/// What an envelope tells of its message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Content<'a> {
    /// Its bytes, without what the transmission adds.
    pub(super) size: usize,
    /// Whether it has bytes beyond ASCII, as with SMTPUTF8.
    pub(super) eight_bit: bool,
    /// Its Message-ID, with or without angle brackets: reports bring it back.
    pub(super) message_id: &'a str,
}

impl Envelope<'_> {
    /// MAIL. Fails for good where the server cannot take the message.
    pub(super) fn mail(&self, offers: &Offers) -> Result<String, SendFailure> {
        let refuse = |text: String| Err(failure(Stage::Mail, FailureKind::Permanent, text));
        let mut line = format!("MAIL FROM:<{}>", self.sender);
        let addresses = [self.sender, self.recipient].map(AsRef::<str>::as_ref);
        if !addresses.iter().all(|address| address.is_ascii()) {
            if !offers.has("SMTPUTF8") {
                return refuse("an address needs SMTPUTF8, which the server does not offer".into());
            }
            line.push_str(" SMTPUTF8");
        }
        if let Some(content) = &self.content {
            if content.eight_bit {
                if !offers.has("8BITMIME") {
                    return refuse("the message needs 8BITMIME, which the server does not offer".into());
                }
                line.push_str(" BODY=8BITMIME");
            }
            let size = content.size;
            if let Some(largest) = offers.largest().filter(|largest| size as u64 > *largest) {
                return refuse(format!(
                    "the message has {size} bytes, and the server takes {largest} at the most"
                ));
            }
            if offers.has("SIZE") {
                // Writing to a string does not fail.
                let _ = write!(line, " SIZE={size}");
            }
            if offers.has("DSN") {
                // A bounce needs to bring back no more than the headers, and the code stands below them as a rule.
                line.push_str(" RET=HDRS");
                let bare = content.message_id.trim_start_matches('<').trim_end_matches('>');
                let id = xtext(bare);
                if (1..=LONGEST_ID).contains(&id.len()) {
                    line.push_str(" ENVID=");
                    line.push_str(&id);
                }
            }
        }
        line.push_str("\r\n");
        Ok(line)
    }

    /// RCPT.
    pub(super) fn rcpt(&self, offers: &Offers) -> String {
        let notify = match self.content {
            Some(_) if offers.has("DSN") => " NOTIFY=FAILURE,DELAY",
            _ => "",
        };
        format!("RCPT TO:<{}>{notify}\r\n", self.recipient)
    }
}

/// Text in the alphabet of parameters (RFC 3461, 4).
fn xtext(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'+' && byte != b'=' {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(encoded, "+{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::{super::answer::Answers, *};

    fn offers(keywords: &[&str]) -> Offers {
        let mut answers = Answers::new(8192);
        answers.push(b"250-mx.example.com\r\n");
        for keyword in keywords {
            answers.push(format!("250-{keyword}\r\n").as_bytes());
        }
        answers.push(b"250 HELP\r\n");
        Offers::of(&answers.take().unwrap().unwrap())
    }

    fn mail(
        recipient: &str,
        size: usize,
        message_id: &str,
        keywords: &[&str],
    ) -> Result<String, SendFailure> {
        let (sender, recipient) = (
            "a@example.com".parse().unwrap(),
            recipient.parse::<Address>().unwrap(),
        );
        let envelope = Envelope {
            sender: &sender,
            recipient: &recipient,
            content: Some(Content {
                size,
                eight_bit: !recipient.to_string().is_ascii(),
                message_id,
            }),
        };
        let offers = offers(keywords);
        Ok(envelope.mail(&offers)? + &envelope.rcpt(&offers))
    }

    #[test]
    fn only_what_is_offered_is_said() {
        let all = ["8BITMIME", "SMTPUTF8", "SIZE 1000", "DSN"];
        assert_eq!(
            mail("b@example.com", 7, "<1+x=y@example.com>", &[]).unwrap(),
            "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\n"
        );
        assert_eq!(
            mail("b@example.com", 7, "<1+x=y@example.com>", &all).unwrap(),
            "MAIL FROM:<a@example.com> SIZE=7 RET=HDRS ENVID=1+2Bx+3Dy@example.com\r\n\
            RCPT TO:<b@example.com> NOTIFY=FAILURE,DELAY\r\n"
        );
        assert_eq!(
            mail("é@example.com", 7, &"x".repeat(101), &all).unwrap(),
            "MAIL FROM:<a@example.com> SMTPUTF8 BODY=8BITMIME SIZE=7 RET=HDRS\r\n\
            RCPT TO:<é@example.com> NOTIFY=FAILURE,DELAY\r\n"
        );
    }

    #[test]
    fn what_the_server_cannot_take_is_not_begun() {
        for (recipient, size, keywords, said) in [
            ("b@example.com", 1001, &["SIZE 1000"][..], "1000 at the most"),
            ("é@example.com", 7, &["8BITMIME"], "SMTPUTF8"),
            ("é@example.com", 7, &["SMTPUTF8"], "8BITMIME"),
        ] {
            let refused = mail(recipient, size, "<1@a>", keywords).unwrap_err();
            assert_eq!(
                (refused.stage, refused.kind),
                (Stage::Mail, FailureKind::Permanent)
            );
            assert!(refused.reply.contains(said), "{refused:?}");
        }
        for enough in ["SIZE 1000", "SIZE 0", "SIZE"] {
            assert!(mail("b@example.com", 1000, "<1@a>", &[enough]).is_ok());
        }
    }
}

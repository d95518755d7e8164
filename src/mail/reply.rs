//! What a server said, made fit to be kept and shown: one line, bounded, without what must stay hidden.

use std::io;

use zeroize::Zeroizing;

use super::{
    answer::Answer, conversation::Trouble, exchange::ExchangeError, identity::said_of_certificate,
    journal::Journal,
};
use crate::domain::{
    delivery::{FailureKind, SendFailure, Stage},
    text::is_plain,
};

/// The most bytes of a reply that are kept.
const MOST: usize = 512;

/// Texts that a reply must not show: the code, the recipient, the account's secret. Servers like to repeat things.
#[derive(Clone, Default)]
pub(super) struct Hidden(Vec<Zeroizing<String>>);

impl Hidden {
    /// Hides one more text.
    pub(super) fn add(&mut self, text: impl Into<String>) {
        let text: String = text.into();
        if !text.is_empty() {
            self.0.push(Zeroizing::new(text));
        }
    }

    /// A text made fit to be kept.
    pub(super) fn clean(&self, text: &str) -> String {
        let mut clean = text.to_owned();
        for hidden in &self.0 {
            clean = replace_ignoring_case(&clean, hidden);
        }
        let mut line = String::new();
        for character in clean.chars() {
            let character = if is_plain(character) { character } else { ' ' };
            if line.len() + character.len_utf8() > MOST {
                break;
            }
            line.push(character);
        }
        line.trim().to_owned()
    }

    /// What a reply says.
    pub(super) fn text_of(&self, answer: &Answer) -> String {
        self.clean(&answer.text())
    }

    /// A reply that is to complete the command in the journal's stage: what it says, or what it means that it does not.
    pub(super) fn completion(&self, answer: &Answer, journal: &Journal) -> Result<String, SendFailure> {
        if answer.is_complete() {
            Ok(self.text_of(answer))
        } else if answer.is_refusal() {
            Err(self.refusal(answer, journal.stage()))
        } else {
            Err(self.unexpected(answer, journal))
        }
    }

    /// What it means for the attempt in the journal that the conversation cannot go on.
    pub(super) fn trouble(&self, trouble: &Trouble, journal: &Journal) -> SendFailure {
        journal.lost(self.clean(&said_of_trouble(trouble)))
    }

    /// The same of greeting and EHLO: there a server that speaks TLS 1.3 tells what it thinks of the client's certificate.
    pub(super) fn greeting_failure(&self, error: &ExchangeError, journal: &Journal) -> SendFailure {
        match error {
            ExchangeError::Refused(answer) if answer.is_refusal() => self.refusal(answer, journal.stage()),
            ExchangeError::Refused(answer) => self.unexpected(answer, journal),
            ExchangeError::Lacking(text) => journal.lost(*text),
            ExchangeError::Trouble(trouble) => {
                let failure = self.trouble(trouble, journal);
                match trouble {
                    Trouble::Lost(error) if said_of_certificate(error).is_some() => SendFailure {
                        stage: Stage::Tls,
                        ..failure
                    },
                    _ => failure,
                }
            }
        }
    }

    /// A reply that was positive but not the one expected: the server has lost its way.
    pub(super) fn unexpected(&self, answer: &Answer, journal: &Journal) -> SendFailure {
        let code = answer.code();
        SendFailure {
            code: Some(code),
            ..journal.lost(self.clean(&format!("unexpected reply {code} {}", answer.text())))
        }
    }

    /// A negative reply. Where its enhanced status code says that it is not for good (RFC 3463, 2: class 4), a code of 5yz
    /// is believed no more than that: to try again is the mistake that can be mended.
    pub(super) fn refusal(&self, answer: &Answer, stage: Stage) -> SendFailure {
        let for_good = answer.code() >= 500 && answer.class() != Some(4);
        SendFailure {
            stage,
            kind: if for_good && !stage.concerns_account() {
                FailureKind::Permanent
            } else {
                FailureKind::Temporary
            },
            code: Some(answer.code()),
            reply: self.text_of(answer),
        }
    }
}

/// A failure in words of our own.
pub(super) fn failure(stage: Stage, kind: FailureKind, reply: impl Into<String>) -> SendFailure {
    SendFailure {
        stage,
        kind,
        code: None,
        reply: Hidden::default().clean(&reply.into()),
    }
}

/// What it is called when a conversation cannot go on.
pub(super) fn said_of_trouble(trouble: &Trouble) -> String {
    match trouble {
        Trouble::Lost(error) => said_of_loss(error),
        Trouble::Odd(_) | Trouble::Early => trouble.to_string(),
    }
}

/// What a broken connection is called.
pub(super) fn said_of_loss(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut => "the server did not answer in time".into(),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => "the server closed the connection".into(),
        _ => said_of_certificate(error).unwrap_or_else(|| error.to_string()),
    }
}

fn replace_ignoring_case(text: &str, hidden: &str) -> String {
    // ASCII case alone: lengths and character boundaries stay where they are.
    let (folded, hidden) = (text.to_ascii_lowercase(), hidden.to_ascii_lowercase());
    let mut shown = String::with_capacity(text.len());
    let mut from = 0;
    while let Some(at) = folded.get(from..).and_then(|rest| rest.find(&hidden)) {
        shown.push_str(text.get(from..from + at).unwrap_or_default());
        shown.push_str("[...]");
        from += at + hidden.len();
    }
    shown.push_str(text.get(from..).unwrap_or_default());
    shown
}

#[cfg(test)]
mod tests {
    use super::{super::answer::Answers, *};

    #[test]
    fn a_reply_is_one_bounded_line_without_what_is_hidden() {
        let mut hidden = Hidden::default();
        hidden.add("Ann@example.com");
        hidden.add("s3cret");
        let said = "no <ann@EXAMPLE.com>,\r\nno S3CRETs3cret \u{202e}\u{1b}[31m";
        assert_eq!(hidden.clean(said), "no <[...]>,  no [...][...]   [31m");
        let long = hidden.clean(&"é".repeat(1000));
        assert!(long.len() <= MOST && long.len() > MOST - 2);
    }

    #[test]
    fn a_refusal_is_for_good_only_where_it_concerns_the_mail() {
        let hidden = Hidden::default();
        let kind = |reply: &str, stage| {
            let mut answers = Answers::new(100);
            answers.push(format!("{reply}\r\n").as_bytes());
            hidden.refusal(&answers.take().unwrap().unwrap(), stage).kind
        };
        assert_eq!(kind("550 no", Stage::Rcpt), FailureKind::Permanent);
        assert_eq!(kind("554 no", Stage::Accept), FailureKind::Permanent);
        assert_eq!(kind("450 no", Stage::Rcpt), FailureKind::Temporary);
        assert_eq!(kind("550 5.1.1 no", Stage::Rcpt), FailureKind::Permanent);
        assert_eq!(kind("550 4.7.1 later", Stage::Rcpt), FailureKind::Temporary);
        assert_eq!(kind("450 5.2.1 later", Stage::Rcpt), FailureKind::Temporary);
        assert_eq!(kind("535 no", Stage::Auth), FailureKind::Temporary);
        assert_eq!(kind("554 no", Stage::Ehlo), FailureKind::Temporary);
    }
}

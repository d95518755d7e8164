//! What a server said, made fit to be kept and shown: one line, bounded, without what must stay hidden.

use std::{error::Error as _, io};

use lettre::transport::smtp::{
    Error,
    response::{Response, Severity},
};
use zeroize::Zeroizing;

use super::{identity::said_of_certificate, journal::Journal};
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

    /// What a positive reply says.
    pub(super) fn text_of(&self, response: &Response) -> String {
        self.clean(&response.message().collect::<Vec<_>>().join(" "))
    }

    /// What an error of lettre's means for the attempt in the journal.
    pub(super) fn failure(&self, error: &Error, journal: &Journal) -> SendFailure {
        let Some(code) = error.status() else {
            let text = io_error(error).map_or_else(
                || format!("the server's reply is not understood: {error}"),
                said_of_loss,
            );
            return journal.lost(self.clean(&text));
        };
        let reply = error.source().map(ToString::to_string).unwrap_or_default();
        self.refusal(code.into(), &reply, journal.stage())
    }

    /// The same of the first exchange: there a server that speaks TLS 1.3 tells what it thinks of the client's certificate.
    pub(super) fn greeting_failure(&self, error: &Error, journal: &Journal) -> SendFailure {
        let failure = self.failure(error, journal);
        match io_error(error).and_then(said_of_certificate) {
            Some(_) => SendFailure {
                stage: Stage::Tls,
                ..failure
            },
            None => failure,
        }
    }

    /// A reply that was positive but not the one expected: the server has lost its way.
    pub(super) fn unexpected(&self, response: &Response, journal: &Journal) -> SendFailure {
        let code = u16::from(response.code());
        SendFailure {
            code: Some(code),
            ..journal.lost(self.clean(&format!("unexpected reply {code} {}", self.text_of(response))))
        }
    }

    /// A negative reply.
    pub(super) fn refusal(&self, code: u16, reply: &str, stage: Stage) -> SendFailure {
        let permanent = code >= 500 && !stage.concerns_account();
        SendFailure {
            stage,
            kind: if permanent {
                FailureKind::Permanent
            } else {
                FailureKind::Temporary
            },
            code: Some(code),
            reply: self.clean(reply),
        }
    }
}

/// Whether a reply completes its command.
pub(super) fn is_complete(response: &Response) -> bool {
    response.code().severity == Severity::PositiveCompletion
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

fn io_error(error: &Error) -> Option<&io::Error> {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(found) = cause.downcast_ref() {
            return Some(found);
        }
        source = cause.source();
    }
    None
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
    use super::*;

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
        let kind = |code, stage| hidden.refusal(code, "", stage).kind;
        assert_eq!(kind(550, Stage::Rcpt), FailureKind::Permanent);
        assert_eq!(kind(554, Stage::Accept), FailureKind::Permanent);
        assert_eq!(kind(450, Stage::Rcpt), FailureKind::Temporary);
        assert_eq!(kind(535, Stage::Auth), FailureKind::Temporary);
        assert_eq!(kind(554, Stage::Ehlo), FailureKind::Temporary);
    }
}

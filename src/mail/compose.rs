//! The envelope and the MIME form of a mail, the same bytes each time: date, boundary and Message-ID come from the
//! outbox entry.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, UNIX_EPOCH},
};

use lettre::{
    Address, Message,
    address::Envelope,
    message::{
        Mailbox, MultiPart, SinglePart,
        header::{HeaderName, HeaderValue},
    },
};
use sha2::{Digest as _, Sha256};

use super::{body::body, encoded_word, reply::failure};
use crate::domain::{
    account::Sender,
    address::EmailAddress,
    clock::Timestamp,
    delivery::{FailureKind, SendFailure, Stage},
    text::check_line,
};

/// The last second of the year 9999: what a Date header can say.
const LAST_SECOND: u64 = 253_402_300_799;

/// What a message is made of.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    /// Who it comes from.
    pub(super) sender: &'a Sender,
    /// Whom it goes to.
    pub(super) recipient: &'a EmailAddress,
    /// Its Date.
    pub(super) date: Timestamp,
    /// Its Message-ID, with or without angle brackets.
    pub(super) message_id: &'a str,
    /// Its language.
    pub(super) language: &'a str,
    /// One line.
    pub(super) subject: &'a str,
    /// The plain alternative.
    pub(super) text: &'a str,
    /// The HTML alternative; empty: there is none.
    pub(super) html: &'a str,
}

/// The message, ready for DATA. Fails in [`Stage::Render`], for good.
pub(super) fn compose(parts: Parts<'_>) -> Result<String, SendFailure> {
    for line in [
        parts.subject,
        parts.message_id,
        parts.language,
        parts.sender.display_name.as_str(),
    ] {
        check_line(line, 1000).map_err(|error| refuse(format!("a header line {error}")))?;
    }
    if parts.sender.display_name.contains(encoded_word::MARK) {
        return Err(refuse("the account's display name looks like an encoded word"));
    }
    // lettre panics at what it cannot encode. The lines above leave it nothing to panic at; should it find something all the
    // same, one mail fails and the worker goes on.
    let built = catch_unwind(AssertUnwindSafe(|| build(parts)));
    built.unwrap_or_else(|_| Err(refuse("the message cannot be encoded")))
}

/// An address as lettre knows it.
pub(super) fn mailbox_address(address: &EmailAddress) -> Result<Address, SendFailure> {
    Address::new(address.local(), address.domain())
        .map_err(|_| refuse("an address is refused by the message builder"))
}

/// A mail that cannot be built now will not be later.
pub(super) fn refuse(text: impl Into<String>) -> SendFailure {
    failure(Stage::Render, FailureKind::Permanent, text)
}

fn build(parts: Parts<'_>) -> Result<String, SendFailure> {
    let name = Some(parts.sender.display_name.trim()).filter(|name| !name.is_empty());
    let from = Mailbox::new(name.map(str::to_owned), mailbox_address(&parts.sender.address)?);
    let recipient = mailbox_address(parts.recipient)?;
    // Nobody asks the message for it, and without it lettre would read it out of the headers.
    let envelope = Envelope::new(Some(from.email.clone()), vec![recipient.clone()])
        .map_err(|_| refuse("the message has no recipient"))?;
    let seconds = u64::try_from(parts.date.as_micros()).unwrap_or(0) / 1_000_000;
    let builder = Message::builder()
        .envelope(envelope)
        .from(from)
        .to(Mailbox::new(None, recipient));
    let mut builder = match encoded_word::subject(parts.subject) {
        Some(header) => builder.raw_header(header),
        None => builder.subject(parts.subject),
    };
    builder = builder
        .date(UNIX_EPOCH + Duration::from_secs(seconds.min(LAST_SECOND)))
        .message_id(Some(bracketed(parts.message_id)))
        // RFC 3834, 5: no out-of-office notice answers it. The second one tells Exchange.
        .raw_header(plain_header("Auto-Submitted", "auto-generated"))
        .raw_header(plain_header("X-Auto-Response-Suppress", "All"))
        .raw_header(plain_header("Content-Language", parts.language));
    if let Some(reply_to) = &parts.sender.reply_to {
        builder = builder.reply_to(Mailbox::new(None, mailbox_address(reply_to)?));
    }
    if let Some(address) = parts.sender.receipt_to() {
        // RFC 8098, 2.1. Checked by the same parser as From; encoded as it is, in UTF-8 where it needs it.
        let header = HeaderName::new_from_ascii_str("Disposition-Notification-To");
        let mailbox = Mailbox::new(None, mailbox_address(address)?).to_string();
        builder = builder.raw_header(HeaderValue::new(header, mailbox));
    }
    let text = SinglePart::plain(body(parts.text));
    let built = if parts.html.is_empty() {
        builder.singlepart(text)
    } else {
        let alternatives = MultiPart::alternative()
            .boundary(boundary(parts.message_id))
            .singlepart(text)
            .singlepart(SinglePart::html(body(parts.html)));
        builder.multipart(alternatives)
    };
    let message = built.map_err(|error| refuse(format!("the message cannot be built: {error}")))?;
    String::from_utf8(message.formatted()).map_err(|_| refuse("the message is no text"))
}

fn plain_header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

fn bracketed(message_id: &str) -> String {
    if message_id.starts_with('<') {
        message_id.to_owned()
    } else {
        format!("<{message_id}>")
    }
}

/// 40 hexadecimal digits that a retry finds again.
fn boundary(message_id: &str) -> String {
    let digest = Sha256::digest(format!("mailfactor boundary {message_id}"));
    digest.iter().take(20).fold(String::new(), |mut text, byte| {
        use std::fmt::Write as _;
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

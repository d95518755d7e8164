//! Header texts as encoded words (RFC 2047), where lettre would send them as they are and a mail program would decode
//! what somebody wrote to be decoded.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lettre::message::header::{HeaderName, HeaderValue};

/// The most bytes of text in one word: encoded, a line stays below 76 characters, the header's name included.
const WORD: usize = 36;

/// A header that says `text` and then `rest`, if the text looks as if it were encoded already.
pub(super) fn header(name: &'static str, text: &str, rest: &str) -> Option<HeaderValue> {
    if !text.contains("=?") {
        return None;
    }
    let raw = format!("{text}{rest}");
    let encoded = format!("{}{rest}", words(text));
    let name = HeaderName::new_from_ascii_str(name);
    Some(HeaderValue::dangerous_new_pre_encoded(name, raw, encoded))
}

/// The text in words, none of which splits a character.
fn words(text: &str) -> String {
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (word, after) = rest.split_at(rest.floor_char_boundary(rest.len().min(WORD)));
        words.push(format!("=?utf-8?b?{}?=", STANDARD.encode(word)));
        rest = after;
    }
    words.join("\r\n ")
}

#[cfg(test)]
mod tests {
    use mail_parser::MessageParser;

    use super::*;

    #[test]
    fn what_looks_encoded_is_encoded_and_reads_as_it_was_written() {
        assert!(header("Subject", "Zoë = ?", "").is_none());
        for text in ["=?utf-8?q?=0ABcc=3A_eve?=", &format!("=?{}", "ü€😀".repeat(40))] {
            assert!(header("Subject", text, "").is_some());
            let encoded = words(text);
            assert!(encoded.split("\r\n ").all(|line| line.len() < 66), "{encoded}");
            let mail = format!("Subject: {encoded}\r\n\r\n");
            let parsed = MessageParser::default().parse(mail.as_bytes()).unwrap();
            assert_eq!(parsed.subject(), Some(text));
        }
    }
}

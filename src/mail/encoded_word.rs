//! Subjects that look encoded already. lettre leaves a line of ASCII as it is, and a mail program would decode what
//! somebody wrote to look like an encoded word (RFC 2047, 2): such a line is encoded whole, so that it reads as written.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lettre::message::header::{HeaderName, HeaderValue};

/// What encoded words begin with.
pub(super) const MARK: &str = "=?";

/// Bytes in one word: 60 characters of base64, within the 75 that a word may have (RFC 2047, 2).
const MOST: usize = 45;

/// The Subject header, where the line must be encoded although it is ASCII.
pub(super) fn subject(line: &str) -> Option<HeaderValue> {
    if !line.contains(MARK) {
        return None;
    }
    let name = HeaderName::new_from_ascii_str("Subject");
    let words: Vec<String> = words(line)
        .into_iter()
        .map(|word| format!("=?utf-8?b?{}?=", STANDARD.encode(word)))
        .collect();
    let encoded = words.join("\r\n ");
    Some(HeaderValue::dangerous_new_pre_encoded(
        name,
        line.to_owned(),
        encoded,
    ))
}

/// Parts of whole characters; between encoded words a reader drops the space.
fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let (word, after) = rest.split_at(rest.floor_char_boundary(MOST));
        words.push(word);
        rest = after;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_looks_encoded_is_encoded_here() {
        assert!(subject("Your code: 50% = half?").is_none());
        assert!(subject("=?utf-8?q?Bcc:?=").is_some());
    }

    #[test]
    fn words_are_short_and_of_whole_characters() {
        let line = format!("={}=?", "ü€".repeat(60));
        let words = words(&line);
        assert_eq!(words.concat(), line);
        assert!(words.iter().all(|word| word.len() <= MOST && !word.is_empty()));
    }
}

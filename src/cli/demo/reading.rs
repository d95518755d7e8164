//! Reads a caught mail as a mail program would: the headers people see, and the text part.

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Headers worth showing, in the order they are shown.
const SHOWN: [&str; 6] = ["from", "to", "subject", "date", "message-id", "auto-submitted"];

/// A part of a mail: headers by name in lower case, unfolded, and the body.
struct Part<'a> {
    headers: Vec<(String, String)>,
    body: &'a str,
}

/// The headers worth showing, each shortened to a line.
pub(super) fn headers(message: &str) -> Vec<String> {
    let part = Part::read(message);
    let shown = SHOWN.iter().filter_map(|name| {
        let value = part.header(name)?;
        let title: String = name
            .split('-')
            .map(|word| {
                let (first, rest) = word.split_at(word.len().min(1));
                format!("{}{rest}", first.to_uppercase())
            })
            .collect::<Vec<_>>()
            .join("-");
        Some(shorten(&format!("{title}: {}", decode_words(value))))
    });
    shown.collect()
}

/// The text part, as a person reads it.
pub(super) fn text(message: &str) -> Option<String> {
    text_of(&Part::read(message), 0)
}

fn text_of(part: &Part<'_>, depth: usize) -> Option<String> {
    let kind = part.header("content-type").unwrap_or("text/plain");
    let lower = kind.to_ascii_lowercase();
    if lower.starts_with("text/plain") {
        return Some(part.decode());
    }
    // Deeper than any mail of ours.
    if !lower.starts_with("multipart/") || depth > 4 {
        return None;
    }
    let start = lower.find("boundary=")? + "boundary=".len();
    let boundary = kind.get(start..)?.trim_start_matches('"');
    let boundary = boundary.split(['"', ';']).next()?.trim();
    let delimiter = format!("--{boundary}");
    part.body
        .split(delimiter.as_str())
        .skip(1)
        .take_while(|part| !part.starts_with("--"))
        .find_map(|inner| text_of(&Part::read(inner.trim_start_matches("\r\n")), depth + 1))
}

impl<'a> Part<'a> {
    fn read(text: &'a str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in head.split("\r\n") {
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = headers.last_mut() {
                    value.push(' ');
                    value.push_str(line.trim());
                }
            } else if let Some((name, value)) = line.split_once(':') {
                headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        Self { headers, body }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    fn decode(&self) -> String {
        let encoding = self.header("content-transfer-encoding").unwrap_or_default();
        let bytes = match encoding.to_ascii_lowercase().as_str() {
            "quoted-printable" => quoted_printable(self.body),
            "base64" => {
                let packed: String = self.body.split_ascii_whitespace().collect();
                STANDARD.decode(packed).unwrap_or_default()
            }
            _ => self.body.as_bytes().to_vec(),
        };
        let text = String::from_utf8_lossy(&bytes);
        text.replace("\r\n", "\n").trim_end().to_owned()
    }
}

/// RFC 2045, 6.7.
fn quoted_printable(text: &str) -> Vec<u8> {
    let text = text.replace("=\r\n", "");
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'=' {
            decoded.push(byte);
            continue;
        }
        let digits: Vec<u8> = bytes.by_ref().take(2).collect();
        let number = str::from_utf8(&digits)
            .ok()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.extend(number);
    }
    decoded
}

/// Encoded words (RFC 2047) of UTF-8, as headers of ours may hold.
fn decode_words(value: &str) -> String {
    let mut shown = String::new();
    let mut after_encoded = false;
    for word in value.split_ascii_whitespace() {
        let decoded = decode_word(word);
        // The space between two encoded words belongs to neither (RFC 2047, 6.2).
        let joined = after_encoded && decoded.is_some();
        if !joined && !shown.is_empty() {
            shown.push(' ');
        }
        after_encoded = decoded.is_some();
        shown.push_str(decoded.as_deref().unwrap_or(word));
    }
    shown
}

fn decode_word(word: &str) -> Option<String> {
    let inner = word
        .strip_prefix("=?utf-8?")
        .or_else(|| word.strip_prefix("=?UTF-8?"))?;
    let bytes = match inner.strip_suffix("?=")?.split_once('?')? {
        ("b" | "B", text) => STANDARD.decode(text).ok()?,
        ("q" | "Q", text) => quoted_printable(&text.replace('_', " ")),
        _ => return None,
    };
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn shorten(line: &str) -> String {
    const WIDTH: usize = 96;
    if line.chars().count() <= WIDTH {
        return line.to_owned();
    }
    let kept: String = line.chars().take(WIDTH - 3).collect();
    format!("{kept}...")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: &str = "From: Login <l@x.example>\r\nSubject: =?utf-8?b?Q29kZSDDpA==?=\r\nX-Other: 1\r\n\
        Content-Type: multipart/alternative;\r\n boundary=\"b\"\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\
        Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=\r\n=C3=9Fe, 123456\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>\r\n--b--\r\n";

    #[test]
    fn shows_what_a_mail_program_shows() {
        assert_eq!(headers(MAIL), ["From: Login <l@x.example>", "Subject: Code ä"]);
        assert_eq!(text(MAIL).unwrap(), "Grüße, 123456");
    }

    #[test]
    fn a_mail_without_parts_is_its_own_text() {
        assert_eq!(text("Subject: s\r\n\r\nplain\r\n").unwrap(), "plain");
        assert_eq!(text("Content-Type: text/html\r\n\r\n<p>"), None);
    }
}

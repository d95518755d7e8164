//! A caught mail, read as far as the demo shows it: some headers, the text and the code in it.

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// A mail as it came over the wire.
#[derive(Clone, Debug)]
pub struct Letter {
    /// The envelope sender.
    pub sender: String,
    /// The envelope recipients.
    pub recipients: Vec<String>,
    /// Headers and body.
    pub source: String,
}

impl Letter {
    /// A header's value, unfolded; empty where there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> String {
        header(&self.source, name)
    }

    /// The text part, decoded.
    #[must_use]
    pub fn text(&self) -> String {
        let boundary = parameter(&self.header("Content-Type"), "boundary");
        let delimiter = format!("--{boundary}");
        let plain = |part: &&str| header(part.trim_start(), "Content-Type").starts_with("text/plain");
        let part = if boundary.is_empty() {
            Some(self.source.as_str())
        } else {
            self.source.split(delimiter.as_str()).skip(1).find(plain)
        };
        part.map(|part| decoded(part.trim_start())).unwrap_or_default()
    }

    /// The code: the one line of the text that consists of characters of the alphabet, spaces and hyphens alone.
    #[must_use]
    pub fn code(&self, alphabet: &str, length: usize) -> Option<String> {
        self.text().lines().find_map(|line| {
            let bare: String = line.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
            let fits = bare.chars().count() == length && bare.chars().all(|c| alphabet.contains(c));
            fits.then_some(bare)
        })
    }
}

fn header(source: &str, name: &str) -> String {
    let mut value: Option<String> = None;
    for line in source.lines().take_while(|line| !line.is_empty()) {
        match &mut value {
            Some(value) if line.starts_with([' ', '\t']) => {
                value.push(' ');
                value.push_str(line.trim());
            }
            Some(_) => break,
            None => {
                value = line
                    .split_once(':')
                    .filter(|(field, _)| field.eq_ignore_ascii_case(name))
                    .map(|(_, rest)| rest.trim().to_owned());
            }
        }
    }
    value.unwrap_or_default()
}

fn parameter(value: &str, name: &str) -> String {
    let found = value
        .split(';')
        .find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_default().trim_matches('"').to_owned()
}

fn decoded(part: &str) -> String {
    let body = part
        .split_once("\r\n\r\n")
        .map(|(_, body)| body)
        .unwrap_or_default();
    let bytes = match header(part, "Content-Transfer-Encoding")
        .to_ascii_lowercase()
        .as_str()
    {
        "base64" => {
            let packed: String = body.split_whitespace().collect();
            STANDARD.decode(packed).unwrap_or_default()
        }
        "quoted-printable" => unquoted(body),
        _ => body.as_bytes().to_vec(),
    };
    String::from_utf8_lossy(&bytes)
        .replace("\r\n", "\n")
        .trim()
        .to_owned()
}

/// Decodes quoted-printable (RFC 2045, 6.7).
fn unquoted(body: &str) -> Vec<u8> {
    let joined = body.replace("=\r\n", "");
    let mut bytes = Vec::with_capacity(joined.len());
    let mut rest = joined.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let pair = after.get(..2).and_then(|pair| str::from_utf8(pair).ok());
        let value = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match (byte, value) {
            (b'=', Some(value)) => {
                bytes.push(value);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_text_of_a_mail_with_two_parts() {
        let source = "Subject: Your\r\n code\r\nContent-Type: multipart/alternative;\r\n boundary=\"b1\"\r\n\r\n\
            --b1\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
            Gr=C3=BC=C3=9Fe, your =\r\ncode:\r\n\r\n123 456\r\n--b1\r\nContent-Type: text/html\r\n\r\n<p>x</p>\r\n--b1--\r\n";
        let letter = Letter {
            sender: String::new(),
            recipients: vec![],
            source: source.into(),
        };
        assert_eq!(letter.header("subject"), "Your code");
        assert_eq!(letter.text(), "Grüße, your code:\n\n123 456");
        assert_eq!(letter.code("0123456789", 6).as_deref(), Some("123456"));
    }
}

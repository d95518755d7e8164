//! Messages, taken apart as far as it takes to read a report: headers, transfer encoding, the parts of one level. No
//! recursion: what is inside a part is looked at only where somebody asks, so a message nested a thousand times is none
//! the worse than any other.

use mail_parser::{
    Message, MessageParser, MimeHeaders as _,
    decoders::{base64::base64_decode, quoted_printable::quoted_printable_decode},
};

/// The most parts that are looked at; a report has three (RFC 6522, 3).
const MOST_PARTS: usize = 16;

/// A message, or a part of one.
pub(super) struct Entity<'a> {
    headers: Option<Message<'a>>,
    body: &'a [u8],
}

impl<'a> Entity<'a> {
    /// Splits headers from body.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let (head, body) = split_head(bytes);
        Self {
            headers: MessageParser::default().parse_headers(head),
            body,
        }
    }

    /// A header's value in one line.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        let value = self.headers.as_ref()?.header_raw(name)?;
        Some(value.replace(['\r', '\n'], "").trim().to_owned())
    }

    /// Its type, such as `multipart/report`, in lower case; `text/plain` where it says none.
    pub(super) fn kind(&self) -> String {
        let kind = self.headers.as_ref().and_then(|headers| headers.content_type());
        let Some(kind) = kind else {
            return "text/plain".to_owned();
        };
        let subtype = kind.subtype().unwrap_or("plain");
        format!("{}/{subtype}", kind.ctype()).to_ascii_lowercase()
    }

    /// Its body, decoded.
    pub(super) fn content(&self) -> Vec<u8> {
        let encoding = self.header("Content-Transfer-Encoding").unwrap_or_default();
        let decoded = match encoding.to_ascii_lowercase().as_str() {
            "base64" => base64_decode(self.body),
            "quoted-printable" => quoted_printable_decode(self.body),
            _ => None,
        };
        decoded.unwrap_or_else(|| self.body.to_vec())
    }

    /// Its parts, where it has any.
    pub(super) fn parts(&self) -> Vec<Entity<'a>> {
        let kind = self.headers.as_ref().and_then(|headers| headers.content_type());
        let boundary = kind
            .filter(|kind| kind.ctype().eq_ignore_ascii_case("multipart"))
            .and_then(|kind| kind.attribute("boundary"));
        let Some(boundary) = boundary.filter(|boundary| !boundary.is_empty()) else {
            return Vec::new();
        };
        let parts = split_parts(self.body, boundary.as_bytes());
        parts.into_iter().map(Entity::new).collect()
    }
}

/// Headers with the empty line after them, and what follows.
fn split_head(bytes: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        at += line.len();
        if bare(line).is_empty() {
            break;
        }
    }
    bytes.split_at(at)
}

/// What stands between the lines of a boundary (RFC 2046, 5.1.1); the last part may be cut off.
fn split_parts<'a>(body: &'a [u8], boundary: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    let mut begun = None;
    let mut at = 0;
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let (start, rest) = (at, bare(line).strip_prefix(b"--"));
        at += line.len();
        let Some(rest) = rest.and_then(|rest| rest.strip_prefix(boundary)) else {
            continue;
        };
        let rest = rest.trim_ascii();
        if !rest.is_empty() && rest != b"--" {
            continue;
        }
        if let Some(begin) = begun.take() {
            parts.extend(body.get(begin..start));
        }
        if rest == b"--" || parts.len() >= MOST_PARTS {
            return parts;
        }
        begun = Some(at);
    }
    parts.extend(begun.and_then(|begin| body.get(begin..)));
    parts
}

/// A line without its end.
fn bare(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_split_at_their_boundary_alone() {
        let body =
            b"preamble\r\n--b\r\n\r\none\r\n--bc\r\n--b \nContent-Type: X/Y\n\ntwo\n--b--\r\n--b\r\nafter";
        let parts = split_parts(body, b"b");
        assert_eq!(
            parts,
            [&b"\r\none\r\n--bc\r\n"[..], b"Content-Type: X/Y\n\ntwo\n"]
        );
        let (first, second) = (Entity::new(parts[0]), Entity::new(parts[1]));
        assert_eq!(
            (first.kind().as_str(), first.content()),
            ("text/plain", b"one\r\n--bc\r\n".to_vec())
        );
        assert_eq!(
            (second.kind().as_str(), second.content()),
            ("x/y", b"two\n".to_vec())
        );
        assert_eq!(split_parts(b"--b\r\ncut off", b"b"), [b"cut off"]);
        assert!(split_parts(b"", b"b").is_empty());
    }

    #[test]
    fn bodies_are_decoded() {
        let encoded = Entity::new(b"Content-Transfer-Encoding: Base64\r\n\r\naGFsbG8=\r\n");
        assert_eq!(encoded.content(), b"hallo");
        let quoted = Entity::new(b"Content-Transfer-Encoding: quoted-printable\r\n\r\na=3Db=\r\nc");
        assert_eq!(quoted.content(), b"a=bc");
    }

    #[test]
    fn a_message_nested_without_end_is_taken_as_it_is() {
        let deep = b"Content-Type: message/rfc822\r\n\r\n".repeat(8_000);
        assert!(Entity::new(&deep).parts().is_empty());
    }
}

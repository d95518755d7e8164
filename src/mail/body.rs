//! The body of a part of a message: its lines ended by CR LF, in the encoding that it needs.

use lettre::message::{Body, header::ContentTransferEncoding};

/// The longest line that is sent as it is. RFC 5322, 2.1.1, wants 78 at the most; lettre draws the line here, for the
/// first line of a text, and one before for the others.
const LONGEST_LINE: usize = 75;

/// The body that a text makes. Short lines of ASCII, as of most mails, go as they are; lettre encodes everything else.
pub(super) fn body(text: &str) -> Body {
    let mut whole = String::with_capacity(text.len() + text.len() / 16);
    let mut short = true;
    for line in text.split_inclusive('\n') {
        let (line, end) = match line.strip_suffix('\n') {
            Some(line) => (line.strip_suffix('\r').unwrap_or(line), "\r\n"),
            None => (line, ""),
        };
        short = short && line.len() <= LONGEST_LINE;
        whole.push_str(line);
        whole.push_str(end);
    }
    if short && text.is_ascii() {
        Body::dangerous_pre_encoded(whole.into_bytes(), ContentTransferEncoding::SevenBit)
    } else {
        // With the line ends made it leaves them as they are: it would move the rest of the text for each of them.
        Body::new(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_lines_may_be_as_long_as_the_first() {
        let encoding = |length: usize| {
            body(&format!("a\n{}\n", "b".repeat(length)))
                .encoding()
                .to_string()
        };
        assert_eq!(encoding(LONGEST_LINE), "7bit");
        assert_eq!(encoding(LONGEST_LINE + 1), "quoted-printable");
    }

    #[test]
    fn bodies_are_as_lettre_would_make_them() {
        let long = "a".repeat(75);
        for text in [
            "",
            "a",
            "a\n",
            "\n",
            "\n\na\r\n\nb",
            "a\rb\r\r\n",
            "\r",
            "é\n\r\né",
            "Grüße, ein langer Text mit vielen, vielen Buchstaben und einem Ende, das weit hinten liegt\n",
            "你好\n",
            &long,
            &format!("{long}\nb\n{long}a"),
            &format!("{long}a"),
        ] {
            let (ours, theirs) = (body(text), Body::new(text.to_owned()));
            assert_eq!(
                (ours.encoding().to_string(), ours.into_vec()),
                (theirs.encoding().to_string(), theirs.into_vec()),
                "{text:?}"
            );
        }
    }
}

//! What a mail server offers in its reply to EHLO (RFC 5321, 4.1.1.1). Pure.

use super::answer::Answer;

/// The name a server gives itself, and its extensions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    name: String,
    /// One to a line: a keyword and its parameters.
    lines: Vec<String>,
}

impl Offers {
    /// Those of a reply. A line that makes no sense offers nothing.
    #[must_use]
    pub fn of(answer: &Answer) -> Self {
        let (greeting, lines) = answer.lines().split_first().unzip();
        let name = greeting.and_then(|line: &String| line.split_ascii_whitespace().next());
        Self {
            name: name.unwrap_or_default().to_owned(),
            lines: lines.unwrap_or_default().to_vec(),
        }
    }

    /// The server's name; may be empty.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it offers an extension.
    #[must_use]
    pub fn has(&self, keyword: &str) -> bool {
        self.parameters(keyword).is_some()
    }

    /// Whether it offers a mechanism of AUTH (RFC 4954, 3).
    #[must_use]
    pub fn has_mechanism(&self, name: &str) -> bool {
        let mut mechanisms = self.parameters("AUTH").into_iter().flatten();
        mechanisms.any(|mechanism| mechanism.eq_ignore_ascii_case(name))
    }

    /// The largest message it takes, if it says so (RFC 1870, 3): 0 and nothing mean that it does not.
    #[must_use]
    pub fn largest(&self) -> Option<u64> {
        let size = self.parameters("SIZE")?.next()?.parse().ok()?;
        Some(size).filter(|size| *size > 0)
    }

    fn parameters(&self, keyword: &str) -> Option<impl Iterator<Item = &str>> {
        self.lines.iter().find_map(|line| {
            let mut words = line.split_ascii_whitespace();
            words
                .next()
                .filter(|word| word.eq_ignore_ascii_case(keyword))
                .map(|_| words)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::answer::Answers, *};

    fn offers(reply: &[u8]) -> Option<Offers> {
        let mut answers = Answers::new(64 * 1024);
        answers.push(reply);
        answers.take().ok().flatten().map(|answer| Offers::of(&answer))
    }

    #[test]
    fn keywords_are_found_in_any_case_and_only_whole() {
        let reply =
            b"250-mx.example.com Hello\r\n250-PIPELINING\r\n250-size 35882577\r\n250-Auth plain LOGIN\r\n\
            250-AUTH=CRAM-MD5\r\n250-  \r\n250-8BITMIMEX\r\n250 DSN\r\n";
        let offers = offers(reply).unwrap();
        assert_eq!(offers.name(), "mx.example.com");
        assert!(offers.has("PIPELINING") && offers.has("DSN"));
        assert!(!offers.has("8BITMIME") && !offers.has("mx.example.com"));
        assert_eq!(offers.largest(), Some(35_882_577));
        assert!(offers.has_mechanism("PLAIN") && offers.has_mechanism("login"));
        assert!(!offers.has_mechanism("CRAM-MD5"));
    }

    #[test]
    fn a_size_that_is_none_limits_nothing() {
        for size in ["", " 0", " x", " -1", " 99999999999999999999999"] {
            let reply = format!("250-a\r\n250 SIZE{size}\r\n");
            let offers = offers(reply.as_bytes()).unwrap();
            assert!(offers.has("SIZE"));
            assert_eq!(offers.largest(), None, "{size:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(lines in prop::collection::vec("[^\r\n]{0,40}", 0..10), keyword in "\\PC{0,10}") {
            let reply = format!("250-{}\r\n250 DSN\r\n", lines.join("\r\n250-"));
            if let Some(offers) = offers(reply.as_bytes()) {
                let _ = (offers.name(), offers.has(&keyword), offers.has_mechanism(&keyword), offers.largest());
            }
        }
    }
}

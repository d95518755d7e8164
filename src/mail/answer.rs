//! What a mail server answers: replies (RFC 5321, 4.2), made of its bytes as they come. Pure: no stream, no clock.
//!
//! The one parser of replies, before TLS and within it. The crate `smtp-proto` has another, which we leave aside: it takes
//! any three digits for a code, a bare LF for the end of a line and other codes on the lines of one reply, and reads the
//! reply to EHLO by a second parser over bytes that have to be gathered first.

use std::mem::take;

use bytes::BytesMut;

/// How much is read at a time.
const PIECE: usize = 4096;

/// A reply, all its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    code: u16,
    lines: Vec<String>,
}

impl Answer {
    /// Its code, from 200 to 599.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.code
    }

    /// Its lines, without the code; at least one.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Whether it completes its command.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// Whether it refuses its command.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.code >= 400
    }

    /// The class of its enhanced status code (RFC 2034): 2, 4 or 5.
    #[must_use]
    pub fn class(&self) -> Option<u8> {
        status_class(self.status()?)
    }

    /// What it says, in one line. An enhanced status code that stands on each of its lines is told once.
    #[must_use]
    pub fn text(&self) -> String {
        let status = self.status();
        let mut text = String::new();
        for (number, line) in self.lines.iter().enumerate() {
            let again = status.filter(|_| number > 0);
            let rest = again.and_then(|status| line.strip_prefix(status)?.strip_prefix(' '));
            if number > 0 {
                text.push(' ');
            }
            text.push_str(rest.unwrap_or(line));
        }
        text
    }

    fn status(&self) -> Option<&str> {
        let word = self.lines.first()?.split(' ').next()?;
        status_class(word).map(|_| word)
    }
}

/// The class of an enhanced status code (RFC 3463, 2); `None`: it is none.
pub(super) fn status_class(word: &str) -> Option<u8> {
    let mut parts = word.split('.');
    let class = match parts.next()? {
        "2" => 2,
        "4" => 4,
        "5" => 5,
        _ => return None,
    };
    let number = |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    let whole = number(parts.next()?) && number(parts.next()?) && parts.next().is_none();
    whole.then_some(class)
}

/// Why bytes are no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAnswer {
    /// They are something else.
    #[error("the server's reply is not understood")]
    Odd,
    /// There are more of them than a reply may have.
    #[error("the server's reply is longer than {0} bytes")]
    TooLong(usize),
}

/// Replies as they come in, in whatever pieces. After a fault nothing that follows has a meaning.
#[derive(Debug)]
pub struct Answers {
    /// What was not looked at yet, but for an incomplete line at its beginning.
    held: BytesMut,
    /// So much of it holds no end of a line.
    looked: usize,
    /// The reply under way: its code, its lines, its bytes.
    code: Option<u16>,
    lines: Vec<String>,
    size: usize,
    limit: usize,
}

impl Answers {
    /// None yet; each may have so many bytes, all lines together.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            held: BytesMut::new(),
            looked: 0,
            code: None,
            lines: Vec::new(),
            size: 0,
            limit,
        }
    }

    /// More bytes of the server's. What is held stays bounded if [`Answers::take`] is asked after each piece until it
    /// has no more.
    pub fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// Where the next piece is read to, instead of pushing it.
    pub(super) fn room(&mut self) -> &mut BytesMut {
        self.held.reserve(PIECE);
        &mut self.held
    }

    /// The next reply, if it is whole.
    pub fn take(&mut self) -> Result<Option<Answer>, BadAnswer> {
        let taken = self.next_whole();
        if taken.is_err() {
            // Nothing is made of what is left.
            *self = Self::new(self.limit);
        }
        taken
    }

    /// Whether nothing was read beyond the replies that were taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty() && self.code.is_none()
    }

    fn next_whole(&mut self) -> Result<Option<Answer>, BadAnswer> {
        loop {
            let fresh = self.held.get(self.looked..).unwrap_or_default();
            let Some(end) = fresh.iter().position(|byte| *byte == b'\n') else {
                self.looked = self.held.len();
                return self.fits(self.looked).map(|()| None);
            };
            let line = self.held.split_to(self.looked + end + 1);
            self.looked = 0;
            self.fits(line.len())?;
            self.size += line.len();
            let (code, is_last, text) = parse(&line).ok_or(BadAnswer::Odd)?;
            if self.code.is_some_and(|begun| begun != code) {
                return Err(BadAnswer::Odd);
            }
            self.lines.push(text);
            if is_last {
                self.size = 0;
                self.code = None;
                let lines = take(&mut self.lines);
                return Ok(Some(Answer { code, lines }));
            }
            self.code = Some(code);
        }
    }

    fn fits(&self, more: usize) -> Result<(), BadAnswer> {
        if self.size + more > self.limit {
            Err(BadAnswer::TooLong(self.limit))
        } else {
            Ok(())
        }
    }
}

/// One line (RFC 5321, 4.2.1): its code, whether it is the last, its text.
fn parse(line: &[u8]) -> Option<(u16, bool, String)> {
    let (code, text) = line.strip_suffix(b"\r\n")?.split_first_chunk::<3>()?;
    let code = code.iter().try_fold(0, |code: u16, byte| {
        byte.is_ascii_digit().then(|| code * 10 + u16::from(byte - b'0'))
    })?;
    let is_last = match text.first() {
        None | Some(b' ') => true,
        Some(b'-') => false,
        Some(_) => return None,
    };
    let text = String::from_utf8_lossy(text.get(1..).unwrap_or_default());
    (200..600)
        .contains(&code)
        .then(|| (code, is_last, text.into_owned()))
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;

//! Text that people wrote and that ends up in mails and logs: bounded, and without characters that rearrange it.

/// Why a text is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Nothing there.
    #[error("is required")]
    Empty,
    /// Longer than allowed.
    #[error("is longer than {max} characters")]
    TooLong {
        /// The most characters allowed.
        max: usize,
    },
    /// A character that breaks lines, hides or turns round what follows it.
    #[error("has a control character at position {position}")]
    ControlCharacter {
        /// Which character, counted from 1.
        position: usize,
    },
}

/// Whether a character may stand in a single line of text: no C0 or C1 controls, no line or paragraph separators, no
/// bidirectional controls (UAX #9), which make a text read otherwise than it is.
#[must_use]
pub fn is_plain(character: char) -> bool {
    !character.is_control()
        && !matches!(
            character,
            '\u{2028}' | '\u{2029}' | '\u{061c}' | '\u{200e}' | '\u{200f}'
        )
        && !matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Checks a single line of text; it may be empty.
pub fn check_line(text: &str, max: usize) -> Result<(), TextError> {
    check(text, max, is_plain)
}

/// Checks a text of several lines; it may be empty.
pub fn check_lines(text: &str, max: usize) -> Result<(), TextError> {
    check(text, max, |character| {
        is_plain(character) || matches!(character, '\n' | '\t')
    })
}

/// Checks a single line of text that must say something.
pub fn require_line(text: &str, max: usize) -> Result<(), TextError> {
    if text.trim().is_empty() {
        return Err(TextError::Empty);
    }
    check_line(text, max)
}

fn check(text: &str, max: usize, allowed: impl Fn(char) -> bool) -> Result<(), TextError> {
    // A length in bytes bounds the walk before characters are counted.
    if text.len() > max * 4 || text.chars().count() > max {
        return Err(TextError::TooLong { max });
    }
    match text.chars().position(|character| !allowed(character)) {
        Some(index) => Err(TextError::ControlCharacter { position: index + 1 }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_rearranges_text() {
        for bad in [
            "a\rb",
            "a\nb",
            "a\u{85}b",
            "a\u{2028}b",
            "a\u{202e}b",
            "a\u{2066}b",
            "a\0b",
            "a\u{7f}b",
        ] {
            assert_eq!(
                check_line(bad, 10),
                Err(TextError::ControlCharacter { position: 2 }),
                "{bad:?}"
            );
        }
        assert_eq!(check_line("Zoë 张 🙂", 10), Ok(()));
    }

    #[test]
    fn bounds_characters_not_bytes() {
        assert_eq!(check_line(&"é".repeat(10), 10), Ok(()));
        assert_eq!(
            check_line(&"é".repeat(11), 10),
            Err(TextError::TooLong { max: 10 })
        );
        assert_eq!(require_line("  ", 10), Err(TextError::Empty));
        assert_eq!(check_lines("a\nb", 10), Ok(()));
    }
}

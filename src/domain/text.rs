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

/// Whether a character is not seen: format characters (general category Cf), variation selectors, fillers and blanks, and
/// what stands for an object that is not there. What is pasted carries them along; what is forged hides behind them.
#[must_use]
pub fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}' | '\u{891}' | '\u{8e2}'
            | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffc}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
    )
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

/// A text as one line of at most `max` characters, whatever it was: breaks and other control characters become spaces, what is
/// not seen is left out, and so is what is too long. For what nobody should be refused for.
#[must_use]
pub fn tidy_line(text: &str, max: usize) -> String {
    // What is left out must not make the walk long.
    let most_read = max.saturating_mul(8);
    let mut line = String::new();
    let mut length = 0;
    for character in text.chars().take(most_read) {
        let character = match character {
            _ if character.is_control() || character.is_whitespace() => ' ',
            _ if is_invisible(character) => continue,
            _ => character,
        };
        if length == max {
            break;
        }
        if character == ' ' && (line.is_empty() || line.ends_with(' ')) {
            continue;
        }
        line.push(character);
        length += 1;
    }
    line.truncate(line.trim_end().len());
    line
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
    fn a_tidy_line_is_one_line_and_says_the_same() {
        for (text, tidy) in [
            ("laptop-7", "laptop-7"),
            ("  Zoë\u{a0}张 🙂 ", "Zoë 张 🙂"),
            ("a\r\nBcc: b", "a Bcc: b"),
            ("a\u{202e}b\u{2066}c\u{200b}d", "abcd"),
            ("a\0\u{1b}[2J", "a [2J"),
            ("\u{2028}a\u{85}b", "a b"),
            ("", ""),
            (" \n", ""),
        ] {
            assert_eq!(
                tidy_line(text, 10),
                tidy.chars().take(10).collect::<String>(),
                "{text:?}"
            );
            assert_eq!(check_line(&tidy_line(text, 10), 10), Ok(()));
        }
        assert_eq!(tidy_line(&"é".repeat(100_000), 256).chars().count(), 256);
        assert_eq!(tidy_line("abc def", 4), "abc");
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

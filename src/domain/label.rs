//! Names that others chose, as our own mails may show them.
//!
//! A caller names the endpoint and the event, users name themselves in many a directory, and all of that stands in a mail that we
//! sign: whatever such a name says, we say. So it says no more than what a device, an occasion or a person is called: letters,
//! digits, spaces and a little punctuation, in one short line, with nothing that a mail program makes a link of.

use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

use super::text::is_invisible;

/// The most characters of an endpoint or an event.
pub const MOST_DEVICE: usize = 64;

/// The most characters of a person's name.
pub const MOST_PERSON: usize = 100;

/// The most characters that are looked at.
const MOST_READ: usize = 1024;

/// The most accents on one letter; more are drawn over the lines around it.
const MOST_MARKS: usize = 2;

/// A name of at most so many characters. What it may not say becomes a space; it may be empty.
#[must_use]
pub fn label(text: &str, most: usize) -> String {
    let mut marks = 0;
    // Compatibility first: `ｅｖｉｌ．ｃｏｍ` is a domain to mail programs as well.
    let seen = text
        .chars()
        .take(MOST_READ)
        .filter(|character| !is_invisible(*character));
    let plain: Vec<char> = seen
        .nfkc()
        .take(MOST_READ)
        .filter(|character| !is_invisible(*character))
        .filter(|character| {
            marks = if is_combining_mark(*character) {
                marks + 1
            } else {
                0
            };
            marks <= MOST_MARKS
        })
        .map(|character| if may_stand(character) { character } else { ' ' })
        .collect();
    let mut label = String::new();
    let mut length = 0;
    for (index, character) in plain.iter().enumerate() {
        let rest = plain.get(index + 1..).unwrap_or_default();
        let character = if *character == '.' && begins_domain(rest) {
            ' '
        } else {
            *character
        };
        if length == most {
            break;
        }
        // No space at the beginning, and never two.
        if character == ' ' && (label.is_empty() || label.ends_with(' ')) {
            continue;
        }
        label.push(character);
        length += 1;
    }
    label.truncate(label.trim_end().len());
    label
}

/// How a mail greets somebody of whom no other name is known than the one they log in with: without the domain, which is no part
/// of a person's name.
#[must_use]
pub fn person(text: &str) -> String {
    let bare = text.trim();
    let bare = if bare.contains(char::is_whitespace) {
        bare
    } else {
        let bare = bare.rsplit('\\').next().unwrap_or_default();
        bare.split('@').next().unwrap_or_default()
    };
    label(bare, MOST_PERSON)
}

/// Letters and digits of any script, their accents, and what names are punctuated with. No `:`, `/` and `@`, which make links.
fn may_stand(character: char) -> bool {
    character.is_alphanumeric() || is_combining_mark(character) || " -_'\u{2019}.,()&#".contains(character)
}

/// Whether what follows a dot makes a domain of it: a label that is neither a number, as in a version, nor a single letter, as in
/// initials.
fn begins_domain(rest: &[char]) -> bool {
    let label = rest.iter().take_while(|character| {
        character.is_alphanumeric() || is_combining_mark(**character) || "-_".contains(**character)
    });
    let (mut length, mut number) = (0, true);
    for character in label {
        length += 1;
        number &= character.is_ascii_digit();
    }
    length > 1 && !number
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_names_a_device_stays_as_it_is() {
        for text in [
            "LAPTOP-7",
            "Ann's MacBook Pro (2024)",
            "Ann\u{2019}s iPhone",
            "Firefox 128.0, Windows 10.0.19045",
            "Zürich_Büro #12",
            "張さんのPC",
            "नमस्ते",
            "J.R.R. Tolkien",
            "C&A, 3rd floor",
            "192.0.2.1",
        ] {
            assert_eq!(label(text, MOST_DEVICE), text);
        }
    }

    #[test]
    fn nothing_is_left_to_make_a_link_of() {
        for (text, shown) in [
            ("evil.com", "evil com"),
            ("www.evil.com", "www evil com"),
            ("https://evil.example/a?b=c", "https evil example a b c"),
            ("HTTP://EVIL.EXAMPLE", "HTTP EVIL EXAMPLE"),
            ("mailto:eve@evil.example", "mailto eve evil example"),
            ("eve@evil.example", "eve evil example"),
            ("t.co", "t co"),
            ("ｅｖｉｌ．ｃｏｍ", "evil com"),
            ("evil。com", "evil com"),
            ("evil｡com", "evil com"),
            ("bücher.example", "bücher example"),
            ("例え.テスト", "例え テスト"),
            ("xn--bcher-kva.example", "xn--bcher-kva example"),
            ("ev\u{200b}il.c\u{ad}om", "evil com"),
            ("evil\u{2024}com", "evil com"),
            ("evil.\u{2060}com", "evil com"),
            ("1.2.3.4:8080/x", "1.2.3.4 8080 x"),
            ("javascript:alert(1)", "javascript alert(1)"),
            ("tel:+49-30-1234", "tel 49-30-1234"),
            ("a\r\nBcc: eve@evil.example", "a Bcc eve evil example"),
            ("a\u{202e}moc.live", "amoc live"),
            ("<a href=\"x\">", "a href x"),
            ("{{ otp }}", "otp"),
            ("🔒 Bank", "Bank"),
            ("://", ""),
            ("", ""),
            ("  a   b  ", "a b"),
        ] {
            assert_eq!(label(text, MOST_DEVICE), shown, "{text:?}");
        }
    }

    #[test]
    fn it_is_short_and_flat() {
        assert_eq!(label(&"x".repeat(100_000), MOST_DEVICE).len(), MOST_DEVICE);
        assert_eq!(label(&"é".repeat(100), MOST_DEVICE).chars().count(), MOST_DEVICE);
        let heaped = format!("a{}b", "\u{30d}".repeat(500));
        assert!(label(&heaped, MOST_DEVICE).chars().count() <= 4);
        assert!(label(&"\u{fdfa}".repeat(100_000), MOST_DEVICE).chars().count() <= MOST_DEVICE);
    }

    #[test]
    fn people_are_greeted_without_their_domain() {
        for (name, greeted) in [
            ("ann@example.com", "ann"),
            ("CORP\\ann", "ann"),
            (" ann.smith ", "ann smith"),
            ("Ann Example", "Ann Example"),
            ("a@b click evil.com", "a b click evil com"),
        ] {
            assert_eq!(person(name), greeted, "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn a_label_has_no_link_and_stays_as_it_is(text in "([a-z]{1,4}|[.:/@ -]|www\\.|https?://|é|\u{ff0e}|\u{200b}|\u{301}){0,24}") {
            let shown = label(&text, MOST_DEVICE);
            prop_assert!(shown.chars().count() <= MOST_DEVICE);
            prop_assert!(!shown.contains([':', '/', '@', '\n', '\u{ff0e}']), "{}", shown);
            let links = shown.split(' ').any(|word| {
                let last = word.trim_end_matches('.').rsplit_once('.').map_or("", |(_, last)| last);
                last.chars().count() > 1 && last.chars().any(char::is_alphabetic)
            });
            prop_assert!(!links, "{:?} of {:?}", shown, text);
            prop_assert_eq!(label(&shown, MOST_DEVICE), shown);
        }
    }
}

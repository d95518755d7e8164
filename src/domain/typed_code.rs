//! Codes as people type and paste them: whatever says the same code is that code.
//!
//! A text is brought to compatibility form (NFKC, UAX #15), decimal digits of every script to ASCII, invisible characters are
//! dropped. Then what stands around and between the characters of a code is ignored: spaces, dashes, quotes, brackets,
//! underscores, and what ends a sentence at the end. What is left is a code, or words and one code (`Your code is: 123 456.`).
//! Anything else is refused rather than guessed: a guess would cost an attempt.

use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use super::{code_spec::CodeSpec, text::is_invisible};

/// The most bytes that are read of what a user typed: a sentence with a code in it. What is longer is no code.
pub(super) const MOST_BYTES: usize = 256;

/// The most characters of the compatibility form, which is longer where one character stands for several.
const MOST_CHARACTERS: usize = 512;

/// The zeros of the scripts whose digits compatibility does not bring to ASCII already (Unicode 17, general category Nd);
/// the nine others follow each.
const ZEROS: [char; 68] = [
    '\u{660}',
    '\u{6f0}',
    '\u{7c0}',
    '\u{966}',
    '\u{9e6}',
    '\u{a66}',
    '\u{ae6}',
    '\u{b66}',
    '\u{be6}',
    '\u{c66}',
    '\u{ce6}',
    '\u{d66}',
    '\u{de6}',
    '\u{e50}',
    '\u{ed0}',
    '\u{f20}',
    '\u{1040}',
    '\u{1090}',
    '\u{17e0}',
    '\u{1810}',
    '\u{1946}',
    '\u{19d0}',
    '\u{1a80}',
    '\u{1a90}',
    '\u{1b50}',
    '\u{1bb0}',
    '\u{1c40}',
    '\u{1c50}',
    '\u{a620}',
    '\u{a8d0}',
    '\u{a900}',
    '\u{a9d0}',
    '\u{a9f0}',
    '\u{aa50}',
    '\u{abf0}',
    '\u{104a0}',
    '\u{10d30}',
    '\u{10d40}',
    '\u{11066}',
    '\u{110f0}',
    '\u{11136}',
    '\u{111d0}',
    '\u{112f0}',
    '\u{11450}',
    '\u{114d0}',
    '\u{11650}',
    '\u{116c0}',
    '\u{116d0}',
    '\u{116da}',
    '\u{11730}',
    '\u{118e0}',
    '\u{11950}',
    '\u{11bf0}',
    '\u{11c50}',
    '\u{11d50}',
    '\u{11da0}',
    '\u{11de0}',
    '\u{11f50}',
    '\u{16130}',
    '\u{16a60}',
    '\u{16ac0}',
    '\u{16b50}',
    '\u{16d70}',
    '\u{1e140}',
    '\u{1e2f0}',
    '\u{1e4f0}',
    '\u{1e5f1}',
    '\u{1e950}',
];

/// The characters of the one code that the text says; `None`: it says none, or more than one.
pub(super) fn read(text: &str, spec: &CodeSpec) -> Option<Zeroizing<Vec<u8>>> {
    if text.len() > MOST_BYTES {
        return None;
    }
    // Of the right size from the start: a buffer that grows leaves copies behind.
    let mut plain = Zeroizing::new(Vec::with_capacity(MOST_CHARACTERS));
    plain.extend(plain_form(text).take(MOST_CHARACTERS));
    let end = plain
        .iter()
        .rposition(|character| !parts(*character) && !ends_sentence(*character))?;
    let said = plain.get(..=end).unwrap_or_default();
    exactly(said, spec).or_else(|| after_words(said, spec))
}

fn plain_form(text: &str) -> impl Iterator<Item = char> {
    let visible = |character: &char| !is_invisible(*character);
    // An accent that stands alone is a quotation mark here; compatibility makes a space and a combining accent of it. The
    // keycap around a digit is drawn, not typed.
    text.chars()
        .filter(visible)
        .map(|character| if character == '\u{b4}' { '\'' } else { character })
        .nfkc()
        .filter(|character| !is_invisible(*character) && *character != '\u{20e3}')
        .map(ascii_digit)
}

fn ascii_digit(character: char) -> char {
    let value = ZEROS
        .iter()
        .map(|zero| u32::from(character).wrapping_sub(u32::from(*zero)))
        .find(|value| *value < 10);
    value
        .and_then(|value| char::from_digit(value, 10))
        .unwrap_or(character)
}

/// The code that these characters are, and nothing beside it.
fn exactly(said: &[char], spec: &CodeSpec) -> Option<Zeroizing<Vec<u8>>> {
    let length = usize::from(spec.length());
    let mut code = Zeroizing::new(Vec::with_capacity(length));
    for character in said.iter().filter(|character| !parts(**character)) {
        let byte = spec.alphabet().read(*character)?;
        if code.len() == length {
            return None;
        }
        code.push(byte);
    }
    (code.len() == length).then_some(code)
}

/// The code that follows words which are none.
fn after_words(said: &[char], spec: &CodeSpec) -> Option<Zeroizing<Vec<u8>>> {
    let digits_alone = spec.alphabet().is_digits();
    let begins = |at: &usize| {
        let (Some(before), Some(here)) = (said.get(at - 1), said.get(*at)) else {
            return false;
        };
        !parts(*here)
            && (before.is_whitespace()
                || *before == ':'
                || opens(*before)
                // Nobody writes spaces in Chinese or Japanese; and no word goes on with a digit.
                || !before.is_ascii() && before.is_alphabetic() && here.is_ascii_alphanumeric()
                || digits_alone && here.is_ascii_digit() && !before.is_ascii_digit())
    };
    (1..said.len()).filter(begins).find_map(|at| {
        let (words, rest) = said.split_at_checked(at)?;
        let code = exactly(rest, spec)?;
        are_words(words, spec).then_some(code)
    })
}

/// Whether nothing here is a code, or a part of one that went astray: no digits, and a colon at the end or a letter that no
/// code has.
fn are_words(words: &[char], spec: &CodeSpec) -> bool {
    let plain = words.iter().all(|character| {
        !character.is_ascii_digit() && (!character.is_control() || character.is_whitespace())
    });
    let last = words.iter().rfind(|character| !parts(**character));
    let told = last == Some(&':')
        || spec.alphabet().is_digits()
        || words
            .iter()
            .any(|character| character.is_alphabetic() && spec.alphabet().read(*character).is_none());
    let mut pieces = words.split(|character| character.is_whitespace() || *character == ':');
    plain && told && pieces.all(|piece| exactly(piece, spec).is_none())
}

/// What may stand between the characters of a code, and around it.
fn parts(character: char) -> bool {
    character.is_whitespace() || is_dash(character) || is_bracket(character) || is_quote(character)
}

/// What a code may stand in.
fn opens(character: char) -> bool {
    is_bracket(character) || is_quote(character)
}

/// Dashes (general category Pd), what is drawn like one, connectors (Pc) and dots in the middle of a line.
fn is_dash(character: char) -> bool {
    matches!(
        character,
        '-' | '_' | '~' | '\u{b7}' | '\u{58a}' | '\u{5be}' | '\u{1400}' | '\u{1806}' | '\u{2010}'
            ..='\u{2015}'
                | '\u{2022}'
                | '\u{2027}'
                | '\u{203f}'
                | '\u{2040}'
                | '\u{2043}'
                | '\u{2053}'
                | '\u{2054}'
                | '\u{2212}'
                | '\u{2219}'
                | '\u{2e17}'
                | '\u{2e1a}'
                | '\u{2e3a}'
                | '\u{2e3b}'
                | '\u{2e40}'
                | '\u{2e5d}'
                | '\u{301c}'
                | '\u{3030}'
                | '\u{30a0}'
                | '\u{30fb}'
                | '\u{30fc}'
                | '\u{10ead}'
    )
}

/// Brackets (general categories Ps and Pe), in compatibility form, and the marks of text that is set off.
fn is_bracket(character: char) -> bool {
    matches!(
        character,
        '(' | ')' | '[' | ']' | '{' | '}' | '<' | '>' | '*' | '|' | '\u{f3a}'..='\u{f3d}' | '\u{169b}' | '\u{169c}'
            | '\u{2045}' | '\u{2046}' | '\u{2308}'..='\u{230b}' | '\u{2329}' | '\u{232a}' | '\u{2768}'..='\u{2775}'
            | '\u{27c5}' | '\u{27c6}' | '\u{27e6}'..='\u{27ef}' | '\u{2983}'..='\u{2998}' | '\u{29d8}'..='\u{29db}'
            | '\u{29fc}' | '\u{29fd}' | '\u{2e22}'..='\u{2e29}' | '\u{2e55}'..='\u{2e5c}' | '\u{3008}'..='\u{3011}'
            | '\u{3014}'..='\u{301b}' | '\u{fd3e}' | '\u{fd3f}'
    )
}

/// Quotation marks (general categories Pi and Pf), in compatibility form, and what stands in for them.
fn is_quote(character: char) -> bool {
    matches!(
        character,
        '"' | '\'' | '`' | '\u{ab}' | '\u{bb}' | '\u{2018}'..='\u{201f}' | '\u{2032}' | '\u{2035}' | '\u{2039}' | '\u{203a}'
            | '\u{2e02}'..='\u{2e05}' | '\u{2e09}' | '\u{2e0a}' | '\u{2e0c}' | '\u{2e0d}' | '\u{2e1c}' | '\u{2e1d}'
            | '\u{2e20}' | '\u{2e21}' | '\u{2e42}' | '\u{301d}'..='\u{301f}'
    )
}

/// What ends a sentence, or the part of one.
fn ends_sentence(character: char) -> bool {
    matches!(
        character,
        '.' | ','
            | ';'
            | ':'
            | '!'
            | '?'
            | '\u{589}'
            | '\u{60c}'
            | '\u{61b}'
            | '\u{61f}'
            | '\u{6d4}'
            | '\u{964}'
            | '\u{965}'
            | '\u{104a}'
            | '\u{104b}'
            | '\u{1362}'
            | '\u{17d4}'
            | '\u{3001}'
            | '\u{3002}'
    )
}

#[cfg(test)]
#[path = "typed_code_tests.rs"]
mod tests;

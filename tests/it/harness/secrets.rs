//! Looking for what must stand nowhere but in the mails: codes, keys, passwords, addresses.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

/// So long are the codes that are looked for, in letters alone: no other text has ten of them by chance, as it has six
/// digits.
pub const CODE_LENGTH: usize = 10;
const ALPHABET: &[u8] = b"BCDFGHJKLMNPQRSTVWXZ";

/// The code that stands alone on a line of a mail.
pub fn code(mail: &str) -> String {
    let is_code =
        |line: &&str| line.len() == CODE_LENGTH && line.bytes().all(|byte| ALPHABET.contains(&byte));
    let mut codes = mail.lines().map(str::trim).filter(is_code);
    codes.next().unwrap_or_else(|| panic!("{mail}")).to_owned()
}

/// Panics where one of these codes or texts stands.
pub fn check(place: &str, bytes: &[u8], codes: &HashSet<String>, texts: &[&str]) {
    for window in bytes.windows(CODE_LENGTH) {
        // The first byte decides nearly always, and quickly.
        let letters = window
            .iter()
            .all(|byte| ALPHABET.contains(&byte.to_ascii_uppercase()));
        if letters {
            let text = String::from_utf8_lossy(window).to_ascii_uppercase();
            assert!(!codes.contains(&text), "a code stands in {place}");
        }
    }
    check_absent(place, bytes, texts);
}

/// Panics where one of these texts stands.
pub fn check_absent(place: &str, bytes: &[u8], texts: &[&str]) {
    for text in texts {
        let stands = bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!stands, "{text} stands in {place}");
    }
}

/// Every file below a directory but those that hold keys, as they must.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_none_or(|extension| extension != "keys"))
        .collect()
}

//! What is fuzzed: one function for each thing that reads what strangers write. Only with the feature `fuzzing`; used by the
//! targets in `fuzz/` and by `tests/fuzz.rs`, which runs them for a moment without a fuzzer.

use crate::{
    config::Config,
    domain::{
        address::{EmailAddress, LocalPart},
        challenge::Purpose,
        code::{Alphabet, Code, CodeSpec},
        mask::Mask,
        template::{TemplateKey, TemplateParts},
    },
    mail::{Answer, Answers, BadAnswer, check_template},
};

/// Takes any bytes, and panics where something is wrong with what was made of them.
pub type Target = fn(&[u8]);

/// Every target and its name.
pub const TARGETS: &[(&str, Target)] = &[
    ("request", crate::grpc::fuzzing::request),
    ("address", address),
    ("code", code),
    ("mask", mask),
    ("template", template),
    ("replies", replies),
    ("configuration", configuration),
    ("ldap_replies", crate::repository::ldap::fuzzing::replies),
    ("ldap_filter", crate::repository::ldap::fuzzing::filter),
];

/// An address that is taken is shown as it came, and has no room for a second line.
///
/// # Panics
/// Where it is not so.
pub fn address(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for rules in [LocalPart::Ascii, LocalPart::Utf8] {
        if let Ok(address) = EmailAddress::parse(&text, rules) {
            assert!(!address.as_str().contains(char::is_control));
            assert!(address.as_str().contains('@'));
            let _ = address.folded();
        }
    }
}

/// What is read as a code has its form, and is read as the same again, bare and in quotes.
///
/// # Panics
/// Where it is not so.
pub fn code(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let letters = CodeSpec::new(Alphabet::letters(), 8);
    for spec in [CodeSpec::default(), CodeSpec::temporary_password()]
        .into_iter()
        .chain(letters)
    {
        if let Ok(code) = Code::parse(&text, &spec) {
            let shown = code.reveal();
            assert_eq!(shown.len(), usize::from(spec.length()));
            assert!(
                shown
                    .chars()
                    .all(|typed| spec.alphabet().as_str().contains(typed))
            );
            for again in [shown.to_owned(), format!("Code: \u{201c}{shown}\u{201d}.")] {
                let again = Code::parse(&again, &spec);
                assert_eq!(again.as_ref().map(Code::reveal), Ok(shown));
            }
        }
    }
}

/// A pattern and an address, in two lines: the masked address is never the address.
///
/// # Panics
/// Where it is not so.
pub fn mask(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (pattern, address) = text.split_once('\n').unwrap_or((&text, "ann@example.com"));
    let Ok(mask) = Mask::parse(pattern) else { return };
    if let Ok(address) = EmailAddress::parse(address, LocalPart::Utf8) {
        assert_ne!(mask.apply(&address), address.as_str());
    }
}

/// A template's subject, text and HTML, with a zero byte between them.
pub fn template(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.split('\0').map(str::to_owned);
    let mut next = || parts.next().unwrap_or_default();
    let parts = TemplateParts {
        subject: next(),
        text: next(),
        html: next(),
    };
    let key = TemplateKey::new(Purpose::Login, "", "");
    let _ = check_template(key, &parts, true, "");
}

/// A configuration file.
pub fn configuration(bytes: &[u8]) {
    let _ = Config::parse(&String::from_utf8_lossy(bytes));
}

/// What a mail server answers, in pieces of the size that the first byte says: cut otherwise, it is the same.
///
/// # Panics
/// Where it is not so.
pub fn replies(bytes: &[u8]) {
    if let Some((size, bytes)) = bytes.split_first() {
        let whole = read(bytes, bytes.len().max(1));
        assert_eq!(read(bytes, usize::from(*size).max(1)), whole);
    }
}

fn read(bytes: &[u8], size: usize) -> (Vec<Answer>, Option<BadAnswer>) {
    let mut answers = Answers::new(1024);
    let mut found = Vec::new();
    for piece in bytes.chunks(size) {
        answers.push(piece);
        loop {
            match answers.take() {
                Ok(Some(answer)) => found.push(answer),
                Ok(None) => break,
                Err(fault) => return (found, Some(fault)),
            }
        }
    }
    (found, None)
}

use std::collections::HashSet;

use super::*;

const KEY: CodeKey = CodeKey::new([0x42; 32]);

fn id(number: u64) -> ChallengeId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    ChallengeId::from_bytes(bytes)
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// RFC 4226, appendix D: the intermediate HMAC-SHA-1 values and the numbers truncated from them.
#[test]
fn truncates_as_rfc_4226_does() {
    let vectors = [
        ("cc93cf18508d94934c64b65d8ba7667fb7cde4b0", 1_284_755_224),
        ("75a48a19d4cbe100644e8ac1397eea747a2d33ab", 1_094_287_082),
        ("0bacb7fa082fef30782211938bc1c5e70416ff44", 137_359_152),
        ("66c28227d03a2d5529262ff016a1e6ef76557ece", 1_726_969_429),
        ("a904c900a64b35909874b33e61c5938a8e15ed1c", 1_640_338_314),
        ("a37e783d7b7233c083d4f62926c7a25f238d0316", 868_254_676),
        ("bc9cd28561042c83f219324d3c607256c03272ae", 1_918_287_922),
        ("a4fb960c0bc06e1eabb804e5b397cdc4b45596fa", 82_162_583),
        ("1b3c89f65e6c9e883012052823443f048b4332db", 673_399_871),
        ("1637409809a679dc698207310c8c7fc07290d9e5", 645_520_489),
    ];
    for (mac, number) in vectors {
        assert_eq!(
            u32::from_be_bytes(truncate::<4>(&unhex(mac))) & 0x7fff_ffff,
            number
        );
    }
}

#[test]
fn truncation_reaches_every_offset_of_sha_256() {
    for offset in 0..16_u8 {
        let mut mac: Vec<u8> = (0..32).collect();
        mac[31] = offset;
        assert_eq!(truncate::<16>(&mac)[0], if offset == 31 { 0 } else { offset });
    }
}

#[test]
fn spells_numbers_with_leading_characters_kept() {
    let digits = CodeSpec::default();
    assert_eq!(digits.spell(0).reveal(), "000000");
    assert_eq!(digits.spell(42).reveal(), "000042");
    assert_eq!(digits.spell(999_999).reveal(), "999999");
    let letters = CodeSpec::new(Alphabet::letters(), 6).unwrap();
    assert_eq!(letters.spell(0).reveal(), "BBBBBB");
    assert_eq!(letters.spell(20_u128.pow(6) - 1).reveal(), "ZZZZZZ");
}

#[test]
fn the_same_inputs_give_the_same_code_and_any_other_gives_another_stream() {
    let spec = CodeSpec::new(Alphabet::digits(), 10).unwrap();
    let stream = |key: &CodeKey, first: u64, number, purpose| -> Vec<String> {
        (first..first + 20)
            .map(|n| key.derive(&id(n), number, purpose, &spec).reveal().to_owned())
            .collect()
    };
    let base = stream(&KEY, 0, 1, Purpose::Login);
    assert_eq!(base, stream(&KEY, 0, 1, Purpose::Login));
    let others = [
        stream(&CodeKey::new([0x43; 32]), 0, 1, Purpose::Login),
        stream(&KEY, 1000, 1, Purpose::Login),
        stream(&KEY, 0, 2, Purpose::Login),
        stream(&KEY, 0, 1, Purpose::Recovery),
    ];
    for other in others {
        assert!(base.iter().zip(&other).all(|(left, right)| left != right));
    }
}

#[test]
fn reads_codes_as_people_type_them() {
    let digits = CodeSpec::default();
    for typed in [
        "123456",
        "123 456",
        " 12-34-56 ",
        "123\u{2011}456",
        "1\t2\u{a0}3456",
    ] {
        assert_eq!(
            Code::parse(typed, &digits).unwrap().reveal(),
            "123456",
            "{typed:?}"
        );
    }
    let letters = CodeSpec::new(Alphabet::letters(), 6).unwrap();
    assert_eq!(Code::parse("bcd-fgh", &letters).unwrap().reveal(), "BCDFGH");
    for bad in [
        "",
        "12345",
        "1234567",
        "12345a",
        "１２３４５６",
        "123456\0",
        &"1".repeat(100_000),
    ] {
        let error = Code::parse(bad, &digits).unwrap_err();
        assert_eq!(error.to_string(), "must be 6 of the characters 0123456789");
    }
}

#[test]
fn matches_name_the_numbers_and_nothing_else() {
    let spec = CodeSpec::default();
    let typed = KEY.derive(&id(1), 3, Purpose::Login, &spec);
    let numbers = KEY.matches(&typed, &id(1), 5, Purpose::Login, &spec);
    assert!(numbers.any_between(3, 3) && numbers.any_between(1, 5));
    assert!(!numbers.any_between(1, 2) && !numbers.any_between(4, 5));
    // A code beyond the newest is none yet, and one for another purpose never is.
    assert_eq!(
        KEY.matches(&typed, &id(1), 2, Purpose::Login, &spec),
        CodeNumbers::default()
    );
    assert_eq!(
        KEY.matches(&typed, &id(1), 5, Purpose::Recovery, &spec),
        CodeNumbers::default()
    );
    assert!(!numbers.any_between(4, 3) && !numbers.any_between(0, 0));
}

#[test]
fn shows_nothing_in_logs() {
    let code = KEY.derive(&id(1), 1, Purpose::Login, &CodeSpec::default());
    assert_eq!(format!("{code:?} {KEY:?}"), "Code(..) CodeKey(..)");
}

#[test]
fn refuses_weak_or_unreadable_codes() {
    assert_eq!(CodeSpec::new(Alphabet::digits(), 5), Err(CodeSpecError::Length));
    assert_eq!(CodeSpec::new(Alphabet::digits(), 11), Err(CodeSpecError::Length));
    assert_eq!(
        CodeSpec::new(Alphabet::parse("01").unwrap(), 10),
        Err(CodeSpecError::Length)
    );
    for bad in ["", "0", "00", "0-1", "äö", "01234567890"] {
        assert_eq!(Alphabet::parse(bad), Err(CodeSpecError::Alphabet), "{bad}");
    }
    assert_eq!(Alphabet::parse("abc123").unwrap().as_str(), "ABC123");
    assert!(Alphabet::letters().as_str().chars().collect::<HashSet<_>>().len() == 20);
}

/// Chi-squared over 10^6 codes: of each place by character, and of whole codes in 1,000 buckets. With `d` degrees of
/// freedom the statistic has mean `d` and variance `2d`; five standard deviations are passed by chance once in
/// millions, and the inputs are fixed.
#[test]
fn every_code_is_equally_likely() {
    const CODES: u32 = 1_000_000;
    for spec in [
        CodeSpec::default(),
        CodeSpec::new(Alphabet::letters(), 6).unwrap(),
    ] {
        let alphabet = spec.alphabet().as_str().as_bytes();
        let mut places = vec![vec![0_u32; alphabet.len()]; 6];
        let mut buckets = vec![0_u32; 1_000];
        for number in 0..CODES {
            let code = KEY.derive(&id(number.into()), 1, Purpose::Login, &spec);
            let mut whole = 0_u64;
            for (place, byte) in code.reveal().bytes().enumerate() {
                let digit = alphabet.iter().position(|known| *known == byte).unwrap();
                places[place][digit] += 1;
                whole = whole * alphabet.len() as u64 + digit as u64;
            }
            let share = u128::from(whole) * 1_000 / spec.count();
            buckets[usize::try_from(share).unwrap()] += 1;
        }
        for counts in places.iter().chain([&buckets]) {
            assert_uniform(counts, CODES);
        }
    }
}

fn assert_uniform(counts: &[u32], total: u32) {
    let cells = f64::from(u32::try_from(counts.len()).unwrap());
    let expected = f64::from(total) / cells;
    let statistic: f64 = counts
        .iter()
        .map(|count| (f64::from(*count) - expected).powi(2) / expected)
        .sum();
    let freedom = cells - 1.0;
    let off = (statistic - freedom).abs() / (2.0 * freedom).sqrt();
    assert!(
        off < 5.0,
        "chi-squared {statistic:.1} with {freedom} degrees of freedom"
    );
}

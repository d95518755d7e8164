use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const SAMPLES: u64 = 1_000_000;

fn id(number: u64) -> ChallengeId {
    ChallengeId::from_bytes(u128::from(number).to_be_bytes())
}

fn key(byte: u8) -> CodeKey {
    CodeKey::new([byte; 32])
}

fn letters() -> CodeSpec {
    CodeSpec::new(Alphabet::letters(), 6).unwrap()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map(|index| u8::from_str_radix(&text[2 * index..2 * index + 2], 16).unwrap())
        .collect()
}

/// RFC 4226, appendix D: the published HMACs and what they are truncated to.
#[test]
fn truncates_as_rfc_4226_does() {
    let published = [
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
    let codes = [
        "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489",
    ];
    for ((mac, truncated), code) in published.into_iter().zip(codes) {
        let bytes: [u8; 4] = truncate(&unhex(mac));
        let number = u32::from_be_bytes(bytes) & 0x7fff_ffff;
        assert_eq!(number, truncated);
        let spelled = Code::spell(&CodeSpec::default(), u128::from(number) % 1_000_000);
        assert_eq!(spelled.reveal(), code);
    }
}

/// Any offset fits into 32 bytes: the last takes the last 16 but one.
#[test]
fn truncates_at_every_offset() {
    for offset in 0..16_u8 {
        let mut mac: Vec<u8> = (0..32).collect();
        mac[31] = 0xa0 | offset;
        let expected: Vec<u8> = (offset..offset + 16).collect();
        assert_eq!(truncate::<16>(&mac).to_vec(), expected);
    }
}

#[test]
fn spells_numbers_with_leading_characters_kept() {
    let digits = CodeSpec::default();
    for (number, code) in [(0, "000000"), (42, "000042"), (999_999, "999999")] {
        assert_eq!(Code::spell(&digits, number).reveal(), code);
    }
    assert_eq!(Code::spell(&letters(), 0).reveal(), "BBBBBB");
    assert_eq!(Code::spell(&letters(), 20_u128.pow(6) - 1).reveal(), "ZZZZZZ");
}

/// The chi-squared statistic of counts that should all be equal.
fn chi_squared(counts: &[u64]) -> f64 {
    let total: u64 = counts.iter().sum();
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let (total, cells) = (total as f64, counts.len() as f64);
    let expected = total / cells;
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let sum = counts
        .iter()
        .map(|count| (*count as f64 - expected).powi(2))
        .sum::<f64>();
    sum / expected
}

/// Fails where the statistic is beyond the quantiles of one in a million, on either side: too uneven, or too even to be
/// random (Wilson and Hilferty's approximation).
fn assert_even(what: &str, counts: &[u64]) {
    const Z: f64 = 4.75;
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let freedom = (counts.len() - 1) as f64;
    let quantile = |z: f64| {
        let spread = 2.0 / (9.0 * freedom);
        freedom * (1.0 - spread + z * spread.sqrt()).powi(3)
    };
    let statistic = chi_squared(counts);
    assert!(
        (quantile(-Z)..quantile(Z)).contains(&statistic),
        "{what}: chi-squared is {statistic} with {freedom} degrees of freedom"
    );
}

/// Every character in every place, and every thousandth of all codes, from above and from below.
fn codes_are_even(spec: &CodeSpec) {
    const BUCKETS: u64 = 1000;
    let alphabet = spec.alphabet().as_str().as_bytes();
    let base = alphabet.len();
    let count = u64::try_from(spec.count()).unwrap();
    let mut index_of = [0; 256];
    for (index, byte) in alphabet.iter().enumerate() {
        index_of[usize::from(*byte)] = index;
    }
    let mut places = vec![vec![0_u64; base]; usize::from(spec.length())];
    let mut high = vec![0_u64; usize::try_from(BUCKETS).unwrap()];
    let mut low = high.clone();
    let key = key(42);
    for sample in 0..SAMPLES {
        let code = key.derive(&id(sample), 1, Purpose::Login, spec);
        let mut number = 0;
        for (place, byte) in places.iter_mut().zip(code.reveal().bytes()) {
            let index = index_of[usize::from(byte)];
            place[index] += 1;
            number = number * base as u64 + index as u64;
        }
        high[usize::try_from(number * BUCKETS / count).unwrap()] += 1;
        low[usize::try_from(number % BUCKETS).unwrap()] += 1;
    }
    for (index, place) in places.iter().enumerate() {
        assert_even(&format!("place {index}"), place);
    }
    assert_even("thousandths", &high);
    assert_even("last digits", &low);
}

#[test]
fn digits_are_even_over_a_million_codes() {
    codes_are_even(&CodeSpec::default());
}

#[test]
fn letters_are_even_over_a_million_codes() {
    codes_are_even(&letters());
}

/// The yardstick itself: it must not pass what is uneven.
#[test]
fn the_test_of_evenness_sees_a_bias() {
    let mut counts = vec![100_000_u64; 10];
    counts[0] += 3_000;
    counts[9] -= 3_000;
    assert!(std::panic::catch_unwind(|| assert_even("biased", &counts)).is_err());
    assert!(std::panic::catch_unwind(|| assert_even("too even", &[100_000; 10])).is_err());
}

#[test]
fn whatever_goes_into_a_code_changes_it() {
    let spec = CodeSpec::new(Alphabet::digits(), 10).unwrap();
    let stream = |key: &CodeKey, purpose, first: u64| -> Vec<String> {
        (0..8)
            .map(|step| {
                let code = key.derive(&id(first), step + 1, purpose, &spec);
                code.reveal().to_owned()
            })
            .collect()
    };
    let mut streams = vec![
        stream(&key(1), Purpose::Login, 1),
        stream(&key(2), Purpose::Login, 1),
        stream(&key(1), Purpose::Login, 2),
        stream(&key(1), Purpose::AddressConfirmation, 1),
        stream(&key(1), Purpose::Recovery, 1),
    ];
    let all: Vec<String> = streams.concat();
    let different: HashSet<&String> = all.iter().collect();
    assert_eq!(different.len(), all.len());
    let again = stream(&key(1), Purpose::Login, 1);
    assert_eq!(streams.swap_remove(0), again);
}

#[test]
fn finds_exactly_the_numbers_that_are_right() {
    let (key, spec) = (key(1), CodeSpec::default());
    let derive = |number| key.derive(&id(1), number, Purpose::Login, &spec);
    for right in 1..=32 {
        let numbers = key.matches(&derive(right), &id(1), 32, Purpose::Login, &spec);
        for number in 1..=32 {
            let same = derive(number).reveal() == derive(right).reveal();
            assert_eq!(numbers.any_between(number, number), same, "{right} {number}");
        }
        // A code that was not sent yet is not right.
        let before = key.matches(&derive(right), &id(1), right - 1, Purpose::Login, &spec);
        let sent_before = (1..right).any(|number| derive(number).reveal() == derive(right).reveal());
        assert_eq!(before.any_between(1, 32), sent_before);
    }
    let other = key.matches(&derive(3), &id(1), 32, Purpose::Recovery, &spec);
    assert_eq!(other, CodeNumbers::default());
    let longer = Code::parse("1234567", &CodeSpec::new(Alphabet::digits(), 7).unwrap()).unwrap();
    let none = key.matches(&longer, &id(1), 32, Purpose::Login, &spec);
    assert_eq!(none, CodeNumbers::default());
    assert!(!none.any_between(0, u32::MAX));
}

#[test]
fn what_is_refused_says_what_a_code_is() {
    let refused = Code::parse("Code: 12345", &CodeSpec::default()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "must be one code of 6 of the characters 0123456789: type or paste it alone, as the mail shows it"
    );
    // Left out because they look like others.
    assert!(Code::parse("BCDFGA", &letters()).is_err());
}

#[test]
fn secrets_show_nothing_when_they_are_printed() {
    let code = key(1).derive(&id(1), 1, Purpose::Login, &CodeSpec::default());
    assert_eq!(format!("{code:?} {:?}", key(1)), "Code(..) CodeKey(..)");
    let refused = Code::parse("987654321", &CodeSpec::default()).unwrap_err();
    assert!(!format!("{refused} {refused:?}").contains("98765"));
}

#[test]
fn policies_stay_within_bounds() {
    let parse = |text| Alphabet::parse(text);
    assert_eq!(parse("abc").unwrap().as_str(), "ABC");
    for bad in ["", "A", "AA", "Aa", "A-", "Ä", "A B"] {
        assert_eq!(parse(bad), Err(CodeSpecError::Alphabet), "{bad:?}");
    }
    let new = |text, length| CodeSpec::new(parse(text).unwrap(), length);
    assert!(new("0123456789", 6).is_ok() && new("0123456789", 10).is_ok());
    for (alphabet, length) in [
        ("0123456789", 5),
        ("0123456789", 11),
        ("01", 10),
        ("012345678", 6),
        ("BCDFGHJKLMNPQRSTVWXZ", 5),
    ] {
        let refused = new(alphabet, length);
        assert_eq!(refused, Err(CodeSpecError::Length), "{alphabet} {length}");
    }
}

#[test]
fn temporary_passwords_have_64_bits_and_keep_their_case() {
    let spec = CodeSpec::temporary_password();
    assert_eq!((spec.length(), spec.alphabet()), (12, &Alphabet::mixed()));
    assert!(spec.count() >= 1 << 64);
    assert!(CodeSpec::password(Alphabet::mixed(), 12).is_ok());
    let password = |text: &str, length| CodeSpec::password(Alphabet::password(text).unwrap(), length);
    assert!(password("digits", 20).is_ok() && password("letters", 15).is_ok());
    for (alphabet, length) in [
        ("mixed", 11),
        ("digits", 19),
        ("letters", 14),
        ("mixed", 21),
        ("mixed", 0),
    ] {
        let refused = password(alphabet, length);
        assert_eq!(refused, Err(CodeSpecError::Password), "{alphabet} {length}");
    }
    for bad in ["", "aa", "a-", "ä", &"ab".repeat(40)] {
        let refused = Alphabet::password(bad);
        assert_eq!(refused, Err(CodeSpecError::PasswordAlphabet), "{bad:?}");
    }
    let all: String = ('0'..='9').chain('A'..='Z').chain('a'..='z').collect();
    let all = password(&all, 20).unwrap();
    let key = key(1);
    for spec in [spec, all] {
        let code = key.derive(&id(1), 1, Purpose::Recovery, &spec);
        let right = |typed: &str| {
            let typed = Code::parse(typed, &spec).unwrap();
            key.matches(&typed, &id(1), 1, Purpose::Recovery, &spec)
                .any_between(1, 1)
        };
        assert!(right(code.reveal()) && right(&format!(" {}\n", code.reveal())));
        let swapped: String = code
            .reveal()
            .chars()
            .map(|c| {
                if c.is_ascii_lowercase() {
                    c.to_ascii_uppercase()
                } else {
                    c.to_ascii_lowercase()
                }
            })
            .collect();
        // Only where every swapped character is one of the alphabet can it be typed at all.
        assert!(Code::parse(&swapped, &spec).is_err() || !right(&swapped));
    }
    // Of one case alone, any case may be typed.
    let small = CodeSpec::password(Alphabet::password("bcdfghjkmnpqrstvwxz").unwrap(), 16).unwrap();
    let code = key.derive(&id(1), 1, Purpose::Recovery, &small);
    let typed = Code::parse(&code.reveal().to_uppercase(), &small).unwrap();
    assert_eq!(typed.reveal(), code.reveal());
}

#[test]
fn what_was_kept_is_read_as_it_was() {
    for spec in [CodeSpec::default(), letters(), CodeSpec::temporary_password()] {
        assert_eq!(
            CodeSpec::kept(spec.alphabet().as_str(), spec.length()),
            Some(spec)
        );
    }
    assert_eq!(CodeSpec::kept("0123456789", 5), None);
    assert_eq!(CodeSpec::kept("abc", 10), None);
}

proptest! {
    #[test]
    fn reading_never_panics(text in any::<String>()) {
        let _ = Code::parse(&text, &CodeSpec::default());
        let _ = Alphabet::parse(&text);
    }

    #[test]
    fn every_derived_code_is_read_back(seed in any::<u64>(), number in 1_u32..=32, length in 6_u8..=10) {
        for alphabet in [Alphabet::digits(), Alphabet::letters()] {
            let spec = CodeSpec::new(alphabet, length).unwrap();
            let code = key(9).derive(&id(seed), number, Purpose::Login, &spec);
            let typed = Code::parse(&code.reveal().to_lowercase(), &spec).unwrap();
            let numbers = key(9).matches(&typed, &id(seed), 32, Purpose::Login, &spec);
            prop_assert!(numbers.any_between(number, number));
        }
    }
}

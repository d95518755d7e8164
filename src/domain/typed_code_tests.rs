use proptest::prelude::*;

use super::{super::code_spec::Alphabet, *};

fn digits() -> CodeSpec {
    CodeSpec::default()
}

fn spec(alphabet: &str, length: u8) -> CodeSpec {
    CodeSpec::new(Alphabet::parse(alphabet).unwrap(), length).unwrap()
}

fn letters() -> CodeSpec {
    CodeSpec::new(Alphabet::letters(), 6).unwrap()
}

fn said(text: &str, spec: &CodeSpec) -> Option<String> {
    read(text, spec).map(|code| String::from_utf8(code.to_vec()).unwrap())
}

#[test]
fn what_says_a_code_is_that_code() {
    for text in [
        "123456",
        " 123 456 ",
        "123-456",
        "12-34-56\n",
        "\t123456\r\n",
        "123\u{2011}456",
        "123\u{2212}456",
        "1\u{a0}2\u{2009}34\u{3000}56",
        "123_456",
        "１２３４５６",
        "①②③④⑤⑥",
        "𝟏𝟐𝟑𝟒𝟓𝟔",
        "\u{661}\u{662}\u{663}\u{664}\u{665}\u{666}",
        "\u{6f1}\u{6f2}\u{6f3} \u{6f4}\u{6f5}\u{6f6}",
        "\u{967}\u{968}\u{969}\u{96a}\u{96b}\u{96c}",
        "\u{1e951}\u{1e952}\u{1e953}\u{1e954}\u{1e955}\u{1e956}",
        "123\u{200b}456",
        "\u{feff}123456",
        "\u{202a}123\u{2060}4\u{ad}56\u{202c}",
        "1\u{fe0f}\u{20e3}2\u{fe0f}\u{20e3}3\u{fe0f}\u{20e3}4\u{fe0f}\u{20e3}5\u{fe0f}\u{20e3}6\u{fe0f}\u{20e3}",
        "\"123456\"",
        "'123456'",
        "\u{b4}123456\u{b4}",
        "`123456`",
        "\u{201e}123456\u{201c}",
        "«\u{a0}123456\u{a0}»",
        "「123456」",
        "『１２３４５６』。",
        "(123456)",
        "[123 456]",
        "{123456}",
        "<123456>",
        "【123456】",
        "**123456**",
        "123456.",
        "123456。",
        "123456．",
        "(123456).",
        "\"123456.\"",
        "123456!",
        "Code: 123456",
        "code:123456",
        "CODE：１２３４５６",
        "Your code is 123456",
        "Your code is: 123 456.",
        "Ihr Code lautet „123 456“.",
        "验证码：123456。",
        "验证码123456",
        "認証コード「123456」",
        "رمزك \u{661}\u{662}\u{663}\u{664}\u{665}\u{666}",
        "G-123456",
        "code123456",
        "#123456",
        "Votre code : 123456",
        "l23456",
        "I23456",
    ] {
        assert_eq!(said(text, &digits()).as_deref(), Some("123456"), "{text:?}");
    }
    assert_eq!(said("O1OlOI", &digits()).as_deref(), Some("010101"));
    for text in [
        "BCDFGH",
        "bcd-fgh",
        "ｂｃｄｆｇｈ",
        "Code: bcdfgh",
        "Your code is BCD FGH.",
        "Der Code: „BCDFGH“",
        "验证码bcdfgh",
    ] {
        assert_eq!(said(text, &letters()).as_deref(), Some("BCDFGH"), "{text:?}");
    }
}

#[test]
fn what_says_none_or_more_than_one_is_refused() {
    for text in [
        "",
        " ",
        ".",
        "Code:",
        "12345",
        "1234567",
        "12345a",
        "12345\0",
        "Code: 12345",
        "Code: 1234567",
        "123456 654321",
        "123456 or 654321",
        "123456: 654321",
        "12 is not 123456",
        "Code 2: 123456",
        "123456 is your code",
        "123456 Code",
        "Code\0: 123456",
        "123.456",
        "12/3456",
        "½23456",
        "-1",
        &"1".repeat(MOST_BYTES + 1),
        &" ".repeat(MOST_BYTES),
        &"\u{fdfa}".repeat(MOST_BYTES / 3),
        &format!("{}123456", "x".repeat(MOST_BYTES)),
    ] {
        assert_eq!(said(text, &digits()), None, "{text:?}");
    }
    // Words of letters that a code may have are not taken for words without a colon, nor a word for a code.
    let all = spec("ABCDEFGHIJKLMNOPQRSTUVWXYZ", 6);
    assert_eq!(said("my code QWERTY", &all), None);
    assert_eq!(said("Code: QWERTY", &all).as_deref(), Some("QWERTY"));
    assert_eq!(said("Number: QWERTY", &all), None);
    assert_eq!(said("BCDFGH or ZXWVTS", &letters()), None);
    // A code that is too short is not made longer by the end of a word.
    assert_eq!(said("this BCDFG", &letters()), None);
}

#[test]
fn what_looks_alike_is_one_only_where_it_can_be_no_other() {
    // Both are there: each is itself.
    let both = spec("01OIABCDEF", 6);
    assert_eq!(said("0O1IAB", &both).as_deref(), Some("0O1IAB"));
    assert_eq!(said("lABCDE", &both), None);
    // Letters without digits.
    let capitals = spec("OIABCDEFGH", 6);
    assert_eq!(said("01abcd", &capitals).as_deref(), Some("OIABCD"));
    // Neither is there.
    assert_eq!(said("BCDFG0", &letters()), None);
    // Case counts where the alphabet has both: a small o is no capital one.
    let mixed = CodeSpec::temporary_password();
    let password = "2bCd3fGh4jKm";
    assert_eq!(said(password, &mixed).as_deref(), Some(password));
    assert_eq!(
        said(&format!("Passwort: {password}."), &mixed).as_deref(),
        Some(password)
    );
    assert_ne!(said(&password.to_uppercase(), &mixed).as_deref(), Some(password));
}

#[test]
fn the_table_of_digits_is_in_order_and_of_digits() {
    assert!(ZEROS.is_sorted());
    for zero in ZEROS {
        for value in 0..10 {
            let digit = char::from_u32(u32::from(zero) + value).unwrap();
            assert!(digit.is_numeric(), "{:x}", u32::from(digit));
            assert_eq!(ascii_digit(digit).to_digit(10), Some(value));
        }
    }
}

#[test]
fn the_longest_text_is_read_in_no_time() {
    let hostile = [
        "\u{fdfa}".repeat(64 * 1024 / 3),
        "1 ".repeat(MOST_BYTES / 2),
        "a1".repeat(MOST_BYTES / 2),
        "é\u{301}".repeat(MOST_BYTES / 4),
        "a\u{301}\u{327}".repeat(MOST_BYTES / 5),
        "「".repeat(MOST_BYTES / 3),
    ];
    for text in hostile {
        for spec in [digits(), letters(), CodeSpec::temporary_password()] {
            assert_eq!(said(&text, &spec), None);
        }
    }
}

/// What may stand in front of a code, between its characters and after it.
fn noise() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "", " ", "-", "\u{2013}", "_", "\u{200b}", "\u{ad}", "\"", "\u{201c}", "(", ")", "\u{a0}", "「", "\n",
    ])
    .prop_map(str::to_owned)
}

proptest! {
    #[test]
    fn any_dress_of_a_code_says_it(
        number in 0_u32..1_000_000,
        noises in prop::collection::vec(noise(), 7),
        zero in prop::sample::select(ZEROS.to_vec()),
        words in prop::sample::select(vec!["", "Code: ", "Your code is ", "验证码："]),
        end in prop::sample::select(vec!["", ".", "。", "\u{201d}."]),
    ) {
        let code = format!("{number:06}");
        let mut text = words.to_owned();
        for (index, digit) in code.chars().enumerate() {
            let value = digit.to_digit(10).unwrap();
            text.push_str(&noises[index]);
            text.push(if index % 2 == 0 { digit } else { char::from_u32(u32::from(zero) + value).unwrap() });
        }
        text.push_str(&noises[6]);
        text.push_str(end);
        prop_assert_eq!(said(&text, &digits()), Some(code), "{:?}", text);
    }

    #[test]
    fn nothing_but_a_code_is_read(text in any::<String>()) {
        for spec in [digits(), letters(), CodeSpec::temporary_password()] {
            if let Some(code) = said(&text, &spec) {
                prop_assert_eq!(code.len(), usize::from(spec.length()));
                prop_assert!(code.chars().all(|typed| spec.alphabet().as_str().contains(typed)));
            }
        }
    }
}

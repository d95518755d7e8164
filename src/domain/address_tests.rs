use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<String, AddressError> {
    EmailAddress::parse(text, LocalPart::Ascii).map(|address| address.as_str().to_owned())
}

fn parse_utf8(text: &str) -> Result<String, AddressError> {
    EmailAddress::parse(text, LocalPart::Utf8).map(|address| address.as_str().to_owned())
}

#[test]
fn accepts_what_mail_servers_take() {
    let longest_local = format!("{}@example.com", "a".repeat(64));
    for (given, kept) in [
        ("a@b.co", "a@b.co"),
        ("John.Doe@Example.COM", "John.Doe@example.com"),
        (
            "!#$%&'*+-/=?^_`{|}~@example.com",
            "!#$%&'*+-/=?^_`{|}~@example.com",
        ),
        ("user+tag@mail.corp.example.org", "user+tag@mail.corp.example.org"),
        ("x@bücher.example", "x@xn--bcher-kva.example"),
        ("x@BÜCHER.example", "x@xn--bcher-kva.example"),
        ("x@xn--bcher-kva.example", "x@xn--bcher-kva.example"),
        ("x@例え.テスト", "x@xn--r8jz45g.xn--zckzah"),
        ("1@1.example", "1@1.example"),
        ("x@a-b.example", "x@a-b.example"),
        (longest_local.as_str(), longest_local.as_str()),
    ] {
        assert_eq!(parse(given).as_deref(), Ok(kept), "{given}");
    }
    let address = EmailAddress::parse("John.Doe@Example.COM", LocalPart::Ascii).unwrap();
    assert_eq!((address.local(), address.domain()), ("John.Doe", "example.com"));
    assert_eq!(address.folded(), "john.doe@example.com");
    assert!(!address.needs_smtputf8());
}

#[test]
fn refuses_what_reads_two_ways() {
    use AddressError as E;
    let long_local = format!("{}@example.com", "a".repeat(65));
    let label = "a".repeat(63);
    let long = format!("aaaa@{label}.{label}.{label}.{}.de", "a".repeat(56));
    let long_label = format!("a@{}.example", "a".repeat(64));
    let huge = format!("a@{}", "b.".repeat(1000));
    for (given, error) in [
        ("", E::Empty),
        ("a", E::Form),
        ("@b.co", E::Form),
        ("a@", E::Form),
        ("@", E::Form),
        // What the mail library would take.
        ("\"a@b\"@c", E::Local),
        ("\"a@b\"@c.example", E::Local),
        ("x@[127.0.0.1]", E::Domain),
        ("x@[IPv6:::1]", E::Domain),
        ("x@localhost", E::Domain),
        ("\u{131}@example.com", E::NeedsUtf8),
        // Dots, spaces, lines, comments, lists.
        (".a@b.co", E::Local),
        ("a.@b.co", E::Local),
        ("a..b@b.co", E::Local),
        (" a@b.co", E::Local),
        ("a b@b.co", E::Local),
        ("a@b.co ", E::Domain),
        ("a@b .co", E::Domain),
        ("a\r\nBcc: x@b.co", E::Local),
        ("a@b.co\r\n", E::Domain),
        ("a\0@b.co", E::Local),
        ("a(c)@b.co", E::Local),
        ("a@b.co(c)", E::Domain),
        ("<a@b.co>", E::Local),
        ("a@b@c.co", E::Local),
        ("a,b@c.co", E::Local),
        ("a@b.co,c@d.co", E::Local),
        ("a;b@c.co", E::Local),
        ("a\\b@c.co", E::Local),
        ("a:b@c.co", E::Local),
        // Domains that are none.
        ("a@b", E::Domain),
        ("a@b..co", E::Domain),
        ("a@.b.co", E::Domain),
        ("a@b.co.", E::Domain),
        ("a@-b.co", E::Domain),
        ("a@b-.co", E::Domain),
        ("a@b_c.co", E::Domain),
        ("a@127.0.0.1", E::Domain),
        ("a@1.2", E::Domain),
        ("a@b.co:25", E::Domain),
        ("a@b.co/x", E::Domain),
        ("a@b%c.co", E::Domain),
        ("a@xn--a.example", E::Domain),
        ("Ann <x@example.com>", E::Local),
        ("x@example.123", E::Domain),
        // Lengths.
        (long_local.as_str(), E::LocalTooLong),
        (long_label.as_str(), E::Domain),
        (long.as_str(), E::TooLong),
        (huge.as_str(), E::TooLong),
        // Beyond ASCII.
        ("jürgen@example.com", E::NeedsUtf8),
        ("a\u{202e}@example.com", E::Local),
        ("a\u{a0}@example.com", E::Local),
    ] {
        assert_eq!(parse(given), Err(error), "{given:?}");
    }
}

#[test]
fn letters_beyond_ascii_only_where_they_are_allowed() {
    assert_eq!(
        parse_utf8("jürgen@example.com").as_deref(),
        Ok("jürgen@example.com")
    );
    assert_eq!(
        parse_utf8("\u{131}@example.com").as_deref(),
        Ok("\u{131}@example.com")
    );
    for bad in [
        "a\u{202e}b@example.com",
        "a\u{2028}b@example.com",
        "a\u{85}b@example.com",
        "a\u{3000}b@example.com",
    ] {
        assert_eq!(parse_utf8(bad), Err(AddressError::Local), "{bad:?}");
    }
    // Octets are counted, not letters.
    let long = format!("{}@example.com", "é".repeat(33));
    assert_eq!(parse_utf8(&long), Err(AddressError::LocalTooLong));
    let address = EmailAddress::parse("jürgen@example.com", LocalPart::Utf8).unwrap();
    assert!(address.needs_smtputf8());
}

#[test]
fn at_the_longest() {
    let label = "a".repeat(63);
    let domain = format!("{label}.{label}.{label}.{}", "b".repeat(57));
    assert_eq!(domain.len(), 249);
    assert!(parse(&format!("aaaa@{domain}")).is_ok());
    assert_eq!(parse(&format!("aaaaa@{domain}")), Err(AddressError::TooLong));
}

#[test]
fn is_not_printed() {
    let address = EmailAddress::parse("john.doe@example.com", LocalPart::Ascii).unwrap();
    assert_eq!(format!("{address:?}"), "EmailAddress(..)");
}

/// Texts that come close to an address.
fn close() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~\"@ıéß\\\\ -]{1,20}@[a-zA-Z0-9.ıéß例\\[\\]:_-]{1,30}"
}

/// Texts that are one.
fn well_formed() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]{1,20}(\\.[a-z0-9]{1,10}){0,2}@([a-z0-9]{1,20}\\.){1,3}[a-z]{2,10}"
}

fn check(text: &str) -> Result<(), TestCaseError> {
    for rules in [LocalPart::Ascii, LocalPart::Utf8] {
        let address = match EmailAddress::parse(text, rules) {
            Ok(address) => address,
            Err(error) => {
                // Longer than what a message could hold by chance.
                prop_assert!(text.len() < 8 || !error.to_string().contains(text));
                continue;
            }
        };
        let again = EmailAddress::parse(address.as_str(), rules);
        prop_assert_eq!(again.as_ref(), Ok(&address));
        prop_assert_eq!(
            format!("{}@{}", address.local(), address.domain()),
            address.as_str()
        );
        prop_assert!(address.as_str().len() <= 254);
        let lettre = address.as_str().parse::<lettre::Address>();
        prop_assert!(lettre.is_ok(), "{:?} {:?}", address.as_str(), lettre);
        let lettre = lettre.unwrap();
        prop_assert_eq!(
            (lettre.user(), lettre.domain()),
            (address.local(), address.domain())
        );
    }
    Ok(())
}

proptest! {
    #[test]
    fn anything_at_all(text in any::<String>()) {
        check(&text)?;
    }

    #[test]
    fn anything_close(text in close()) {
        check(&text)?;
    }

    #[test]
    fn anything_well_formed(text in well_formed()) {
        prop_assert!(parse(&text).is_ok(), "{}", text);
        check(&text)?;
    }
}

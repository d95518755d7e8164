use proptest::prelude::*;

use super::*;

fn ascii(text: &str) -> Result<EmailAddress, AddressError> {
    EmailAddress::parse(text, LocalPart::Ascii)
}

#[test]
fn takes_what_every_mail_server_takes() {
    let longest_local = format!("{}@example.com", "a".repeat(64));
    for address in [
        "a@b.co",
        "john.doe+tag@mail.example.com",
        "x_y-z@a-b.example",
        "o'neil@example.ie",
        &longest_local,
    ] {
        assert_eq!(
            ascii(address).map(|a| a.as_str().to_owned()),
            Ok(address.to_owned())
        );
    }
}

#[test]
fn keeps_the_local_part_and_folds_the_domain() {
    let address = ascii("John.Doe@Mail.EXAMPLE.com").unwrap();
    assert_eq!(address.as_str(), "John.Doe@mail.example.com");
    assert_eq!(
        (address.local(), address.domain()),
        ("John.Doe", "mail.example.com")
    );
    assert_eq!(address.folded(), "john.doe@mail.example.com");
}

#[test]
fn writes_an_international_domain_in_ascii() {
    assert_eq!(
        ascii("a@bücher.example").unwrap().domain(),
        "xn--bcher-kva.example"
    );
    assert_eq!(ascii("a@例え.jp").unwrap().domain(), "xn--r8jz45g.jp");
}

#[test]
fn refuses_what_reads_two_ways() {
    use AddressError::{Domain, Empty, Form, Local, LocalTooLong, NeedsUtf8, TooLong};
    let cases = [
        ("", Empty),
        ("ann", Form),
        ("@example.com", Form),
        ("ann@", Form),
        ("\"a@b\"@c.example", Local),
        ("\"ann\"@example.com", Local),
        ("a@b@example.com", Local),
        ("x@[127.0.0.1]", Domain),
        ("x@localhost", Domain),
        ("x@127.0.0.1", Domain),
        ("x@example.123", Domain),
        ("x@-a.example", Domain),
        ("x@a..example", Domain),
        ("x@example.com.", Domain),
        ("x@.example.com", Domain),
        ("x@exa mple.com", Domain),
        ("x@exa_mple.com", Domain),
        (".x@example.com", Local),
        ("x.@example.com", Local),
        ("x..y@example.com", Local),
        ("x y@example.com", Local),
        ("x\r\nRCPT TO:<y@z.example>@example.com", Local),
        ("x\0@example.com", Local),
        ("x(comment)@example.com", Local),
        ("<x@example.com>", Local),
        ("Ann <x@example.com>", Local),
        ("x,y@example.com", Local),
        ("zoë@example.com", NeedsUtf8),
        ("ı@example.com", NeedsUtf8),
        ("x\u{202e}@example.com", Local),
    ];
    for (text, error) in cases {
        assert_eq!(ascii(text).map(|a| a.as_str().to_owned()), Err(error), "{text:?}");
    }
    assert_eq!(
        ascii(&format!("{}@example.com", "a".repeat(65))).unwrap_err(),
        LocalTooLong
    );
    let labels = format!("{0}.{0}.{0}.com", "b".repeat(62));
    assert_eq!(
        ascii(&format!("{}@{labels}", "a".repeat(60))).map(|a| a.as_str().len()),
        Ok(253)
    );
    assert_eq!(
        ascii(&format!("{}@{labels}", "a".repeat(62))).unwrap_err(),
        TooLong
    );
    assert_eq!(ascii(&"a".repeat(100_000)).unwrap_err(), TooLong);
}

#[test]
fn goes_beyond_ascii_only_where_asked() {
    let address = EmailAddress::parse("zoë@example.com", LocalPart::Utf8).unwrap();
    assert!(address.needs_smtputf8());
    assert!(!ascii("zoe@example.com").unwrap().needs_smtputf8());
    assert!(EmailAddress::parse("a\u{a0}b@example.com", LocalPart::Utf8).is_err());
}

#[test]
fn shows_nothing_in_logs() {
    assert_eq!(
        format!("{:?}", ascii("ann@example.com").unwrap()),
        "EmailAddress(..)"
    );
}

proptest! {
    #[test]
    fn never_panics_and_never_repeats_its_input(text in "\\PC{0,80}") {
        if let Err(error) = EmailAddress::parse(&text, LocalPart::Utf8) {
            prop_assert!(text.len() < 4 || !error.to_string().contains(&text));
        }
    }

    #[test]
    fn what_it_takes_it_takes_again_and_lettre_does_too(
        local in "[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]{1,20}(\\.[a-z0-9]{1,5}){0,3}",
        domain in "[a-zA-Z0-9]{1,10}(-[a-z0-9]{1,5})?\\.[a-z]{2,10}",
    ) {
        let text = format!("{local}@{domain}");
        if let Ok(address) = EmailAddress::parse(&text, LocalPart::Ascii) {
            prop_assert_eq!(ascii(address.as_str()).unwrap(), address.clone());
            prop_assert!(address.as_str().parse::<lettre::Address>().is_ok());
        }
    }
}

use proptest::prelude::*;

use super::super::address::LocalPart;
use super::*;

fn addresses() -> impl Strategy<Value = EmailAddress> {
    "[a-z0-9éx*.+•]{1,20}@([a-zéx0-9]{1,12}\\.){1,3}(co|com|example|xxx)"
        .prop_filter_map("no address", |text| {
            EmailAddress::parse(&text, LocalPart::Utf8).ok()
        })
}

fn patterns() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "[*•x@. a-z]{1,6}",
        "\\{local:[0-3]\\}",
        "\\{domain:[0-3]\\}",
        Just("{tld}".to_owned()),
        Just("***".to_owned()),
        Just("xxx".to_owned()),
    ];
    prop::collection::vec(part, 1..6).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn never_the_address_itself(pattern in patterns(), address in addresses()) {
        if let Ok(mask) = Mask::parse(&pattern) {
            let masked = mask.apply(&address);
            prop_assert!(!masked.eq_ignore_ascii_case(address.as_str()), "{} {}", pattern, masked);
        }
    }

    #[test]
    fn no_mask_tells_lengths(one in addresses(), other in addresses()) {
        let width = |address: &EmailAddress| {
            let top = address.domain().rsplit('.').next().unwrap().len();
            Mask::default().apply(address).chars().count() - top
        };
        prop_assert_eq!(width(&one), width(&other));
    }

    #[test]
    fn short_parts_are_masked_like_long_ones(local in "[a-z]{1,30}", host in "[a-z]{1,30}") {
        let address = EmailAddress::parse(&format!("{local}@{host}.com"), LocalPart::Ascii).unwrap();
        let shown = |text: &str| text.chars().next().unwrap();
        prop_assert_eq!(
            Mask::default().apply(&address),
            format!("{}*****@{}*****.com", shown(&local), shown(&host))
        );
    }

    #[test]
    fn reading_never_panics(pattern in any::<String>(), close in "[{}a-z:0-9*]{0,30}") {
        let _ = Mask::parse(&pattern);
        let _ = Mask::parse(&close);
    }
}

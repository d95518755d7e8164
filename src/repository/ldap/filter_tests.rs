//! Filters: what is read, what goes over the wire, and that no name gets out of its place.

use super::{super::ber::Reader, *};
use crate::repository::hostile_names;

const ACTIVE_DIRECTORY: &str = "(&(objectCategory=person)(!(userAccountControl:1.2.840.113556.1.4.803:=2))(|(sAMAccountName={user})(userPrincipalName={user})))";

#[test]
fn filters_are_read_and_written_back() {
    for text in [
        "(uid={user})",
        ACTIVE_DIRECTORY,
        "(&(cn=a*b*c)(uid={user}))",
        "(&(cn=*b*)(uid={user}))",
        "(&(cn>=a)(cn<=b)(cn~=c)(mail=*)(uid={user}@example.com))",
        "(&(cn:dn:2.5.13.2:=x)(:2.5.13.2:=y)(uid={user}))",
        "(&(cn=\\2a\\28\\c3\\a9)(uid={user}))",
    ] {
        let filter = Filter::parse(text).unwrap();
        assert_eq!(filter.text("{user}"), text);
    }
    assert_eq!(
        Filter::parse(" (& (a=b) (uid={user}) ) ").unwrap().text("ann"),
        "(&(a=b)(uid=ann))"
    );
}

#[test]
fn what_is_no_filter_is_refused() {
    let deep = format!("{}(uid={{user}}){}", "(!".repeat(20), ")".repeat(20));
    for (text, fault) in [
        ("", FilterFault::Parentheses),
        ("uid={user}", FilterFault::Parentheses),
        ("(uid={user}", FilterFault::Parentheses),
        ("(uid={user}))", FilterFault::Parentheses),
        ("(&)", FilterFault::Parentheses),
        ("(uid=ann)", FilterFault::NoUser),
        ("(!(uid={user}))", FilterFault::NoUser),
        ("(={user})", FilterFault::Attribute),
        ("(u d={user})", FilterFault::Attribute),
        ("(:={user})", FilterFault::Attribute),
        ("(uid)", FilterFault::Attribute),
        ("(uid=\\2{user})", FilterFault::Escape),
        ("(uid=\\zz{user})", FilterFault::Escape),
        (&deep, FilterFault::TooDeep),
    ] {
        assert_eq!(Filter::parse(text), Err(fault), "{text}");
    }
}

/// The values of a filter on the wire, in order, and how many parts it has.
fn walk(bytes: &[u8], values: &mut Vec<Vec<u8>>) -> usize {
    let mut reader = Reader::new(bytes);
    let mut parts = 0;
    while !reader.is_empty() {
        let (tag, value) = reader.next().unwrap();
        parts += 1;
        if tag & 0x20 == 0 {
            values.push(value.to_vec());
        } else {
            parts += walk(value, values);
        }
    }
    parts
}

#[test]
fn a_name_is_one_value_whatever_stands_in_it() {
    let filter = Filter::parse(ACTIVE_DIRECTORY).unwrap();
    let shape = |name: &str| {
        let (mut writer, mut values) = (Writer::default(), Vec::new());
        filter.write(name, &mut writer);
        let parts = walk(&writer.into_bytes(), &mut values);
        (parts, values)
    };
    let (parts, plain) = shape("ann");
    for name in hostile_names() {
        let (shaped, values) = shape(&name);
        assert_eq!(shaped, parts, "{name:?}");
        let expected: Vec<Vec<u8>> = plain
            .iter()
            .map(|value| {
                if value == b"ann" {
                    name.clone().into_bytes()
                } else {
                    value.clone()
                }
            })
            .collect();
        assert_eq!(values, expected, "{name:?}");
    }
}

#[test]
fn a_name_is_shown_escaped() {
    let filter = Filter::parse("(uid={user})").unwrap();
    assert_eq!(filter.text("*)(uid=*"), "(uid=\\2a\\29\\28uid=\\2a)");
    assert_eq!(filter.text("a\0\\é"), "(uid=a\\00\\5c\\c3\\a9)");
    for name in hostile_names() {
        let shown = filter.text(&name);
        let inner = shown.strip_prefix("(uid=").unwrap().strip_suffix(')').unwrap();
        assert!(!inner.contains(['*', '(', ')', '\0']), "{shown}");
        // What is shown can be read again, and asks for the same name.
        assert_eq!(unescape(inner).unwrap(), name.as_bytes());
    }
}

//! Where a user comes from, as proxies and web servers write it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The most addresses of a list that are looked at, from its end.
const MOST_HOPS: usize = 32;

/// The most bytes of one of them: `for="[...%zone]:port";proto=https;by=...` has fewer.
const MOST_BYTES: usize = 256;

/// The address of a client: alone, with a port, in brackets, with a zone; or of a list as `X-Forwarded-For` and `Forwarded`
/// (RFC 7239) are. Of a list it is the last public one: each proxy writes at the end whom it saw, and what stands further in
/// front may be the client's own invention. Where none is public, it is the first. `None`: there is no address.
#[must_use]
pub fn client_address(text: &str) -> Option<IpAddr> {
    let mut first = None;
    for hop in text.rsplit(',').take(MOST_HOPS).filter_map(hop) {
        if is_public(hop) {
            return Some(hop);
        }
        first = Some(hop);
    }
    first
}

fn hop(text: &str) -> Option<IpAddr> {
    if text.len() > MOST_BYTES {
        return None;
    }
    let element = text.split(';').map(str::trim).find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then_some(value)
    });
    let node = element.unwrap_or(text).trim().trim_matches('"').trim();
    let bare = match node.strip_prefix('[') {
        Some(rest) => rest.split(']').next()?,
        // A port, unless colons are part of the address.
        None if node.matches(':').count() == 1 => node.split(':').next()?,
        None => node,
    };
    let address = bare.split(['%', '/']).next()?.parse().ok()?;
    // An IPv4 address in IPv6 clothes is undressed.
    Some(IpAddr::to_canonical(&address))
}

/// Whether it can be seen from the internet (the registries of RFC 6890, as far as they hold clients).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            let shared = first == 100 && second & 0xc0 == 64;
            !(address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_documentation()
                || address.is_broadcast()
                || address.is_multicast()
                || address == Ipv4Addr::UNSPECIFIED
                || shared)
        }
        IpAddr::V6(address) => {
            let [first, second, ..] = address.segments();
            let documentation = first == 0x2001 && second == 0xdb8;
            !(address.is_loopback()
                || address.is_multicast()
                || address.is_unique_local()
                || address.is_unicast_link_local()
                || address == Ipv6Addr::UNSPECIFIED
                || documentation)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_read_as_proxies_write_them() {
        for (text, address) in [
            ("192.0.2.1", "192.0.2.1"),
            (" 192.0.2.1 ", "192.0.2.1"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("fe80::1%eth0", "fe80::1"),
            ("[fe80::1%25en0]:22", "fe80::1"),
            ("192.0.2.1/32", "192.0.2.1"),
            ("192.0.2.1, 10.0.0.1", "192.0.2.1"),
            ("198.51.100.7,10.0.0.1,192.168.1.1", "198.51.100.7"),
            ("unknown, 10.0.0.1", "10.0.0.1"),
            ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
            ("For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            ("for=192.0.2.43, for=\"[fe80::17]\"", "192.0.2.43"),
            ("8.8.8.8, 10.0.0.1", "8.8.8.8"),
            // What the client wrote itself in front of what the proxy saw.
            ("1.1.1.1, 9.9.9.9", "9.9.9.9"),
            ("10.9.9.9, 9.9.9.9, 10.0.0.1", "9.9.9.9"),
            ("9.9.9.9, 100.64.0.1", "9.9.9.9"),
        ] {
            assert_eq!(client_address(text), Some(address.parse().unwrap()), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_address_is_none() {
        for text in [
            "",
            " ",
            "unknown",
            "_hidden",
            "localhost",
            "192.0.2",
            "0x7f.1",
            "::1::",
            "[",
            "[]",
            ":",
            "for=",
            "a\r\nb",
            ",,,",
            "{{ otp }}",
            "999.1.1.1",
        ] {
            assert_eq!(client_address(text), None, "{text:?}");
        }
        assert_eq!(client_address(&"1".repeat(1_000_000)), None);
        assert!(client_address(&"9.9.9.9,".repeat(100_000)).is_some());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "([0-9a-f]{0,4}|[\\[\\]:.,;%=/\" ]|for=|é){0,60}") {
            let _ = client_address(&text);
        }
    }
}

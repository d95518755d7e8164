//! The checks of single fields. Each says what is wrong without repeating the value.

use std::{net::IpAddr, str::FromStr};

use crate::domain::{clock::Timestamp, id::IdError};

/// Why a field is refused.
pub(super) type Fault = &'static str;

/// An identifier.
pub(super) fn id<T: FromStr<Err = IdError>>(text: &str) -> Result<T, String> {
    if text.is_empty() {
        return Err("is required".to_owned());
    }
    text.parse().map_err(|error: IdError| error.to_string())
}

/// An event's name; may be empty.
pub(super) fn event(text: &str) -> Result<(), Fault> {
    let fits = text.len() <= 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if fits {
        Ok(())
    } else {
        Err("must be up to 64 of: letters, digits, `.`, `_`, `-`")
    }
}

/// A language tag as BCP 47 shapes them (RFC 5646, 2.1): subtags of 1 to 8 letters and digits, the first of letters
/// alone. Whether there is such a language is not asked.
pub(super) fn locale(text: &str) -> Result<Option<String>, Fault> {
    if text.is_empty() {
        return Ok(None);
    }
    let mut subtags = text.split('-');
    let language = subtags.next().is_some_and(|first| {
        (2..=8).contains(&first.len()) && first.bytes().all(|byte| byte.is_ascii_alphabetic())
    });
    let rest = subtags.all(|subtag| {
        (1..=8).contains(&subtag.len()) && subtag.bytes().all(|byte| byte.is_ascii_alphanumeric())
    });
    // RFC 5646, 4.4.1: 35 characters are enough for every tag in use.
    if language && rest && text.len() <= 35 {
        Ok(Some(text.to_owned()))
    } else {
        Err("must be a BCP 47 language tag such as `de` or `de-CH`")
    }
}

/// An IP address. An IPv4 address in IPv6 clothes is undressed.
pub(super) fn address(text: &str) -> Result<Option<IpAddr>, Fault> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse()
        .map(|address: IpAddr| Some(address.to_canonical()))
        .map_err(|_| "must be an IPv4 or IPv6 address")
}

/// A request id.
pub(super) fn request_id(text: &str) -> Result<Option<String>, Fault> {
    if text.is_empty() {
        return Ok(None);
    }
    if text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(Some(text.to_owned()))
    } else {
        Err("must be up to 128 visible ASCII characters")
    }
}

/// A code as it was typed. Whether it can be one of the challenge's is the desk's to say; this bounds its work.
pub(super) fn typed_code(text: &str) -> Result<(), Fault> {
    match text.len() {
        0 => Err("is required"),
        1..=128 => Ok(()),
        _ => Err("is too long for a code"),
    }
}

/// A moment, to the microsecond.
pub(super) fn moment(moment: &prost_types::Timestamp) -> Result<Timestamp, Fault> {
    // 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z, as google.protobuf.Timestamp allows.
    let in_range = (-62_135_596_800..=253_402_300_799).contains(&moment.seconds)
        && (0..1_000_000_000).contains(&moment.nanos);
    if in_range {
        let micros = moment.seconds * 1_000_000 + i64::from(moment.nanos / 1_000);
        Ok(Timestamp::from_micros(micros))
    } else {
        Err("must be between 0001-01-01 and 9999-12-31, with nanos between 0 and 999,999,999")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locales_have_the_shape_of_bcp_47() {
        for good in ["de", "de-CH", "zh-Hant-TW", "sl-rozaj-biske", "en-x-mine"] {
            assert_eq!(locale(good), Ok(Some(good.to_owned())));
        }
        for bad in [
            "d",
            "de_CH",
            "de-",
            "-de",
            "de--CH",
            "12",
            "de CH",
            "de\n",
            "../../etc",
            "abcdefghi",
        ] {
            assert!(locale(bad).is_err(), "{bad:?}");
        }
        assert!(locale(&["abcdefgh"; 6].join("-")).is_err());
    }

    #[test]
    fn addresses_are_addresses() {
        assert_eq!(address("::ffff:192.0.2.1"), Ok(Some([192, 0, 2, 1].into())));
        assert_eq!(address(""), Ok(None));
        for bad in [
            "192.0.2.1:80",
            "fe80::1%eth0",
            "[::1]",
            "192.0.2",
            "0x7f.1",
            " ::1",
        ] {
            assert!(address(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn request_ids_are_visible() {
        assert!(request_id(&"x".repeat(128)).is_ok());
        for bad in [&"x".repeat(129), "a b", "a\n", "é"] {
            assert!(request_id(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn moments_stay_in_range() {
        let at = |seconds, nanos| moment(&prost_types::Timestamp { seconds, nanos });
        assert_eq!(at(-1, 999_999_999), Ok(Timestamp::from_micros(-1)));
        for (seconds, nanos) in [(i64::MAX, 0), (i64::MIN, 0), (0, -1), (0, 1_000_000_000)] {
            assert!(at(seconds, nanos).is_err(), "{seconds} {nanos}");
        }
    }
}

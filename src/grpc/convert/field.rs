//! The checks of single fields. Each says what is wrong without repeating the value.

use std::str::FromStr;

use crate::domain::{clock::Timestamp, code::Code, id::IdError};

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
/// alone. Whether there is such a language is not asked. For what administrators write: what callers say of users is never refused.
pub(super) fn language(text: &str) -> Result<(), Fault> {
    if text.is_empty() {
        return Ok(());
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
        Ok(())
    } else {
        Err("must be a BCP 47 language tag such as `de` or `de-CH`")
    }
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
        1..=Code::MOST_TYPED => Ok(()),
        _ => Err("is too long for a code: type or paste the code alone, as the mail shows it"),
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
    fn languages_have_the_shape_of_bcp_47() {
        for good in ["de", "de-CH", "zh-Hant-TW", "sl-rozaj-biske", "en-x-mine"] {
            assert_eq!(language(good), Ok(()));
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
            assert!(language(bad).is_err(), "{bad:?}");
        }
        assert!(language(&["abcdefgh"; 6].join("-")).is_err());
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

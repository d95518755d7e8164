//! The basic encoding rules (X.690), as far as LDAP uses them (RFC 4511, 5.1): definite lengths, tags of one byte.
//!
//! Reading looks at bytes that are there already and allocates nothing, however long they say they are.

/// Universal tags, and the bit of a constructed one.
pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const ENUMERATED: u8 = 0x0a;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// These bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server's reply is no LDAP message")]
pub(super) struct Malformed;

/// Writes values, one after another.
#[derive(Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// A value of bytes.
    pub(super) fn octets(&mut self, tag: u8, bytes: &[u8]) {
        self.0.push(tag);
        self.length(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    /// A whole number, or an enumerated one: neither is ever negative here.
    pub(super) fn integer(&mut self, tag: u8, value: u32) {
        let bytes = value.to_be_bytes();
        let zeros = bytes.iter().take(3).take_while(|&&byte| byte == 0).count();
        let mut shortest = bytes.get(zeros..).unwrap_or_default().to_vec();
        if shortest.first().is_some_and(|first| first & 0x80 != 0) {
            shortest.insert(0, 0);
        }
        self.octets(tag, &shortest);
    }

    pub(super) fn boolean(&mut self, tag: u8, value: bool) {
        self.octets(tag, &[if value { 0xff } else { 0 }]);
    }

    /// A value made of values.
    pub(super) fn constructed(&mut self, tag: u8, write: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        write(&mut inner);
        self.octets(tag, &inner.0);
    }

    fn length(&mut self, length: usize) {
        // What is written here is a request of ours: some kilobytes at the most.
        match u8::try_from(length) {
            Ok(short) if short < 0x80 => self.0.push(short),
            _ => {
                let bytes = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
                self.0.push(0x84);
                self.0.extend_from_slice(&bytes);
            }
        }
    }
}

/// Reads values, one after another.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next value: its tag and its bytes.
    pub(super) fn next(&mut self) -> Result<(u8, &'a [u8]), Malformed> {
        let (header, length) = header(self.0)?.ok_or(Malformed)?;
        let tag = *self.0.first().ok_or(Malformed)?;
        let end = header.checked_add(length).ok_or(Malformed)?;
        let value = self.0.get(header..end).ok_or(Malformed)?;
        self.0 = self.0.get(end..).unwrap_or_default();
        Ok((tag, value))
    }

    /// The next value, which must have this tag.
    pub(super) fn expect(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        match self.next()? {
            (found, value) if found == tag => Ok(value),
            _ => Err(Malformed),
        }
    }

    /// The values within the next value.
    pub(super) fn enter(&mut self, tag: u8) -> Result<Self, Malformed> {
        self.expect(tag).map(Self::new)
    }

    /// The next value if it has this tag.
    pub(super) fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, Malformed> {
        if self.0.first() == Some(&tag) {
            self.expect(tag).map(Some)
        } else {
            Ok(None)
        }
    }

    /// A number from 0 to 2^31 - 1, as LDAP's are.
    pub(super) fn number(&mut self, tag: u8) -> Result<u32, Malformed> {
        let bytes = self.expect(tag)?;
        let negative = bytes.first().is_none_or(|first| first & 0x80 != 0);
        if negative || bytes.len() > 4 {
            return Err(Malformed);
        }
        Ok(bytes
            .iter()
            .fold(0, |number, &byte| number << 8 | u32::from(byte)))
    }
}

/// How long the header at the beginning is, and how long it says the value is. `None`: it is not all there yet.
pub(super) fn header(bytes: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    let (Some(tag), Some(&first)) = (bytes.first(), bytes.get(1)) else {
        return Ok(None);
    };
    if tag & 0x1f == 0x1f {
        return Err(Malformed);
    }
    match first {
        0..=0x7f => Ok(Some((2, usize::from(first)))),
        0x81..=0x84 => {
            let count = usize::from(first & 0x7f);
            let Some(length) = bytes.get(2..2 + count) else {
                return Ok(None);
            };
            let length = length
                .iter()
                .fold(0, |length, &byte| length << 8 | usize::from(byte));
            Ok(Some((2 + count, length)))
        }
        // Of indefinite length, or of more than 4 GiB.
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        for number in [0, 1, 127, 128, 255, 256, 32_768, 0x7fff_ffff] {
            let mut writer = Writer::default();
            writer.integer(INTEGER, number);
            let bytes = writer.into_bytes();
            assert_eq!(Reader::new(&bytes).number(INTEGER), Ok(number), "{bytes:x?}");
        }
        for length in [0, 1, 127, 128, 300, 70_000] {
            let mut writer = Writer::default();
            writer.constructed(SEQUENCE, |inner| inner.octets(OCTETS, &vec![7; length]));
            let bytes = writer.into_bytes();
            let mut inner = Reader::new(&bytes).enter(SEQUENCE).unwrap();
            assert_eq!(inner.expect(OCTETS).unwrap().len(), length);
            assert!(inner.is_empty());
        }
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for bytes in [
            &[0x30, 0x80, 0, 0][..],                  // Of indefinite length.
            &[0x30, 0x85, 1, 1, 1, 1, 1],             // A length of five bytes.
            &[0x1f, 0x81, 0x01, 0x00],                // A tag of two bytes.
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0], // Longer than it is.
            &[0x02],
            &[],
        ] {
            assert_eq!(Reader::new(bytes).next(), Err(Malformed), "{bytes:x?}");
        }
        for bytes in [&[2, 0][..], &[2, 1, 0x80], &[2, 5, 0, 0, 0, 0, 1]] {
            assert_eq!(Reader::new(bytes).number(INTEGER), Err(Malformed), "{bytes:x?}");
        }
        assert_eq!(header(&[0x30, 0x82, 1]), Ok(None));
        assert_eq!(header(&[0x30, 0x82, 1, 2]), Ok(Some((4, 258))));
    }
}

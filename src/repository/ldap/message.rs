//! The messages of LDAP that are needed: bind, search, StartTLS, unbind, and the replies to them (RFC 4511).

use super::{
    ber::{self, BOOLEAN, ENUMERATED, INTEGER, Malformed, OCTETS, Reader, SEQUENCE, SET, Writer},
    filter::Filter,
};

/// The extended operation that starts TLS (RFC 4511, 4.14).
const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";

/// How far down a search looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Scope {
    /// The base entry alone.
    Base,
    /// Its children.
    One,
    /// Everything under it.
    #[default]
    Sub,
}

/// What to search for.
#[derive(Clone, Copy)]
pub(super) struct Search<'a> {
    pub(super) base: &'a str,
    pub(super) scope: Scope,
    pub(super) filter: &'a Filter,
    pub(super) user: &'a str,
    pub(super) attributes: &'a [String],
    /// Entries wanted at the most.
    pub(super) size: u32,
    /// Seconds the server may take.
    pub(super) seconds: u32,
}

/// A simple bind.
pub(super) fn bind(id: u32, name: &str, password: &str) -> Vec<u8> {
    message(id, |to| {
        to.constructed(0x60, |to| {
            to.integer(INTEGER, 3);
            to.octets(OCTETS, name.as_bytes());
            to.octets(0x80, password.as_bytes());
        });
    })
}

/// A search.
pub(super) fn search(id: u32, search: &Search<'_>) -> Vec<u8> {
    message(id, |to| {
        to.constructed(0x63, |to| {
            to.octets(OCTETS, search.base.as_bytes());
            to.integer(ENUMERATED, search.scope as u32);
            // Aliases lead elsewhere: they are not followed.
            to.integer(ENUMERATED, 0);
            to.integer(INTEGER, search.size);
            to.integer(INTEGER, search.seconds);
            to.boolean(BOOLEAN, false);
            search.filter.write(search.user, to);
            to.constructed(SEQUENCE, |to| {
                for attribute in search.attributes {
                    to.octets(OCTETS, attribute.as_bytes());
                }
            });
        });
    })
}

/// A wish for TLS.
pub(super) fn start_tls(id: u32) -> Vec<u8> {
    message(id, |to| to.constructed(0x77, |to| to.octets(0x80, START_TLS)))
}

/// A farewell.
pub(super) fn unbind(id: u32) -> Vec<u8> {
    message(id, |to| to.octets(0x42, &[]))
}

fn message(id: u32, operation: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.constructed(SEQUENCE, |to| {
        to.integer(INTEGER, id);
        operation(to);
    });
    writer.into_bytes()
}

/// An entry that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its name.
    pub(super) name: String,
    attributes: Vec<(String, Vec<Vec<u8>>)>,
}

impl Entry {
    /// The values of an attribute. Names are compared without regard to case, and without options (RFC 4512, 2.5).
    pub(super) fn values(&self, wanted: &str) -> impl Iterator<Item = &[u8]> {
        self.attributes
            .iter()
            .filter(move |(name, _)| {
                let name = name.split(';').next().unwrap_or_default();
                name.eq_ignore_ascii_case(wanted)
            })
            .flat_map(|(_, values)| values.iter().map(Vec::as_slice))
    }

    /// The same as texts; what is none is left out.
    pub(super) fn texts(&self, wanted: &str) -> impl Iterator<Item = &str> {
        self.values(wanted).filter_map(|value| str::from_utf8(value).ok())
    }
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The result code (RFC 4511, Appendix A).
    pub(super) code: u32,
    /// Where a referral leads.
    pub(super) referrals: Vec<String>,
}

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Bound(Outcome),
    Found(Entry),
    /// There is more elsewhere.
    Elsewhere(Vec<String>),
    Done(Outcome),
    Extended(Outcome),
    /// Nothing that was asked for, such as a notice that the server closes the connection.
    Unasked,
}

/// Reads a whole message: the number of the request it answers, and what it says.
pub(super) fn reply(bytes: &[u8]) -> Result<(u32, Reply), Malformed> {
    let mut message = Reader::new(bytes).enter(SEQUENCE)?;
    let id = message.number(INTEGER)?;
    let (tag, value) = message.next()?;
    let inner = Reader::new(value);
    let reply = match tag {
        0x61 => Reply::Bound(outcome(inner)?),
        0x64 => Reply::Found(entry(inner)?),
        0x65 => Reply::Done(outcome(inner)?),
        0x73 => Reply::Elsewhere(addresses(inner)?),
        0x78 => Reply::Extended(outcome(inner)?),
        _ => Reply::Unasked,
    };
    Ok(if id == 0 { (0, Reply::Unasked) } else { (id, reply) })
}

/// How long the message is that begins here; `None`: too little of it is there to tell.
pub(super) fn length(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    match bytes.first() {
        Some(&SEQUENCE) | None => {}
        Some(_) => return Err(Malformed),
    }
    let found = ber::header(bytes)?;
    found
        .map(|(header, length)| header.checked_add(length).ok_or(Malformed))
        .transpose()
}

fn outcome(mut inner: Reader<'_>) -> Result<Outcome, Malformed> {
    let code = inner.number(ENUMERATED)?;
    // The matched name, and what the server says of it: it may quote what was asked, so it is not kept.
    inner.expect(OCTETS)?;
    inner.expect(OCTETS)?;
    let referrals = match inner.optional(0xa3)? {
        Some(list) => addresses(Reader::new(list))?,
        None => Vec::new(),
    };
    Ok(Outcome { code, referrals })
}

fn entry(mut inner: Reader<'_>) -> Result<Entry, Malformed> {
    let name = text(inner.expect(OCTETS)?)?;
    let mut list = inner.enter(SEQUENCE)?;
    let mut attributes = Vec::new();
    while !list.is_empty() {
        let mut attribute = list.enter(SEQUENCE)?;
        let name = text(attribute.expect(OCTETS)?)?;
        let mut set = attribute.enter(SET)?;
        let mut values = Vec::new();
        while !set.is_empty() {
            values.push(set.expect(OCTETS)?.to_vec());
        }
        attributes.push((name, values));
    }
    Ok(Entry { name, attributes })
}

fn addresses(mut inner: Reader<'_>) -> Result<Vec<String>, Malformed> {
    let mut found = Vec::new();
    while !inner.is_empty() {
        found.push(text(inner.expect(OCTETS)?)?);
    }
    Ok(found)
}

fn text(bytes: &[u8]) -> Result<String, Malformed> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn requests_are_as_the_standard_writes_them() {
        assert_eq!(
            bind(1, "", ""),
            b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00"
        );
        assert_eq!(unbind(3), b"\x30\x05\x02\x01\x03\x42\x00");
        assert_eq!(
            start_tls(2),
            b"\x30\x1d\x02\x01\x02\x77\x18\x80\x161.3.6.1.4.1.1466.20037"
        );
    }

    #[test]
    fn replies_are_read() {
        let bound = b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x31\x04\x00\x04\x00";
        let wrong = Outcome {
            code: 49,
            referrals: vec![],
        };
        assert_eq!(reply(bound), Ok((1, Reply::Bound(wrong))));
        let found = b"\x30\x21\x02\x01\x02\x64\x1c\x04\x05cn=me\x30\x13\x30\x11\x04\x04Mail\x31\x09\x04\x03a@b\x04\x02\xff\xfe";
        let Ok((2, Reply::Found(entry))) = reply(found) else {
            panic!("{:?}", reply(found))
        };
        assert_eq!(entry.name, "cn=me");
        assert_eq!(entry.values("mail").count(), 2);
        assert_eq!(entry.texts("mail").collect::<Vec<_>>(), ["a@b"]);
        // Active Directory's notice of disconnection puts its name where it does not belong.
        let notice = b"\x30\x0e\x02\x01\x00\x78\x07\x0a\x01\x34\x04\x00\x04\x00\x8a\x00";
        assert_eq!(reply(notice), Ok((0, Reply::Unasked)));
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = reply(&bytes);
            let _ = length(&bytes);
        }

        #[test]
        fn no_damage_breaks_the_reader(at in 0_usize..34, byte: u8) {
            let mut found = b"\x30\x21\x02\x01\x02\x64\x1c\x04\x05cn=me\x30\x13\x30\x11\x04\x04Mail\x31\x09\x04\x03a@b\x04\x02\xff\xfe".to_vec();
            found[at] = byte;
            let _ = reply(&found);
        }
    }
}

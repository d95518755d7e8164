//! A challenge in a few bytes, as it is kept in memory by the hundred thousand.

use std::time::Duration;

use prost::Message;

use crate::domain::{
    caller::CallerId,
    challenge::{Challenge, Purpose, State},
    clock::Timestamp,
    code::CodeSpec,
    id::ChallengeId,
    keyring::{KeyId, Subject},
};

/// What the bytes are: protobuf, where whatever is nothing takes no room, and names below 16 take less. They never leave
/// the process.
#[derive(Clone, PartialEq, Message)]
struct Form {
    #[prost(fixed64, tag = "1")]
    caller: u64,
    #[prost(uint32, tag = "2")]
    code_length: u32,
    #[prost(string, tag = "3")]
    key: String,
    #[prost(bytes = "vec", tag = "4")]
    user: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    address: Vec<u8>,
    #[prost(int64, tag = "6")]
    purpose: i64,
    #[prost(int64, tag = "7")]
    state: i64,
    #[prost(uint32, tag = "8")]
    code_number: u32,
    #[prost(uint32, tag = "9")]
    most_codes: u32,
    #[prost(uint32, tag = "10")]
    codes_before: u32,
    #[prost(uint32, tag = "11")]
    most_attempts: u32,
    #[prost(sfixed64, tag = "12")]
    created_at: i64,
    /// The later moments are microseconds after that one.
    #[prost(uint64, tag = "13")]
    expires_after: u64,
    #[prost(uint64, tag = "14")]
    resend_after: u64,
    #[prost(string, tag = "15")]
    masked_recipient: String,
    #[prost(string, tag = "16")]
    event: String,
    #[prost(string, tag = "17")]
    endpoint: String,
    /// Empty: the digits.
    #[prost(string, tag = "18")]
    alphabet: String,
    #[prost(uint32, tag = "19")]
    attempts: u32,
    #[prost(bool, tag = "20")]
    decoy: bool,
    #[prost(sfixed64, optional, tag = "21")]
    verified_at: Option<i64>,
    #[prost(bytes = "vec", optional, tag = "22")]
    confirms: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "23")]
    name: Option<Vec<u8>>,
}

/// The part of it that says when the challenge expires: read alone, the rest is passed over.
#[derive(Clone, PartialEq, Message)]
struct Lifetime {
    #[prost(sfixed64, tag = "12")]
    created_at: i64,
    #[prost(uint64, tag = "13")]
    expires_after: u64,
}

/// Packs a challenge; its name is not among the bytes.
pub(super) fn pack(challenge: &Challenge) -> Box<[u8]> {
    let after =
        |moment: Timestamp| u64::try_from(moment.since(challenge.created_at).as_micros()).unwrap_or(u64::MAX);
    let digits = CodeSpec::default();
    let alphabet = challenge.spec.alphabet();
    let form = Form {
        caller: challenge.caller.number(),
        purpose: i64::from(challenge.purpose.tag()),
        alphabet: if alphabet == digits.alphabet() {
            String::new()
        } else {
            alphabet.as_str().to_owned()
        },
        code_length: u32::from(challenge.spec.length()),
        key: challenge.key.as_str().to_owned(),
        user: challenge.user.as_bytes().to_vec(),
        address: challenge.address.as_bytes().to_vec(),
        decoy: challenge.decoy,
        state: challenge.state.tag(),
        code_number: challenge.code_number,
        most_codes: challenge.most_codes,
        codes_before: challenge.codes_before,
        attempts: challenge.attempts,
        most_attempts: challenge.most_attempts,
        created_at: challenge.created_at.as_micros(),
        expires_after: after(challenge.expires_at),
        resend_after: after(challenge.resend_at),
        verified_at: challenge.verified_at.map(Timestamp::as_micros),
        masked_recipient: challenge.masked_recipient.clone(),
        event: challenge.event.clone(),
        endpoint: challenge.endpoint.clone(),
        confirms: challenge.confirms.map(|address| address.as_bytes().to_vec()),
        name: challenge.name.map(|name| name.as_bytes().to_vec()),
    };
    form.encode_to_vec().into_boxed_slice()
}

/// When the challenge that was packed expires.
pub(super) fn expires_at(bytes: &[u8]) -> Option<Timestamp> {
    let lifetime = Lifetime::decode(bytes).ok()?;
    Some(Timestamp::from_micros(lifetime.created_at).plus(Duration::from_micros(lifetime.expires_after)))
}

/// The challenge of this name that was packed.
pub(super) fn unpack(id: ChallengeId, bytes: &[u8]) -> Option<Challenge> {
    let form = Form::decode(bytes).ok()?;
    let subject = |bytes: Vec<u8>| Some(Subject::from_bytes(bytes.try_into().ok()?));
    let created_at = Timestamp::from_micros(form.created_at);
    let after = |micros| created_at.plus(Duration::from_micros(micros));
    let digits = CodeSpec::default();
    let alphabet = match form.alphabet.as_str() {
        "" => digits.alphabet().as_str(),
        alphabet => alphabet,
    };
    Some(Challenge {
        id,
        caller: CallerId::from_number(form.caller),
        purpose: Purpose::from_tag(form.purpose)?,
        spec: CodeSpec::kept(alphabet, u8::try_from(form.code_length).ok()?)?,
        key: KeyId::parse(&form.key).ok()?,
        user: subject(form.user)?,
        name: match form.name {
            Some(name) => Some(subject(name)?),
            None => None,
        },
        address: subject(form.address)?,
        decoy: form.decoy,
        state: State::from_tag(form.state)?,
        code_number: form.code_number,
        most_codes: form.most_codes,
        codes_before: form.codes_before,
        attempts: form.attempts,
        most_attempts: form.most_attempts,
        created_at,
        expires_at: after(form.expires_after),
        resend_at: after(form.resend_after),
        verified_at: form.verified_at.map(Timestamp::from_micros),
        masked_recipient: form.masked_recipient,
        event: form.event,
        endpoint: form.endpoint,
        confirms: match form.confirms {
            Some(address) => Some(subject(address)?),
            None => None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::{self, subject};

    #[test]
    fn what_was_packed_comes_back_whole() {
        let now = Timestamp::from_micros(1_767_323_045_123_456);
        let plain = contract::challenge(1, now);
        let full = Challenge {
            purpose: Purpose::Recovery,
            spec: CodeSpec::temporary_password(),
            decoy: true,
            state: State::Verified,
            attempts: 3,
            resend_at: plain.expires_at,
            verified_at: Some(now.plus(Duration::from_micros(1))),
            event: String::new(),
            confirms: Some(subject(9)),
            name: Some(subject(8)),
            ..contract::challenge(2, now)
        };
        for challenge in [plain, full] {
            let bytes = pack(&challenge);
            assert!(bytes.len() < 288, "{}", bytes.len());
            assert_eq!(expires_at(&bytes), Some(challenge.expires_at));
            assert_eq!(unpack(challenge.id, &bytes), Some(challenge));
        }
        assert_eq!(unpack(ChallengeId::from_bytes([0; 16]), b"\xff"), None);
    }
}

//! Page tokens: where the next page begins, and under which filters. Opaque to callers; not secret, and not signed: one
//! that was made up leads to a page of the same entries its maker may list anyway.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use super::field::Fault;
use crate::{
    domain::{clock::Timestamp, id::EntryId},
    policy::{EntrySearch, PageKey},
};

/// The moment (8 bytes), the entry (16) and the filters' digest (8).
const LENGTH: usize = 32;

/// The token of the page that begins after `key`.
pub(super) fn token(key: PageKey, search: &EntrySearch) -> String {
    let mut bytes = Vec::with_capacity(LENGTH);
    bytes.extend(key.submitted_at.as_micros().to_be_bytes());
    bytes.extend(key.id.as_bytes());
    bytes.extend(digest(search));
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Where the page of a token begins.
pub(super) fn open(token: &str, search: &EntrySearch) -> Result<PageKey, Fault> {
    const FAULT: Fault = "is not a page token of this method";
    // 32 bytes are 43 characters of base64url.
    if token.len() != 43 {
        return Err(FAULT);
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| FAULT)?;
    let (moment, rest) = bytes.split_first_chunk::<8>().ok_or(FAULT)?;
    let (id, filters) = rest.split_first_chunk::<16>().ok_or(FAULT)?;
    if filters != digest(search) {
        return Err("belongs to a list with other filters");
    }
    Ok(PageKey {
        submitted_at: Timestamp::from_micros(i64::from_be_bytes(*moment)),
        id: EntryId::from_bytes(*id),
    })
}

fn digest(search: &EntrySearch) -> [u8; 8] {
    let filter = &search.filter;
    let mut states: Vec<i64> = filter.states.iter().map(|state| state.tag()).collect();
    states.sort_unstable();
    let moment = |moment: Option<Timestamp>| moment.map(Timestamp::as_micros);
    // Debug output separates the fields beyond confusion; tokens live for one listing, not for years.
    let text = format!(
        "{states:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        filter.account,
        filter.kind,
        moment(filter.from),
        moment(filter.until),
        filter.order,
        search.recipient,
        search.text
    );
    let digest: [u8; 32] = Sha256::digest(text).into();
    let mut short = [0; 8];
    short.copy_from_slice(digest.split_at(8).0);
    short
}

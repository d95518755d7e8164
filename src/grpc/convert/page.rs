//! Page tokens: where the next page begins, and under which filters. Opaque to callers; not secret, and not signed: one
//! that was made up leads to a page of what its maker may list anyway.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use super::field::Fault;
use crate::domain::clock::Timestamp;

/// How many rows a page has unless the request says, and at the most.
const PAGE: (u32, i32) = (50, 500);

/// How many rows a page is to have.
pub(super) fn size(size: i32) -> Result<u32, Fault> {
    match size {
        0 => Ok(PAGE.0),
        size if size > PAGE.1 => Err("must be between 0 and 500"),
        size => u32::try_from(size).map_err(|_| "must be between 0 and 500"),
    }
}

/// The moment (8 bytes), the row's identifier (16) and the filters' digest (8).
const LENGTH: usize = 32;

/// The token of the page that begins after the row of this moment and identifier. `filters` is any text that tells one
/// list from another; tokens live for one listing, not for years.
pub(super) fn token(at: Timestamp, id: &[u8; 16], filters: &str) -> String {
    let mut bytes = Vec::with_capacity(LENGTH);
    bytes.extend(at.as_micros().to_be_bytes());
    bytes.extend(id);
    bytes.extend(digest(filters));
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Where the page of a token begins.
pub(super) fn open(token: &str, filters: &str) -> Result<(Timestamp, [u8; 16]), Fault> {
    const FAULT: Fault = "is not a page token of this method";
    // 32 bytes are 43 characters of base64url.
    if token.len() != 43 {
        return Err(FAULT);
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| FAULT)?;
    let (moment, rest) = bytes.split_first_chunk::<8>().ok_or(FAULT)?;
    let (id, digested) = rest.split_first_chunk::<16>().ok_or(FAULT)?;
    if digested != digest(filters) {
        return Err("belongs to a list with other filters");
    }
    Ok((Timestamp::from_micros(i64::from_be_bytes(*moment)), *id))
}

fn digest(filters: &str) -> [u8; 8] {
    let digest: [u8; 32] = Sha256::digest(filters).into();
    let mut short = [0; 8];
    short.copy_from_slice(digest.split_at(8).0);
    short
}

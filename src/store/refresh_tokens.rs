//! The contract of refresh tokens that a token endpoint replaced, and of the turns in which they are used.

use std::time::Duration;

use async_trait::async_trait;

use super::StoreResult;
use crate::domain::{
    id::LeaseId,
    keyring::{Sealed, Subject},
};

/// How long a turn lasts: longer than a token endpoint may take, so that nobody else uses the same token meanwhile.
pub const REFRESH_TURN: Duration = Duration::from_secs(30);

/// What became of asking for a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefreshTurn {
    /// It is the caller's. With the token that took the place of the one an administrator gave, if one did.
    Yours(Option<Sealed>),
    /// It is somebody else's.
    Taken,
}

/// Refresh tokens that were replaced, each under the keyed hash of the one that an administrator gave.
///
/// Many token endpoints take each refresh token once, and revoke everything when they see one again (RFC 9700, 4.14.2):
/// so of all instances one at a time uses it, and what it gets in its place is here before the next one does.
#[async_trait]
pub trait RefreshTokens: Send + Sync {
    /// Asks for the turn to use a token. It lasts [`REFRESH_TURN`] on the store's clock, or until it is given back.
    async fn take_turn(&self, given: Subject, turn: LeaseId) -> StoreResult<RefreshTurn>;

    /// Gives the turn back, with the token that took the place of the one that was used, if one did. `false`: the turn
    /// was somebody else's by then, and nothing was written.
    async fn end_turn(&self, given: Subject, turn: LeaseId, replaced: Option<Sealed>) -> StoreResult<bool>;
}

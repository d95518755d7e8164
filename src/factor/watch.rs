//! Watch: a challenge as it stands, and again whenever that changes.

use std::sync::Arc;

use futures_util::{Stream, stream};

use super::{ChallengeView, Desk, GetError};
use crate::{
    domain::{caller::Caller, id::ChallengeId},
    store::StoreError,
};

impl Desk {
    /// Follows a challenge until it is closed.
    #[tracing::instrument(name = "factor.watch", skip_all, fields(challenge.id = %id))]
    pub async fn watch(
        self: &Arc<Self>,
        caller: &Caller,
        id: ChallengeId,
    ) -> Result<impl Stream<Item = Result<ChallengeView, StoreError>> + Send + 'static + use<>, GetError>
    {
        let view = self.get(caller, id).await?;
        Ok(stream::iter([Ok(view)]))
    }
}

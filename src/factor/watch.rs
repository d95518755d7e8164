//! Watch: a challenge as it stands, and again whenever that changes.

use std::{sync::Arc, time::Duration};

use futures_util::{Stream, stream};
use tokio::time::timeout;

use super::{ChallengeView, Desk, GetError};
use crate::{
    domain::{caller::Caller, challenge::Standing, id::ChallengeId},
    store::{StoreError, changes::Listener},
};

impl Desk {
    /// Follows a challenge until it is closed: as it stands, then whenever its standing, its code number, its attempts
    /// or its delivery changed. The stream ends after a closed one, after an error, or when the challenge is forgotten.
    #[tracing::instrument(level = "debug", name = "factor.watch", skip_all, fields(challenge.id = %id))]
    pub async fn watch(
        self: &Arc<Self>,
        caller: &Caller,
        id: ChallengeId,
    ) -> Result<impl Stream<Item = Result<ChallengeView, StoreError>> + Send + 'static + use<>, GetError>
    {
        // Before the first look: no change falls between the two.
        let listener = self.changes.listen(id);
        let first = self.get(caller, id).await?;
        let watch = Watch {
            desk: Arc::clone(self),
            caller: caller.clone(),
            listener,
            next: Next::Show(first),
        };
        Ok(stream::unfold(watch, Watch::step))
    }
}

struct Watch {
    desk: Arc<Desk>,
    caller: Caller,
    listener: Listener,
    next: Next,
}

/// What a watch does when it is asked for more.
enum Next {
    Show(ChallengeView),
    WaitAfter(ChallengeView),
    End,
}

impl Watch {
    async fn step(mut self) -> Option<(Result<ChallengeView, StoreError>, Self)> {
        let shown = match std::mem::replace(&mut self.next, Next::End) {
            Next::Show(view) => Ok(view),
            Next::WaitAfter(last) => self.changed(last).await.transpose()?,
            Next::End => return None,
        };
        if let Ok(view) = &shown
            && view.standing == Standing::Pending
        {
            self.next = Next::WaitAfter(view.clone());
        }
        Some((shown, self))
    }

    /// The challenge once it differs from what was shown last; `None` where it is forgotten.
    async fn changed(&self, last: ChallengeView) -> Result<Option<ChallengeView>, StoreError> {
        let desk = &self.desk;
        loop {
            // Timers may be early by a moment, and the clock may be another than theirs: the look decides, and comes
            // again.
            let to_expiry = last.challenge.expires_at.since(desk.clock.now()) + Duration::from_millis(1);
            let _ = timeout(desk.settings.poll.min(to_expiry), self.listener.heard()).await;
            let Some(challenge) = desk.challenges.present(last.challenge.id).await? else {
                return Ok(None);
            };
            let view = desk.view(&self.caller, challenge).await?;
            if told(&view) != told(&last) {
                return Ok(Some(view));
            }
        }
    }
}

/// What is worth telling.
fn told(view: &ChallengeView) -> impl PartialEq + use<> {
    (
        view.standing,
        view.challenge.code_number,
        view.challenge.attempts,
        view.delivery,
    )
}

//! How many mails may go through an account.

use super::{AccountDraft, Check};
use crate::domain::account::Volume;

impl Check<'_> {
    pub(super) fn volume(&mut self, draft: &AccountDraft) -> Option<Volume> {
        let per_minute = self.field("messages_per_minute", Volume::parse(draft.messages_per_minute));
        let per_day = self.field("messages_per_day", Volume::parse(draft.messages_per_day));
        per_minute
            .zip(per_day)
            .map(|(per_minute, per_day)| Volume { per_minute, per_day })
    }
}

//! Mails that this worker holds a lease on and has not begun: they take turns by the caller who asked for them.

use std::collections::{HashMap, VecDeque};

use crate::{domain::mail_queue::MailQueue, store::Claimed};

/// The mails that wait, a queue for each caller.
#[derive(Default)]
pub(super) struct Waiting {
    queues: HashMap<MailQueue, VecDeque<Claimed>>,
    /// Whose turn it is: those who go first, and the others.
    turns: [VecDeque<MailQueue>; 2],
}

impl Waiting {
    /// At the end of its caller's queue.
    pub(super) fn push(&mut self, mail: Claimed) {
        let queue = mail.queue;
        let mails = self.queues.entry(queue).or_default();
        if mails.is_empty() {
            self.turns[usize::from(!queue.is_preferred())].push_back(queue);
        }
        mails.push_back(mail);
    }

    /// The mail whose turn it is. `only_preferred`: there is no room but what is in reserve.
    pub(super) fn pop(&mut self, only_preferred: bool) -> Option<Claimed> {
        let lines = if only_preferred { 1 } else { 2 };
        let line = self.turns.iter_mut().take(lines).find(|line| !line.is_empty())?;
        let queue = line.pop_front()?;
        let mails = self.queues.get_mut(&queue)?;
        let mail = mails.pop_front();
        if mails.is_empty() {
            self.queues.remove(&queue);
        } else {
            line.push_back(queue);
        }
        mail
    }

    /// Whether none waits.
    pub(super) fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// All of them, in no order.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Claimed> + use<> {
        self.turns = Default::default();
        std::mem::take(&mut self.queues).into_values().flatten()
    }
}

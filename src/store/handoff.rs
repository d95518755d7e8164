//! A fresh mail's short way: from the use case that wrote its row to this instance's worker, without another query.
//!
//! A use case takes a [`Slot`] before it writes. A slot with room carries a lease, which the row is written with; after
//! the commit the mail is handed over under it. Without room the row is written free, and whoever polls claims it.
//! Writing and handing over are one piece of work ([`Slot::owe`]), which a caller that hangs up does not cut in two: the
//! mail would lie there until its lease ran out.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::sleep,
};
use tokio_util::task::TaskTracker;

use super::{Claimed, LEASE, NewEntry, StoreError, StoreResult};
use crate::domain::{
    clock::{Clock, Timestamp},
    entropy::Entropy,
    id::LeaseId,
    mail_queue::MailQueue,
};
use crate::sync::fair::{FairPlace, FairPlaces, Share};

/// How long the answer to a call goes ahead of its mail. Rendering beside the answer would make it later, and only for users
/// who exist: its time would tell them from those who do not.
const HEAD_START: Duration = Duration::from_millis(5);

/// The sending end, shared by the use cases.
#[derive(Clone, Debug)]
pub struct Handoff {
    sender: mpsc::Sender<Claimed>,
    places: FairPlaces<MailQueue>,
    room: usize,
    wake: Arc<Notify>,
    writes: TaskTracker,
}

/// A place in the tray: its mail holds it until the worker begins with it.
pub type TrayPlace = FairPlace<MailQueue>;

/// The worker's end.
#[derive(Debug)]
pub struct Tray {
    /// Fresh mails, already leased.
    pub receiver: mpsc::Receiver<Claimed>,
    /// Rung when a mail was written that did not fit: poll now.
    pub wake: Arc<Notify>,
}

/// A place in the tray, taken before the row is written.
#[derive(Debug)]
pub struct Slot {
    place: Option<(mpsc::OwnedPermit<Claimed>, TrayPlace, LeaseId)>,
    taken_at: Timestamp,
    wake: Arc<Notify>,
    writes: TaskTracker,
}

/// What came of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owed {
    /// Nothing was written.
    Nothing,
    /// A mail is owed.
    Mail,
    /// A mail was written that is never sent, whatever it was meant to be.
    Decoy,
}

/// A tray for so many mails.
#[must_use]
pub fn handoff(room: usize) -> (Handoff, Tray) {
    let (sender, receiver) = mpsc::channel(room);
    let wake = Arc::new(Notify::new());
    (
        Handoff {
            sender,
            places: FairPlaces::new(room, room / 8),
            room,
            wake: Arc::clone(&wake),
            writes: TaskTracker::new(),
        },
        Tray { receiver, wake },
    )
}

impl Handoff {
    /// Tells the worker that a mail is due which was not handed over.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Takes a place for a mail of this queue, if there is one. What of the queue finds none is written free, and takes
    /// turns with the others' in the outbox: nobody fills the tray with mails of one caller.
    #[must_use]
    pub fn slot(&self, queue: MailQueue, entropy: &dyn Entropy, clock: &dyn Clock) -> Slot {
        let preferred = queue.is_preferred();
        let share = Share {
            preferred,
            places: if preferred {
                self.room - self.room / 4
            } else {
                self.room.div_ceil(16)
            },
            waiting: 0,
        };
        let place = self.places.try_enter(queue, share).ok();
        let place = place.and_then(|place| {
            let permit = self.sender.clone().try_reserve_owned().ok()?;
            Some((permit, place, LeaseId::random(entropy)))
        });
        Slot {
            place,
            taken_at: clock.now(),
            wake: Arc::clone(&self.wake),
            writes: self.writes.clone(),
        }
    }
}

impl Slot {
    /// The lease to write the row with.
    #[must_use]
    pub fn lease(&self) -> Option<LeaseId> {
        self.place.as_ref().map(|(_, _, lease)| *lease)
    }

    /// Writes a mail's row and, where `owed` finds it in the answer, hands the mail over. Goes on to its end even
    /// where whoever waits for it is gone: what is committed is handed over.
    pub async fn owe<T: Send + 'static>(
        self,
        entry: NewEntry,
        write: impl Future<Output = StoreResult<T>> + Send + 'static,
        owed: fn(&T) -> Owed,
    ) -> StoreResult<T> {
        let writes = self.writes.clone();
        let (tell, told) = oneshot::channel();
        writes.spawn(async move {
            let answer = write.await;
            let owed = answer.as_ref().map_or(Owed::Nothing, owed);
            let _ = tell.send(answer);
            if owed == Owed::Mail {
                failpoint!("handoff.before");
                sleep(HEAD_START).await;
                self.deliver(&entry);
            }
        });
        // It fails where it panicked or the process is at its end.
        told.await
            .unwrap_or_else(|error| Err(StoreError::Unavailable(Box::new(error))))
    }

    /// Hands the mail over, once its row is committed. A decoy's place is given back.
    pub fn deliver(self, entry: &NewEntry) {
        if entry.decoy {
            return;
        }
        match self.place {
            Some((permit, place, lease)) => {
                permit.send(Claimed {
                    id: entry.id,
                    lease,
                    // The lease runs on the store's clock. Counted from before the write on ours, it ends no later.
                    leased_until: self.taken_at.plus(LEASE),
                    challenge: entry.challenge,
                    submitted_at: entry.submitted_at,
                    expires_at: entry.expires_at,
                    message_id: entry.message_id.clone(),
                    attempts: 0,
                    unsure: 1,
                    charged: true,
                    queue: entry.queue,
                    place: Some(Arc::new(place)),
                    mail: entry.mail.clone(),
                });
            }
            None => self.wake.notify_one(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{
            id::EntryId,
            keyring::{Sealed, Subject},
        },
        store::MailKind,
        system::{SteadyClock, SystemEntropy},
    };

    fn entry() -> NewEntry {
        let now = SteadyClock::new().now();
        NewEntry {
            id: EntryId::from_bytes([1; 16]),
            kind: MailKind::Test,
            challenge: None,
            decoy: false,
            submitted_at: now,
            expires_at: now.plus(Duration::from_mins(1)),
            masked_recipient: "a*@example.com".into(),
            recipient: Subject::from_bytes([2; 32]),
            message_id: "1@example.com".into(),
            mail: Sealed::from_bytes(Vec::new()),
            queue: MailQueue::default(),
            lease: None,
        }
    }

    #[tokio::test]
    async fn a_mail_whose_caller_has_gone_is_handed_over_all_the_same() {
        let (handoff, mut tray) = handoff(1);
        let clock = SteadyClock::new();
        let slot = handoff.slot(MailQueue::default(), &SystemEntropy, &clock);
        let (committed, commit) = oneshot::channel();
        let write = async move { Ok(commit.await.is_ok()) };
        let mut call = Box::pin(slot.owe(
            entry(),
            write,
            |written| if *written { Owed::Mail } else { Owed::Nothing },
        ));
        assert!(futures_util::poll!(&mut call).is_pending());
        drop(call);
        committed.send(()).unwrap();
        let claimed = tray.receiver.recv().await.unwrap();
        assert_eq!(claimed.id, entry().id);
        assert!(claimed.leased_until <= clock.now().plus(LEASE));
    }

    #[tokio::test]
    async fn what_was_not_written_is_not_handed_over() {
        let (handoff, mut tray) = handoff(1);
        let slot = handoff.slot(MailQueue::default(), &SystemEntropy, &SteadyClock::new());
        let write = async { Ok(false) };
        assert!(
            !slot
                .owe(entry(), write, |written| if *written {
                    Owed::Mail
                } else {
                    Owed::Nothing
                })
                .await
                .unwrap()
        );
        assert!(tray.receiver.try_recv().is_err());
        // Its place is free again.
        assert!(
            handoff
                .slot(MailQueue::default(), &SystemEntropy, &SteadyClock::new())
                .lease()
                .is_some()
        );
    }
}

//! A fresh mail's short way: from the use case that wrote its row to this instance's worker, without another query.
//!
//! A use case takes a [`Slot`] before it writes. A slot with room carries a lease, which the row is written with; after
//! the commit the mail is handed over under it. Without room the row is written free, and whoever polls claims it.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc};

use super::{Claimed, LEASE, NewEntry};
use crate::domain::{clock::Clock, entropy::Entropy, id::LeaseId};

/// The sending end, shared by the use cases.
#[derive(Clone, Debug)]
pub struct Handoff {
    sender: mpsc::Sender<Claimed>,
    wake: Arc<Notify>,
}

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
    place: Option<(mpsc::OwnedPermit<Claimed>, LeaseId)>,
    wake: Arc<Notify>,
}

/// A tray for so many mails.
#[must_use]
pub fn handoff(room: usize) -> (Handoff, Tray) {
    let (sender, receiver) = mpsc::channel(room);
    let wake = Arc::new(Notify::new());
    (
        Handoff {
            sender,
            wake: Arc::clone(&wake),
        },
        Tray { receiver, wake },
    )
}

impl Handoff {
    /// Tells the worker that a mail is due which was not handed over.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Takes a place, if there is one.
    #[must_use]
    pub fn slot(&self, entropy: &dyn Entropy) -> Slot {
        let permit = self.sender.clone().try_reserve_owned().ok();
        let place = permit.map(|permit| (permit, LeaseId::random(entropy)));
        Slot {
            place,
            wake: Arc::clone(&self.wake),
        }
    }
}

impl Slot {
    /// The lease to write the row with.
    #[must_use]
    pub fn lease(&self) -> Option<LeaseId> {
        self.place.as_ref().map(|(_, lease)| *lease)
    }

    /// Hands the mail over, once its row is committed. A decoy's place is given back.
    pub fn deliver(self, entry: &NewEntry, clock: &dyn Clock) {
        if entry.decoy {
            return;
        }
        match self.place {
            Some((permit, lease)) => {
                permit.send(Claimed {
                    id: entry.id,
                    lease,
                    leased_until: clock.now().plus(LEASE),
                    challenge: entry.challenge,
                    submitted_at: entry.submitted_at,
                    expires_at: entry.expires_at,
                    message_id: entry.message_id.clone(),
                    attempts: 0,
                    unsure: 1,
                    charged: true,
                    mail: entry.mail.clone(),
                });
            }
            None => self.wake.notify_one(),
        }
    }
}

//! Warm connections, by account. One that waits is not asked whether it still lives: the next mail finds out.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::Semaphore;

use super::{session::Session, turns::Turns};
use crate::domain::{account::Account, id::AccountId};

#[derive(Debug)]
struct Shelf {
    version: i64,
    idle: Vec<Session>,
    /// One for each connection there may be.
    turns: Arc<Turns>,
}

/// The connections that wait for mail.
#[derive(Debug)]
pub(super) struct Pool {
    shelves: Mutex<HashMap<AccountId, Shelf>>,
    size: usize,
    idle: Duration,
}

impl Pool {
    /// With so many connections for each account, each kept for `idle`.
    pub(super) fn new(size: usize, idle: Duration) -> Self {
        Self {
            shelves: Mutex::default(),
            size: size.clamp(1, Semaphore::MAX_PERMITS),
            idle,
        }
    }

    /// What admits at most so many attempts to an account's server at a time, and hears how they went: after an outage
    /// connections are not opened all at once.
    pub(super) fn turns(&self, account: &Account) -> Arc<Turns> {
        self.with(account, |shelf| Arc::clone(&shelf.turns))
    }

    /// The connection that was used last, of those still worth trying: no server has closed it or spoken on it unasked.
    pub(super) fn take(&self, account: &Account) -> Option<Session> {
        let idle = self.idle;
        self.with(account, |shelf| {
            shelf.idle.retain(|session| session.used.elapsed() < idle);
            while let Some(mut session) = shelf.idle.pop() {
                if session.is_quiet() {
                    return Some(session);
                }
            }
            None
        })
    }

    /// Puts a connection back, unless the account was changed meanwhile.
    pub(super) fn put(&self, account: &Account, session: Session) {
        let size = self.size;
        let mut shelves = self.lock();
        if let Some(shelf) = shelves.get_mut(&account.id)
            && shelf.version == account.version
            && shelf.idle.len() < size
        {
            shelf.idle.push(session);
        }
    }

    /// Closes what waited too long, and everything of accounts that `keep` does not want.
    pub(super) fn retain(&self, keep: impl Fn(&AccountId) -> bool) {
        self.lock().retain(|id, shelf| {
            shelf.idle.retain(|session| session.used.elapsed() < self.idle);
            keep(id)
        });
    }

    fn with<T>(&self, account: &Account, work: impl FnOnce(&mut Shelf) -> T) -> T {
        let mut locked = self.lock();
        let found = locked.entry(account.id).or_insert_with(|| self.shelf(account));
        // Anything but the version at hand: settings that were changed, or are tried out.
        if found.version != account.version {
            *found = self.shelf(account);
        }
        work(found)
    }

    fn shelf(&self, account: &Account) -> Shelf {
        Shelf {
            version: account.version,
            idle: Vec::new(),
            turns: Turns::new(self.size),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<AccountId, Shelf>> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

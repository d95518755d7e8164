//! What the tests work with: servers that misbehave on request, certificates good and bad, a clock moved by hand.

#![expect(unreachable_pub, reason = "as in any other module that others use")]

pub mod bearers;
pub mod certs;
pub mod client;
pub mod clients;
pub mod command;
pub mod dovecot;
pub mod ground;
pub mod installed;
pub mod letter;
pub mod mailbox;
pub mod mariadb;
pub mod oauth;
pub mod post;
pub mod postfix;
pub mod postgres;
pub mod postgres_faults;
pub mod private;
pub mod process;
pub mod proxy;
pub mod raw;
pub mod scene;
pub mod secrets;
pub mod service;
pub mod slapd;
pub mod smtp;

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::Duration,
};

use mailfactor::{
    domain::{
        audit::{Action, Actor, Note},
        clock::{Clock, Timestamp},
        entropy::Entropy,
        id::{AuditId, LeaseId},
        keyring::{KeyId, Keyring, Sealed, Subject},
    },
    store::{RefreshTokens, RefreshTurn, StoreResult},
    system::SystemEntropy,
};

/// A clock that stands until it is moved.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Stands at 2026-01-02T03:04:05Z.
    pub fn new() -> Self {
        Self(AtomicI64::new(1_767_323_045_000_000))
    }

    /// Moves it on.
    pub fn advance(&self, span: Duration) {
        let micros = i64::try_from(span.as_micros()).unwrap();
        self.0.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

/// Bytes that differ each time and are the same in every run.
#[derive(Debug, Default)]
pub struct CountingEntropy(AtomicU64);

impl Entropy for CountingEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            let count = self.0.fetch_add(1, Ordering::SeqCst) + 1;
            // An odd factor: every count gives other bytes (Weyl).
            let bytes = count.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}

/// Keeps no refresh tokens: for those who use none.
pub struct NoRefreshTokens;

#[async_trait::async_trait]
impl RefreshTokens for NoRefreshTokens {
    async fn take_turn(&self, _: Subject, _: LeaseId) -> StoreResult<RefreshTurn> {
        Ok(RefreshTurn::Yours(None))
    }

    async fn end_turn(&self, _: Subject, _: LeaseId, _: Option<Sealed>) -> StoreResult<bool> {
        Ok(true)
    }
}

/// One key, always the same.
pub fn keyring() -> Keyring {
    Keyring::new([(KeyId::parse("k1").unwrap(), [7; 32])]).unwrap()
}

/// What goes along with a change that a test makes in the store itself.
pub fn note() -> Note {
    Note {
        id: AuditId::random(&SystemEntropy),
        action: Action::AccountUpdate,
        actor: Actor::local(0, "root"),
        peer: String::new(),
        request_id: String::new(),
    }
}

/// Fails a test that hangs. Far longer than anything takes: no measure of speed.
pub async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), work)
        .await
        .expect("hangs")
}

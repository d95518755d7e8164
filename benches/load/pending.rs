//! What a pending challenge costs in memory: the service's own cache, filled as starts fill it, in a process of its own.

use std::{process, sync::Arc, time::Duration};

use async_trait::async_trait;
use mailfactor::{
    domain::{
        caller::CallerId,
        challenge::{Challenge, Purpose, State},
        clock::{Clock, Timestamp},
        code::CodeSpec,
        entropy::{Entropy, random_bytes},
        id::{ChallengeId, EntryId},
        keyring::{KeyId, Keyring, Sealed, SubjectKind},
        mail_queue::MailQueue,
        message::message_id,
    },
    store::{
        Challenges, Guess, Guessed, MailKind, NewEntry, Resend, Resent, Start, Started, StoreError,
        StoreResult, cached::CachedChallenges,
    },
    system::{SteadyClock, SystemEntropy},
};

use super::{Outcome, machine};

/// The length of a sealed context as a usual start has it: names, address, language.
const CONTEXT: usize = 96;

/// Opens so many challenges and tells how many bytes each added to the process.
pub(crate) async fn measure(challenges: u64) -> Outcome<()> {
    let clock: Arc<dyn Clock> = Arc::new(SteadyClock::new());
    let entropy = SystemEntropy;
    let keyring = Keyring::new([(KeyId::parse("load")?, random_bytes(&entropy))])?;
    let caller = CallerId::random(&entropy);
    let cache = CachedChallenges::new(Arc::new(Nowhere), Arc::clone(&clock), challenges * 2);
    // Whatever is set up once is set up by these.
    for number in 0..1_000 {
        cache
            .start(start(number, caller, &keyring, &entropy, clock.now()))
            .await?;
    }
    let before = machine::usage(process::id())?.resident;
    for number in 0..challenges {
        cache
            .start(start(number, caller, &keyring, &entropy, clock.now()))
            .await?;
    }
    let after = machine::usage(process::id())?.resident;
    println!("{}", (after - before) as f64 / challenges as f64);
    drop(cache);
    Ok(())
}

fn start(number: u64, caller: CallerId, keyring: &Keyring, entropy: &dyn Entropy, now: Timestamp) -> Start {
    let id = ChallengeId::random(entropy);
    let entry = EntryId::random(now, entropy);
    let name = number.to_string();
    let subject = |kind| keyring.subject(kind, &[&name]);
    let expires_at = now.plus(Duration::from_mins(5));
    let challenge = Challenge {
        id,
        caller,
        purpose: Purpose::Login,
        spec: CodeSpec::default(),
        key: keyring.newest(),
        user: subject(SubjectKind::User),
        name: None,
        address: subject(SubjectKind::Address),
        decoy: false,
        state: State::Pending,
        code_number: 1,
        most_codes: 5,
        codes_before: 1,
        attempts: 0,
        most_attempts: 5,
        created_at: now,
        expires_at,
        resend_at: now.plus(Duration::from_secs(30)),
        verified_at: None,
        masked_recipient: "j*****@e*****.com".to_owned(),
        event: "vpn".to_owned(),
        endpoint: "laptop-0123".to_owned(),
        confirms: None,
    };
    let entry = NewEntry {
        id: entry,
        kind: MailKind::Code,
        challenge: Some(id),
        decoy: false,
        submitted_at: now,
        expires_at,
        masked_recipient: challenge.masked_recipient.clone(),
        recipient: challenge.address,
        message_id: message_id(&entry, "example.com"),
        mail: keyring.seal("mail", b"", entropy),
        queue: MailQueue::default(),
        lease: None,
    };
    Start {
        challenge,
        context: keyring.seal("challenge", &[b'x'; CONTEXT], entropy),
        entry,
        charges: Vec::new(),
        request: None,
    }
}

/// Says that it wrote what it is given, so that the cache in front of it is all there is.
struct Nowhere;

#[async_trait]
impl Challenges for Nowhere {
    async fn start(&self, _: Start) -> StoreResult<Started> {
        Ok(Started::Opened)
    }

    async fn resend(&self, _: Resend) -> StoreResult<Option<Resent>> {
        Err(nothing())
    }

    async fn guess(&self, _: Guess) -> StoreResult<Option<Guessed>> {
        Err(nothing())
    }

    async fn cancel(&self, _: ChallengeId, _: Timestamp) -> StoreResult<Option<Challenge>> {
        Err(nothing())
    }

    async fn find(&self, _: ChallengeId) -> StoreResult<Option<Challenge>> {
        Err(nothing())
    }

    async fn context(&self, _: ChallengeId) -> StoreResult<Option<Sealed>> {
        Err(nothing())
    }

    async fn purge_decoys(&self, _: Timestamp, _: u32) -> StoreResult<u64> {
        Err(nothing())
    }

    async fn purge(&self, _: Timestamp, _: u32) -> StoreResult<u64> {
        Err(nothing())
    }
}

fn nothing() -> StoreError {
    StoreError::Unavailable("there is no store".into())
}

//! What every store must keep, as tests: one suite, run for each engine by [`keeps_every_contract`].
//!
//! An engine says how its store is opened; the rest is here, a file for each group of contracts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    Accounts, Audit, Budgets, Callers, Challenges, Charge, Confirmations, DkimKeys, Guess, Guessed, Inboxes,
    Judged, MailKind, NewEntry, Outbox, Policies, Probe, RefreshTokens, Reports, Seals, Start, Templates,
};
use crate::domain::{
    audit::{Action, Actor, Note},
    budget::{GuessLimits, SendLimits},
    caller::CallerId,
    challenge::{Challenge, Purpose, State},
    clock::{Clock, Timestamp},
    code::{CodeKey, CodeNumbers, CodeSpec},
    id::{AuditId, ChallengeId, EntryId, LeaseId},
    keyring::{KeyId, Sealed, Subject},
    mail_queue::MailQueue,
};

pub(crate) mod audit;
pub(crate) mod challenges;
pub(crate) mod dkim;
pub(crate) mod inboxes;
pub(crate) mod outbox;
pub(crate) mod people;
pub(crate) mod policies;
pub(crate) mod refresh_tokens;
pub(crate) mod seals;
pub(crate) mod several;
pub(crate) mod templates;
pub(crate) mod together;

/// The contracts of what goes out and comes back.
pub(crate) trait Post: Templates + Inboxes + Reports {}

impl<T: Templates + Inboxes + Reports> Post for T {}

/// A store that keeps every contract.
pub(crate) trait Store:
    Challenges
    + Budgets
    + Confirmations
    + RefreshTokens
    + Outbox
    + Accounts
    + Audit
    + Callers
    + Policies
    + Templates
    + DkimKeys
    + Post
    + Seals
    + Probe
    + Clone
    + 'static
{
}

impl<
    T: Challenges
        + Budgets
        + Confirmations
        + RefreshTokens
        + Outbox
        + Accounts
        + Audit
        + Callers
        + Policies
        + Templates
        + DkimKeys
        + Post
        + Seals
        + Probe
        + Clone
        + 'static,
> Store for T
{
}

/// A fresh place for a store. Opened twice, it is the same store opened again.
pub(crate) trait Place {
    /// The store.
    type Store: Store;

    /// Opens it, with an up-to-date schema.
    async fn open(&self, clock: Arc<dyn Clock>) -> Self::Store;
}

/// Makes a test of each promise, for the place that `$place` makes, if it makes one.
macro_rules! keeps_every_contract {
    ($place:expr) => {
        $crate::store::contract::keeps_every_contract!(@challenges $place;
            a_start_is_written_whole, a_repeated_request_is_answered_with_what_it_started,
            of_many_equal_requests_one_starts, a_refused_start_writes_nothing, a_right_code_verifies_once,
            of_many_right_codes_one_verifies, of_many_wrong_codes_as_many_are_compared_as_there_are_attempts,
            an_expired_or_cancelled_challenge_verifies_nothing, a_decoy_never_verifies,
            older_codes_count_as_long_as_the_policy_says, a_resend_moves_on_and_withdraws,
            a_resend_out_of_turn_changes_nothing, of_many_resends_one_is_written,
            wrong_codes_lock_the_user_over_all_challenges, events_with_other_limits_add_to_one_count,
            a_hundred_wrong_codes_lock_for_good,
            a_right_code_clears_the_failures, of_many_attempts_as_many_pass_as_are_allowed, an_administrator_locks_and_unlocks,
            what_a_caller_is_not_told_holds_in_silence,
            budgets_survive_and_are_never_refilled, old_challenges_are_forgotten, a_right_code_confirms_an_address,
            a_right_code_withdraws_what_was_not_sent,
            a_repeated_guess_is_counted_once_and_judged_as_before);
        $crate::store::contract::keeps_every_contract!(@together $place;
            those_who_come_together_are_decided_one_by_one, an_old_copy_of_a_challenge_decides_nothing,
            right_codes_are_judged_by_the_store_not_by_the_copies, leaves_that_come_together_are_answered_each,
            codes_are_judged_while_their_mails_are_settled, what_was_sent_hides_no_later_mail);
        $crate::store::contract::keeps_every_contract!(@outbox $place;
            a_fresh_mail_belongs_to_its_lease, a_free_mail_is_claimed_once, a_lease_runs_out_and_fences,
            a_third_copy_of_unknown_fate_is_never_sent, an_account_sends_no_more_than_its_limits,
            a_known_fate_takes_the_charge_back,
            giving_back_takes_back_only_its_own_charge, at_the_start_every_lease_is_given_back,
            outcomes_and_attempts_are_recorded, a_retry_waits, what_is_late_expires, a_withdrawn_mail_is_not_sent,
            a_decoy_is_never_seen, reports_are_paged_and_filtered, every_filter_finds_what_it_asks_for,
            a_failed_mail_is_tried_again_while_its_code_lives, closed_mails_are_forgotten,
            changes_come_in_the_order_they_happened);
        $crate::store::contract::keeps_every_contract!(@people $place;
            exactly_one_account_is_the_default, an_update_names_its_version, every_secret_comes_back, a_passed_test_stays_noted,
            names_of_accounts_are_unique, two_keys_are_live, callers_are_found_and_unique, the_probe_passes);
        $crate::store::contract::keeps_every_contract!(@policies $place;
            a_policy_is_written_over_the_version_it_was_made_from, a_removed_policy_never_has_its_version_again,
            the_master_switch_stays_where_it_was_put);
        $crate::store::contract::keeps_every_contract!(@dkim $place;
            a_key_is_written_changed_and_removed, a_key_goes_with_its_account);
        $crate::store::contract::keeps_every_contract!(@refresh_tokens $place;
            a_token_is_used_by_one_at_a_time, a_late_turn_changes_nothing, unused_tokens_are_forgotten);
        $crate::store::contract::keeps_every_contract!(@audit $place;
            every_change_leaves_one_event, what_is_refused_leaves_none, events_are_paged_and_filtered,
            old_events_are_forgotten);
        $crate::store::contract::keeps_every_contract!(@inboxes $place;
            an_inbox_comes_back_whole, an_inbox_is_changed_over_the_version_that_is_named, one_reads_an_inbox_at_a_time,
            failed_checks_are_counted_until_one_succeeds,
            a_change_ends_the_lease_and_elsewhere_reading_begins_anew, a_mail_that_comes_back_is_bounced,
            a_report_needs_the_whole_message_id_and_changes_nothing_else);
        $crate::store::contract::keeps_every_contract!(@templates $place;
            a_template_is_written_changed_and_removed, a_template_is_not_overwritten_unseen);
        $crate::store::contract::keeps_every_contract!(@seals $place;
            what_is_sealed_under_other_keys_is_sealed_anew);
        $crate::store::contract::keeps_every_contract!(@several $place;
            of_many_right_codes_on_two_one_verifies, of_many_wrong_codes_on_two_five_are_compared,
            of_equal_requests_on_two_one_starts, of_equal_guesses_on_two_one_counts, budgets_are_one_for_two, a_mail_is_claimed_by_one_of_two);
    };
    (@$group:ident $place:expr; $($name:ident),+) => {
        mod $group {
            $(
                #[tokio::test]
                async fn $name() {
                    // Without one the engine is not installed here, and has said so.
                    if let Some(place) = $place {
                        $crate::store::contract::$group::$name(&place).await;
                    }
                }
            )+
        }
    };
}
pub(crate) use keeps_every_contract;

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub(crate) struct ManualClock(AtomicI64);

impl ManualClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(1_800_000_000_000_000)))
    }

    pub(crate) fn pass(&self, span: Duration) {
        let micros = i64::try_from(span.as_micros()).unwrap();
        self.0.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_mins(1);

pub(crate) const GUESSES: GuessLimits = GuessLimits {
    lock_after: 10,
    lock_for: Duration::from_mins(30),
    lock_for_good_after: 100,
};

pub(crate) const SENDS: SendLimits = SendLimits {
    burst: 3,
    refill: Duration::from_mins(10),
    per_day: 20,
};

/// What goes along with a change that nobody looks at.
pub(crate) fn note() -> Note {
    note_of(Action::AccountUpdate)
}

/// What goes along with a change.
pub(crate) fn note_of(action: Action) -> Note {
    Note {
        id: AuditId::from_bytes(unique()),
        action,
        actor: Actor::caller(CallerId::parse("00000000000000aa").unwrap(), "ops"),
        peer: "192.0.2.7:4711".into(),
        request_id: "change-1".into(),
    }
}

/// Sixteen bytes that no other call gives.
pub(crate) fn unique() -> [u8; 16] {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    u128::from(NEXT.fetch_add(1, Ordering::Relaxed)).to_be_bytes()
}

pub(crate) fn subject(name: u8) -> Subject {
    Subject::from_bytes([name; 32])
}

pub(crate) fn challenge(user: u8, now: Timestamp) -> Challenge {
    Challenge {
        id: ChallengeId::from_bytes(unique()),
        caller: CallerId::parse("00000000000000aa").unwrap(),
        purpose: Purpose::Login,
        spec: CodeSpec::default(),
        key: KeyId::parse("k1").unwrap(),
        user: subject(user),
        name: None,
        address: subject(user + 100),
        decoy: false,
        state: State::Pending,
        code_number: 1,
        most_codes: 5,
        codes_before: 1,
        attempts: 0,
        most_attempts: 5,
        created_at: now,
        expires_at: now.plus(5 * MINUTE),
        resend_at: now.plus(30 * SECOND),
        verified_at: None,
        masked_recipient: "j*****@e*****.com".into(),
        event: "login".into(),
        endpoint: "vpn".into(),
        confirms: None,
    }
}

pub(crate) fn entry(challenge: Option<ChallengeId>, now: Timestamp) -> NewEntry {
    let id = EntryId::from_bytes(unique());
    NewEntry {
        id,
        kind: MailKind::Code,
        challenge,
        decoy: false,
        submitted_at: now,
        expires_at: now.plus(5 * MINUTE),
        masked_recipient: "j*****@e*****.com".into(),
        recipient: subject(101),
        message_id: format!("<{id}@example.com>"),
        mail: Sealed::from_bytes(vec![4, 5, 6]),
        queue: MailQueue::default(),
        lease: None,
    }
}

/// A start without charges.
pub(crate) fn start(challenge: &Challenge) -> Start {
    let mut entry = entry(Some(challenge.id), challenge.created_at);
    entry.decoy = challenge.decoy;
    Start {
        challenge: challenge.clone(),
        context: Sealed::from_bytes(vec![1, 2, 3]),
        entry,
        charges: Vec::new(),
        request: None,
    }
}

pub(crate) fn charge(name: u8) -> Charge {
    Charge {
        subject: subject(name),
        limits: SENDS,
        silent: false,
    }
}

pub(crate) fn lease() -> LeaseId {
    LeaseId::from_bytes(unique())
}

/// A guess with the code of this number; 0: a wrong one.
pub(crate) fn guess(id: ChallengeId, number: u32, now: Timestamp) -> Guess {
    let (key, spec) = (CodeKey::new([7; 32]), CodeSpec::default());
    let numbers = if number == 0 {
        CodeNumbers::default()
    } else {
        let code = key.derive(&id, number, Purpose::Login, &spec);
        key.matches(&code, &id, number, Purpose::Login, &spec)
    };
    Guess {
        id,
        known: None,
        numbers,
        limits: GUESSES,
        request: None,
        now,
    }
}

/// A guess that was judged.
pub(crate) fn judged(guessed: Option<Guessed>) -> Judged {
    match guessed {
        Some(Guessed::Judged(judged)) => *judged,
        other => panic!("{other:?}"),
    }
}

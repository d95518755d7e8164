//! The audit: what was acknowledged, compared with what was mailed and what the outbox says; and nothing told to anybody
//! who must not know it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};

use mailfactor::pb::v1::{self as pb, DeliveryState};

use super::{
    fleet::{DOMAIN, Fleet, address, entries},
    ledger::{Account, Ledger},
};
use crate::harness::{
    client::Client,
    letter::recipient,
    scene::header,
    secrets::{check, check_absent, code, files},
    smtp::Captured,
};

/// Promise R4: a lease, and what it takes to notice.
pub(crate) const TAKEN_OVER: Duration = Duration::from_secs(35);

/// Wrong codes that a challenge bears.
const ATTEMPTS: usize = 5;

/// What an audit found, when it found nothing wrong.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Starts that were acknowledged, and mails owed for them and for resends.
    pub(crate) starts: usize,
    pub(crate) owed: usize,
    /// Mails that arrived, and second copies among them.
    pub(crate) mails: usize,
    pub(crate) copies: usize,
    /// Owed mails that did not arrive, by how the outbox accounts for them.
    pub(crate) accounted: BTreeMap<&'static str, usize>,
    /// Entries that failed, arrived or not.
    pub(crate) failed: usize,
    /// Codes verified.
    pub(crate) verified: usize,
    /// Calls nobody answered.
    pub(crate) unanswered: usize,
}

impl Report {
    /// A row of the table in `docs/faults.md`: the scenario, starts acknowledged, mails owed, arrived, second copies, not
    /// arrived by state, failed, codes verified, calls unanswered.
    pub(crate) fn tell(&self, scenario: &str) {
        let Self {
            starts,
            owed,
            mails,
            copies,
            accounted,
            failed,
            verified,
            unanswered,
        } = self;
        let accounted: Vec<String> = accounted
            .iter()
            .map(|(state, count)| {
                let state = state.trim_start_matches("DELIVERY_STATE_").to_lowercase();
                format!("{count} {state}")
            })
            .collect();
        let accounted = accounted.join(", ");
        eprintln!(
            "| {scenario} | {starts} | {owed} | {mails} | {copies} | {accounted} | {failed} | {verified} | {unanswered} |"
        );
    }
}

/// Compares everything. Call it when no mail is owed any more and an instance runs.
pub(crate) async fn audit(fleet: &Fleet, ledger: &Ledger) -> Report {
    let admin = fleet.administrator().await;
    let all = entries(&admin, pb::ListEntriesRequest::default()).await;
    let mails = fleet.smtp.mails();
    let arrived = arrived(&mails);
    let mut report = Report {
        starts: ledger.len(),
        mails: mails.len(),
        copies: mails.len() - arrived.len(),
        unanswered: ledger.failures().values().sum(),
        ..Report::default()
    };
    outbox(&all, &arrived, &mut report);
    let mut mailed: HashMap<String, BTreeSet<&str>> = HashMap::new();
    for (id, mail) in &arrived {
        mailed.entry(recipient(mail)).or_default().insert(id.as_str());
    }
    for (user, account) in ledger.accounts() {
        challenge(&admin, user, &account).await;
        report.owed += account.mails;
        report.verified += account.verified;
        let here = mailed.get(&address(user));
        let missing = account.mails.saturating_sub(here.map_or(0, BTreeSet::len));
        if missing > 0 {
            let told = accounts(fleet, &admin, user, &account, here).await;
            assert!(
                told.len() >= missing,
                "user {user}: {missing} mails neither arrived nor accounted for: {account:?}, {told:?}"
            );
            for state in told.into_iter().filter(|state| *state != DeliveryState::Sent) {
                *report.accounted.entry(state.as_str_name()).or_default() += 1;
            }
        }
    }
    secrecy(fleet, &mails).await;
    report
}

/// The mails by Message-ID; at most two copies of each, the same to the byte, and none of them late.
fn arrived(mails: &[Captured]) -> HashMap<String, &Captured> {
    let mut copies: HashMap<String, Vec<&Captured>> = HashMap::new();
    for mail in mails {
        let id = header(mail, "Message-ID").expect("a Message-ID");
        copies.entry(message_id(&id).to_owned()).or_default().push(mail);
    }
    for (id, copies) in &copies {
        assert!(copies.len() <= 2, "{} copies of {id}", copies.len());
        for copy in copies {
            assert_eq!(copy.data, copies[0].data, "the copies of {id} differ");
            assert_eq!(copy.recipient, copies[0].recipient, "{id} went to two addresses");
        }
    }
    copies
        .into_iter()
        .map(|(id, mut copies)| {
            copies.sort_by_key(|copy| copy.at.as_micros());
            (id, *copies.last().unwrap())
        })
        .collect()
}

/// Every entry is closed, says why where it was not sent, and does not claim to be sent when nothing arrived.
fn outbox(all: &[pb::OutboxEntry], arrived: &HashMap<String, &Captured>, report: &mut Report) {
    let mut known = HashSet::new();
    for entry in all {
        let id = message_id(&entry.message_id);
        assert!(known.insert(id), "two entries of one message");
        match entry.state() {
            DeliveryState::Sent => assert!(
                arrived.contains_key(id),
                "said to be sent, and did not arrive: {entry:?}"
            ),
            DeliveryState::Failed => {
                report.failed += 1;
                assert!(!entry.last_error.is_empty(), "failed without a reason: {entry:?}");
            }
            DeliveryState::Expired | DeliveryState::Withdrawn => {}
            _ => panic!("still owed: {entry:?}"),
        }
        if let Some(mail) = arrived.get(id) {
            let expiry = entry.expires_at.unwrap();
            let expiry = expiry.seconds * 1_000_000 + i64::from(expiry.nanos / 1_000);
            assert!(
                mail.at.as_micros() < expiry,
                "arrived after its code had expired: {entry:?}"
            );
        }
    }
    for id in arrived.keys() {
        assert!(
            known.contains(id.as_str()),
            "a mail that the outbox does not know: {id}"
        );
    }
}

/// Why the mails to a user that did not arrive did not. One that was withdrawn while it was being sent may have arrived
/// since.
async fn accounts(
    fleet: &Fleet,
    admin: &Client,
    user: usize,
    account: &Account,
    here: Option<&BTreeSet<&str>>,
) -> Vec<DeliveryState> {
    let request = pb::ListEntriesRequest {
        recipient: address(user),
        ..pb::ListEntriesRequest::default()
    };
    let found = entries(admin, request).await;
    let missed = found.iter().filter(|entry| {
        let id = message_id(&entry.message_id);
        here.is_none_or(|here| !here.contains(id))
    });
    // A mail whose code counts no more is withdrawn: after a resend, a cancellation, or the right code of another mail.
    let may_withdraw = account.cancelled
        || account.mails > 1
        || account.resend_unanswered
        || account.verified + account.right_unanswered > 0;
    let is_told = |entry: &&pb::OutboxEntry| match entry.state() {
        DeliveryState::Failed | DeliveryState::Expired => true,
        DeliveryState::Withdrawn => may_withdraw,
        DeliveryState::Sent => arrived(&fleet.smtp.mails()).contains_key(message_id(&entry.message_id)),
        _ => false,
    };
    missed.filter(is_told).map(pb::OutboxEntry::state).collect()
}

fn message_id(bracketed: &str) -> &str {
    bracketed.trim_matches(['<', '>'])
}

/// The challenge stands where the answers say: one success, five compares, nothing refilled.
async fn challenge(admin: &Client, user: usize, account: &Account) {
    let found = admin.get(&account.challenge).await;
    let found = found.unwrap_or_else(|status| panic!("user {user}: acknowledged, and gone: {status:?}"));
    assert!(account.verified <= 1, "user {user} verified twice: {account:?}");
    assert!(
        account.used == 0 || account.verified + account.right_unanswered > 0,
        "user {user}: a code is used that nobody used: {account:?}"
    );
    assert!(
        account.wrong <= ATTEMPTS,
        "user {user}: more compares than attempts: {account:?}"
    );
    let left = usize::try_from(found.attempts_left).unwrap();
    let most = ATTEMPTS - account.wrong;
    let least = most.saturating_sub(account.wrong_unanswered);
    assert!(
        (least..=most).contains(&left),
        "user {user}: {left} attempts left: {account:?}"
    );
    let state = found.state();
    if account.verified > 0 {
        assert_eq!(
            state,
            pb::ChallengeState::Verified,
            "user {user}: a success is forgotten"
        );
    }
    if state == pb::ChallengeState::Verified {
        assert!(
            account.verified + account.right_unanswered > 0,
            "user {user}: verified by nobody"
        );
    }
}

/// No code, key, password or address stands in a log, a metric or the database.
async fn secrecy(fleet: &Fleet, mails: &[Captured]) {
    let codes: HashSet<String> = mails.iter().map(|mail| code(&mail.data)).collect();
    let keys = std::fs::read_to_string(fleet.home.path("mailfactor.keys")).unwrap_or_default();
    let mut secrets: Vec<&str> = keys.split_whitespace().filter(|word| word.len() > 20).collect();
    assert!(!secrets.is_empty(), "the keys were not found");
    secrets.extend([fleet.admin.as_str(), fleet.idp.as_str()].map(|key| &key[20..]));
    let domain = format!("@{DOMAIN}");
    for (place, bytes) in fleet.told().await {
        check(&place, &bytes, &codes, &secrets);
        check_absent(&place, &bytes, &[&domain]);
    }
    let mut stored = files(&fleet.home.path(""));
    if let Some((server, database)) = &fleet.postgres {
        stored.extend(server.files(database));
        check("PostgreSQL's log", server.log().as_bytes(), &codes, &secrets);
        check_absent("PostgreSQL's log", server.log().as_bytes(), &[&domain]);
    }
    for file in stored {
        let place = file.display().to_string();
        let bytes = std::fs::read(&file).unwrap_or_default();
        check(&place, &bytes, &codes, &secrets);
        // The users' file and the configuration are where addresses belong.
        if file.extension().is_none_or(|extension| extension != "toml") {
            check_absent(&place, &bytes, &[&domain]);
        }
    }
}

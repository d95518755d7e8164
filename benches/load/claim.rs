//! Claims in an outbox with a long history, against one with a short one: a worker's question must not grow with what
//! is done and over.

use std::{path::Path, sync::Arc, time::Duration};

use mailfactor::{
    domain::{
        clock::Clock as _,
        entropy::random_bytes,
        id::{EntryId, LeaseId},
        keyring::{KeyId, Keyring, SubjectKind},
        mail_queue::MailQueue,
        message::message_id,
    },
    store::{
        MailKind, NewEntry, Outbox as _,
        sql::{SqlSettings, SqlStore},
    },
    system::{SteadyClock, SystemEntropy},
};
use sqlx::{ConnectOptions as _, sqlite::SqliteConnectOptions};
use tokio::time::Instant;

use super::{
    Outcome,
    arguments::Arguments,
    drive::percentile,
    helper::{Helper, Role},
    machine,
    report::micros,
    report::{Figure, Report, median},
};

/// The short history.
const SHORT: usize = 1_000;

/// How many mails a claim asks for, as the worker does by default.
const AT_ONCE: u32 = 16;

/// How many claims are timed.
const CLAIMS: u32 = 40;

/// Measures both, in a process of its own each.
pub(crate) fn measure(arguments: &Arguments, report: &mut Report) -> Outcome<()> {
    let long: usize = if arguments.quick { 50_000 } else { 10_000_000 };
    let directory = arguments.directory.display().to_string();
    let (mut short_times, mut long_times) = (Vec::new(), Vec::new());
    let homes = [(SHORT, &mut short_times), (long, &mut long_times)];
    for (rows, times) in homes {
        let given = [
            directory.clone(),
            rows.to_string(),
            arguments.repetitions().to_string(),
        ];
        *times = Helper::ask(Role::Claim, machine::SERVER, &given)?;
    }
    report.add(
        Figure::new("claim in a long outbox", median(long_times), "us")
            .at(long)
            .beside("1,000 rows", median(short_times))
            .within(1.5),
    );
    Ok(())
}

/// In a process of its own: a store with so many mails that are done, and the times of claims in it, a median for each
/// round.
pub(crate) async fn claims(directory: &Path, history: i64, rounds: usize) -> Outcome<()> {
    let home = tempfile::Builder::new().prefix("claim-").tempdir_in(directory)?;
    let file = home.path().join("claim.db");
    let clock = Arc::new(SteadyClock::new());
    let settings = SqlSettings::new(format!("sqlite:{}", file.display()));
    let store = SqlStore::connect(&settings, clock.clone()).await?;
    store.migrate().await?;
    fill(&file, history, clock.now().as_micros()).await?;
    let keyring = Keyring::new([(KeyId::parse("load")?, random_bytes(&SystemEntropy))])?;
    let mut medians = Vec::new();
    for _ in 0..rounds {
        for _ in 0..CLAIMS * AT_ONCE {
            store.enqueue(due(&keyring, &clock)).await?;
        }
        let mut times = Vec::new();
        for _ in 0..CLAIMS {
            let leases = (0..AT_ONCE).map(|_| LeaseId::random(&SystemEntropy)).collect();
            let began = Instant::now();
            let claimed = store.claim(AT_ONCE, leases).await?;
            times.push(began.elapsed());
            if claimed.len() != AT_ONCE as usize {
                return Err(format!("{} mails were claimed, not {AT_ONCE}", claimed.len()).into());
            }
        }
        times.sort_unstable();
        medians.push(micros(percentile(&times, 50)).to_string());
    }
    store.close().await;
    println!("{}", medians.join(" "));
    Ok(())
}

/// Writes mails that were sent, over the last month.
async fn fill(file: &Path, rows: i64, now: i64) -> Outcome<()> {
    let mut connection = SqliteConnectOptions::new()
        .filename(file)
        .disable_statement_logging()
        // Fast: this database is thrown away, and nothing is measured while it is filled.
        .pragma("synchronous", "OFF")
        .pragma("cache_size", "-2000000")
        .connect()
        .await?;
    sqlx::query(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) \
         INSERT INTO outbox (id, kind, challenge, decoy, state, submitted_at, sent_at, expires_at, next_attempt_at, \
         masked_recipient, subject, account, attempts, last_error, message_id, mail, lease, leased_until, charged, \
         unsure, recipient_hash, sender, changed_at) \
         SELECT randomblob(16), 1, randomblob(16), 0, 2, $2 - i * 250000, $2 - i * 250000 + 20000, \
         $2 - i * 250000 + 300000000, NULL, 'j*****@e*****.com', 'Your code', 'sink', 1, '', \
         '<' || hex(randomblob(16)) || '@example.com>', randomblob(300), NULL, 0, 0, 0, randomblob(32), \
         'login@example.org', $2 - i * 250000 + 20000 FROM n",
    )
    .bind(rows)
    .bind(now)
    .execute(&mut connection)
    .await?;
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
        .execute(&mut connection)
        .await?;
    Ok(())
}

fn due(keyring: &Keyring, clock: &SteadyClock) -> NewEntry {
    let id = EntryId::random(clock.now(), &SystemEntropy);
    let now = clock.now();
    NewEntry {
        id,
        kind: MailKind::Test,
        challenge: None,
        decoy: false,
        submitted_at: now,
        expires_at: now.plus(Duration::from_mins(5)),
        masked_recipient: "j*****@e*****.com".to_owned(),
        recipient: keyring.subject(SubjectKind::Address, &["j@example.com"]),
        message_id: message_id(&id, "example.com"),
        mail: keyring.seal(&NewEntry::place(&id), &[b'x'; 250], &SystemEntropy),
        queue: MailQueue::default(),
        lease: None,
    }
}

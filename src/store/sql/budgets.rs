//! Budgets in SQL: how many mails, how many wrong codes. The numbers are kept here, the decisions are the domain's.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;

use super::{
    Failure, SqlStore, audit, bulk,
    query::{Connection, Row, Value, Write, query},
    rows::Columns,
};
use crate::{
    domain::{
        audit::{Fields, Note, Object},
        budget::{GuessBudget, GuessLimits, Lock, SendBudget},
        clock::Timestamp,
        keyring::Subject,
    },
    store::{Budgets, Charge, StoreResult},
};

const TABLE: &str = "guess_budgets";
const SENDS: &str = "send_budgets";

/// A lock that no moment ends.
const FOR_GOOD: i64 = i64::MAX;

#[async_trait]
impl Budgets for SqlStore {
    async fn guesses(&self, user: Subject, now: Timestamp) -> StoreResult<(u32, Option<Lock>)> {
        self.operation("budgets.guesses", async {
            let mut reader = self.reader().await?;
            let budget = read(&mut reader, user).await?;
            Ok((budget.failures, budget.lock(now)))
        })
        .await
    }

    async fn unlock(&self, user: Subject, name: &str, note: &Note) -> StoreResult<bool> {
        self.operation("budgets.unlock", async {
            let mut write = self.write().await?;
            let before = read(&mut write, user).await?;
            let cleared = clear(&mut write, user).await?;
            if cleared {
                let change = Fields::change(&(&before).into(), &(&GuessBudget::default()).into());
                audit::commit(self, write, note, Object::user(&user, name), change).await?;
            }
            Ok(cleared)
        })
        .await
    }

    async fn attempt(
        &self,
        subjects: &[(Subject, GuessLimits)],
        now: Timestamp,
    ) -> StoreResult<Option<(usize, Lock)>> {
        self.operation("budgets.attempt", async {
            let mut write = self.write().await?;
            // Each is touched, in one order, whatever becomes of those before it.
            let mut order: Vec<(usize, Subject)> =
                subjects.iter().map(|(subject, _)| *subject).enumerate().collect();
            order.sort_unstable_by_key(|(_, subject)| *subject);
            let mut budgets = vec![GuessBudget::default(); subjects.len()];
            for (place, subject) in order {
                budgets[place] = touch(&mut write, subject).await?;
            }
            let mut locked = None;
            for (place, ((subject, limits), budget)) in subjects.iter().zip(&budgets).enumerate() {
                locked = budget.lock(now).map(|lock| (place, lock));
                if locked.is_some() {
                    break;
                }
                save(&mut write, *subject, budget.fail(limits, now)).await?;
            }
            write.commit().await?;
            Ok(locked)
        })
        .await
    }

    async fn succeed(&self, subjects: &[Subject]) -> StoreResult<()> {
        self.operation("budgets.succeed", async {
            let mut write = self.write().await?;
            for subject in subjects {
                clear(&mut write, *subject).await?;
            }
            Ok(write.commit().await?)
        })
        .await
    }

    async fn lock(&self, user: Subject, name: &str, note: &Note) -> StoreResult<()> {
        self.operation("budgets.lock", async {
            let mut write = self.write().await?;
            let budget = touch(&mut write, user).await?;
            let locked = GuessBudget {
                locked_until: Some(Lock::ForGood),
                ..budget
            };
            save(&mut write, user, locked).await?;
            let change = Fields::change(&(&budget).into(), &(&locked).into());
            audit::commit(self, write, note, Object::user(&user, name), change).await
        })
        .await
    }
}

/// The lock that holds for a user, inside a transaction that is about to write.
pub(super) async fn user_lock(
    connection: &mut Connection,
    user: Subject,
    now: Timestamp,
) -> Result<Option<Lock>, Failure> {
    Ok(read(connection, user).await?.lock(now))
}

/// Forgets a user's wrong codes and locks. `false`: there were none.
pub(super) async fn clear(connection: &mut Connection, user: Subject) -> Result<bool, Failure> {
    let deleted = query("DELETE FROM guess_budgets WHERE user_hash = $1")
        .bind(user.as_bytes().as_slice())
        .execute(connection)
        .await?;
    Ok(deleted > 0)
}

/// Charges one mail to each budget; the moment from which it is allowed where one is spent. The transaction is then to be
/// given up. `true`: one of which nobody is told is spent, and those of its kind were charged nothing.
pub(super) async fn charge(
    connection: &mut Connection,
    charges: &[Charge],
    now: Timestamp,
) -> Result<Result<bool, Timestamp>, Failure> {
    let mut order: Vec<&Charge> = charges.iter().collect();
    order.sort_unstable_by_key(|charge| charge.subject);
    let mut budgets = HashMap::with_capacity(order.len());
    for charge in order {
        // Writes the row before it is read, so that nobody else decides on it meanwhile, on any engine.
        let row = query(
            "INSERT INTO send_budgets (subject, full_at, day_began, today) VALUES ($1, 0, 0, 0) \
             ON CONFLICT (subject) DO UPDATE SET today = send_budgets.today \
             RETURNING full_at, day_began, today",
        )
        .bind(charge.subject.as_bytes().as_slice())
        .fetch_one(&mut *connection)
        .await?;
        budgets.insert(charge.subject, send_budget(&row)?);
    }
    let (after, muted) = match charged(charges, |subject| budgets.get(subject).copied(), now) {
        Ok(outcome) => outcome,
        Err(allowed_from) => return Ok(Err(allowed_from)),
    };
    for (subject, after) in after {
        query("UPDATE send_budgets SET full_at = $2, day_began = $3, today = $4 WHERE subject = $1")
            .bind(subject.as_bytes().as_slice())
            .bind(after.full_at.as_micros())
            .bind(after.day_began.as_micros())
            .bind(i64::from(after.today))
            .execute(&mut *connection)
            .await?;
    }
    Ok(Ok(muted))
}

/// Budgets after one more mail, and whether one of which nobody is told is spent: then those of that kind stay as they are.
/// The moment from which it is allowed where another is spent.
pub(super) fn charged(
    charges: &[Charge],
    before: impl Fn(&Subject) -> Option<SendBudget>,
    now: Timestamp,
) -> Result<(BTreeMap<Subject, SendBudget>, bool), Timestamp> {
    let charge_all = |silent: bool| {
        let mut after = BTreeMap::new();
        for charge in charges.iter().filter(|charge| charge.silent == silent) {
            let subject = charge.subject;
            let budget = after.get(&subject).copied().or_else(|| before(&subject));
            after.insert(subject, budget.unwrap_or_default().charge(&charge.limits, now)?);
        }
        Ok(after)
    };
    let mut after = charge_all(false)?;
    let silent = charge_all(true);
    let muted = silent.is_err();
    after.extend(silent.unwrap_or_default());
    Ok((after, muted))
}

/// Forgets budgets for sending that are as good as unused before `moment`: refilled, and their day over.
pub(super) async fn forget_refilled(
    connection: &mut Connection,
    moment: Timestamp,
    limit: u32,
) -> Result<(), Failure> {
    query(
        "DELETE FROM send_budgets WHERE subject IN (\
         SELECT subject FROM send_budgets WHERE day_began < $1 AND full_at < $2 LIMIT $3)",
    )
    .bind(moment.minus(SendBudget::DAY).as_micros())
    .bind(moment.as_micros())
    .bind(i64::from(limit))
    .execute(connection)
    .await?;
    Ok(())
}

/// The budgets of those who have one, in a transaction that is about to change them.
pub(super) async fn read_all(
    write: &mut Write,
    users: &[Subject],
) -> Result<Vec<(Subject, GuessBudget)>, Failure> {
    let users: Vec<&[u8]> = users.iter().map(|user| user.as_bytes().as_slice()).collect();
    let before =
        "SELECT user_hash, failures, since_lock, locked_until FROM guess_budgets WHERE user_hash IN (";
    let after = [") ORDER BY user_hash", write.engine().for_update()].concat();
    let rows = bulk::fetch(write, before, &users, &after).await?;
    let line = |row: &Row| Ok((Columns::new(TABLE, row).subject("user_hash")?, budget(row)?));
    rows.iter().map(line).collect()
}

/// A user's row.
pub(super) fn values<'b>(user: &'b Subject, budget: &GuessBudget) -> [Value<'b>; 4] {
    [
        user.as_bytes().as_slice().into(),
        i64::from(budget.failures).into(),
        i64::from(budget.since_lock).into(),
        locked_until(budget).into(),
    ]
}

/// The budgets for sending of those who have one, in a transaction that is about to change them.
pub(super) async fn sends(
    write: &mut Write,
    subjects: &[Subject],
) -> Result<Vec<(Subject, SendBudget)>, Failure> {
    let subjects: Vec<&[u8]> = subjects
        .iter()
        .map(|subject| subject.as_bytes().as_slice())
        .collect();
    let before = "SELECT subject, full_at, day_began, today FROM send_budgets WHERE subject IN (";
    let after = [") ORDER BY subject", write.engine().for_update()].concat();
    let rows = bulk::fetch(write, before, &subjects, &after).await?;
    let line = |row: &Row| Ok((Columns::new(SENDS, row).subject("subject")?, send_budget(row)?));
    rows.iter().map(line).collect()
}

/// A subject's row.
pub(super) fn send_values<'b>(subject: &'b Subject, budget: &SendBudget) -> [Value<'b>; 4] {
    [
        subject.as_bytes().as_slice().into(),
        budget.full_at.as_micros().into(),
        budget.day_began.as_micros().into(),
        i64::from(budget.today).into(),
    ]
}

fn send_budget(row: &Row) -> Result<SendBudget, Failure> {
    let columns = Columns::new(SENDS, row);
    Ok(SendBudget {
        full_at: columns.time("full_at")?,
        day_began: columns.time("day_began")?,
        today: columns.count("today")?,
    })
}

async fn read(connection: &mut Connection, user: Subject) -> Result<GuessBudget, Failure> {
    let row = query("SELECT failures, since_lock, locked_until FROM guess_budgets WHERE user_hash = $1")
        .bind(user.as_bytes().as_slice())
        .fetch_optional(connection)
        .await?;
    row.map_or(Ok(GuessBudget::default()), |row| budget(&row))
}

/// Reads a user's row, made if there is none, and keeps it from others until the transaction ends.
async fn touch(connection: &mut Connection, user: Subject) -> Result<GuessBudget, Failure> {
    let row = query(
        "INSERT INTO guess_budgets (user_hash, failures) VALUES ($1, 0) \
         ON CONFLICT (user_hash) DO UPDATE SET failures = guess_budgets.failures \
         RETURNING failures, since_lock, locked_until",
    )
    .bind(user.as_bytes().as_slice())
    .fetch_one(connection)
    .await?;
    budget(&row)
}

async fn save(connection: &mut Connection, user: Subject, budget: GuessBudget) -> Result<(), Failure> {
    query("UPDATE guess_budgets SET failures = $2, since_lock = $3, locked_until = $4 WHERE user_hash = $1")
        .bind(user.as_bytes().as_slice())
        .bind(i64::from(budget.failures))
        .bind(i64::from(budget.since_lock))
        .bind(locked_until(&budget))
        .execute(connection)
        .await?;
    Ok(())
}

fn locked_until(budget: &GuessBudget) -> Option<i64> {
    budget.locked_until.map(|lock| match lock {
        Lock::Until(moment) => moment.as_micros(),
        Lock::ForGood => FOR_GOOD,
    })
}

fn budget(row: &Row) -> Result<GuessBudget, Failure> {
    let columns = Columns::new(TABLE, row);
    let locked_until = columns.number_if_any("locked_until")?.map(|micros| match micros {
        FOR_GOOD => Lock::ForGood,
        micros => Lock::Until(Timestamp::from_micros(micros)),
    });
    Ok(GuessBudget {
        failures: columns.count("failures")?,
        since_lock: columns.count("since_lock")?,
        locked_until,
    })
}

//! Budgets for sending, of those who share a commit.

use super::{
    super::{Failure, budgets, bulk, query::Write},
    page::Page,
};
use crate::{
    domain::{budget::SendBudget, clock::Timestamp, keyring::Subject},
    store::{Charge, Start},
};

/// The budgets that these starts draw on.
pub(super) struct Sends(Page<Subject, SendBudget>);

impl Sends {
    pub(super) async fn read(write: &mut Write, starts: &[(usize, &Start)]) -> Result<Self, Failure> {
        let charges = starts.iter().flat_map(|(_, start)| &start.charges);
        let mut subjects: Vec<Subject> = charges.map(|charge| charge.subject).collect();
        subjects.sort_unstable();
        subjects.dedup();
        Ok(Self(Page::read(budgets::sends(write, &subjects).await?)))
    }

    /// Charges one mail to each: all of them or, where one is spent, none; then the moment from which it is allowed. `true`:
    /// one of which nobody is told is spent.
    pub(super) fn charge(&mut self, charges: &[Charge], now: Timestamp) -> Result<bool, Timestamp> {
        let (after, muted) = budgets::charged(charges, |subject| self.0.get(subject).copied(), now)?;
        for (subject, budget) in after {
            self.0.set(subject, Some(budget));
        }
        Ok(muted)
    }

    pub(super) async fn save(&self, write: &mut Write) -> Result<(), Failure> {
        let made = self.0.made();
        let written = bulk::put(
            write,
            "INSERT INTO send_budgets (subject, full_at, day_began, today) VALUES ",
            &made,
            |(subject, budget)| budgets::send_values(subject, budget),
            " ON CONFLICT (subject) DO NOTHING",
        )
        .await?;
        Failure::unless_all(written, made.len())?;
        let changed = self.0.changed();
        let written = bulk::put(
            write,
            "UPDATE send_budgets SET full_at = v.column2, day_began = v.column3, today = v.column4 FROM (VALUES ",
            &changed,
            |(subject, _, budget)| budgets::send_values(subject, budget),
            ") AS v WHERE send_budgets.subject = v.column1",
        )
        .await?;
        Failure::unless_all(written, changed.len())
    }
}

//! Which accounts may take a mail, and in which order.

use crate::domain::account::Account;

/// The accounts that mail may go through, in the order they are tried: the one that is wanted, the default, then by order
/// and name.
pub(super) fn candidates(accounts: Vec<Account>, wanted: Option<&str>) -> Vec<Account> {
    let mut enabled: Vec<Account> = accounts
        .into_iter()
        .filter(|account| account.settings.enabled)
        .collect();
    enabled.sort_by(|one, other| {
        let rank = |account: &Account| {
            let is_wanted = Some(account.settings.name.as_str()) == wanted;
            (!is_wanted, !account.is_default, account.settings.order)
        };
        rank(one)
            .cmp(&rank(other))
            .then_with(|| one.settings.name.cmp(&other.settings.name))
    });
    enabled
}

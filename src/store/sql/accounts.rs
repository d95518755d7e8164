//! Mail accounts in SQL. That exactly one is the default is kept by the transactions here and, once more, by an index.

use async_trait::async_trait;

use super::{
    Failure, SqlStore, Write,
    account_rows::{self as rows, Saved},
    audit,
};
use crate::{
    domain::{
        account::{Account, AccountSettings, Proof},
        audit::{Fields, Note, Object},
        clock::Timestamp,
        id::AccountId,
    },
    store::{AccountWrite, Accounts, StoreResult},
};

#[async_trait]
impl Accounts for SqlStore {
    async fn create(
        &self,
        id: AccountId,
        settings: AccountSettings,
        now: Timestamp,
        note: &Note,
    ) -> StoreResult<AccountWrite> {
        self.operation("accounts.create", async {
            let mut write = self.write().await?;
            let account = Account {
                id,
                is_default: rows::count(&mut write).await? == 0,
                settings,
                created_at: now,
                updated_at: now,
                version: 1,
                proof: None,
            };
            if rows::insert(&mut write, &account).await? == Saved::NameTaken {
                return Ok(AccountWrite::NameTaken);
            }
            commit(self, write, note, None, Some(&account)).await?;
            Ok(saved(account))
        })
        .await
    }

    async fn update(
        &self,
        id: AccountId,
        settings: AccountSettings,
        version: Option<i64>,
        now: Timestamp,
        note: &Note,
    ) -> StoreResult<AccountWrite> {
        self.operation("accounts.update", async {
            let mut write = self.write().await?;
            let before = match current(rows::find_for_update(&mut write, id).await?, version) {
                Ok(before) => before,
                Err(refusal) => return Ok(refusal),
            };
            if before.is_default && !settings.enabled && rows::count(&mut write).await? > 1 {
                return Ok(AccountWrite::IsDefault);
            }
            let account = Account {
                settings,
                updated_at: now,
                version: before.version + 1,
                ..before.clone()
            };
            if rows::update(&mut write, &account).await? == Saved::NameTaken {
                return Ok(AccountWrite::NameTaken);
            }
            commit(self, write, note, Some(&before), Some(&account)).await?;
            Ok(saved(account))
        })
        .await
    }

    async fn delete(&self, id: AccountId, version: Option<i64>, note: &Note) -> StoreResult<AccountWrite> {
        self.operation("accounts.delete", async {
            let mut write = self.write().await?;
            let account = match current(rows::find_for_update(&mut write, id).await?, version) {
                Ok(account) => account,
                Err(refusal) => return Ok(refusal),
            };
            if account.is_default && rows::count(&mut write).await? > 1 {
                return Ok(AccountWrite::IsDefault);
            }
            rows::delete(&mut write, id).await?;
            commit(self, write, note, Some(&account), None).await?;
            Ok(saved(account))
        })
        .await
    }

    async fn set_default(&self, id: AccountId, now: Timestamp, note: &Note) -> StoreResult<AccountWrite> {
        self.operation("accounts.set_default", async {
            let mut write = self.write().await?;
            let before = match current(rows::find_for_update(&mut write, id).await?, None) {
                Ok(before) => before,
                Err(refusal) => return Ok(refusal),
            };
            if !before.settings.enabled {
                return Ok(AccountWrite::Disabled);
            }
            if before.is_default {
                return Ok(saved(before));
            }
            rows::move_default(&mut write, id, now).await?;
            let account = Account {
                is_default: true,
                updated_at: now,
                version: before.version + 1,
                ..before.clone()
            };
            commit(self, write, note, Some(&before), Some(&account)).await?;
            Ok(saved(account))
        })
        .await
    }

    async fn note_test(&self, id: AccountId, proof: Proof) -> StoreResult<()> {
        self.operation("accounts.note_test", async {
            let mut write = self.write().await?;
            rows::note_test(&mut write, id, proof).await?;
            write.commit().await?;
            Ok(())
        })
        .await
    }

    async fn find(&self, id: AccountId) -> StoreResult<Option<Account>> {
        self.operation("accounts.find", async {
            rows::find(&mut *self.reader().await?, id).await
        })
        .await
    }

    async fn list(&self) -> StoreResult<Vec<Account>> {
        self.operation("accounts.list", async {
            rows::list(&mut *self.reader().await?).await
        })
        .await
    }
}

/// Ends a transaction with what it made of an account.
async fn commit(
    store: &SqlStore,
    write: Write,
    note: &Note,
    before: Option<&Account>,
    after: Option<&Account>,
) -> Result<(), Failure> {
    let object = after.or(before).map(Object::account).unwrap_or_default();
    let fields = |account: Option<&Account>| account.map(Fields::from).unwrap_or_default();
    audit::commit(
        store,
        write,
        note,
        object,
        Fields::change(&fields(before), &fields(after)),
    )
    .await
}

fn saved(account: Account) -> AccountWrite {
    AccountWrite::Saved(Box::new(account))
}

/// The account that was found, if it is the version that was named.
fn current(found: Option<Account>, version: Option<i64>) -> Result<Account, AccountWrite> {
    let account = found.ok_or(AccountWrite::Unknown)?;
    if version.is_some_and(|version| version != account.version) {
        Err(AccountWrite::Stale)
    } else {
        Ok(account)
    }
}

//! Columns as the domain's values. What cannot be read is [`StoreError::Corrupt`], naming the table.

use super::query::{Cell, Row};
use crate::{
    domain::{clock::Timestamp, keyring::Subject},
    store::{StoreError, StoreResult},
};

/// A row of a table.
pub(super) struct Columns<'r> {
    table: &'static str,
    row: &'r Row,
}

impl<'r> Columns<'r> {
    pub(super) fn new(table: &'static str, row: &'r Row) -> Self {
        Self { table, row }
    }

    /// What to answer where a value makes no sense.
    pub(super) fn corrupt(&self) -> StoreError {
        StoreError::Corrupt(self.table)
    }

    pub(super) fn text(&self, name: &str) -> StoreResult<String> {
        self.get(name)
    }

    pub(super) fn text_if_any(&self, name: &str) -> StoreResult<Option<String>> {
        self.get(name)
    }

    pub(super) fn blob(&self, name: &str) -> StoreResult<Vec<u8>> {
        self.get(name)
    }

    pub(super) fn blob_if_any(&self, name: &str) -> StoreResult<Option<Vec<u8>>> {
        self.get(name)
    }

    pub(super) fn number(&self, name: &str) -> StoreResult<i64> {
        self.get(name)
    }

    pub(super) fn number_if_any(&self, name: &str) -> StoreResult<Option<i64>> {
        self.get(name)
    }

    /// A number of a smaller type.
    pub(super) fn count<T: TryFrom<i64>>(&self, name: &str) -> StoreResult<T> {
        T::try_from(self.number(name)?).map_err(|_| self.corrupt())
    }

    pub(super) fn flag(&self, name: &str) -> StoreResult<bool> {
        Ok(self.number(name)? != 0)
    }

    pub(super) fn time(&self, name: &str) -> StoreResult<Timestamp> {
        Ok(Timestamp::from_micros(self.number(name)?))
    }

    pub(super) fn time_if_any(&self, name: &str) -> StoreResult<Option<Timestamp>> {
        Ok(self.number_if_any(name)?.map(Timestamp::from_micros))
    }

    /// Exactly `N` bytes.
    pub(super) fn bytes<const N: usize>(&self, name: &str) -> StoreResult<[u8; N]> {
        self.exact(self.blob(name)?)
    }

    pub(super) fn bytes_if_any<const N: usize>(&self, name: &str) -> StoreResult<Option<[u8; N]>> {
        self.blob_if_any(name)?.map(|bytes| self.exact(bytes)).transpose()
    }

    pub(super) fn subject(&self, name: &str) -> StoreResult<Subject> {
        Ok(Subject::from_bytes(self.bytes(name)?))
    }

    /// The value of what was kept as a tag or a name.
    pub(super) fn known<T>(&self, value: Option<T>) -> StoreResult<T> {
        value.ok_or_else(|| self.corrupt())
    }

    fn exact<const N: usize>(&self, bytes: Vec<u8>) -> StoreResult<[u8; N]> {
        bytes.try_into().map_err(|_| self.corrupt())
    }

    fn get<T>(&self, name: &str) -> StoreResult<T>
    where
        T: Cell,
    {
        T::of(self.row, name).map_err(|_| self.corrupt())
    }
}

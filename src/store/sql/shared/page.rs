//! Rows as they were read and as they are to be: what differs is written, in one go.

use std::collections::BTreeMap;

/// Some rows of a table by their keys, in the order in which they are locked.
pub(super) struct Page<K, T>(BTreeMap<K, Line<T>>);

struct Line<T> {
    read: Option<T>,
    present: Option<T>,
}

impl<K: Ord, T: Clone + PartialEq> Page<K, T> {
    /// As they were read.
    pub(super) fn read(rows: impl IntoIterator<Item = (K, T)>) -> Self {
        let line = |row: T| Line {
            read: Some(row.clone()),
            present: Some(row),
        };
        Self(rows.into_iter().map(|(key, row)| (key, line(row))).collect())
    }

    /// A row as it stands by now.
    pub(super) fn get(&self, key: &K) -> Option<&T> {
        self.0.get(key)?.present.as_ref()
    }

    /// What a row is to be; `None`: not there.
    pub(super) fn set(&mut self, key: K, row: Option<T>) {
        let line = self.0.entry(key).or_insert(Line {
            read: None,
            present: None,
        });
        line.present = row;
    }

    /// Rows to be made.
    pub(super) fn made(&self) -> Vec<(&K, &T)> {
        let lines = self.0.iter();
        lines
            .filter_map(|(key, line)| Some((key, line.present.as_ref().filter(|_| line.read.is_none())?)))
            .collect()
    }

    /// Rows to be changed: as they were, and as they are to be.
    pub(super) fn changed(&self) -> Vec<(&K, &T, &T)> {
        let lines = self.0.iter();
        lines
            .filter_map(|(key, line)| Some((key, line.read.as_ref()?, line.present.as_ref()?)))
            .filter(|(_, read, present)| read != present)
            .collect()
    }

    /// Rows to be removed.
    pub(super) fn removed(&self) -> Vec<&K> {
        let gone = self
            .0
            .iter()
            .filter(|(_, line)| line.read.is_some() && line.present.is_none());
        gone.map(|(key, _)| key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_written() {
        let mut page = Page::read([(1, 'a'), (2, 'b'), (3, 'c')]);
        page.set(1, Some('x'));
        page.set(1, Some('a'));
        page.set(2, Some('y'));
        page.set(3, None);
        page.set(4, Some('d'));
        page.set(5, Some('e'));
        page.set(5, None);
        assert_eq!(page.get(&2), Some(&'y'));
        assert_eq!(page.get(&3), None);
        assert_eq!(page.made(), [(&4, &'d')]);
        assert_eq!(page.changed(), [(&2, &'b', &'y')]);
        assert_eq!(page.removed(), [&3]);
    }
}

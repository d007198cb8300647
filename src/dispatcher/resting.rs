//! Tasks that wait out a rest too short for any tier, by due time.

use std::collections::BTreeMap;

use crate::clock::Timestamp;

/// See the module. `T` is a task.
#[derive(Debug)]
pub struct Resting<T> {
    by_due: BTreeMap<(Timestamp, u64), T>,
    added: u64,
}

impl<T> Default for Resting<T> {
    fn default() -> Self {
        Self {
            by_due: BTreeMap::new(),
            added: 0,
        }
    }
}

impl<T> Resting<T> {
    /// Adds a task that is due at `due`.
    pub fn add(&mut self, due: Timestamp, task: T) {
        self.added += 1;
        self.by_due.insert((due, self.added), task);
    }

    /// The task that has been due the longest.
    pub fn take_due(&mut self, now: Timestamp) -> Option<T> {
        let first = self.by_due.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// When the next task is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.by_due.first_key_value().map(|((due, _), _)| *due)
    }

    /// Whether one rests that this is true of.
    pub fn any(&self, is_it: impl Fn(&T) -> bool) -> bool {
        self.by_due.values().any(is_it)
    }

    /// How many rest.
    pub fn len(&self) -> usize {
        self.by_due.len()
    }

    /// Whether none rests.
    pub fn is_empty(&self) -> bool {
        self.by_due.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_come_out_when_due_oldest_first() {
        let at = Timestamp::from_millis;
        let mut resting = Resting::default();
        for (due, task) in [(30, "c"), (10, "a"), (10, "b")] {
            resting.add(at(due), task);
        }
        assert_eq!(resting.next_due(), Some(at(10)));
        assert_eq!(resting.take_due(at(9)), None);
        assert_eq!(resting.take_due(at(10)), Some("a"));
        assert_eq!(resting.take_due(at(29)), Some("b"));
        assert_eq!(resting.take_due(at(29)), None);
        assert_eq!(resting.len(), 1);
    }
}

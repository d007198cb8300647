//! What the desk writes about endpoints that follows from no task of its own.

use std::collections::HashSet;

use super::{Desk, TableView};
use crate::clock::Timestamp;
use crate::kafka::record::Outgoing;

impl Desk {
    /// A new assignment, with these partitions of tier 0.
    pub fn assigned(&mut self, owned: HashSet<i32>) {
        self.standing.assigned(owned);
    }

    /// Brings what is written of endpoints in line with what others have decided, and tells what is
    /// due to be told.
    pub fn merge(&mut self, view: TableView<'_>, now: Timestamp) {
        let TableView {
            endpoints,
            table,
            position,
        } = view;
        let records = self.standing.merge(endpoints, table, position, now);
        self.write_all(records);
        let records = self.standing.windows_over(now);
        self.write_all(records);
        self.save_restraints(now);
    }

    /// Writes and tells what is left to be, before the assignment ends.
    pub fn tell_all(&mut self, now: Timestamp) {
        let records = self.standing.close_windows(now);
        self.write_all(records);
        let records = self.standing.save_all_restraints(now);
        self.write_all(records);
    }

    /// Writes down what has changed of breakers and pauses.
    pub(super) fn save_restraints(&mut self, now: Timestamp) {
        let records = self.standing.save_restraints(now);
        self.write_all(records);
    }

    pub(super) fn write_all(&mut self, records: Vec<Outgoing>) {
        for record in records {
            self.outbox.write(record);
        }
    }
}

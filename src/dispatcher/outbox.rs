//! What the next transaction writes, and what it costs to hold.

use std::mem;

use crate::kafka::record::Outgoing;

/// Records that wait for their transaction.
#[derive(Debug, Default)]
pub struct Outbox {
    records: Vec<Outgoing>,
    waiting: usize,
    committing: usize,
}

impl Outbox {
    /// Adds a record.
    pub fn write(&mut self, record: Outgoing) {
        self.waiting += record.size();
        self.records.push(record);
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes of what waits and of the transaction under way.
    pub fn bytes(&self) -> usize {
        self.waiting + self.committing
    }

    /// All records, for a transaction. Those of `gathered` go to one `partition`: every partition
    /// that a transaction touches costs a marker.
    pub fn take(&mut self, gathered: &str, partition: Option<i32>) -> Vec<Outgoing> {
        self.committing = mem::take(&mut self.waiting);
        let mut records = mem::take(&mut self.records);
        for record in &mut records {
            if &*record.topic == gathered {
                record.partition = partition;
            }
        }
        records
    }

    /// The transaction under way is committed.
    pub fn committed(&mut self) {
        self.committing = 0;
    }
}

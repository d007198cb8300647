//! What the next transaction writes, and what it costs to hold.

use std::mem;

use crate::kafka::record::Outgoing;

/// What goes to one partition before the next one is taken, in bytes: less than a batch of the producer. It has
/// one batch of a partition under way at a time, and while another one waits its thread turns at full
/// speed (librdkafka counts messages in flight where it means requests).
const BATCH: usize = 100 << 10;

/// Records that wait for their transaction.
#[derive(Debug, Default)]
pub struct Outbox {
    records: Vec<Outgoing>,
    waiting: usize,
    committing: usize,
    /// The partition that gathered records go to next, before it is cut to those that there are.
    turn: u32,
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

    /// All records, for a transaction. Those of the topic `gathered`, which has so many partitions, go to as
    /// few of them as will do: every partition that a transaction touches costs a marker.
    pub fn take(&mut self, gathered: &str, partitions: i32) -> Vec<Outgoing> {
        self.committing = mem::take(&mut self.waiting);
        let mut records = mem::take(&mut self.records);
        let partitions = partitions.max(1).unsigned_abs();
        let mut gathered_bytes = 0;
        for record in &mut records {
            if &*record.topic == gathered {
                if gathered_bytes >= BATCH {
                    self.turn = self.turn.wrapping_add(1);
                    gathered_bytes = 0;
                }
                gathered_bytes += record.size();
                record.partition = i32::try_from(self.turn % partitions).ok();
            }
        }
        self.turn = self.turn.wrapping_add(1);
        records
    }

    /// The transaction under way is committed.
    pub fn committed(&mut self) {
        self.committing = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::record::Headers;

    fn partitions_of(outbox: &mut Outbox, records: usize, bytes: usize) -> Vec<Option<i32>> {
        for _ in 0..records {
            outbox.write(Outgoing {
                topic: Arc::from("attempts"),
                partition: None,
                key: None,
                value: Some(vec![b'x'; bytes].into()),
                headers: Headers::new(),
                cause: "deliveries/0/0".parse().unwrap(),
            });
        }
        let taken = outbox.take("attempts", 3);
        taken.iter().map(|record| record.partition).collect()
    }

    #[test]
    fn what_is_gathered_goes_to_as_few_partitions_as_will_do() {
        let mut outbox = Outbox::default();
        assert_eq!(partitions_of(&mut outbox, 2, 10), [Some(0); 2]);
        assert_eq!(partitions_of(&mut outbox, 3, 10), [Some(1); 3]);
        let large = partitions_of(&mut outbox, 4, BATCH);
        assert_eq!(large, [Some(2), Some(0), Some(1), Some(2)]);
        assert_eq!(partitions_of(&mut outbox, 1, 10), [Some(0)]);
    }
}

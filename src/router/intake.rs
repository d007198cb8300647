//! What is read of each partition and not matched yet. A partition whose next record cannot be
//! decoded yet is held: it keeps its order and its place, and the others go on.
//!
//! Held records do not count against the room of a batch, or one partition would stop all. So that
//! memory stays bounded, a partition that is held takes nothing more, and as long as there is one,
//! no other gathers more than its share of a batch: all together hold three batches at most.

use std::collections::VecDeque;

use crate::kafka::record::Incoming;

/// Records that wait to be matched, by the place of their partition in the assignment.
#[derive(Debug)]
pub struct Intake {
    most_records: usize,
    most_bytes: usize,
    lanes: Vec<Lane>,
    /// In lanes that are not held.
    records: usize,
    bytes: usize,
    held: usize,
}

#[derive(Debug, Default)]
struct Lane {
    queue: VecDeque<Incoming>,
    bytes: usize,
    is_held: bool,
}

impl Intake {
    /// Nothing yet, and no more than so much later (one record may exceed the bytes).
    pub fn new(most_records: usize, most_bytes: usize) -> Self {
        Self {
            most_records,
            most_bytes,
            lanes: Vec::new(),
            records: 0,
            bytes: 0,
            held: 0,
        }
    }

    /// Forgets everything; from here on there are so many partitions.
    pub fn reset(&mut self, partitions: usize) {
        *self = Self::new(self.most_records, self.most_bytes);
        self.lanes.resize_with(partitions, Lane::default);
    }

    /// Whether a further record of this partition can be taken.
    pub fn has_room(&self, partition: usize) -> bool {
        let Some(lane) = self.lanes.get(partition).filter(|lane| !lane.is_held) else {
            return false;
        };
        let share = |of: usize| (of / self.lanes.len()).max(1);
        let is_within_share = self.held == 0
            || (lane.queue.len() < share(self.most_records) && lane.bytes < share(self.most_bytes));
        !self.is_full() && is_within_share
    }

    /// Whether there is a whole batch of what is not held.
    pub fn is_full(&self) -> bool {
        self.records >= self.most_records || self.bytes >= self.most_bytes
    }

    /// Takes a record behind those of its partition.
    pub fn push(&mut self, partition: usize, record: Incoming) {
        let lane = &mut self.lanes[partition];
        let size = record.size();
        lane.bytes += size;
        lane.queue.push_back(record);
        if !lane.is_held {
            self.records += 1;
            self.bytes += size;
        }
    }

    /// The next record of a partition, held or not.
    pub fn next(&self, partition: usize) -> Option<&Incoming> {
        self.lanes.get(partition)?.queue.front()
    }

    /// What is waiting of a partition, in its order.
    pub fn waiting(&self, partition: usize) -> impl Iterator<Item = &Incoming> {
        self.lanes
            .get(partition)
            .into_iter()
            .flat_map(|lane| &lane.queue)
    }

    /// Gives the next record of a partition out, unless it is held.
    pub fn take(&mut self, partition: usize) -> Option<Incoming> {
        let lane = self.lanes.get_mut(partition).filter(|lane| !lane.is_held)?;
        let record = lane.queue.pop_front()?;
        let size = record.size();
        lane.bytes = lane.bytes.saturating_sub(size);
        self.records = self.records.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(size);
        Some(record)
    }

    /// Holds a partition, or lets it go on.
    pub fn hold(&mut self, partition: usize, holds: bool) {
        let Some(lane) = self.lanes.get_mut(partition) else {
            return;
        };
        match (lane.is_held, holds) {
            (false, true) => {
                self.held += 1;
                self.records = self.records.saturating_sub(lane.queue.len());
                self.bytes = self.bytes.saturating_sub(lane.bytes);
            }
            (true, false) => {
                self.held -= 1;
                self.records += lane.queue.len();
                self.bytes += lane.bytes;
            }
            (false, false) | (true, true) => {}
        }
        lane.is_held = holds;
    }

    /// The partitions that are held.
    pub fn held(&self) -> impl Iterator<Item = usize> {
        let lanes = self.lanes.iter().enumerate();
        lanes
            .filter(|(_, lane)| lane.is_held)
            .map(|(index, _)| index)
    }

    /// How many partitions are held.
    pub fn held_count(&self) -> usize {
        self.held
    }

    /// Whether nothing can be given out.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::record::Headers;

    fn record(offset: i64, bytes: usize) -> Incoming {
        Incoming {
            at: format!("events/0/{offset}").parse().unwrap(),
            timestamp: None,
            key: None,
            value: Some(Bytes::from(vec![0; bytes])),
            headers: Headers::new(),
        }
    }

    #[test]
    fn a_held_partition_keeps_its_order_and_the_others_go_on() {
        let mut intake = Intake::new(4, 1_000);
        intake.reset(2);
        for offset in 0..4 {
            assert!(intake.has_room(0));
            intake.push(0, record(offset, 1));
        }
        assert!(
            !intake.has_room(0) && !intake.has_room(1),
            "a batch is full"
        );
        intake.hold(0, true);
        assert!(intake.take(0).is_none() && intake.is_empty());
        assert!(!intake.has_room(0) && intake.has_room(1));
        intake.push(1, record(9, 1));
        intake.push(1, record(10, 1));
        assert!(!intake.has_room(1), "its share of a batch");
        assert_eq!(intake.take(1).unwrap().at.offset, 9);
        assert_eq!(intake.next(0).unwrap().at.offset, 0);
        intake.hold(0, false);
        let given: Vec<_> = std::iter::from_fn(|| intake.take(0)).collect();
        let offsets: Vec<_> = given.iter().map(|record| record.at.offset).collect();
        assert_eq!(offsets, [0, 1, 2, 3]);
        assert!(!intake.is_empty() && intake.has_room(0));
    }

    proptest! {
        /// Whatever is held when, nothing is lost or doubled, and memory stays bounded.
        #[test]
        fn three_batches_are_the_most(steps in prop::collection::vec((0..4_usize, 0..4_u8), 1..400)) {
            const RECORDS: usize = 8;
            const BYTES: usize = 80;
            let mut intake = Intake::new(RECORDS, BYTES);
            intake.reset(4);
            let (mut read, mut given) = ([0_i64; 4], [0_i64; 4]);
            for (partition, step) in steps {
                match step {
                    0 | 1 if intake.has_room(partition) => {
                        intake.push(partition, record(read[partition], 10));
                        read[partition] += 1;
                    }
                    2 => {
                        let is_held = intake.held().any(|held| held == partition);
                        intake.hold(partition, !is_held);
                    }
                    _ => if let Some(record) = intake.take(partition) {
                        prop_assert_eq!(record.at.offset, given[partition]);
                        given[partition] += 1;
                    }
                }
                let waiting: i64 = read.iter().sum::<i64>() - given.iter().sum::<i64>();
                prop_assert!(waiting <= 3 * RECORDS as i64, "{}", waiting);
                prop_assert_eq!(intake.held().count(), intake.held_count());
            }
            for (partition, given) in given.iter_mut().enumerate() {
                intake.hold(partition, false);
                while intake.take(partition).is_some() {
                    *given += 1;
                }
            }
            prop_assert_eq!(read, given);
            prop_assert!(intake.is_empty());
        }
    }
}

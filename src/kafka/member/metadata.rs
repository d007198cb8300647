//! What a commit says beside the offset: who wrote it, in which turn, and what is finished above
//! the offset.

use super::next_version;
use crate::clock::Timestamp;
use crate::kafka::record::TopicPartition;
use crate::offset_tracker::{CommitMetadata, FinishedSet, invariants};

/// The signature of one commit: the process and its running number. It tells after a broken
/// connection whether the commit had got through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub writer: u64,
    pub sequence: u64,
    /// Which cluster's log the offsets are of, where that is known.
    pub log: Option<u64>,
}

impl Stamp {
    /// Whether the metadata of a committed offset was written by this very commit.
    pub(super) fn is_on(self, offset: i64, metadata: &str) -> bool {
        invariants::is_written_by(metadata, offset, self.writer, self.sequence)
    }
}

/// What the first start of a group decided, kept with every commit after it (contract:
/// `events.start`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FirstStart {
    /// When the group began.
    pub at: Option<Timestamp>,
    /// How many partitions the topic had then; 0 for a topic that was found later.
    pub partitions: Option<u32>,
}

/// How far a partition is done.
#[derive(Clone, Debug)]
pub struct Progress {
    /// The partition.
    pub at: TopicPartition,
    /// What is terminal: everything below its base, which is the offset to commit, and its runs
    /// above.
    pub finished: FinishedSet,
    /// Kept from the group's first start.
    pub first_start: FirstStart,
}

impl Progress {
    pub(super) fn metadata(&self, stamp: Stamp) -> String {
        CommitMetadata {
            writer: stamp.writer,
            sequence: stamp.sequence,
            started_at: self.first_start.at,
            partitions_at_start: self.first_start.partitions,
            finished: self.finished.clone(),
            log: stamp.log,
            newer: next_version::additions(),
        }
        .encode()
    }
}

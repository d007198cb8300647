//! The offset tracker of a partition: which offsets are finished, and what may be committed. It
//! knows no Kafka: offsets go in, a watermark and a [`FinishedSet`] come out, and after a crash
//! another tracker resumes from them.
//!
//! ```text
//!   finished │ ● outstanding                position          ▒ restored
//!  ──────────●─────●──●───────────●───────────┊──────▒▒▒▒──────▒▒──────▶ offsets
//!            └ watermark: the offset to commit
//! ```
//!
//! Below the position every offset is outstanding or finished, so only the outstanding ones are
//! kept: offsets that were jumped over (markers, aborted, compacted away) finish by themselves.
//! Above the position only what the metadata told at the start is known, and it stays in every
//! further commit until it is read past: else a second crash would do that work again.

mod commit_metadata;
mod finished_set;
pub mod invariants;

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;

pub use commit_metadata::{CommitMetadata, MAX_TEXT_BYTES, MetadataError};
pub use finished_set::{FinishedSet, FinishedSetError, MAX_HOLES};

/// How far the position may run ahead of the watermark, in offsets. With [`MAX_HOLES`] it makes any
/// tracker's set fit into the commit metadata (proof in `commit_metadata.rs`); at 50,000 offsets a
/// second it is 90 minutes ahead of a single slow task, of which a tier can relieve the partition.
pub const MAX_SPAN: i64 = 1 << 28;

/// What a record's offset turned out to be when it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Not seen before: work on it, then [`OffsetTracker::finish`] it.
    New,
    /// Finished before a restart: skip it.
    AlreadyFinished,
}

/// Why a record's offset cannot be taken. Nothing has changed then.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum TakeError {
    /// Records of a partition arrive in order. One that comes late has been counted as never to be
    /// delivered, so the consumer was rewound without a new tracker.
    #[error("offset {offset} came when {expected} or a later one was expected")]
    OutOfOrder {
        /// The offset that came.
        offset: i64,
        /// The lowest that could.
        expected: i64,
    },
    /// [`OffsetTracker::has_room`] was false: the finished set might no longer fit into the metadata.
    #[error("offset {offset} came when there was no room for more unfinished ones")]
    NoRoom {
        /// The offset that came.
        offset: i64,
    },
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OffsetTracker {
    /// Taken and not finished; all are below `position`.
    outstanding: BTreeSet<i64>,
    /// The lowest offset of which nothing is known; never in a restored run.
    position: i64,
    /// Finished runs from the metadata that lie above `position`, and do not touch it.
    restored: VecDeque<Range<i64>>,
    /// The lowest offset that the consumer can still deliver, to tell a record that was finished
    /// before the restart from one out of order.
    next_delivery: i64,
    revision: u64,
}

impl OffsetTracker {
    /// Starts where the committed offset and its metadata say. Without (valid) metadata, from
    /// [`FinishedSet::empty`] of the committed offset.
    pub fn resume(finished: FinishedSet) -> Self {
        let tracker = Self {
            outstanding: BTreeSet::new(),
            position: finished.base(),
            restored: finished.runs().to_vec().into(),
            next_delivery: 0,
            revision: 0,
        };
        debug_assert!(invariants::forgets_none(&finished, &tracker.finished_set()));
        tracker
    }

    /// Takes the next record of the partition. What lies between it and the one before was never
    /// delivered and counts as finished.
    ///
    /// # Errors
    /// [`TakeError`] when it is not above the record before, or when it is new and there is no room;
    /// nothing has changed then.
    pub fn take(&mut self, offset: i64) -> Result<Taken, TakeError> {
        let expected = self.next_delivery;
        if offset < expected {
            return Err(TakeError::OutOfOrder { offset, expected });
        }
        let is_finished = offset < self.position
            || self
                .restored
                .iter()
                .take_while(|run| run.start <= offset)
                .any(|run| offset < run.end);
        if !is_finished && !self.has_room() {
            return Err(TakeError::NoRoom { offset });
        }
        // An offset below the position is not outstanding, or it would not be out of order.
        self.pass(offset);
        self.next_delivery = offset.saturating_add(1);
        if is_finished {
            return Ok(Taken::AlreadyFinished);
        }
        self.outstanding.insert(offset);
        self.advance(offset.saturating_add(1));
        Ok(Taken::New)
    }

    /// Marks an offset as finished: its task is in a terminal state, and what follows from it goes
    /// into the next transaction together with [`Self::finished_set`]. False if it is not
    /// outstanding here (an outcome from an earlier assignment, or a second one).
    pub fn finish(&mut self, offset: i64) -> bool {
        let was_outstanding = self.outstanding.remove(&offset);
        if was_outstanding {
            self.revision += 1;
        }
        was_outstanding
    }

    /// Tells that every record below `offset` which the consumer can deliver has been taken (its
    /// position after the end of the partition), so that the watermark can pass trailing markers.
    pub fn seen_end(&mut self, offset: i64) {
        self.pass(offset);
        self.next_delivery = self.next_delivery.max(offset);
    }

    /// The offset to commit: the lowest that is not known to be finished.
    pub fn watermark(&self) -> i64 {
        self.outstanding.first().copied().unwrap_or(self.position)
    }

    /// The finished offsets above the watermark, for the metadata of the commit.
    pub fn finished_set(&self) -> FinishedSet {
        let base = self.watermark();
        let mut runs = Vec::new();
        let mut end_of_known = base;
        for &offset in self.outstanding.iter().chain([&self.position]) {
            if end_of_known < offset {
                runs.push(end_of_known..offset);
            }
            end_of_known = offset.saturating_add(1);
        }
        runs.extend(self.restored.iter().cloned());
        let finished = FinishedSet::from_tracked_runs(base, runs);
        debug_assert!(invariants::passes_over_none(
            &finished,
            self.outstanding.iter().copied()
        ));
        finished
    }

    /// How many offsets are taken and not finished.
    pub fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// How many offsets lie between the watermark and the position, finished or not.
    pub fn span(&self) -> i64 {
        self.position - self.watermark()
    }

    /// Whether another record may be taken: what keeps the metadata of every commit within its
    /// bounds. Below the last restored run the holes of that set are only taken again, so there can
    /// be no more of them than [`MAX_HOLES`]; past it each new record adds one.
    pub fn has_room(&self) -> bool {
        self.outstanding.len() < MAX_HOLES && self.span() < MAX_SPAN
    }

    /// Goes up with every change of [`Self::watermark`] or [`Self::finished_set`]. Whoever commits
    /// remembers the revision that was sent, and on success that nothing is due until it differs.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Counts all that is not known below `offset` as finished.
    fn pass(&mut self, offset: i64) {
        if offset > self.position {
            self.revision += 1;
            self.advance(offset);
        }
    }

    /// Moves the position up to `offset`, and on past the restored runs that it reaches.
    fn advance(&mut self, offset: i64) {
        self.position = self.position.max(offset);
        while let Some(run) = self.restored.front()
            && run.start <= self.position
        {
            self.position = self.position.max(run.end);
            self.restored.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;

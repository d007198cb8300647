//! A partition of events as the router reads it.

use super::event_form::mapping::Mapping;
use crate::kafka::member::{FirstStart, PartitionReader, Progress, Start};
use crate::kafka::standstill::Seen;
use crate::offset_tracker::FinishedSet;

/// See the module.
pub struct Input {
    /// Where its records come from.
    pub reader: PartitionReader,
    /// Of its topic.
    pub mapping: Option<Mapping>,
    first_start: FirstStart,
    /// What is matched so far.
    pub position: i64,
    /// What the last transaction says; none: nothing, and the partition's start is news.
    sent: Option<i64>,
    /// What is committed.
    committed: i64,
}

impl Input {
    /// From where its partition starts.
    pub fn new(reader: PartitionReader, start: &Start, mapping: Option<Mapping>) -> Self {
        // A first start is committed at once: what comes after it must not be skipped by a crash
        // before the first commit.
        let is_news = !start.committed || start.out_of_range.is_some();
        let position = start.finished.base();
        Self {
            reader,
            mapping,
            first_start: start.first_start,
            position,
            sent: (!is_news).then_some(position),
            committed: position,
        }
    }

    /// What the next transaction says of it, if that is anything new.
    pub fn progress(&mut self) -> Option<Progress> {
        if self.sent == Some(self.position) {
            return None;
        }
        self.sent = Some(self.position);
        Some(Progress {
            at: self.reader.at.clone(),
            finished: FinishedSet::empty(self.position),
            first_start: self.first_start,
        })
    }

    /// The transaction that carried [`Self::progress`] is committed.
    pub fn committed(&mut self) {
        self.committed = self.sent.unwrap_or(self.committed);
    }

    /// How it stands; `has_records`: some of it wait to be matched.
    pub fn seen(&self, has_records: bool) -> Seen {
        Seen {
            at: self.reader.at.clone(),
            offset: self.committed,
            has_work: has_records || self.position != self.committed,
        }
    }
}

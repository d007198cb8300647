//! One assigned partition as the dispatcher reads it: its queue, its offset tracker and, on a tier,
//! the record that is not due yet.
//!
//! A delay needs neither pause nor seek: a tier's queue is simply not polled while its head is not
//! due. Records behind the head were appended later, so none of them can be due before it.

use std::time::{Duration, Instant};

use crate::clock::Timestamp;
use crate::kafka::member::{FirstStart, PartitionReader, Progress, ReadError, Start};
use crate::kafka::record::{Incoming, TopicPartition};
use crate::kafka::standstill::Seen;
use crate::offset_tracker::{OffsetTracker, TakeError, Taken};
use crate::retry::released_at;

/// See the module.
pub struct Lane {
    reader: PartitionReader,
    tracker: OffsetTracker,
    first_start: FirstStart,
    /// How long records lie here; none on tier 0.
    delay: Option<Duration>,
    most_outstanding: usize,
    head: Option<Incoming>,
    /// The tracker's revision in the last transaction that was committed.
    committed: u64,
    /// And in the one under way.
    sent: u64,
    /// The watermark in the last transaction that was committed, and in the one under way.
    committed_watermark: i64,
    sent_watermark: i64,
    /// Since when its position is known not to be on the log: nothing more comes.
    astray: Option<Instant>,
}

/// What a lane has to give.
#[derive(Debug)]
pub enum Next {
    /// A record, now outstanding.
    Record(Incoming),
    /// Nothing yet: the head is not due, see [`Lane::held_until`].
    NotBefore,
    /// Nothing for now; the reader wakes the loop.
    Empty,
    /// The bound of unfinished offsets is reached.
    Full,
}

impl Lane {
    /// A lane from where its partition starts.
    pub fn new(
        reader: PartitionReader,
        start: Start,
        delay: Option<Duration>,
        most_outstanding: usize,
    ) -> Self {
        let tracker = OffsetTracker::resume(start.finished);
        let (revision, watermark) = (tracker.revision(), tracker.watermark());
        Self {
            reader,
            tracker,
            first_start: start.first_start,
            delay,
            most_outstanding,
            head: None,
            // A start that differs from what is committed is worth a commit of its own.
            committed: if start.out_of_range.is_some() {
                revision.wrapping_sub(1)
            } else {
                revision
            },
            sent: revision,
            committed_watermark: watermark,
            sent_watermark: watermark,
            astray: None,
        }
    }

    /// Which partition.
    pub fn at(&self) -> &TopicPartition {
        &self.reader.at
    }

    /// How long records lie here; none on tier 0.
    pub fn delay(&self) -> Option<Duration> {
        self.delay
    }

    /// Whether a call of [`Self::next`] can bring something that the last one did not.
    pub fn is_worth_a_look(&self) -> bool {
        self.head.is_some() || self.reader.may_have_records()
    }

    /// Makes a lost wake-up harmless.
    pub fn look_again(&self) {
        self.reader.look_again();
    }

    /// When the record that is held may be taken.
    pub fn held_until(&self) -> Option<Timestamp> {
        self.head.as_ref().map(|head| self.released(head))
    }

    /// How many offsets are taken and not finished.
    pub fn outstanding(&self) -> usize {
        self.tracker.outstanding()
    }

    /// How many more unfinished offsets it may have.
    pub fn room(&self) -> usize {
        let outstanding = self.tracker.outstanding();
        self.most_outstanding.saturating_sub(outstanding)
    }

    /// Whether the bound of unfinished offsets is reached.
    pub fn is_full(&self) -> bool {
        !self.tracker.has_room() || self.tracker.outstanding() >= self.most_outstanding
    }

    /// Whether a record could be taken at once.
    pub fn has_something_now(&self) -> bool {
        self.head.is_none() && self.reader.may_have_records() && !self.is_full()
    }

    /// The next record that is due and not finished already.
    pub fn next(&mut self, now: Timestamp) -> Next {
        loop {
            if self.is_full() {
                return Next::Full;
            }
            let record = match self.head.take() {
                Some(record) => record,
                None => match self.reader.next() {
                    None => return Next::Empty,
                    Some(Ok(record)) => record,
                    Some(Err(ReadError::OutOfRange)) => {
                        self.astray.get_or_insert_with(Instant::now);
                        return Next::Empty;
                    }
                    Some(Err(ReadError::Other(error))) => {
                        tracing::warn!(%error, topic = &*self.at().topic, partition = self.at().partition, "partition cannot be read");
                        continue;
                    }
                },
            };
            let released = self.released(&record);
            if released > now {
                self.head = Some(record);
                return Next::NotBefore;
            }
            match self.tracker.take(record.at.offset) {
                Ok(Taken::New) => return Next::Record(record),
                Ok(Taken::AlreadyFinished) => {}
                Err(TakeError::NoRoom { .. }) => {
                    self.head = Some(record);
                    return Next::Full;
                }
                Err(error @ TakeError::OutOfOrder { .. }) => {
                    tracing::error!(%error, at = %record.at, "a record came twice, the second is dropped");
                }
            }
        }
    }

    fn released(&self, record: &Incoming) -> Timestamp {
        match (self.delay, record.timestamp) {
            (Some(delay), Some(appended)) => released_at(appended, delay),
            (Some(_), None) | (None, _) => Timestamp::from_millis(i64::MIN),
        }
    }

    /// Marks an offset as finished. False: it is not outstanding in this assignment.
    pub fn finish(&mut self, offset: i64) -> bool {
        self.tracker.finish(offset)
    }

    /// What the next transaction says of this partition, if that is anything new.
    pub fn progress(&mut self) -> Option<Progress> {
        let revision = self.tracker.revision();
        if revision == self.committed {
            return None;
        }
        self.sent = revision;
        self.sent_watermark = self.tracker.watermark();
        Some(self.standstill())
    }

    /// What is finished here, be it news or not.
    pub fn standstill(&self) -> Progress {
        Progress {
            at: self.at().clone(),
            finished: self.tracker.finished_set(),
            first_start: self.first_start,
        }
    }

    /// The transaction that carried [`Self::progress`] is committed.
    pub fn committed(&mut self) {
        self.committed = self.sent;
        self.committed_watermark = self.sent_watermark;
    }

    /// How it stands. There is something to move for while a record is due that is not taken, while one
    /// that was taken is not finished, and while what is finished is not committed; not for what waits
    /// for its time.
    pub fn seen(&self, now: Timestamp) -> Seen {
        let has_due = self.held_until().is_some_and(|due| due <= now);
        Seen {
            at: self.at().clone(),
            offset: self.committed_watermark,
            has_work: has_due
                || self.tracker.outstanding() > 0
                || self.tracker.revision() != self.committed,
        }
    }

    /// Whether it must begin anew: its position is not on the log, and what was taken of it is finished,
    /// or has been given `patience` to be. What is in memory need not be lost with what retention removed.
    pub fn must_begin_anew(&self, patience: Duration) -> bool {
        self.astray
            .is_some_and(|since| self.outstanding() == 0 || since.elapsed() >= patience)
    }

    /// The lowest offset that is not finished.
    pub fn watermark(&self) -> i64 {
        self.tracker.watermark()
    }
}

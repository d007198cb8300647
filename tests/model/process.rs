//! A process as the protocol sees it. What is pure in it is the dispatcher's own: the offset tracker, the commit
//! metadata, the adoptions.

use std::collections::{BTreeMap, BTreeSet};

use hooktide::dispatcher::adoptions::{Adoption, Adoptions};
use hooktide::offset_tracker::{CommitMetadata, FinishedSet, OffsetTracker, Taken};
use hooktide::record::Coordinates;

use crate::broker::Changes;
use crate::flaw::Flaw;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    /// Its random number.
    pub writer: u64,
    sequence: u64,
    /// Its producer is of no more use.
    pub is_fenced: bool,
    /// Requests may start.
    pub has_lease: bool,
    pub assignment: Option<Assignment>,
    /// Requests that are out, by their numbers: for which record, and whether their outcome is its to conclude.
    pub wire: BTreeMap<u64, (i64, bool)>,
    adoptions: Adoptions<()>,
    launched: u64,
    pub transaction: Option<Transaction>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Assignment {
    /// Of the group, captured first thing.
    pub generation: u8,
    /// None until the committed offset is known.
    pub work: Option<Work>,
    /// Nothing is taken in any more.
    pub is_handing_back: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Work {
    pub tracker: OffsetTracker,
    /// The next record that the consumer delivers.
    pub next: i64,
    /// Taken, and not sent yet.
    pub waiting: BTreeSet<i64>,
    /// Finished since the last transaction was made.
    outcomes: Vec<i64>,
    committed: u64,
    sent: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Transaction {
    pub generation: u8,
    pub changes: Changes,
    sequence: u64,
    pub state: Sent,
    /// Its epoch is over.
    pub is_abandoned: bool,
}

/// How far a transaction is, as its producer knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Sent {
    /// Not at all, or aborted.
    Not,
    /// All but the commit.
    Staged,
    /// Nobody knows: the commit was not answered.
    Unknown,
}

fn at(offset: i64) -> Coordinates {
    Coordinates {
        topic: "deliveries".into(),
        partition: 0,
        offset,
    }
}

impl Process {
    pub(crate) fn new(writer: u64) -> Self {
        Self {
            writer,
            sequence: 0,
            is_fenced: false,
            has_lease: false,
            assignment: None,
            wire: BTreeMap::new(),
            adoptions: Adoptions::default(),
            launched: 0,
            transaction: None,
        }
    }

    pub(crate) fn work(&self) -> Option<&Work> {
        self.assignment.as_ref()?.work.as_ref()
    }

    fn work_mut(&mut self) -> Option<&mut Work> {
        self.assignment.as_mut()?.work.as_mut()
    }

    /// The committed offset is read, and the partition begun there.
    pub(crate) fn begin(&mut self, finished: FinishedSet) {
        self.adoptions
            .retain(|at| hooktide::offset_tracker::invariants::may_be_sent(at.offset, &finished));
        let next = finished.base();
        let tracker = OffsetTracker::resume(finished);
        if let Some(assignment) = &mut self.assignment {
            assignment.work = Some(Work {
                committed: tracker.revision(),
                sent: tracker.revision(),
                tracker,
                next,
                waiting: BTreeSet::new(),
                outcomes: Vec::new(),
            });
        }
    }

    /// The consumer delivers the next record.
    pub(crate) fn take(&mut self) {
        let Some(work) = self.work_mut() else { return };
        let offset = work.next;
        work.next += 1;
        if work.tracker.take(offset) != Ok(Taken::New) {
            return;
        }
        match self.adoptions.adopt(&at(offset)) {
            Some(Adoption::OnTheWire(number)) if self.wire.contains_key(&number) => {
                self.wire.insert(number, (offset, true));
            }
            Some(Adoption::Ended(())) => self.conclude(offset, None),
            Some(Adoption::OnTheWire(_)) | None => {
                if let Some(work) = self.work_mut() {
                    work.waiting.insert(offset);
                }
            }
        }
    }

    pub(crate) fn launch(&mut self, offset: i64) {
        if let Some(work) = self.work_mut() {
            work.waiting.remove(&offset);
        }
        self.launched += 1;
        self.wire.insert(self.launched, (offset, true));
    }

    pub(crate) fn answered(&mut self, number: u64, flaw: Option<Flaw>) {
        match self.wire.remove(&number) {
            Some((offset, true)) => self.conclude(offset, flaw),
            Some((offset, false)) if flaw == Some(Flaw::LateResultAfterRevoke) => {
                self.conclude(offset, flaw);
            }
            Some((offset, false)) => self.adoptions.ended(&at(offset), number, ()),
            None => {}
        }
    }

    fn conclude(&mut self, offset: i64, flaw: Option<Flaw>) {
        let Some(work) = self.work_mut() else { return };
        if work.tracker.finish(offset) || flaw == Some(Flaw::LateResultAfterRevoke) {
            work.outcomes.push(offset);
        }
    }

    pub(crate) fn has_news(&self) -> bool {
        self.transaction.is_none()
            && self.work().is_some_and(|work| {
                work.tracker.revision() != work.committed || !work.outcomes.is_empty()
            })
    }

    /// All that is finished, as one transaction.
    pub(crate) fn make_transaction(&mut self, flaw: Option<Flaw>) {
        self.sequence += 1;
        let (writer, sequence) = (self.writer, self.sequence);
        let Some(assignment) = &mut self.assignment else {
            return;
        };
        let Some(work) = &mut assignment.work else {
            return;
        };
        let finished = match flaw {
            Some(Flaw::NoFinishedSet) => FinishedSet::empty(work.tracker.watermark()),
            Some(Flaw::HighestSeenOnClose) if assignment.is_handing_back => {
                FinishedSet::empty(work.next)
            }
            _ => work.tracker.finished_set(),
        };
        work.sent = work.tracker.revision();
        self.transaction = Some(Transaction {
            generation: assignment.generation,
            changes: Changes {
                outputs: std::mem::take(&mut work.outcomes),
                offset: finished.base(),
                metadata: CommitMetadata {
                    writer,
                    sequence,
                    started_at: None,
                    partitions_at_start: None,
                    finished,
                    log: None,
                    newer: Vec::new(),
                }
                .encode(),
            },
            sequence,
            state: Sent::Not,
            is_abandoned: false,
        });
    }

    /// Whether the committed offset carries the stamp of the transaction that nobody answered for.
    pub(crate) fn got_through(&self, (offset, metadata): (i64, &str)) -> bool {
        self.transaction.as_ref().is_some_and(|transaction| {
            hooktide::offset_tracker::invariants::is_written_by(
                metadata,
                offset,
                self.writer,
                transaction.sequence,
            )
        })
    }

    /// The transaction under way is committed.
    pub(crate) fn committed(&mut self) {
        let Some(transaction) = self.transaction.take() else {
            return;
        };
        if let Some(work) = self.work_mut().filter(|_| !transaction.is_abandoned) {
            work.committed = work.sent;
        }
    }

    /// The transaction under way is aborted: tried again, unless its epoch is over.
    pub(crate) fn aborted(&mut self) {
        match &mut self.transaction {
            Some(transaction) if !transaction.is_abandoned => transaction.state = Sent::Not,
            _ => self.transaction = None,
        }
    }

    /// The epoch is over: what is out waits to be adopted, the transaction under way is given up.
    pub(crate) fn leave(&mut self, flaw: Option<Flaw>) {
        self.assignment = None;
        self.has_lease = false;
        for (number, (offset, is_ours)) in &mut self.wire {
            if std::mem::take(is_ours) {
                self.adoptions.leave(at(*offset), *number);
            }
        }
        match &mut self.transaction {
            Some(transaction) if transaction.state != Sent::Not => transaction.is_abandoned = true,
            _ if flaw == Some(Flaw::SpansEpochs) => {}
            _ => self.transaction = None,
        }
    }

    pub(crate) fn can_take(&self, end: i64) -> bool {
        let assignment = self.assignment.as_ref();
        assignment.is_some_and(|assignment| !assignment.is_handing_back)
            && self.work().is_some_and(|work| work.next < end)
    }
}

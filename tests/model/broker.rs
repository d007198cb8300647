//! What the broker does of the protocol: one partition's committed offset, the group's generation, and for each
//! transactional id at most one transaction.

use hooktide::offset_tracker::{CommitMetadata, FinishedSet};

/// Two members, each with its transactional id.
pub(crate) const MEMBERS: usize = 2;
/// The most records of the partition.
pub(crate) const RECORDS: usize = 3;

/// What one transaction makes durable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Changes {
    /// Of which records something follows: an attempt, a retry, a dead letter.
    pub outputs: Vec<i64>,
    /// The offset to commit.
    pub offset: i64,
    /// The text beside it.
    pub metadata: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Broker {
    committed: Option<(i64, String)>,
    /// Goes up whenever the group's members change.
    pub generation: u8,
    pub owner: Option<usize>,
    pending: [Option<Changes>; MEMBERS],
    /// How often something that follows from a record was committed.
    pub outputs: [u8; RECORDS],
}

impl Broker {
    /// The partition is this member's from now on.
    pub(crate) fn assign(&mut self, member: usize) {
        self.owner = Some(member);
        self.generation += 1;
    }

    /// The partition is nobody's: given back, or taken from one that was not heard of.
    pub(crate) fn take_back(&mut self) {
        self.owner = None;
        self.generation += 1;
    }

    pub(crate) fn is_pending(&self, member: usize) -> bool {
        self.pending[member].is_some()
    }

    /// Whether committed offsets may be read: none is about to change.
    pub(crate) fn is_stable(&self) -> bool {
        self.pending.iter().all(Option::is_none)
    }

    /// The committed offset with its metadata; before the first commit, 0 and none.
    pub(crate) fn committed(&self) -> (i64, &str) {
        let committed = self.committed.as_ref();
        committed.map_or((0, ""), |(offset, metadata)| (*offset, metadata))
    }

    /// What is finished, as everybody reads it.
    pub(crate) fn finished(&self) -> FinishedSet {
        let (offset, metadata) = self.committed();
        CommitMetadata::decode(metadata, offset, Some(RECORDS as i64))
            .map_or_else(|_| FinishedSet::empty(offset), |found| found.finished)
    }

    /// Records are produced and offsets sent: the group's coordinator takes them of a member of this generation only.
    pub(crate) fn stage(&mut self, member: usize, generation: u8, changes: &Changes) -> bool {
        let is_member = self.owner == Some(member) && self.generation == generation;
        if is_member {
            self.pending[member] = Some(changes.clone());
        }
        is_member
    }

    /// Ends a transaction: nobody asks any more whether its producer is a member still.
    pub(crate) fn commit(&mut self, member: usize) {
        if let Some(changes) = self.pending[member].take() {
            for record in &changes.outputs {
                self.outputs[usize::try_from(*record).expect("an offset")] += 1;
            }
            self.committed = Some((changes.offset, changes.metadata));
        }
    }

    /// By its producer, by that one's successor, or because it took too long.
    pub(crate) fn abort(&mut self, member: usize) {
        self.pending[member] = None;
    }
}

//! The protocol broken on purpose, one rule at a time: each way must be found out.

/// What is done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Commits the offset alone.
    NoFinishedSet,
    /// On the way out commits the highest offset seen, finished or not.
    HighestSeenOnClose,
    /// Concludes the outcome of a request whose partition has gone, as if it were still there.
    LateResultAfterRevoke,
    /// Does not wait until no transaction is pending on the committed offset.
    UnstableStart,
    /// Keeps a transaction of an epoch that is over, and commits it as a member of the next.
    SpansEpochs,
    /// Starts requests without a lease.
    NoLease,
    /// Takes a commit that nobody answered for as failed.
    UnknownIsFailed,
    /// Takes a commit that nobody answered for as done.
    UnknownIsDone,
}

pub(crate) const ALL: [Flaw; 8] = [
    Flaw::NoFinishedSet,
    Flaw::HighestSeenOnClose,
    Flaw::LateResultAfterRevoke,
    Flaw::UnstableStart,
    Flaw::SpansEpochs,
    Flaw::NoLease,
    Flaw::UnknownIsFailed,
    Flaw::UnknownIsDone,
];

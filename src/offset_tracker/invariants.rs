//! What the commit protocol keeps (ARCHITECTURE.md, Invariants 1 to 3), each said once: the code asserts it, tests check it,
//! and the model of the protocol (`tests/model`) holds every state that it can reach against it.

use super::{CommitMetadata, FinishedSet};

/// Nothing is lost: what is said to be finished passes over nothing that is not.
pub fn passes_over_none(finished: &FinishedSet, unfinished: impl IntoIterator<Item = i64>) -> bool {
    unfinished
        .into_iter()
        .all(|offset| !finished.contains(offset))
}

/// Nothing is forgotten: what was finished stays so.
pub fn forgets_none(before: &FinishedSet, after: &FinishedSet) -> bool {
    let is_whole = |from: i64, to: i64| {
        let run = after.runs().iter().find(|run| run.contains(&from));
        to <= after.base() || run.is_some_and(|run| to <= run.end)
    };
    // A run may begin below the later base and end above it only if nothing unfinished is between.
    before.base() <= after.base()
        && before.runs().iter().all(|run| {
            let from = run.start.max(after.base());
            run.end <= from || is_whole(from, run.end)
        })
}

/// No start but at the committed offset.
pub fn begins_where_committed(position: i64, committed: &FinishedSet) -> bool {
    position == committed.base()
}

/// No transaction spans epochs.
pub fn is_of_its_epoch<E: PartialEq>(transaction: E, current: E) -> bool {
    transaction == current
}

/// Little is doubled: a request for a record starts only while it is not known to be finished,
pub fn may_be_sent(offset: i64, finished: &FinishedSet) -> bool {
    !finished.contains(offset)
}

/// and no other request for it is out that this process would conclude.
pub fn is_sent_once<R: PartialEq>(record: R, out: impl IntoIterator<Item = R>) -> bool {
    out.into_iter().all(|other| other != record)
}

/// Whether the metadata beside a committed offset was written by this commit of this writer: what tells the fate of a
/// commit that nobody answered for.
pub fn is_written_by(metadata: &str, committed: i64, writer: u64, sequence: u64) -> bool {
    CommitMetadata::decode(metadata, committed, None)
        .is_ok_and(|found| found.writer == writer && found.sequence == sequence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tell_good_from_bad() {
        let set = |base, runs: &[std::ops::Range<i64>]| {
            FinishedSet::from_runs(base, runs.iter().cloned()).unwrap()
        };
        let before = set(5, &[6..8, 9..10]);
        assert!(passes_over_none(&before, [5, 8, 10]) && !passes_over_none(&before, [4]));
        assert!(!passes_over_none(&before, [5, 7]));
        for after in [
            set(5, &[6..8, 9..10]),
            set(8, std::slice::from_ref(&(9..12))),
            set(10, &[]),
            set(7, std::slice::from_ref(&(8..11))),
        ] {
            let forgets = !after.contains(6) || !after.contains(7) || !after.contains(9);
            assert_eq!(forgets_none(&before, &after), !forgets, "{after:?}");
        }
        for after in [
            set(5, &[]),
            set(4, std::slice::from_ref(&(5..10))),
            set(8, &[]),
            set(5, &[6..7, 9..10]),
        ] {
            assert!(!forgets_none(&before, &after), "{after:?}");
        }
        assert!(may_be_sent(5, &before) && !may_be_sent(6, &before) && !may_be_sent(4, &before));
        assert!(is_sent_once(5, [4, 6]) && !is_sent_once(5, [4, 5]));
        assert!(begins_where_committed(5, &before) && !begins_where_committed(6, &before));
        assert!(is_of_its_epoch(1, 1) && !is_of_its_epoch(1, 2));
        let text = CommitMetadata {
            writer: 1,
            sequence: 2,
            started_at: None,
            partitions_at_start: None,
            finished: before,
            log: None,
            newer: Vec::new(),
        }
        .encode();
        assert!(is_written_by(&text, 5, 1, 2) && !is_written_by(&text, 5, 1, 3));
        assert!(!is_written_by(&text, 5, 2, 2) && !is_written_by(&text, 6, 1, 2));
    }
}

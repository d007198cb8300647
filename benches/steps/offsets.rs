//! What is finished of a partition, in memory and beside a committed offset.

use gungraun::library_benchmark;
use hooktide::offset_tracker::{
    CommitMetadata, FinishedSet, MAX_HOLES, MetadataError, OffsetTracker,
};

use crate::scene::{NOW, kept};

const BASE: i64 = 1_000_000;
/// As many as may be unfinished.
const OFFSETS: i64 = MAX_HOLES as i64;

/// As many taken as there is room for.
fn full() -> OffsetTracker {
    let mut tracker = OffsetTracker::resume(FinishedSet::empty(BASE));
    for offset in BASE..BASE + OFFSETS {
        assert!(tracker.take(offset).is_ok());
    }
    assert!(!tracker.has_room());
    tracker
}

/// Every second one finished.
fn half_finished() -> OffsetTracker {
    let mut tracker = full();
    for offset in (BASE + 1..BASE + OFFSETS).step_by(2) {
        assert!(tracker.finish(offset));
    }
    tracker
}

#[library_benchmark]
#[bench::seven_hundred(OffsetTracker::resume(FinishedSet::empty(BASE)))]
pub fn taking_offsets(mut tracker: OffsetTracker) -> OffsetTracker {
    for offset in BASE..BASE + OFFSETS {
        drop(tracker.take(offset));
    }
    tracker
}

// In an order in which most leave a hole behind, asking each time what could be committed.
#[library_benchmark]
#[bench::seven_hundred_out_of_order(full())]
pub fn finishing_offsets(mut tracker: OffsetTracker) -> (OffsetTracker, i64) {
    // Coprime to 700: each comes once.
    const STRIDE: i64 = 293;
    let mut committed = BASE;
    for step in 0..OFFSETS {
        tracker.finish(BASE + step * STRIDE % OFFSETS);
        committed = committed.max(tracker.watermark());
    }
    (tracker, committed)
}

#[library_benchmark]
#[bench::with_350_runs(kept(half_finished()))]
pub fn finished_set(tracker: &'static OffsetTracker) -> FinishedSet {
    tracker.finished_set()
}

fn metadata() -> CommitMetadata {
    CommitMetadata {
        writer: 0x9e37_79b9_7f4a_7c15,
        sequence: 12_345,
        started_at: Some(NOW),
        partitions_at_start: Some(12),
        finished: half_finished().finished_set(),
        log: Some(0x6a09_e667_f3bc_c908),
        newer: Vec::new(),
    }
}

fn metadata_text() -> &'static str {
    let text = metadata().encode();
    assert_eq!(CommitMetadata::decode(&text, BASE, None), Ok(metadata()));
    kept(text)
}

#[library_benchmark]
#[bench::with_350_runs(kept(metadata()))]
pub fn writing_metadata(metadata: &'static CommitMetadata) -> String {
    metadata.encode()
}

#[library_benchmark]
#[bench::with_350_runs(metadata_text())]
pub fn reading_metadata(text: &'static str) -> Result<CommitMetadata, MetadataError> {
    CommitMetadata::decode(text, BASE, None)
}

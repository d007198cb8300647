//! The text beside a committed offset. First byte even: a text, damaged any way (its checksum is put right, or nothing
//! behind it would ever be reached). Odd: what happens to a tracker, whose texts are then read back.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hooktide::clock::Timestamp;
use hooktide::offset_tracker::{
    CommitMetadata, FinishedSet, MAX_HOLES, MAX_TEXT_BYTES, MetadataError, OffsetTracker, Taken,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| match input.split_first() {
    Some((kind, content)) if kind % 2 == 0 => {
        if let Ok(text) = std::str::from_utf8(content) {
            said(text);
        }
        let sum = crc32fast::hash(content).to_be_bytes();
        said(&format!(
            "hooktide:1:{}",
            URL_SAFE_NO_PAD.encode([content, &sum].concat())
        ));
    }
    Some((_, steps)) => tracked(steps),
    None => {}
});

/// Whatever is read is written and read the same, but for last runs and additions that found no room.
fn said(text: &str) {
    let base = match CommitMetadata::decode(text, 0, None) {
        Err(MetadataError::OtherOffset { base, .. }) => base,
        _ => 0,
    };
    let Ok(metadata) = CommitMetadata::decode(text, base, None) else {
        return;
    };
    assert_eq!(metadata.finished.base(), base);
    let written = metadata.encode();
    assert!(written.len() <= MAX_TEXT_BYTES);
    let again = CommitMetadata::decode(&written, base, None).expect("our own");
    assert!(metadata.finished.runs().starts_with(again.finished.runs()));
    let mut rest = metadata.newer.iter();
    assert!(again.newer.iter().all(|one| rest.any(|other| other == one)));
    // The log's, and of each a tag and a length.
    let room: usize = metadata
        .newer
        .iter()
        .map(|(_, value)| 12 + value.len())
        .sum();
    assert!(10 + room > 60 || again.newer == metadata.newer);
    let whole = CommitMetadata {
        finished: metadata.finished.clone(),
        newer: metadata.newer.clone(),
        ..again
    };
    assert_eq!(whole, metadata);
    // A log that ends before what is said to be finished says no to all of it.
    let end = metadata.finished.end();
    let shorter = CommitMetadata::decode(text, base, Some(end - 1));
    assert_eq!(shorter.is_ok(), metadata.finished.is_empty());
}

/// A tracker's set comes back whole, and the next tracker passes over exactly what is finished.
fn tracked(steps: &[u8]) {
    let (header, steps) = steps.split_at(steps.len().min(8));
    let base = header
        .iter()
        .fold(0_i64, |base, byte| base << 7 | i64::from(byte & 0x7f));
    let mut tracker = OffsetTracker::resume(FinishedSet::empty(base));
    let (mut next, mut open) = (base, Vec::new());
    for step in steps.chunks(2) {
        let amount = usize::from(step.get(1).copied().unwrap_or_default());
        match step[0] % 4 {
            0 | 1 if tracker.has_room() => {
                let gap = if step[0] & 0x80 == 0 {
                    amount % 3
                } else {
                    amount << (step[0] >> 4 & 7)
                };
                next += gap as i64;
                let taken = tracker
                    .take(next)
                    .expect("it is above the last, and there is room");
                if taken == Taken::New {
                    open.push(next);
                }
                next += 1;
            }
            2 if !open.is_empty() => {
                let offset = open.swap_remove(amount % open.len());
                assert!(tracker.finish(offset) && !tracker.finish(offset));
            }
            3 if step[0] & 0x40 != 0 => {
                tracker = resumed(&tracker, step[0]);
                (next, open) = (tracker.watermark(), Vec::new());
            }
            _ => {}
        }
        let lowest = open.iter().min();
        assert!(lowest.is_none_or(|lowest| tracker.watermark() == *lowest));
        assert!(
            open.iter()
                .all(|offset| !tracker.finished_set().contains(*offset))
        );
    }
    drop(resumed(&tracker, 0));
}

fn resumed(tracker: &OffsetTracker, number: u8) -> OffsetTracker {
    assert!(tracker.outstanding() <= MAX_HOLES);
    let metadata = CommitMetadata {
        writer: u64::MAX - u64::from(number),
        sequence: u64::MAX,
        started_at: (number & 4 != 0).then(|| Timestamp::from_millis(-1 - i64::from(number))),
        partitions_at_start: (number & 8 != 0).then(|| u32::from(number)),
        finished: tracker.finished_set(),
        log: (number & 16 != 0).then_some(u64::MAX),
        newer: Vec::new(),
    };
    let text = metadata.encode();
    assert!(text.len() <= MAX_TEXT_BYTES && text.is_ascii());
    let read = CommitMetadata::decode(&text, tracker.watermark(), None);
    assert_eq!(read, Ok(metadata));
    let successor = OffsetTracker::resume(tracker.finished_set());
    assert_eq!(successor.finished_set(), tracker.finished_set());
    successor
}

//! The codec: exact text, named errors, bounds, hostile input.

use std::ops::Range;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::offset_tracker::MAX_HOLES;

fn metadata(base: i64, runs: &[Range<i64>]) -> CommitMetadata {
    CommitMetadata {
        writer: u64::MAX,
        sequence: u64::MAX,
        started_at: Some(Timestamp::from_millis(i64::MIN)),
        partitions_at_start: Some(u32::MAX),
        finished: FinishedSet::from_runs(base, runs.iter().cloned()).unwrap(),
        log: Some(u64::MAX),
        newer: vec![(u64::MAX, vec![0xff; 39])],
    }
}

/// The text of this content, with a checksum that is right.
fn sealed(content: &[u8]) -> String {
    let mut body = content.to_vec();
    body.extend(crc32fast::hash(content).to_be_bytes());
    PREFIX.to_owned() + &URL_SAFE_NO_PAD.encode(body)
}

/// Writer 1, sequence 2, no flags, base 5, and these further bytes.
fn sealed_at_5(rest: &[u8]) -> String {
    sealed(&[&[1, 2, 0, 5], rest].concat())
}

#[test]
fn the_text_is_as_documented() {
    let small = CommitMetadata {
        writer: 300,
        sequence: 2,
        started_at: Some(Timestamp::from_millis(-1)),
        partitions_at_start: Some(16),
        finished: FinishedSet::from_runs(5, [6..8, 11..139]).unwrap(),
        log: None,
        newer: Vec::new(),
    };
    let content = [0xac, 2, 2, 3, 1, 16, 5, 2, 1, 2, 3, 0x80, 1];
    assert_eq!(small.encode(), sealed(&content));
    // The checksum, computed elsewhere: python3 -c 'import zlib; print(zlib.crc32(bytes([1,2,0,5,0])))'
    let plain = CommitMetadata {
        writer: 1,
        started_at: None,
        partitions_at_start: None,
        finished: FinishedSet::empty(5),
        ..small
    };
    assert_eq!(plain.encode(), "hooktide:1:AQIABQAsPOJj");
    assert_eq!(CommitMetadata::decode(&plain.encode(), 5, None), Ok(plain));
}

#[test]
fn refuses_by_name() {
    fn check(text: &str, expected: MetadataError) {
        assert_eq!(
            CommitMetadata::decode(text, 5, Some(20)),
            Err(expected),
            "{text}"
        );
    }
    use MetadataError as E;
    check("", E::Absent);
    check("checkpoint 17", E::Foreign);
    check("hooktide", E::Foreign);
    check("hooktide:", E::Foreign);
    check("hooktide:1", E::Foreign);
    check("hooktide:one:AAAA", E::Foreign);
    check("hooktide:99999999999:AAAA", E::Foreign);
    check("Hooktide:1:AAAA", E::Foreign);
    check("hooktide:2:AAAA", E::UnknownVersion(2));
    check("hooktide:0:AAAA", E::UnknownVersion(0));
    check(
        &format!("hooktide:1:{}", "A".repeat(4_086)),
        E::TooLong(4_097),
    );
    for text in [
        "hooktide:1:é",
        "hooktide:1:A+/A",
        "hooktide:1:AAAA=",
        "hooktide:1:A",
        "hooktide:1: AAA",
    ] {
        let error = CommitMetadata::decode(text, 5, None);
        assert!(matches!(error, Err(E::Base64(_))), "{text}: {error:?}");
    }
    check("hooktide:1:", E::Truncated("checksum"));
    check("hooktide:1:AAAA", E::Truncated("checksum"));
    check("hooktide:1:AAAAAAA", E::Checksum);

    check(&sealed(&[]), E::Truncated("writer"));
    check(&sealed(&[0x80]), E::Truncated("writer"));
    check(&sealed(&[1, 2, 3]), E::Truncated("started_at"));
    check(&sealed(&[1, 2, 0]), E::Truncated("base"));
    check(&sealed_at_5(&[]), E::Truncated("run count"));
    check(&sealed_at_5(&[1]), E::Truncated("gap"));
    check(&sealed_at_5(&[1, 1]), E::Truncated("length"));
    check(&sealed(&[1, 2, 4]), E::UnknownFlags(4));
    check(&sealed_at_5(&[1, 1, 1, 0]), E::Truncated("addition"));
    check(&sealed_at_5(&[0, 7, 7]), E::Truncated("addition"));
    check(&sealed_at_5(&[0, 1, 2, 7, 7]), E::Addition(1));
    let log = [1, 8, 0, 0, 0, 0, 0, 0, 0, 9];
    let twice = [&[0], &log[..], &log].concat();
    check(&sealed_at_5(&twice), E::Addition(1));

    let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    let most_i64 = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    check(
        &sealed(&[&most[..9], &[2]].concat()),
        E::OutOfRange("writer"),
    );
    check(&sealed(&[0x80; 1_000]), E::OutOfRange("writer"));
    check(
        &sealed(&[&[1, 2, 2], &most[..]].concat()),
        E::OutOfRange("partitions_at_start"),
    );
    check(
        &sealed(&[&[1, 2, 0], &most[..]].concat()),
        E::OutOfRange("base"),
    );
    check(&sealed_at_5(&most), E::Truncated("gap"));
    check(
        &sealed_at_5(&[&[1], &most[..]].concat()),
        E::OutOfRange("gap"),
    );
    check(
        &sealed_at_5(&[&[1], &most_i64[..]].concat()),
        E::OutOfRange("gap"),
    );
    check(
        &sealed_at_5(&[&[1, 1], &most_i64[..]].concat()),
        E::OutOfRange("length"),
    );

    check(
        &sealed_at_5(&[1, 0, 1]),
        E::FinishedSet(FinishedSetError::NoGap { start: 5, after: 5 }),
    );
    check(
        &sealed_at_5(&[1, 1, 0]),
        E::FinishedSet(FinishedSetError::EmptyRun { start: 6 }),
    );
    let base_6 = sealed(&[1, 2, 0, 6, 0]);
    check(
        &base_6,
        E::OtherOffset {
            base: 6,
            committed: 5,
        },
    );
    check(
        &sealed_at_5(&[1, 1, 15]),
        E::BeyondLogEnd {
            end: 21,
            log_end: 20,
        },
    );
    assert!(CommitMetadata::decode(&sealed_at_5(&[1, 1, 14]), 5, Some(20)).is_ok());
    // A committed offset beyond the log's end is not the metadata's fault.
    assert!(CommitMetadata::decode(&sealed_at_5(&[0]), 5, Some(4)).is_ok());
}

#[test]
fn what_a_newer_version_has_added_is_read_over() {
    let log = [1, 8, 0, 0, 0, 0, 0, 0, 1, 2];
    let content = [&[1, 1, 2, 7, 3, 8, 8, 8], &log[..], &[0x80, 8, 0]].concat();
    let decoded = CommitMetadata::decode(&sealed_at_5(&content), 5, Some(20)).unwrap();
    let run = 6..8;
    assert_eq!(decoded.finished.runs(), std::slice::from_ref(&run));
    assert_eq!(decoded.log, Some(258));
    assert_eq!(decoded.newer, [(7, vec![8; 3]), (1_024, vec![])]);
    // As many as there is room for.
    let mut crowded = decoded;
    crowded.newer = vec![(7, vec![0; 40]), (8, vec![0; 40]), (9, vec![0; 4])];
    let read = CommitMetadata::decode(&crowded.encode(), 5, Some(20)).unwrap();
    assert_eq!(read.newer, [(7, vec![0; 40]), (9, vec![0; 4])]);
    assert_eq!(read.finished, crowded.finished);
}

#[test]
fn what_is_of_another_cluster_is_refused() {
    fn check(written: Option<u64>, here: Option<u64>, expected: bool) {
        let metadata = CommitMetadata {
            log: written,
            ..metadata(5, &[])
        };
        assert_eq!(
            metadata.of_log(here).is_ok(),
            expected,
            "{written:?} {here:?}"
        );
    }
    check(Some(1), Some(1), true);
    check(Some(1), Some(2), false);
    check(Some(1), None, true);
    check(None, Some(2), true);
}

#[test]
fn the_worst_set_of_a_tracker_fits() {
    // 700 holes, 128 lengths of four bytes that use up the span, and a jump at either end. Gaps of
    // one, then the same with as many long gaps as there can be.
    for long_gaps in [0, 5] {
        let (mut runs, mut end, mut holes, mut long_lengths) = (Vec::new(), 0_i64, 0_i64, 128);
        while holes < MAX_HOLES as i64 {
            let gap = if holes < long_gaps * 128 { 128 } else { 1 };
            let length = if long_lengths > 0 {
                1 << 21
            } else {
                (1 << 21) - 1
            };
            long_lengths -= 1;
            holes += gap;
            runs.push(end + gap..end + gap + length);
            end += gap + length;
        }
        let jumps = runs.len() - 2;
        for (index, jump) in [1_i64 << 61, 1 << 62].into_iter().enumerate() {
            runs[jumps + index].end += jump;
            for run in &mut runs[jumps + index + 1..] {
                *run = run.start + jump..run.end + jump;
            }
        }
        let worst = metadata(0, &runs);
        let text = worst.encode();
        assert!(text.len() <= MAX_TEXT_BYTES, "{}", text.len());
        assert_eq!(CommitMetadata::decode(&text, 0, None), Ok(worst));
    }
}

#[test]
fn a_set_that_no_tracker_makes_loses_its_last_runs_only() {
    let length = 1_i64 << 52; // eight bytes
    let runs: Vec<_> = (0..MAX_HOLES as i64)
        .map(|n| n * (length + 1) + 1..(n + 1) * (length + 1))
        .collect();
    let text = metadata(0, &runs).encode();
    assert!((MAX_TEXT_BYTES - 20..=MAX_TEXT_BYTES).contains(&text.len()));
    let decoded = CommitMetadata::decode(&text, 0, None).unwrap();
    let kept = decoded.finished.runs();
    assert!(kept.len() > 300 && *kept == runs[..kept.len()]);
}

/// Sets within the bounds: gaps and lengths, 700 holes at most.
fn finished_set() -> impl Strategy<Value = FinishedSet> {
    let gap = prop_oneof![8 => 1_i64..3, 1 => 1_i64..200];
    let length = prop_oneof![1_i64..4, 1_i64..300, 1_i64..1 << 22];
    (0_i64..1 << 62, vec((gap, length), 0..700)).prop_map(|(base, pairs)| {
        let (mut end, mut holes) = (base, 0);
        let runs = pairs.into_iter().map_while(|(gap, length)| {
            holes += gap;
            let start = end + gap;
            end = start + length;
            (holes <= MAX_HOLES as i64).then_some(start..end)
        });
        FinishedSet::from_runs(base, runs.collect::<Vec<_>>()).unwrap()
    })
}

fn any_metadata() -> impl Strategy<Value = CommitMetadata> {
    (
        any::<u64>(),
        any::<u64>(),
        option::of(any::<i64>().prop_map(Timestamp::from_millis)),
        option::of(any::<u32>()),
        finished_set(),
        option::of(any::<u64>()),
        option::of((2_u64..1_000, vec(any::<u8>(), 0..40))),
    )
        .prop_map(
            |(writer, sequence, started_at, partitions_at_start, finished, log, newer)| {
                CommitMetadata {
                    writer,
                    sequence,
                    started_at,
                    partitions_at_start,
                    finished,
                    log,
                    newer: newer.into_iter().collect(),
                }
            },
        )
}

proptest! {
    #[test]
    fn round_trips_within_the_bound(metadata in any_metadata()) {
        let text = metadata.encode();
        prop_assert!(text.len() <= MAX_TEXT_BYTES);
        prop_assert!(text.is_ascii());
        let (base, end) = (metadata.finished.base(), metadata.finished.end());
        prop_assert_eq!(CommitMetadata::decode(&text, base, Some(end)), Ok(metadata));
    }

    #[test]
    fn any_text_is_refused_without_panic(text in "\\PC{0,60}", prefixed in any::<bool>()) {
        let text = if prefixed { PREFIX.to_owned() + &text } else { text };
        prop_assert!(CommitMetadata::decode(&text, 0, None).is_err());
    }

    #[test]
    fn a_damaged_text_never_reads_as_something_else(
        metadata in any_metadata(),
        at in any::<prop::sample::Index>(),
        byte in 0x20_u8..0x7f,
        cut in any::<bool>(),
    ) {
        let text = metadata.encode();
        let base = metadata.finished.base();
        let at = at.index(text.len());
        let mut damaged = text.clone().into_bytes();
        if cut {
            damaged.truncate(at);
        } else {
            damaged[at] = byte;
        }
        let damaged = String::from_utf8(damaged).unwrap();
        prop_assume!(damaged != text);
        prop_assert!(CommitMetadata::decode(&damaged, base, None).is_err());
    }

    /// Content that a liar has sealed: whatever is accepted keeps the rules, and reads back as is.
    #[test]
    fn sealed_content_never_panics_and_keeps_the_rules(
        content in vec(prop_oneof![0_u8..4, any::<u8>()], 0..60),
        log_end in 0_i64..1_000,
    ) {
        let text = sealed(&[&[1, 2, 0, 5], &content[..]].concat());
        if let Ok(metadata) = CommitMetadata::decode(&text, 5, Some(log_end)) {
            let set = &metadata.finished;
            prop_assert!(set.is_empty() || set.end() <= log_end);
            prop_assert_eq!(&FinishedSet::from_runs(5, set.runs().iter().cloned()).unwrap(), set);
            prop_assert_eq!(CommitMetadata::decode(&metadata.encode(), 5, None), Ok(metadata));
        }
    }
}

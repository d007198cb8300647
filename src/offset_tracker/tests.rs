//! The tracker alone and with its metadata over crashes, against a naive model.

#![allow(clippy::single_range_in_vec_init)] // runs are ranges, and sometimes there is one

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn fresh() -> OffsetTracker {
    OffsetTracker::resume(FinishedSet::empty(0))
}

fn resumed(base: i64, runs: impl IntoIterator<Item = Range<i64>>) -> OffsetTracker {
    OffsetTracker::resume(FinishedSet::from_runs(base, runs).unwrap())
}

/// What a commit leaves on Kafka.
fn commit(tracker: &OffsetTracker) -> (i64, String) {
    let metadata = CommitMetadata {
        writer: u64::MAX,
        sequence: u64::MAX,
        started_at: None,
        partitions_at_start: None,
        finished: tracker.finished_set(),
        log: None,
        newer: Vec::new(),
    };
    (tracker.watermark(), metadata.encode())
}

/// What a new process makes of it.
fn restart((committed, text): &(i64, String)) -> OffsetTracker {
    let metadata = CommitMetadata::decode(text, *committed, None).unwrap();
    OffsetTracker::resume(metadata.finished)
}

#[test]
fn the_watermark_is_the_lowest_outstanding() {
    let mut tracker = fresh();
    for offset in 0..4 {
        assert_eq!(tracker.take(offset), Ok(Taken::New));
    }
    for (offset, expected) in [(1, 0), (3, 0), (0, 2), (2, 4)] {
        assert!(tracker.finish(offset));
        assert_eq!(tracker.watermark(), expected);
    }
    assert_eq!((tracker.outstanding(), tracker.span()), (0, 0));
    assert!(tracker.finished_set().is_empty());
}

#[test]
fn only_what_is_outstanding_can_finish() {
    let mut tracker = fresh();
    tracker.take(3).unwrap();
    assert!(!tracker.finish(2));
    assert!(!tracker.finish(4));
    assert!(tracker.finish(3));
    assert!(!tracker.finish(3));
}

#[test]
fn what_is_jumped_over_is_finished() {
    let mut tracker = fresh();
    tracker.take(2).unwrap();
    assert_eq!(tracker.watermark(), 2);
    tracker.take(5).unwrap();
    assert_eq!(tracker.finished_set().runs(), [3..5]);
    tracker.seen_end(9);
    assert_eq!(tracker.finished_set().runs(), [3..5, 6..9]);
    tracker.finish(2);
    tracker.finish(5);
    assert_eq!(tracker.watermark(), 9);
    tracker.seen_end(4);
    assert_eq!(tracker.watermark(), 9);
}

#[test]
fn records_out_of_order_are_refused_and_change_nothing() {
    fn check(tracker: &mut OffsetTracker, offset: i64, expected: i64) {
        let (revision, set) = (tracker.revision(), tracker.finished_set());
        let error = TakeError::OutOfOrder { offset, expected };
        assert_eq!(tracker.take(offset), Err(error));
        assert_eq!(
            (tracker.revision(), tracker.finished_set()),
            (revision, set)
        );
    }
    let mut tracker = resumed(10, [12..14, 20..22]);
    check(&mut tracker, -1, 0);
    assert_eq!(tracker.take(9), Ok(Taken::AlreadyFinished));
    check(&mut tracker, 9, 10);
    tracker.take(10).unwrap();
    check(&mut tracker, 10, 11);
    tracker.take(11).unwrap();
    // The position is past the restored run, whose records are still to come.
    assert_eq!(tracker.take(13), Ok(Taken::AlreadyFinished));
    check(&mut tracker, 12, 14);
    tracker.seen_end(16);
    check(&mut tracker, 15, 16);
    assert_eq!(tracker.take(21), Ok(Taken::AlreadyFinished));
    assert_eq!(tracker.take(22), Ok(Taken::New));
}

#[test]
fn restored_runs_stay_in_the_metadata_until_they_are_read_past() {
    let mut tracker = resumed(10, [12..14, 20..22]);
    assert_eq!(tracker.watermark(), 10);
    assert_eq!(tracker.finished_set().runs(), [12..14, 20..22]);
    tracker.take(10).unwrap();
    tracker.finish(10);
    assert_eq!(tracker.watermark(), 11);
    assert_eq!(tracker.finished_set().runs(), [12..14, 20..22]);
    tracker.take(11).unwrap();
    tracker.finish(11);
    assert_eq!(tracker.watermark(), 14);
    assert_eq!(tracker.finished_set().runs(), [20..22]);
    assert_eq!(tracker.take(17), Ok(Taken::New));
    assert_eq!(tracker.watermark(), 17);
    assert_eq!(tracker.take(30), Ok(Taken::New));
    assert_eq!(tracker.finished_set().runs(), [18..30]);
}

#[test]
fn the_revision_tells_whether_a_commit_would_say_something_new() {
    let mut tracker = fresh();
    let mut last = (tracker.revision(), tracker.finished_set());
    let mut check = |tracker: &OffsetTracker, changed: bool| {
        let now = (tracker.revision(), tracker.finished_set());
        assert_eq!((now.0 != last.0, now.1 != last.1), (changed, changed));
        last = now;
    };
    tracker.take(0).unwrap();
    check(&tracker, false);
    tracker.take(1).unwrap();
    check(&tracker, false);
    tracker.finish(7);
    check(&tracker, false);
    tracker.take(3).unwrap();
    check(&tracker, true);
    tracker.finish(1);
    check(&tracker, true);
    tracker.seen_end(4);
    check(&tracker, false);
    tracker.seen_end(6);
    check(&tracker, true);
}

#[test]
fn alternating_offsets_fill_the_room_and_it_comes_back() {
    const END: i64 = 20_000;
    let mut tracker = fresh();
    let mut news = 0;
    let mut offset = 0;
    let mut take_all_that_fit = |tracker: &mut OffsetTracker| {
        while offset < END && tracker.has_room() {
            tracker.take(offset).unwrap();
            news += 1;
            if offset % 2 == 0 {
                tracker.finish(offset);
            }
            offset += 1;
        }
        offset
    };
    let full_at = take_all_that_fit(&mut tracker);
    assert_eq!(
        (tracker.outstanding(), full_at),
        (MAX_HOLES, 2 * MAX_HOLES as i64)
    );
    let before = tracker.finished_set();
    let refused = TakeError::NoRoom { offset: full_at };
    assert_eq!(tracker.take(full_at), Err(refused));
    assert_eq!(tracker.finished_set(), before);

    // A crash at the bound: the holes, and only they, are taken again.
    let mut tracker = restart(&commit(&tracker));
    assert_eq!(tracker.finished_set(), before);
    for offset in before.base()..full_at {
        let expected = if offset % 2 == 0 {
            Taken::AlreadyFinished
        } else {
            Taken::New
        };
        assert_eq!(tracker.take(offset), Ok(expected));
        assert_eq!(tracker.finished_set(), before);
    }
    assert!(!tracker.has_room());

    // Each one that finishes makes room for one more odd offset.
    for oldest in (1..END).step_by(2) {
        assert!(tracker.finish(oldest));
        assert!(tracker.has_room());
        take_all_that_fit(&mut tracker);
        assert!(commit(&tracker).1.len() <= MAX_TEXT_BYTES);
    }
    assert_eq!(
        (news, tracker.watermark(), tracker.outstanding()),
        (END, END, 0)
    );
}

#[test]
fn one_slow_task_lets_the_rest_run_ahead_up_to_the_span() {
    let mut tracker = fresh();
    tracker.take(0).unwrap();
    tracker.take(MAX_SPAN - 2).unwrap();
    assert!(tracker.has_room());
    tracker.take(MAX_SPAN - 1).unwrap();
    assert!(!tracker.has_room());
    tracker.finish(0);
    assert!(tracker.has_room());
    // The bound is asked before a jump whose length nobody can know; there is one at most.
    tracker.take(i64::MAX - 9).unwrap();
    assert!(!tracker.has_room());
    tracker.seen_end(i64::MAX - 2);
    assert_eq!(
        restart(&commit(&tracker)).finished_set(),
        tracker.finished_set()
    );
}

#[test]
fn a_restored_set_at_the_bound_can_be_taken_again_in_full() {
    // 700 holes in pairs, so that runs end before the holes do.
    let mut tracker = resumed(0, (0..350).map(|n| 3 * n + 2..3 * n + 3));
    let mut taken = 0;
    for offset in 0..3 * 350 {
        if tracker.take(offset).unwrap() == Taken::New {
            taken += 1;
        }
    }
    assert_eq!(taken, MAX_HOLES);
    assert!(!tracker.has_room());
}

#[derive(Clone, Debug)]
enum Step {
    /// Take so many records, as far as there is room.
    Take(usize),
    /// Finish one of the outstanding.
    Finish(prop::sample::Index),
    /// Finish every n-th of the outstanding.
    FinishEvery(usize),
    SeenEnd,
    Commit,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1_usize..20).prop_map(Step::Take),
        1 => (1_usize..600).prop_map(Step::Take),
        6 => any::<prop::sample::Index>().prop_map(Step::Finish),
        1 => (1_usize..9).prop_map(Step::FinishEvery),
        1 => Just(Step::SeenEnd),
        3 => Just(Step::Commit),
        2 => Just(Step::Crash),
    ]
}

/// What is known to be finished, written down offset by offset.
#[derive(Clone, Default)]
struct Model {
    finished: BTreeSet<i64>,
    outstanding: BTreeSet<i64>,
    /// One above the last offset delivered.
    read: i64,
}

impl Model {
    fn pass(&mut self, offset: i64) {
        let taken = &self.outstanding;
        self.finished
            .extend((self.read..offset).filter(|passed| !taken.contains(passed)));
        self.read = self.read.max(offset);
    }

    fn watermark(&self) -> i64 {
        let pairs = self.finished.iter().zip(0..);
        pairs.take_while(|(offset, count)| *offset == count).count() as i64
    }

    fn runs(&self) -> Vec<Range<i64>> {
        let mut runs: Vec<Range<i64>> = Vec::new();
        for &offset in self.finished.range(self.watermark()..) {
            match runs.last_mut() {
                Some(run) if run.end == offset => run.end += 1,
                _ => runs.push(offset..offset + 1),
            }
        }
        runs
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// `distances`: between the offsets that the partition has records at.
    #[test]
    fn agrees_with_a_naive_model_over_crashes(
        distances in vec(prop_oneof![8 => Just(1_i64), 1 => 2_i64..4, 1 => 2_i64..90], 1..1_500),
        steps in vec(step(), 1..100),
    ) {
        let records: Vec<i64> = distances
            .into_iter()
            .scan(-1, |last, distance| {
                *last += distance;
                Some(*last)
            })
            .collect();
        let mut tracker = fresh();
        let mut model = Model::default();
        let mut committed = (commit(&tracker), model.clone());
        for step in steps {
            match step {
                Step::Take(count) => {
                    let next = records.partition_point(|offset| *offset < model.read);
                    for &offset in records[next..].iter().take(count) {
                        let is_new = !model.finished.contains(&offset);
                        if is_new && !tracker.has_room() {
                            prop_assert_eq!(model.outstanding.len(), MAX_HOLES);
                            break;
                        }
                        let expected = if is_new { Taken::New } else { Taken::AlreadyFinished };
                        prop_assert_eq!(tracker.take(offset), Ok(expected));
                        model.pass(offset);
                        model.read = offset + 1;
                        if is_new {
                            model.outstanding.insert(offset);
                        }
                    }
                }
                Step::Finish(index) => {
                    let all: Vec<i64> = model.outstanding.iter().copied().collect();
                    if !all.is_empty() {
                        let offset = *index.get(&all);
                        prop_assert!(tracker.finish(offset));
                        model.outstanding.remove(&offset);
                        model.finished.insert(offset);
                    }
                }
                Step::FinishEvery(nth) => {
                    let some: Vec<i64> = model.outstanding.iter().copied().step_by(nth).collect();
                    for offset in some {
                        prop_assert!(tracker.finish(offset));
                        model.outstanding.remove(&offset);
                        model.finished.insert(offset);
                    }
                }
                Step::SeenEnd => {
                    // The consumer stands before the next record, past all that is none.
                    let next = records.partition_point(|offset| *offset < model.read);
                    let end = records.get(next).map_or(model.read + 3, |offset| *offset);
                    if next < records.len() {
                        tracker.seen_end(end);
                        model.pass(end);
                    }
                }
                Step::Commit => {
                    let on_kafka = commit(&tracker);
                    prop_assert!(on_kafka.1.len() <= MAX_TEXT_BYTES);
                    committed = (on_kafka, model.clone());
                }
                Step::Crash => {
                    tracker = restart(&committed.0);
                    let Model { finished, .. } = committed.1.clone();
                    model = Model { finished, ..Model::default() };
                    model.read = tracker.watermark();
                }
            }
            prop_assert_eq!(tracker.outstanding(), model.outstanding.len());
            prop_assert_eq!(tracker.watermark(), model.watermark());
            let finished = tracker.finished_set();
            prop_assert_eq!(finished.runs(), model.runs());
        }
    }
}

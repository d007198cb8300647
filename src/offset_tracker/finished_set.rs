//! The finished offsets of a partition above its watermark, as sorted runs.

use std::ops::Range;

/// The most unfinished offsets ("holes") below the last finished one: the size of a set, and with
/// it of its text in the commit metadata, is bounded by them (ARCHITECTURE.md, What the metadata says).
pub const MAX_HOLES: usize = 700;

/// A base, which is the lowest offset that is not finished, and the runs of finished offsets above
/// it: ascending, never empty, never touching, with at most [`MAX_HOLES`] offsets between base and
/// end that are in none. All below the base is finished, all from the end of the last run on is not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FinishedSet {
    base: i64,
    runs: Vec<Range<i64>>,
}

/// Why runs are no [`FinishedSet`].
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum FinishedSetError {
    /// Offsets start at 0.
    #[error("base {0} is negative")]
    NegativeBase(i64),
    /// A run without an offset, or one that ends before it starts.
    #[error("the run at {start} is empty")]
    EmptyRun {
        /// Where it starts.
        start: i64,
    },
    /// Not above the run before it (or the base) with at least one unfinished offset between.
    #[error("the run at {start} does not leave a gap after {after}")]
    NoGap {
        /// Where it starts.
        start: i64,
        /// The end of the run before it, or the base: an offset that must not be finished.
        after: i64,
    },
    /// More unfinished offsets than any tracker lets be.
    #[error("more than {MAX_HOLES} unfinished offsets below the run at {start}")]
    TooManyHoles {
        /// Where the first run starts that is beyond the bound.
        start: i64,
    },
}

impl FinishedSet {
    /// Nothing finished above `base`: what is known of a partition without metadata.
    pub fn empty(base: i64) -> Self {
        Self {
            base,
            runs: Vec::new(),
        }
    }

    /// From runs in ascending order.
    ///
    /// # Errors
    /// [`FinishedSetError`] names the run and the rule of this type that it breaks. No more than
    /// [`MAX_HOLES`] runs are ever kept, whatever the iterator yields.
    pub fn from_runs(
        base: i64,
        runs: impl IntoIterator<Item = Range<i64>>,
    ) -> Result<Self, FinishedSetError> {
        if base < 0 {
            return Err(FinishedSetError::NegativeBase(base));
        }
        let mut set = Self::empty(base);
        let mut holes_left = MAX_HOLES;
        for run in runs {
            let (start, after) = (run.start, set.end());
            if run.is_empty() {
                return Err(FinishedSetError::EmptyRun { start });
            }
            if start <= after {
                return Err(FinishedSetError::NoGap { start, after });
            }
            holes_left = usize::try_from(start - after)
                .ok()
                .and_then(|gap| holes_left.checked_sub(gap))
                .ok_or(FinishedSetError::TooManyHoles { start })?;
            set.runs.push(run);
        }
        Ok(set)
    }

    /// For runs that the tracker makes, which keep the rules by construction.
    pub(super) fn from_tracked_runs(base: i64, runs: Vec<Range<i64>>) -> Self {
        debug_assert_eq!(
            Self::from_runs(base, runs.iter().cloned()),
            Ok(Self {
                base,
                runs: runs.clone()
            })
        );
        Self { base, runs }
    }

    /// The lowest offset that is not finished: the watermark, and the offset to commit.
    pub fn base(&self) -> i64 {
        self.base
    }

    /// One above the highest finished offset; the base when nothing above it is finished.
    pub fn end(&self) -> i64 {
        self.runs.last().map_or(self.base, |run| run.end)
    }

    /// Whether nothing above the base is finished.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Whether the offset is finished: below the base, or in a run.
    pub fn contains(&self, offset: i64) -> bool {
        let above = self.runs.partition_point(|run| run.end <= offset);
        offset < self.base || self.runs.get(above).is_some_and(|run| run.start <= offset)
    }

    /// How many offsets from the base up to `end`, exclusive, are not known to be finished.
    pub fn unfinished_below(&self, end: i64) -> i64 {
        let finished = self.runs.iter().map(|run| {
            let (from, to) = (run.start.min(end), run.end.min(end));
            to - from
        });
        (end - self.base).max(0) - finished.sum::<i64>()
    }

    /// The runs of finished offsets above the base, ascending.
    pub fn runs(&self) -> &[Range<i64>] {
        &self.runs
    }
}

#[cfg(test)]
#[allow(clippy::reversed_empty_ranges, clippy::single_range_in_vec_init)] // the point, or a single run
mod tests {
    use super::*;

    #[test]
    fn refuses_runs_that_break_a_rule() {
        fn check(base: i64, runs: &[Range<i64>], expected: FinishedSetError) {
            assert_eq!(
                FinishedSet::from_runs(base, runs.iter().cloned()),
                Err(expected)
            );
        }
        use FinishedSetError::{EmptyRun, NegativeBase, NoGap, TooManyHoles};
        check(-1, &[], NegativeBase(-1));
        check(5, &[7..7], EmptyRun { start: 7 });
        check(5, &[7..6], EmptyRun { start: 7 });
        check(5, &[i64::MAX..i64::MIN], EmptyRun { start: i64::MAX });
        check(5, &[5..6], NoGap { start: 5, after: 5 });
        check(5, &[3..9], NoGap { start: 3, after: 5 });
        check(5, &[6..8, 8..9], NoGap { start: 8, after: 8 });
        check(5, &[6..8, 7..9], NoGap { start: 7, after: 8 });
        check(
            0,
            &[1..2, i64::MIN..3],
            NoGap {
                start: i64::MIN,
                after: 2,
            },
        );
        check(0, &[701..702], TooManyHoles { start: 701 });
        check(0, &[1..2, 702..703], TooManyHoles { start: 702 });
        check(
            0,
            &[i64::MAX - 1..i64::MAX],
            TooManyHoles {
                start: i64::MAX - 1,
            },
        );
    }

    #[test]
    fn accepts_up_to_the_bound_of_holes() {
        assert!(FinishedSet::from_runs(0, [700..i64::MAX]).is_ok());
        let alternating = (0..700).map(|n| 2 * n + 1..2 * n + 2);
        assert_eq!(FinishedSet::from_runs(0, alternating).unwrap().end(), 1_400);
        assert!(FinishedSet::from_runs(0, (0..).map(|n| 2 * n + 1..2 * n + 2)).is_err());
    }

    #[test]
    fn counts_what_is_not_finished_below_an_offset() {
        let set = FinishedSet::from_runs(5, [6..8, 9..10]).unwrap();
        let counts = (3..13).map(|end| set.unfinished_below(end));
        // Offsets 5 and 8 are not, and all from 10 on.
        let expected = [0, 0, 0, 1, 1, 1, 2, 2, 3, 4];
        assert_eq!(counts.collect::<Vec<_>>(), expected);
        assert_eq!(FinishedSet::empty(4).unfinished_below(9), 5);
    }

    #[test]
    fn contains_all_below_the_base_and_the_runs() {
        let set = FinishedSet::from_runs(5, [6..8, 9..10]).unwrap();
        let finished: Vec<i64> = (0..12).filter(|offset| set.contains(*offset)).collect();
        assert_eq!(finished, [0, 1, 2, 3, 4, 6, 7, 9]);
        assert_eq!((set.base(), set.end(), set.is_empty()), (5, 10, false));
        let empty = FinishedSet::empty(5);
        assert!(empty.contains(4) && !empty.contains(5) && empty.is_empty());
        assert_eq!(empty.end(), 5);
    }
}

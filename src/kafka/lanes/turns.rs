//! Whose turn it is to give a record: two rings of lanes take turns, and the lanes of a ring among
//! themselves.

/// How many records a ring, and so a lane, gives in its turn.
const TURN: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Turns {
    rings: [Ring; 2],
    /// Whose turn it is, and how many records are left of it.
    turn: usize,
    left: usize,
}

#[derive(Debug, Default)]
struct Ring {
    lanes: Vec<usize>,
    turn: usize,
}

impl Turns {
    /// Of two kinds of lanes.
    pub(super) fn of(kinds: [Vec<usize>; 2]) -> Self {
        Self {
            rings: kinds.map(|lanes| Ring { lanes, turn: 0 }),
            turn: 0,
            left: TURN,
        }
    }

    /// What the next lane gives that has something. None: no lane has.
    pub(super) fn take<T>(&mut self, mut give: impl FnMut(usize) -> Option<T>) -> Option<T> {
        // Once more than there are rings: the first may have used up its turn.
        for _ in 0..=self.rings.len() {
            let ring = &mut self.rings[self.turn];
            if self.left > 0
                && let Some(given) = ring.take(&mut give)
            {
                self.left -= 1;
                return Some(given);
            }
            ring.end_turn();
            self.turn = (self.turn + 1) % self.rings.len();
            self.left = TURN;
        }
        None
    }
}

impl Ring {
    fn take<T>(&mut self, give: &mut impl FnMut(usize) -> Option<T>) -> Option<T> {
        for _ in 0..self.lanes.len() {
            if let Some(given) = self.lanes.get(self.turn).and_then(|lane| give(*lane)) {
                return Some(given);
            }
            self.end_turn();
        }
        None
    }

    fn end_turn(&mut self) {
        self.turn = (self.turn + 1) % self.lanes.len().max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many records each lane has given after `count` of them.
    fn given(kinds: [&[usize]; 2], mut has: Vec<usize>, count: usize) -> Vec<usize> {
        let mut turns = Turns::of(kinds.map(<[usize]>::to_vec));
        let mut given = vec![0; has.len()];
        for _ in 0..count {
            let lane = turns.take(|lane| {
                has[lane] = has[lane].checked_sub(1)?;
                Some(lane)
            });
            if let Some(lane) = lane {
                given[lane] += 1;
            }
        }
        given
    }

    #[test]
    fn half_of_what_is_taken_is_new_whatever_the_number_of_tiers() {
        fn check(has: [usize; 5], count: usize, expected: [usize; 5]) {
            let given = given([&[0], &[1, 2, 3, 4]], has.to_vec(), count);
            assert_eq!(given, expected, "{count} of {has:?}");
        }
        let plenty = [10_000; 5];
        check(plenty, 64 * 8, [256, 64, 64, 64, 64]);
        check([10_000, 10_000, 0, 0, 0], 64 * 8, [256, 256, 0, 0, 0]);
        // Who has nothing leaves it to others.
        check([0, 10_000, 10_000, 0, 0], 64 * 8, [0, 256, 256, 0, 0]);
        check([10_000, 0, 0, 0, 0], 64 * 8, [512, 0, 0, 0, 0]);
        check([3, 2, 0, 0, 1], 100, [3, 2, 0, 0, 1]);
    }

    #[test]
    fn nobody_gives_what_nobody_has() {
        assert_eq!(given([&[], &[]], vec![], 3), Vec::<usize>::new());
        assert_eq!(given([&[0, 1], &[]], vec![200, 200], 256), [128, 128]);
    }
}

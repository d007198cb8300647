//! All partitions of the dispatcher's assignment, read in turns.

mod turns;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::lane::{Lane, Next};
use crate::clock::Timestamp;
use crate::kafka::member::{PartitionReader, Progress, Start};
use crate::kafka::record::{Incoming, TopicPartition};
use crate::kafka::standstill::Seen;
use turns::Turns;

/// See the module. A lane is known by its index, which holds as long as the assignment.
///
/// The lanes of tier 0 take turns with those of the other tiers, whatever their numbers: half of what is
/// taken in is new where there is enough of both, so that neither holds up the other.
#[derive(Default)]
pub struct Lanes {
    lanes: Vec<Lane>,
    turns: Turns,
}

/// A record that was taken, now outstanding.
#[derive(Debug)]
pub struct Taken {
    /// Where it came through.
    pub lane: usize,
    /// The record.
    pub record: Incoming,
}

/// How long the tasks in memory of a partition whose position is not on its log may take, before they
/// are dropped and it begins anew.
const PATIENCE: Duration = Duration::from_secs(5);

impl Lanes {
    /// Lanes for a new assignment. `delays` says how long records lie on each topic.
    pub fn assigned(
        partitions: Vec<(PartitionReader, Start)>,
        delays: &HashMap<Arc<str>, Option<Duration>>,
        most_outstanding: usize,
    ) -> Self {
        let lanes = partitions
            .into_iter()
            .map(|(reader, start)| {
                let delay = delays.get(&start.at.topic).copied().flatten();
                Lane::new(reader, start, delay, most_outstanding)
            })
            .collect::<Vec<_>>();
        let (new, returned) = (0..lanes.len()).partition(|lane| lanes[*lane].delay().is_none());
        Self {
            lanes,
            turns: Turns::of([new, returned]),
        }
    }

    /// The next record that is due, each lane in its turn. None: no lane has one now.
    pub fn take(&mut self, now: Timestamp) -> Option<Taken> {
        self.turns.take(|lane| {
            let current = self.lanes.get_mut(lane)?;
            if !current.is_worth_a_look() {
                return None;
            }
            match current.next(now) {
                Next::Record(record) => Some(Taken { lane, record }),
                Next::NotBefore | Next::Empty | Next::Full => None,
            }
        })
    }

    /// Marks an offset as finished. False: it is not outstanding in this assignment.
    pub fn finish(&mut self, lane: usize, offset: i64) -> bool {
        self.lanes
            .get_mut(lane)
            .is_some_and(|lane| lane.finish(offset))
    }

    /// How long records lie on a lane; none on tier 0.
    pub fn delay(&self, lane: usize) -> Option<Duration> {
        self.lanes.get(lane).and_then(Lane::delay)
    }

    /// How many more unfinished offsets a lane may have.
    pub fn room(&self, lane: usize) -> usize {
        self.lanes.get(lane).map_or(0, Lane::room)
    }

    /// For each lane whether its bound of unfinished offsets is reached.
    pub fn full(&self) -> impl Iterator<Item = bool> {
        self.lanes.iter().map(Lane::is_full)
    }

    /// Whether any lane's is.
    pub fn any_full(&self) -> bool {
        self.lanes.iter().any(Lane::is_full)
    }

    /// Which partition a lane reads.
    pub fn at(&self, lane: usize) -> Option<&TopicPartition> {
        self.lanes.get(lane).map(Lane::at)
    }

    /// What the next transaction says of each partition that has something new.
    pub fn progress(&mut self) -> Vec<Progress> {
        self.lanes.iter_mut().filter_map(Lane::progress).collect()
    }

    /// What some partition's progress says already: for a transaction whose records follow from none.
    /// Only while [`Self::progress`] has nothing.
    pub fn standstill(&self) -> Option<Progress> {
        self.lanes.first().map(Lane::standstill)
    }

    /// The transaction that carried [`Self::progress`] is committed.
    pub fn committed(&mut self) {
        for lane in &mut self.lanes {
            lane.committed();
        }
    }

    /// Whether a record could be taken at once.
    pub fn has_something_now(&self) -> bool {
        self.lanes.iter().any(Lane::has_something_now)
    }

    /// When the next record that is held may be taken.
    pub fn next_release(&self) -> Option<Timestamp> {
        self.lanes
            .iter()
            .filter(|lane| !lane.is_full())
            .filter_map(Lane::held_until)
            .min()
    }

    /// How many offsets are taken and not finished.
    pub fn outstanding(&self) -> usize {
        self.lanes.iter().map(Lane::outstanding).sum()
    }

    /// Makes lost wake-ups harmless.
    pub fn look_again(&self) {
        for lane in &self.lanes {
            lane.look_again();
        }
    }

    /// The partitions that must begin anew ([`Lane::must_begin_anew`]).
    pub fn astray(&self) -> impl Iterator<Item = &TopicPartition> {
        let lanes = self.lanes.iter();
        let astray = lanes.filter(|lane| lane.must_begin_anew(PATIENCE));
        astray.map(Lane::at)
    }

    /// How each lane stands, in their order.
    pub fn seen(&self, now: Timestamp) -> Vec<Seen> {
        self.lanes.iter().map(|lane| lane.seen(now)).collect()
    }

    /// The lowest offset of a lane that is not finished.
    pub fn watermark(&self, lane: usize) -> Option<i64> {
        self.lanes.get(lane).map(Lane::watermark)
    }

    /// For each tier how long its oldest record that may be taken has been waiting for that.
    pub fn oldest_due(&self, now: Timestamp) -> HashMap<Option<Duration>, Duration> {
        let mut oldest: HashMap<Option<Duration>, Duration> = HashMap::new();
        for lane in &self.lanes {
            let age = lane
                .held_until()
                .map_or(Duration::ZERO, |due| now.since(due));
            let of_tier = oldest.entry(lane.delay()).or_default();
            *of_tier = age.max(*of_tier);
        }
        oldest
    }
}

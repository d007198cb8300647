//! Which partitions stand still though they have something to move for. Knows no clock and no Kafka:
//! looks at what it is shown.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::record::TopicPartition;
use crate::metrics::WatchMetrics;
use crate::role::Role;

/// A partition as it is now.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Which.
    pub at: TopicPartition,
    /// What should move: a committed offset, or the end that readers see.
    pub offset: i64,
    /// Whether there is anything to move for.
    pub has_work: bool,
}

/// What is worth a line in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// It stands at this offset, for too long; said again each time that it has stood as long once more.
    Stands {
        /// Which.
        at: TopicPartition,
        /// Where.
        offset: i64,
        /// For how long.
        since: Duration,
    },
    /// It moves again, or has nothing to move for.
    Moves {
        /// Which.
        at: TopicPartition,
        /// Where it is.
        offset: i64,
    },
}

/// The partitions of a topic taken together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OfTopic {
    /// How many stand for too long.
    pub stuck: usize,
    /// For how long the one has stood that has done so the longest.
    pub longest: Duration,
}

/// See the module.
#[derive(Debug)]
pub struct Standstills {
    /// How long is too long.
    bound: Duration,
    standing: HashMap<TopicPartition, Standing>,
    topics: BTreeMap<Arc<str>, OfTopic>,
}

#[derive(Debug)]
struct Standing {
    offset: i64,
    since: Instant,
    /// When it was said last that it stands.
    said: Option<Instant>,
}

impl Standstills {
    /// Nothing has been seen. `bound`: how long is too long.
    pub fn new(bound: Duration) -> Self {
        Self {
            bound,
            standing: HashMap::new(),
            topics: BTreeMap::new(),
        }
    }

    /// Looks at all partitions that there are. `is_meant_to` is asked of one that stands for too long,
    /// by its place in `seen`: what waits for its time begins anew.
    pub fn look(
        &mut self,
        seen: &[Seen],
        now: Instant,
        is_meant_to: impl Fn(usize, &Seen) -> bool,
    ) -> Vec<News> {
        let mut before = std::mem::take(&mut self.standing);
        let mut news = Vec::new();
        // A topic that was shown once is shown on, with nothing.
        self.topics
            .values_mut()
            .for_each(|topic| *topic = OfTopic::default());
        for (index, one) in seen.iter().enumerate() {
            let topic = self.topics.entry(Arc::clone(&one.at.topic)).or_default();
            let last = before.remove(&one.at);
            let was_said = last.as_ref().is_some_and(|last| last.said.is_some());
            let same = last.filter(|last| one.has_work && last.offset == one.offset);
            let mut standing = same.unwrap_or(Standing {
                offset: one.offset,
                since: now,
                said: None,
            });
            let mut stands = now.saturating_duration_since(standing.since);
            if stands >= self.bound && is_meant_to(index, one) {
                (standing.since, standing.said) = (now, None);
                stands = Duration::ZERO;
            }
            if stands >= self.bound {
                topic.stuck += 1;
                let is_due = standing
                    .said
                    .is_none_or(|said| now.saturating_duration_since(said) >= self.bound);
                if is_due {
                    standing.said = Some(now);
                    news.push(News::Stands {
                        at: one.at.clone(),
                        offset: one.offset,
                        since: stands,
                    });
                }
            }
            if was_said && standing.said.is_none() {
                news.push(News::Moves {
                    at: one.at.clone(),
                    offset: one.offset,
                });
            }
            topic.longest = topic.longest.max(stands);
            if one.has_work {
                self.standing.insert(one.at.clone(), standing);
            }
        }
        news
    }

    /// Each topic that was ever seen, as of the last look.
    pub fn topics(&self) -> impl Iterator<Item = (&str, OfTopic)> {
        self.topics.iter().map(|(name, topic)| (&**name, *topic))
    }
}

/// How often a role looks at its partitions.
const GLANCE: Duration = Duration::from_secs(1);

/// A role's partitions, shown as metrics and told to the log.
#[derive(Debug)]
pub struct StandstillWatch {
    role: Role,
    standstills: Standstills,
    metrics: WatchMetrics,
    last: Option<Instant>,
}

impl StandstillWatch {
    /// Of a role whose partitions should not stand for longer than `bound`.
    pub fn new(role: Role, bound: Duration, metrics: WatchMetrics) -> Self {
        Self {
            role,
            standstills: Standstills::new(bound),
            metrics,
            last: None,
        }
    }

    /// Whether it is time for [`Self::look`].
    pub fn is_due(&self, now: Instant) -> bool {
        self.last
            .is_none_or(|last| now.saturating_duration_since(last) >= GLANCE)
    }

    /// As [`Standstills::look`]; the offsets are what is committed.
    pub fn look(
        &mut self,
        seen: &[Seen],
        now: Instant,
        is_meant_to: impl Fn(usize, &Seen) -> bool,
    ) {
        self.last = Some(now);
        for news in self.standstills.look(seen, now, is_meant_to) {
            match news {
                News::Stands { at, offset, since } => tracing::error!(
                    role = %self.role, topic = &*at.topic, partition = at.partition, offset,
                    seconds = since.as_secs(),
                    "a partition does not move though it has work that is due"
                ),
                News::Moves { at, offset } => tracing::info!(
                    role = %self.role, topic = &*at.topic, partition = at.partition, offset,
                    "a partition moves again"
                ),
            }
        }
        for (topic, of) in self.standstills.topics() {
            self.metrics.stands(self.role, topic, of.stuck, of.longest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(partition: i32) -> TopicPartition {
        TopicPartition {
            topic: "t".into(),
            partition,
        }
    }

    fn seen(partition: i32, offset: i64, has_work: bool) -> Seen {
        Seen {
            at: at(partition),
            offset,
            has_work,
        }
    }

    /// Looks once a second at what is given for each, and tells what there was to say, with how many
    /// stand for too long then.
    fn looks(each: &[&[Seen]], meant: &[usize]) -> Vec<(Vec<News>, usize)> {
        let mut standstills = Standstills::new(Duration::from_secs(2));
        let start = Instant::now();
        let looks = each.iter().enumerate().map(|(second, seen)| {
            let now = start + Duration::from_secs(second as u64);
            let news = standstills.look(seen, now, |_, _| meant.contains(&second));
            let stuck = standstills.topics().map(|(_, topic)| topic.stuck).sum();
            (news, stuck)
        });
        looks.collect()
    }

    #[test]
    fn what_has_work_and_stands_is_said_and_said_again() {
        let stands = [seen(0, 7, true)];
        let each = [&stands[..]; 5];
        let said = |seconds| News::Stands {
            at: at(0),
            offset: 7,
            since: Duration::from_secs(seconds),
        };
        let told = looks(&each, &[]);
        let expected = [
            (vec![], 0),
            (vec![], 0),
            (vec![said(2)], 1),
            (vec![], 1),
            (vec![said(4)], 1),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn what_moves_or_has_nothing_to_move_for_does_not_stand() {
        let moves = (0..4).map(|offset| vec![seen(0, offset, true), seen(1, 5, false)]);
        let moves: Vec<_> = moves.collect();
        let each: Vec<_> = moves.iter().map(Vec::as_slice).collect();
        assert!(looks(&each, &[]).iter().all(|told| *told == (vec![], 0)));
    }

    #[test]
    fn it_is_said_when_it_moves_again() {
        let (stands, moves, idle) = ([seen(0, 7, true)], [seen(0, 8, true)], [seen(0, 7, false)]);
        for then in [&moves[..], &idle] {
            let told = looks(&[&stands[..], &stands, &stands, then, then], &[]);
            let offset = then[0].offset;
            assert_eq!(told[3], (vec![News::Moves { at: at(0), offset }], 0));
            assert_eq!(told[4], (vec![], 0));
        }
    }

    #[test]
    fn what_is_meant_to_wait_begins_anew() {
        let stands = [seen(0, 7, true)];
        let told = looks(&[&stands[..]; 5], &[2]);
        let stuck: Vec<_> = told.iter().map(|(_, stuck)| *stuck).collect();
        assert_eq!(stuck, [0, 0, 0, 0, 1]);
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let stands = [seen(0, 7, true)];
        let told = looks(&[&stands[..], &stands, &[], &stands, &stands], &[]);
        assert!(
            told.iter()
                .all(|(news, stuck)| news.is_empty() && *stuck == 0)
        );
    }
}

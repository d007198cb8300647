//! Where the partitions of a new assignment begin.
//!
//! librdkafka can fall back to `auto.offset.reset` when a rebalance overlaps a pending transaction,
//! so starting offsets are always ours: asked for here, once no transaction is pending on them, and
//! given explicitly.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::Offset;
use rdkafka::error::KafkaResult;

use super::group::Lookups;
use super::metadata::FirstStart;
use crate::clock::Timestamp;
use crate::kafka::record::TopicPartition;
use crate::metrics::KafkaMetrics;
use crate::offset_tracker::{CommitMetadata, FinishedSet, MetadataError, invariants};

/// How long one question to the cluster may take; the caller asks again.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(3);

/// Where a group that never ran begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstStartRule {
    /// With the oldest record.
    Earliest,
    /// With what comes after the start, decided once for the partitions that exist then.
    Latest,
}

/// Where one partition begins.
#[derive(Clone, Debug)]
pub struct Start {
    /// The partition.
    pub at: TopicPartition,
    /// What is terminal: everything below its base, where the partition starts, and its runs
    /// above.
    pub finished: FinishedSet,
    /// What the group's first start decided.
    pub first_start: FirstStart,
    /// Whether the group had a committed offset for it.
    pub committed: bool,
    /// How many offsets its log has.
    pub retained: i64,
    /// Set when the committed offset is not on the log any more.
    pub out_of_range: Option<OutOfRange>,
}

/// A committed offset that is not on the log: retention passed over it, or the topic was made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange {
    /// What was committed, or how far the partition was read.
    pub committed: i64,
    /// The first offset on the log.
    pub log_start: i64,
    /// The last stable offset.
    pub log_end: i64,
    /// How many offsets below the log's start were not known to be finished: at least as many as the
    /// records that are lost, as markers of transactions count too. 0 where retention is not the reason.
    pub lost: i64,
}

/// Where an assignment begins.
pub(super) struct StartingPoints {
    /// For each partition, in their order.
    pub starts: Vec<Start>,
    /// When the group began, if that was under [`FirstStartRule::Latest`]; noted beside the
    /// confirmation partition's position, so that it is known before any event was read.
    pub group_start: Option<Timestamp>,
    /// Whether it had offsets once, and has none.
    pub is_lost: bool,
    /// Whether something was decided here that must be committed before it is acted upon.
    pub is_decision: bool,
}

/// What is known of the group's beginning beside its commits.
pub(super) struct GroupBeginning<'a> {
    pub rule: FirstStartRule,
    /// Whether the group has run before, if it has no offsets.
    pub has_run: bool,
    /// The topics that were there when this process began; none: not known.
    pub began_with: Option<&'a HashSet<String>>,
    /// Which cluster this is ([`CommitMetadata::log`]).
    pub log: Option<u64>,
    /// The partition at whose position the group notes its start.
    pub noted_at: &'a TopicPartition,
}

/// Starting points for all `partitions`.
pub(super) fn starting_points(
    lookups: &Lookups,
    partitions: &[TopicPartition],
    beginning: &GroupBeginning<'_>,
) -> KafkaResult<StartingPoints> {
    let asked: Vec<_> = partitions
        .iter()
        .chain([beginning.noted_at])
        .cloned()
        .collect();
    let mut committed = lookups.committed(&asked, QUESTION_TIMEOUT)?;
    let note = committed.pop().flatten();
    let starts = if partitions.is_empty() {
        Vec::new()
    } else {
        resumed_starts(lookups, partitions, &committed, beginning.log)?
    };
    let has_none = note.is_none() && starts.iter().all(|start| !start.committed);
    let mut points = StartingPoints {
        is_lost: beginning.has_run && has_none && !starts.is_empty(),
        is_decision: beginning.rule == FirstStartRule::Latest
            && (note.is_none() || starts.iter().any(|start| !start.committed)),
        group_start: note.as_ref().and_then(|(offset, metadata)| {
            let found = CommitMetadata::decode(metadata, *offset, None);
            found.ok().and_then(|found| found.started_at)
        }),
        starts,
    };
    if points.is_decision {
        decide_first_start(lookups, &mut points, note.is_none(), beginning)?;
    }
    Ok(points)
}

/// Each partition from its committed offset, or from the log's start if it has none.
fn resumed_starts(
    lookups: &Lookups,
    partitions: &[TopicPartition],
    committed: &[Option<(i64, String)>],
    log: Option<u64>,
) -> KafkaResult<Vec<Start>> {
    let log_starts = lookups.resolve(partitions, Offset::Beginning, QUESTION_TIMEOUT)?;
    let log_ends = lookups.resolve(partitions, Offset::End, QUESTION_TIMEOUT)?;
    let mut starts = Vec::with_capacity(partitions.len());
    for (index, at) in partitions.iter().enumerate() {
        let log_start = log_starts[index].unwrap_or(0);
        let log_end = log_ends[index].unwrap_or(log_start);
        starts.push(match &committed[index] {
            Some((offset, metadata)) => {
                let read = |end| {
                    let found = CommitMetadata::decode(metadata, *offset, Some(end));
                    found.and_then(|found| found.of_log(log))
                };
                resumed(at, *offset, read, log_start, log_end)
            }
            None => Start {
                at: at.clone(),
                finished: FinishedSet::empty(log_start),
                first_start: FirstStart::default(),
                committed: false,
                retained: log_end - log_start,
                out_of_range: None,
            },
        });
    }
    Ok(starts)
}

fn resumed(
    at: &TopicPartition,
    committed: i64,
    read: impl Fn(i64) -> Result<CommitMetadata, MetadataError>,
    log_start: i64,
    log_end: i64,
) -> Start {
    let found = match read(log_end) {
        Ok(found) => Some(found),
        Err(MetadataError::Absent) => None,
        Err(error) => {
            tracing::warn!(
                %error, topic = &*at.topic, partition = at.partition, offset = committed,
                "commit metadata is not ours to read: ignored, what it may say is finished is done again"
            );
            None
        }
    };
    let first_start = found
        .as_ref()
        .map_or_else(FirstStart::default, |found| FirstStart {
            at: found.started_at,
            partitions: found.partitions_at_start,
        });
    let known = found.as_ref().map(|found| found.finished.clone());
    let known = known.unwrap_or_else(|| FinishedSet::empty(committed));
    debug_assert!(invariants::begins_where_committed(committed, &known));
    let out_of_range = (committed < log_start || committed > log_end).then(|| OutOfRange {
        committed,
        log_start,
        log_end,
        lost: known.unfinished_below(log_start),
    });
    Start {
        at: at.clone(),
        finished: match out_of_range {
            Some(_) => FinishedSet::empty(log_start),
            None => known,
        },
        first_start,
        committed: true,
        retained: log_end - log_start,
        out_of_range,
    }
}

/// Applies `latest` to the partitions without a committed offset. The first start is noted in the
/// metadata of every commit; a partition that existed then begins at that time, one that was found
/// later at its first record. `is_new`: the group has noted nothing yet.
fn decide_first_start(
    lookups: &Lookups,
    points: &mut StartingPoints,
    is_new: bool,
    beginning: &GroupBeginning<'_>,
) -> KafkaResult<()> {
    let topics: BTreeSet<Arc<str>> = points
        .starts
        .iter()
        .map(|start| Arc::clone(&start.at.topic))
        .collect();
    let mut counts = HashMap::new();
    let mut all = Vec::new();
    for topic in topics {
        let count = lookups.partition_count(&topic, QUESTION_TIMEOUT)?;
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        all.extend((0..count).map(|partition| TopicPartition {
            topic: Arc::clone(&topic),
            partition,
        }));
        counts.insert(topic, count);
    }
    let committed = lookups.committed(&all, QUESTION_TIMEOUT)?;
    let never_ran = is_new && !beginning.has_run && committed.iter().all(Option::is_none);
    let mut noted: HashMap<Arc<str>, FirstStart> = HashMap::new();
    for (at, entry) in all.iter().zip(&committed) {
        let Some((offset, metadata)) = entry else {
            continue;
        };
        let Ok(found) = CommitMetadata::decode(metadata, *offset, None) else {
            continue;
        };
        points.group_start = points.group_start.or(found.started_at);
        noted.entry(Arc::clone(&at.topic)).or_insert(FirstStart {
            at: found.started_at,
            partitions: found.partitions_at_start,
        });
    }
    if never_ran {
        points.group_start = Some(Timestamp::now());
    }
    for start in points.starts.iter_mut().filter(|start| !start.committed) {
        let partition = std::slice::from_ref(&start.at);
        let resolve = |wanted| -> KafkaResult<Option<i64>> {
            let answer = lookups.resolve(partition, wanted, QUESTION_TIMEOUT)?;
            Ok(answer.first().copied().flatten())
        };
        let is_later = beginning
            .began_with
            .is_some_and(|topics| !topics.contains(&*start.at.topic));
        let begin = if never_ran && !is_later {
            let count = counts.get(&start.at.topic).copied().unwrap_or(0);
            start.first_start = FirstStart {
                at: points.group_start,
                partitions: u32::try_from(count).ok(),
            };
            resolve(Offset::End)?
        } else {
            let note = noted.get(&start.at.topic).copied().unwrap_or_default();
            start.first_start = FirstStart {
                at: note.at.or(points.group_start),
                partitions: note.partitions.or(Some(0)),
            };
            let existed = note
                .partitions
                .is_some_and(|count| i64::from(start.at.partition) < i64::from(count));
            match note.at {
                Some(first) if existed => {
                    let first = Offset::Offset(first.as_millis());
                    match resolve(first)? {
                        Some(after) => Some(after),
                        None => resolve(Offset::End)?,
                    }
                }
                Some(_) | None => None,
            }
        };
        // None: at the log's start, as it is already.
        if let Some(begin) = begin {
            start.finished = FinishedSet::empty(begin);
        }
    }
    Ok(())
}

/// Moves a start whose partition turned out to be astray to its log's start. What is said to be
/// finished above is about records that are gone.
pub(super) fn from_log_start(lookups: &Lookups, start: &mut Start) -> KafkaResult<()> {
    let partition = std::slice::from_ref(&start.at);
    let first = lookups.resolve(partition, Offset::Beginning, QUESTION_TIMEOUT)?;
    let end = lookups.resolve(partition, Offset::End, QUESTION_TIMEOUT)?;
    let log_start = first.first().copied().flatten().unwrap_or(0);
    // What is committed may be off the log as well, and that is known by now.
    let committed = start.finished.base();
    start.out_of_range.get_or_insert(OutOfRange {
        committed,
        log_start,
        log_end: end.first().copied().flatten().unwrap_or(log_start),
        lost: 0,
    });
    start.finished = FinishedSet::empty(log_start);
    Ok(())
}

/// Says loudly where a committed offset is not on its log.
pub(super) fn report_out_of_range(role: &str, metrics: &KafkaMetrics, starts: &[Start]) {
    for start in starts {
        let Some(range) = start.out_of_range else {
            continue;
        };
        metrics.out_of_range(&start.at.topic);
        if range.lost > 0 {
            metrics.lost_by_retention(&start.at.topic, range.lost);
            tracing::error!(
                role,
                topic = &*start.at.topic,
                partition = start.at.partition,
                from = range.committed,
                to = range.log_start,
                offsets = range.lost,
                "retention has passed over records that were not done: they are lost; going on from the log's start"
            );
            continue;
        }
        tracing::error!(
            role,
            topic = &*start.at.topic,
            partition = start.at.partition,
            committed = range.committed,
            log_start = range.log_start,
            log_end = range.log_end,
            "the position is not on the log (the topic was made anew, or restored): going on from the log's start, what stands there is done again"
        );
    }
}

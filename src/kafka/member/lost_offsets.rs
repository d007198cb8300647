//! Whether a group that has no offsets had some once.
//!
//! A coordinator forgets the offsets of a group that nobody was in for `offsets.retention.minutes`, people
//! delete groups, and clusters are restored without them. To begin like a group that never ran would then
//! skip what was not done (`events.start = latest`), or do everything again without a word. What only this
//! role writes tells the two apart.

use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::message::Headers;
use rdkafka::{Message, Offset, TopicPartitionList};

use super::group::Lookups;
use super::start::Start;
use crate::kafka::client_log::ClientLog;
use crate::kafka::record::TopicPartition;
use crate::metrics::KafkaMetrics;
use crate::record::is_trial;

/// How long the cluster may take for an answer.
const ANSWER: Duration = Duration::from_secs(3);
/// How long the newest records may take to come.
const READING: Duration = Duration::from_secs(5);
/// How many of the newest records of each partition are looked at.
const NEWEST: i64 = 100;

/// What becomes of a group that has lost its offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostOffsets {
    /// It does everything again that is retained, and says so.
    Repeat,
    /// Its processes end, so that somebody can say where it goes on.
    Stop,
}

/// Whether there is anything on these partitions, which only the role writes, that it has written. Tasks of
/// trials are not: a command writes them, maybe before any process has run.
pub(super) fn has_run_before(
    config: &ClientConfig,
    lookups: &Lookups,
    traces: &[TopicPartition],
) -> KafkaResult<bool> {
    if traces.is_empty() {
        return Ok(false);
    }
    let starts = lookups.resolve(traces, Offset::Beginning, ANSWER)?;
    let ends = lookups.resolve(traces, Offset::End, ANSWER)?;
    // Retention has passed there: it is no new installation.
    if starts.iter().flatten().any(|start| *start > 0) {
        return Ok(true);
    }
    let mut newest = TopicPartitionList::new();
    for (at, end) in traces.iter().zip(ends) {
        if let Some(end) = end.filter(|end| *end > 0) {
            let from = Offset::Offset((end - NEWEST).max(0));
            newest.add_partition_offset(&at.topic, at.partition, from)?;
        }
    }
    if newest.count() == 0 {
        return Ok(false);
    }
    let consumer: BaseConsumer<ClientLog> = config
        .clone()
        .set("enable.partition.eof", "true")
        .create_with_context(ClientLog::new("traces"))?;
    consumer.assign(&newest)?;
    let (until, mut at_end) = (Instant::now() + READING, 0);
    while at_end < newest.count() && Instant::now() < until {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let headers = message.headers().into_iter().flat_map(Headers::iter);
                if !is_trial(headers.map(|header| header.key)) {
                    return Ok(true);
                }
            }
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => at_end += 1,
            Some(Err(error)) => return Err(error),
            None => {}
        }
    }
    Ok(false)
}

/// What begins at its log's start, in words.
pub(super) fn report(
    role: &str,
    metrics: &KafkaMetrics,
    starts: &[Start],
    what: LostOffsets,
) -> String {
    let mut topics: Vec<&str> = starts.iter().map(|start| &*start.at.topic).collect();
    topics.sort_unstable();
    topics.dedup();
    let mut words = Vec::new();
    for topic in topics {
        let of_topic = starts.iter().filter(|start| &*start.at.topic == topic);
        let (partitions, offsets) = of_topic.fold((0_usize, 0_i64), |(count, sum), start| {
            (count + 1, sum.saturating_add(start.retained))
        });
        words.push(format!("{topic}: {offsets} offsets"));
        match what {
            LostOffsets::Repeat => tracing::error!(
                role,
                topic,
                partitions,
                offsets,
                "the group has lost its offsets: everything that is retained is done again"
            ),
            LostOffsets::Stop => tracing::error!(
                role,
                topic,
                partitions,
                offsets,
                "the group has lost its offsets: nothing is done until somebody says where it goes on"
            ),
        }
    }
    metrics.lost_offsets(role);
    words.join(", ")
}

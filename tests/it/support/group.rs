//! Consumer groups as seen from outside: who has which partitions, what was ever committed, and members
//! that come and go.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::{Buf, Bytes};
use kafka_protocol::messages::ConsumerProtocolAssignment;
use kafka_protocol::protocol::Decodable;
use rdkafka::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};

use super::kafka::{ANSWER, Kafka};

/// One offset that a group has committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The topic's full name, and the partition from 0.
    pub of: (String, i32),
    /// What was committed.
    pub offset: i64,
    /// When the broker wrote it down, in Unix milliseconds.
    pub at: i64,
}

/// Everything that a group has committed for these topics, in its order for each partition: as the broker
/// keeps it. What belongs to aborted transactions is not there. Waits until all is there that the
/// coordinator tells of: a transaction of anybody's that is still open keeps from readers what was
/// committed behind it, for any group.
pub async fn history(
    kafka: &Kafka,
    group: &str,
    topics: &[&str],
    within: Duration,
) -> anyhow::Result<Vec<Commit>> {
    let committed = kafka.committed(group, topics).await?;
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    let complete = async {
        loop {
            tick.tick().await;
            let commits = commits(kafka, group).await?;
            let has = |of: (&str, i32), least| {
                let is_it = |one: &Commit| (one.of.0.as_str(), one.of.1) == of;
                commits.iter().any(|one| is_it(one) && one.offset >= least)
            };
            let is_complete = committed.iter().all(|last| {
                let of = (last.topic.as_str(), last.partition);
                last.offset.is_none_or(|offset| has(of, offset))
            });
            if is_complete {
                return Ok(commits);
            }
        }
    };
    let complete = tokio::time::timeout(within, complete).await;
    complete.context("committed offsets are kept from readers")?
}

async fn commits(kafka: &Kafka, group: &str) -> anyhow::Result<Vec<Commit>> {
    let records = kafka.read_topic("__consumer_offsets").await?;
    let commits = records.into_iter().filter_map(|record| {
        let mut key = Bytes::from(record.key?.into_bytes());
        // 2 and more: what the group is.
        if key.try_get_i16().ok()? > 1 || text(&mut key)? != group {
            return None;
        }
        let of = (text(&mut key)?, key.try_get_i32().ok()?);
        let mut value = Bytes::from(record.value?);
        value.try_get_i16().ok()?;
        Some(Commit {
            of,
            offset: value.try_get_i64().ok()?,
            at: record.timestamp,
        })
    });
    Ok(commits.collect())
}

fn text(from: &mut Bytes) -> Option<String> {
    let length = usize::try_from(from.try_get_i16().ok()?).ok()?;
    (from.len() >= length).then(|| String::from_utf8_lossy(&from.split_to(length)).into_owned())
}

/// What each member of a group has, as the coordinator tells: topics and partitions.
pub async fn assignments(
    kafka: &Kafka,
    group: &str,
) -> anyhow::Result<BTreeSet<BTreeSet<(String, i32)>>> {
    let (config, group) = (kafka.client_config(), group.to_owned());
    let told = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = config.create()?;
        let list = consumer.client().fetch_group_list(Some(&group), ANSWER)?;
        let found = list.groups().first().context("no such group")?;
        let members = found.members().iter();
        let bytes =
            members.map(|member| Bytes::copy_from_slice(member.assignment().unwrap_or(&[])));
        anyhow::Ok(bytes.collect::<Vec<_>>())
    });
    let mut all = BTreeSet::new();
    for mut bytes in told.await?? {
        let version = bytes.try_get_i16().context("an assignment")?;
        let assigned = ConsumerProtocolAssignment::decode(&mut bytes, version)?;
        let partitions = assigned.assigned_partitions.iter().flat_map(|of| {
            let numbers = of.partitions.iter();
            numbers.map(|number| (of.topic.to_string(), *number))
        });
        all.insert(partitions.collect());
    }
    Ok(all)
}

/// A member that takes partitions and does nothing with them. It leaves when dropped, which blocks.
pub struct Intruder(BaseConsumer<Joined>);

#[derive(Default)]
struct Joined(AtomicBool);

impl ClientContext for Joined {}

impl ConsumerContext for Joined {
    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if matches!(rebalance, Rebalance::Assign(_)) {
            self.0.store(true, Ordering::Release);
        }
    }
}

impl Intruder {
    /// Joins a group that reads these topics.
    pub fn join(kafka: &Kafka, group: &str, topics: &[String]) -> anyhow::Result<Self> {
        let mut config = kafka.client_config();
        config
            .set("group.id", group)
            .set("partition.assignment.strategy", "range")
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "200")
            .set("enable.auto.commit", "false");
        let consumer: BaseConsumer<Joined> = config.create_with_context(Joined::default())?;
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics)?;
        Ok(Self(consumer))
    }

    /// Takes part until it has been given what is its own.
    pub fn settle(&self, within: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + within;
        while !self.0.context().0.load(Ordering::Acquire) {
            anyhow::ensure!(Instant::now() < until, "no assignment within {within:?}");
            drop(self.0.poll(Duration::from_millis(20)));
        }
        Ok(())
    }

    /// What it has been given.
    pub fn partitions(&self) -> anyhow::Result<BTreeSet<(String, i32)>> {
        let given = self.0.assignment()?;
        let elements = given.elements();
        let named = elements.iter();
        Ok(named
            .map(|one| (one.topic().to_owned(), one.partition()))
            .collect())
    }
}
